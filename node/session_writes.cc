#include "node/session_writes.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/counted.h"
#include "common/limits.h"
#include "common/planted.h"

namespace csa {

namespace {

using std::chrono::milliseconds;

constexpr int kDoublingsMax = 8;
constexpr milliseconds kWayBack{1000};  // of an answer that still is to come in time
constexpr milliseconds kLastSend{300};  // before the deadline

struct SizeOf {
  std::size_t operator()(const Null&) const { return 1; }
  std::size_t operator()(std::int64_t) const { return 9; }
  std::size_t operator()(double) const { return 9; }
  std::size_t operator()(const Text& text) const { return 5 + text.utf8.size(); }
  std::size_t operator()(const Text16& text) const { return 5 + 2 * text.units.size(); }
  std::size_t operator()(const Bytes& bytes) const { return 5 + bytes.size(); }
};

std::size_t size_of(const Row& row) {
  std::size_t bytes = 0;
  for (const Value& value : row) bytes += std::visit(SizeOf{}, value);
  return bytes;
}

std::size_t size_of(const WriteCall& call) {
  if (const auto* write = std::get_if<Write>(&call.request))
    return write->sql.size() + size_of(write->parameters);
  if (const auto* migrate = std::get_if<Migrate>(&call.request)) return migrate->sql.size();
  if (const auto* rules = std::get_if<Rules>(&call.request)) {
    std::size_t bytes = 0;
    for (const RuleSetting& one : rules->rules) {
      bytes += sizeof(one) + one.table.size() + one.column.size() + one.rule.size();
    }
    return bytes;
  }
  return 0;
}

std::size_t size_of(const Ack& ack) {
  std::size_t bytes = 0;
  for (const Row& row : ack.rows) bytes += sizeof(Row) + row.size() * sizeof(Value) + size_of(row);
  return bytes;
}

TxId tx_of(const WriteCall& call) {
  return std::visit([](const auto& request) { return request.tx; }, call.request);
}

// How long a write may wait at the broker, so that who called learns in time that it was not begun.
std::uint32_t wait_ms(Duration left) {
  const auto ms = std::chrono::duration_cast<milliseconds>(left).count();
  const auto wait = ms > 2 * kWayBack.count() ? ms - kWayBack.count() : ms / 2;
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(wait, 1, UINT32_MAX));
}

struct ToMessage {
  TxId tx;
  template <class Request>
  Message operator()(Request request) const {
    request.tx = tx;
    return request;
  }
  Message operator()(const OutcomeGet& get) const { return get; }
};

}  // namespace

std::optional<Nack> Writes::beyond_limits(const WriteCall& call, std::size_t bytes) const {
  const auto* write = std::get_if<Write>(&call.request);
  if (bytes > limits::kWriteMax) {
    return Nack{{},
                NackCode::kLimit,
                "SQL and parameters have " + std::to_string(bytes) + " bytes, one write may have " +
                    std::to_string(limits::kWriteMax) + ": use several writes",
                0};
  }
  if (write != nullptr && write->parameters.size() > limits::kParametersMax) {
    return Nack{{},
                NackCode::kLimit,
                "more than " + std::to_string(limits::kParametersMax) + " parameters",
                0};
  }
  if (pending_.size() >= limits::kNodeWritesMax ||
      pending_bytes_ + bytes > limits::kWaitingBytesMax) {
    return Nack{
        {},
        NackCode::kBusy,
        counted(pending_.size(), "write of this program waits", "writes of this program wait") +
            " for the outcome: try again later",
        0};
  }
  return std::nullopt;
}

bool Writes::is_question(const WriteCall& call) {
  return std::holds_alternative<OutcomeGet>(call.request);
}

bool Writes::sent_before(const WriteCall& call) {
  return !is_question(call) && tx_of(call).counter != 0;
}

void Writes::resume(Order order, WriteCall& call, Pending& pending) {
  pending.tx = tx_of(call);
  pending.told = true;
  pending.sends = 1;
  pending.may_have_run = true;
  by_tx_.emplace(pending.tx, order);
  if (pending.tx.node == node_) {
    open_.insert(pending.tx.counter);
  } else {
    call.request = OutcomeGet{pending.tx};  // the replica has another identity now
  }
}

void Writes::add(WriteCall call) {
  const std::size_t bytes = size_of(call);
  if (std::optional<Nack> nack = beyond_limits(call, bytes)) {
    WriteDone done;
    done.call = call.call;
    done.status = WriteStatus::kRejected;
    if (sent_before(call)) {
      done.status = WriteStatus::kUnknown;
      done.tx = tx_of(call);
      done.message = nack->message;
    }
    done.nack = std::move(*nack);
    done_.push_back(std::move(done));
    return;
  }
  const Order order = next_order_++;
  Pending pending;
  pending.bytes = bytes;
  if (sent_before(call)) {
    resume(order, call, pending);
  } else if (const auto* get = std::get_if<OutcomeGet>(&call.request)) {
    pending.tx = get->tx;
    by_tx_.emplace(get->tx, order);
  }
  deadlines_.emplace(call.deadline, order);
  unsent_.insert(order);
  pending_bytes_ += bytes;
  pending.call = std::move(call);
  pending_.emplace(order, std::move(pending));
}

// For good: its hash must be that which this broker takes.
void Writes::give_nonce(WriteCall& call) {
  auto* const write = std::get_if<Write>(&call.request);
  if (write == nullptr) return;
  if (!nonces_) write->nonce = 0;
  while (nonces_ && write->nonce == 0) write->nonce = random_();
}

std::vector<Message> Writes::take_sendable(TimePoint now) {
  while (!resends_.empty() && resends_.begin()->first <= now) {
    const Order order = resends_.begin()->second;
    resends_.erase(resends_.begin());
    Pending& pending = pending_.at(order);
    pending.resend_at.reset();
    // The answer would come too late; that the broker was busy is known.
    if (pending.last_busy && pending.call.deadline - now < kLastSend) continue;
    unsent_.insert(order);
  }
  std::vector<Message> messages;
  while (!unsent_.empty()) {
    const Order order = *unsent_.begin();
    Pending& pending = pending_.at(order);
    if (!assign_tx(order, pending)) break;
    if (pending.call.tell_tx && !pending.told && !is_question(pending.call)) {
      tell(order, pending);
      continue;
    }
    if (pending.sends == 0) give_nonce(pending.call);
    messages.push_back(std::visit(ToMessage{pending.tx}, pending.call.request));
    if (auto* const write = std::get_if<Write>(&messages.back())) {
      write->wait_ms = wait_ms(pending.call.deadline - now);
    }
    ++pending.sends;
    pending.last_busy.reset();
    unsent_.erase(unsent_.begin());
  }
  return messages;
}

void Writes::link_down() {
  for (auto& [order, pending] : pending_) {
    if (pending.ack || pending.resend_at || pending.offline || held_.count(order) != 0) continue;
    pending.may_have_run = pending.may_have_run || (pending.sends > 0 && !pending.last_busy);
    unsent_.insert(order);
  }
}

bool Writes::visible(const Pending& pending) const {
  if (pending.ack && planted("call a write visible early")) return true;
  return pending.ack && shown_ && shown_->epoch.id == pending.ack_epoch &&
         shown_->seq >= pending.ack->seq;
}

void Writes::on_ack(const Ack& ack, const Id128& epoch) {
  for (const Order order : orders_of(ack.tx)) {
    Pending& pending = pending_.at(order);
    if (pending.ack || pending.sends == 0) continue;
    pending.ack = ack;
    pending.ack_epoch = epoch;
    pending.ack_bytes = size_of(ack);
    ack_bytes_ += pending.ack_bytes;
    unsent_.erase(order);
    if (pending.resend_at) resends_.erase({*pending.resend_at, order});
    pending.resend_at.reset();
    if (visible(pending)) {
      end_committed(order, true);
    } else if (ack_bytes_ > limits::kWaitingBytesMax) {
      end_committed(order, false);  // rows in memory are bounded, so this one is told now
    } else {
      acked_.insert(order);
    }
  }
}

void Writes::on_next_epoch(const Id128& before, const Id128& after) {
  for (auto& [order, pending] : pending_) {
    if (pending.ack && pending.ack_epoch == before) pending.ack_epoch = after;
  }
}

void Writes::reject(Order order, Nack nack) {
  WriteDone done;
  done.status = WriteStatus::kRejected;
  done.nack = std::move(nack);
  end(order, std::move(done));
}

void Writes::end_unknown(Order order, std::string message) {
  WriteDone done;
  done.status = WriteStatus::kUnknown;
  done.message = std::move(message);
  end(order, std::move(done));
}

void Writes::put_off(Order order, const Nack& nack, TimePoint now) {
  Pending& pending = pending_.at(order);
  pending.busy = std::min(pending.busy + 1, kDoublingsMax);
  const milliseconds most = std::min(limits::kRetryMax, limits::kRetryMin * (1 << pending.busy));
  std::uniform_int_distribution<std::int64_t> delay(limits::kRetryMin.count(), most.count());
  pending.resend_at = now + milliseconds{delay(random_)};
  pending.last_busy = nack;
  resends_.emplace(*pending.resend_at, order);
  unsent_.erase(order);
}

bool Writes::on_nack(const Nack& nack, TimePoint now) {
  bool ours = true;
  for (const Order order : orders_of(nack.tx)) {
    Pending& pending = pending_.at(order);
    if (pending.ack || pending.offline || pending.sends == 0) continue;
    const bool question = is_question(pending.call);
    if (nack.code == NackCode::kBusy ||
        (nack.code == NackCode::kExpired && !question && pending.sends == 1 && pending.busy == 0)) {
      if (nack.code == NackCode::kExpired) ours = false;
      if (!pending.resend_at) put_off(order, nack, now);
    } else if (nack.code == NackCode::kMismatch && !question && pending.sends == 1) {
      if (!pending.resend_at) put_off(order, nack, now);
      take_back_used(order);
    } else if (nack.code == NackCode::kUnknown || nack.code == NackCode::kExpired) {
      if (!question && nack.code == NackCode::kUnknown) continue;  // the answer to a question
      end_unknown(order, nack.message.empty() ? "the master holds no outcome of it" : nack.message);
    } else if (nack.code == NackCode::kForbidden && question) {
      // Nothing of the write is refused by that: this replica may have made it under another
      // NodeId.
      end_unknown(order, "the broker tells of " + to_string(nack.tx) +
                             " only to the node of that name (" + nack.message +
                             "), which this replica may have been before: look whether it took"
                             " effect before you write it again");
    } else if (nack.code == NackCode::kLimit && pending.may_have_run) {
      // A full disk keeps no outcome: what was sent over an earlier link may arrive behind it.
      end_unknown(order,
                  nack.message + " (it was sent before that, too: ask for its outcome later)");
    } else if (nack.code == NackCode::kMismatch && !question && pending.may_have_run) {
      // The journal keeps a write that was never sent by its changes, and its caller may send it.
      end_unknown(order, "the master has something else under " + to_string(nack.tx) +
                             ": what the journal of this replica held of this write, or a write of"
                             " a copy of the replica. Ask csa-node outcome " +
                             to_string(nack.tx) + ", and look before you write it again");
    } else if (planted("leave a rejected write unknown")) {
      end_unknown(order, {});
    } else {
      reject(order, nack);
    }
  }
  return ours;
}

void Writes::on_position(const Position& position) {
  shown_ = position;
  std::vector<Order> settled;
  for (const Order order : acked_) {
    if (visible(pending_.at(order))) settled.push_back(order);
  }
  for (const Order order : settled) end_committed(order, true);
}

void Writes::end(Order order, WriteDone done) {
  const auto found = pending_.find(order);
  CSA_CHECK(found != pending_.end());
  const Pending& pending = found->second;
  done.call = pending.call.call;
  done.tx = pending.tx;
  pending_bytes_ -= pending.bytes;
  ack_bytes_ -= pending.ack_bytes;
  deadlines_.erase({pending.call.deadline, order});
  if (pending.resend_at) resends_.erase({*pending.resend_at, order});
  unsent_.erase(order);
  held_.erase(order);
  acked_.erase(order);
  if (!is_question(pending.call) && pending.tx.node == node_) open_.erase(pending.tx.counter);
  forget_tx(order, pending.tx);
  pending_.erase(found);
  if (done.status == WriteStatus::kUnknown && planted("answer no unknown write")) return;
  done_.push_back(std::move(done));
}

void Writes::end_committed(Order order, bool visible_now) {
  WriteDone done;
  done.status = WriteStatus::kCommitted;
  done.visible = visible_now;
  done.ack = std::move(*pending_.at(order).ack);
  end(order, std::move(done));
}

void Writes::end_without_outcome(Order order, const std::string& no_broker) {
  const Pending& pending = pending_.at(order);
  if (pending.ack) {
    end_committed(order, visible(pending));
  } else if (pending.last_busy && !pending.may_have_run) {
    reject(order, *pending.last_busy);
  } else {
    WriteDone done;
    done.status =
        pending.sends > 0 || pending.offline ? WriteStatus::kUnknown : WriteStatus::kNoBroker;
    done.message = pending.offline ? "this program ends before it is known: see csa-node journal"
                   : pending.sends > 0
                       ? "it was sent, but no answer came: ask for its outcome later"
                       : no_broker;
    end(order, std::move(done));
  }
}

void Writes::on_deadline(TimePoint now, const std::string& no_broker) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now)
    end_without_outcome(deadlines_.begin()->second, no_broker);
}

std::optional<TimePoint> Writes::deadline(bool link_up) const {
  std::optional<TimePoint> next;
  if (!deadlines_.empty()) next = deadlines_.begin()->first;
  if (link_up && !resends_.empty() && (!next || resends_.begin()->first < *next))
    next = resends_.begin()->first;
  return next;
}

void Writes::refuse(std::uint64_t call, const std::string& no_broker) {
  WriteDone done;
  done.call = call;
  done.status = WriteStatus::kNoBroker;
  done.message = no_broker;
  done_.push_back(std::move(done));
}

}  // namespace csa
