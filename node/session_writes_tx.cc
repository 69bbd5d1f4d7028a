// TxIds of the application's writes: which are given, who is told, when another one is due.
#include <algorithm>

#include "common/limits.h"
#include "node/session_writes.h"

namespace csa {

namespace {

// Outcomes that the broker is asked to keep though they were delivered: `csa-node outcome` asks
// for them by hand, also from a later process.
constexpr std::uint64_t kOutcomesKept = 8 * limits::kCounterBlock;

}  // namespace

void Writes::set_identity(const NodeId& node, std::uint64_t used) {
  std::vector<Order> strangers;
  for (const auto& [order, pending] : pending_) {
    if (pending.offline) continue;
    if (pending.tx.counter != 0 && pending.tx.node != node && !is_question(pending.call))
      strangers.push_back(order);
  }
  for (const Order order : strangers) {
    Pending& pending = pending_.at(order);
    if (pending.ack) continue;
    const bool turned_away = pending.last_busy || (pending.sends == 1 && pending.resend_at);
    if (pending.sends == 0 || (turned_away && !pending.may_have_run)) {
      // Never sent, or the broker has said that it did not run.
      take_back_tx(order);
      if (!pending.resend_at) unsent_.insert(order);
    } else {
      end_without_outcome(order, {});
    }
  }
  node_ = node;
  next_ = used + 1;
  journaled_to_ = 0;
  reserved_ = used;
  open_.clear();
}

void Writes::set_reserved(std::uint64_t up_to) { reserved_ = std::max(reserved_, up_to); }

bool Writes::needs_counters() const {
  if (next_ <= reserved_) return false;
  const auto lacks_one = [&](Order order) { return pending_.at(order).tx.counter == 0; };
  return std::any_of(unsent_.begin(), unsent_.end(), lacks_one) ||
         std::any_of(resends_.begin(), resends_.end(),
                     [&](const auto& resend) { return lacks_one(resend.second); });
}

std::uint64_t Writes::confirmed() const {
  std::uint64_t delivered = (open_.empty() ? next_ : *open_.begin()) - 1;
  if (journal_first_ != 0) delivered = std::min(delivered, journal_first_ - 1);
  return delivered > kOutcomesKept ? delivered - kOutcomesKept : 0;
}

bool Writes::assign_tx(Order order, Pending& pending) {
  if (pending.tx.counter != 0 || is_question(pending.call)) return true;
  if (next_ > reserved_) return false;
  pending.tx = {node_, next_++};
  open_.insert(pending.tx.counter);
  by_tx_.emplace(pending.tx, order);
  return true;
}

void Writes::tell(Order order, Pending& pending) {
  pending.told = true;
  held_.insert(order);
  unsent_.erase(order);
  given_.push_back({pending.call.call, pending.tx});
}

void Writes::release(const TxId& tx) {
  for (const Order order : orders_of(tx)) {
    if (held_.erase(order) != 0) unsent_.insert(order);
  }
}

std::vector<Writes::Order> Writes::orders_of(const TxId& tx) const {
  std::vector<Order> orders;
  const auto [first, last] = by_tx_.equal_range(tx);
  for (auto at = first; at != last; ++at) orders.push_back(at->second);
  return orders;
}

void Writes::forget_tx(Order order, const TxId& tx) {
  const auto [first, last] = by_tx_.equal_range(tx);
  for (auto at = first; at != last; ++at) {
    if (at->second != order) continue;
    by_tx_.erase(at);
    return;
  }
}

void Writes::take_back_used(Order order) {
  take_back_tx(order);
  next_ = reserved_ + 1;
}

void Writes::take_back_tx(Order order) {
  Pending& pending = pending_.at(order);
  forget_tx(order, pending.tx);
  if (pending.tx.node == node_) open_.erase(pending.tx.counter);
  pending.tx = {};
  pending.told = false;
  pending.sends = 0;
  pending.may_have_run = false;
  held_.erase(order);
}

}  // namespace csa
