// Calls that are made on the replica because there is no broker.
#include <algorithm>
#include <utility>

#include "common/codec.h"
#include "node/session_writes.h"

namespace csa {

std::optional<OfflineWrite> Writes::take_offline(TimePoint now) {
  if (offline_) return std::nullopt;
  for (auto& [order, pending] : pending_) {
    const auto* const write = std::get_if<Write>(&pending.call.request);
    if (write == nullptr || held_.count(order) != 0) continue;
    // The journal goes by counters, and another caller was faster to release() a higher one.
    if (pending.sends == 0 && pending.tx.counter != 0 && pending.tx.counter < journaled_to_) {
      take_back_tx(order);
    }
    if (!assign_tx(order, pending)) return std::nullopt;
    if (pending.call.tell_tx && !pending.told) {
      tell(order, pending);
      continue;
    }
    OfflineWrite out;
    out.write = *write;
    out.write.tx = pending.tx;
    if (pending.sends > 0) out.request_hash = request_hash(*write);
    // From here on the answer is the replica's, which keeps the deadline: no sending.
    out.may_take = pending.call.deadline - now;
    deadlines_.erase({pending.call.deadline, order});
    if (pending.resend_at) resends_.erase({*pending.resend_at, order});
    pending.resend_at.reset();
    unsent_.erase(order);
    acked_.erase(order);
    pending.offline = true;
    journaled_to_ = std::max(journaled_to_, pending.tx.counter);
    offline_ = order;
    return out;
  }
  return std::nullopt;
}

void Writes::on_offline(Result<OfflineDone> result) {
  if (!offline_) return;
  const Order order = *std::exchange(offline_, std::nullopt);
  if (pending_.at(order).ack) {  // the master's outcome stands
    end_committed(order, result && std::holds_alternative<Journaled>(result->answer));
    return;
  }
  WriteDone done;
  if (!result) {
    // Whether the disk has kept it only the next look at the journal can tell.
    done.status = WriteStatus::kUnknown;
    done.message = result.error().what;
    end(order, std::move(done));
    return;
  }
  if (auto* const journaled = std::get_if<Journaled>(&result->answer)) {
    done.status = WriteStatus::kJournaled;
    done.journaled = std::move(*journaled);
    done.pending = result->state.journal.waiting;
    end(order, std::move(done));
  } else if (auto* const ack = std::get_if<Ack>(&result->answer)) {
    done.status = WriteStatus::kCommitted;
    done.visible = true;
    done.ack = std::move(*ack);
    end(order, std::move(done));
  } else if (std::get<Nack>(result->answer).code == NackCode::kMismatch) {
    pending_.at(order).offline = false;
    deadlines_.emplace(pending_.at(order).call.deadline, order);
    unsent_.insert(order);
    take_back_used(order);
  } else {
    reject(order, std::move(std::get<Nack>(result->answer)));
  }
}

void Writes::on_standalone(const std::string& no_broker) {
  std::vector<Order> ends;
  for (const auto& [order, pending] : pending_) {
    if (pending.offline) continue;
    const bool write = std::holds_alternative<Write>(pending.call.request);
    // A committed one that is not in the replica yet is made there too: what the application does
    // next must build upon it.
    if (!write && (pending.ack || pending.sends == 0)) ends.push_back(order);
  }
  for (const Order order : ends) end_without_outcome(order, no_broker);
}

void Writes::reject_unsent(const Nack& nack) {
  std::vector<Order> never;
  for (const Order order : unsent_) {
    const Pending& pending = pending_.at(order);
    if (pending.sends == 0 && !pending.offline && !is_question(pending.call))
      never.push_back(order);
  }
  for (const Order order : never) reject(order, nack);
}

void Writes::on_disk_full(const Nack& nack) {
  reject_unsent(nack);
  const std::set<Order> committed = acked_;
  for (const Order order : committed) end_committed(order, false);
}

void Writes::fail_unsent(const std::string& no_broker) {
  std::vector<Order> never(held_.begin(), held_.end());
  for (const Order order : unsent_) {
    if (pending_.at(order).sends == 0) never.push_back(order);
  }
  for (const Order order : never) end_without_outcome(order, no_broker);
}

void Writes::fail_all(const std::string& why) {
  offline_.reset();  // its answer finds nobody any more; the journal has it
  while (!pending_.empty()) end_without_outcome(pending_.begin()->first, why);
}

}  // namespace csa
