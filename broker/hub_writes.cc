#include <algorithm>
#include <chrono>
#include <utility>

#include "broker/hub_impl.h"
#include "common/check.h"
#include "common/limits.h"

namespace csa {

namespace {

// Between two looks for writes whose time is over, while the ledger is at work.
constexpr std::chrono::milliseconds kOverdueEach{100};

// About what a piece takes in a frame.
std::size_t frame_bytes(const LogPiece& piece) {
  constexpr std::size_t kFixedFields = 192;
  return kFixedFields + piece.header.hostname.size() + piece.bytes.size();
}

// An answer that became the outcome of its TxId, or shows that there is one.
bool is_outcome(const WriteAnswer& answer) {
  if (const auto* const replayed = std::get_if<Replayed>(&answer)) {
    return is_outcome(replayed->result);
  }
  const auto* const nack = std::get_if<Nack>(&answer);
  return nack == nullptr || (nack->code != NackCode::kBusy && nack->code != NackCode::kUnknown &&
                             nack->code != NackCode::kExpired);
}

// What csa-admin may do from the broker's own computer only.
bool changes_settings(const WriteRequest& request) {
  if (const auto* const rules = std::get_if<Rules>(&request)) {
    return rules->replace || !rules->rules.empty();
  }
  if (const auto* const conflict = std::get_if<Conflict>(&request)) {
    return conflict->verb != ConflictVerb::kShow && conflict->verb != ConflictVerb::kShowLost;
  }
  return std::holds_alternative<Migrate>(request);
}

}  // namespace

void Hub::Impl::on_write(const Peer& peer, WriteRequest request, TimePoint now) {
  const TxId tx = tx_of(request);
  const auto* const replay = std::get_if<Replay>(&request);
  const auto no = [&](NackCode code, std::string why) {
    if (replay != nullptr) {
      send(peer.key, Replayed{tx, ReplayResult::kBusy, 0, {}, std::move(why), {}});
    } else {
      send(peer.key, Nack{tx, code, std::move(why), 0});
    }
  };
  if (peer.role == Role::kMonitor) {
    no(NackCode::kForbidden, "A monitor only watches: join as a node to write.");
    return;
  }
  if (tx.node.value.is_zero() || tx.node != peer.node || tx.counter == 0) {
    no(NackCode::kForbidden, "The write does not carry the NodeId of its sender and a counter.");
    return;
  }
  if (replay != nullptr && peer.role != Role::kNode) {
    no(NackCode::kForbidden, "Only a node has a journal to hand over.");
    return;
  }
  if (peer.role == Role::kAdmin && !peer.origin.local && changes_settings(request)) {
    no(NackCode::kForbidden, "Only the computer of the broker may change this: type it on " +
                                 shown(config.hostname) + ".");
    return;
  }
  if (phase != Phase::kServing) {
    no(NackCode::kBusy, "The broker is stopping; send it again when it is back.");
    return;
  }
  const auto* const write = std::get_if<Write>(&request);
  const bool waits = write == nullptr || write->wait_ms == 0;
  const TimePoint begin_by =
      waits ? TimePoint::max() : now + std::chrono::milliseconds{write->wait_ms};
  switch (writes.add(std::move(request), peer.hostname, peer.key, begin_by)) {
    case WriteQueue::Added::kQueued:
      if (is_own_word(peer)) {
        own_words[peer.node] = last_counter(peer);
        writers.used(peer.node, last_counter(peer));
      }
      return;
    case WriteQueue::Added::kKnown:
      return;
    case WriteQueue::Added::kMismatch:
      no(NackCode::kMismatch, "Another write is on its way under this TxId.");
      return;
    case WriteQueue::Added::kFull:
      no(NackCode::kBusy, "Too many writes are waiting at the broker; send it again in a moment.");
      complain(peer.key, "too many writes waiting, " + peer.shown() + " was told to retry", now);
      return;
  }
}

void Hub::Impl::give_to_ledger() {
  if (phase != Phase::kServing) return;
  if (!confirming && !to_confirm.empty()) {
    confirming = true;
    outbox.emplace_back(ConfirmJob{std::exchange(to_confirm, {})});
  }
  if (commit_since || writes.waiting() == 0) return;
  commit_since = last_now;
  std::vector<NodeId> forgotten = forget_writers();  // while it is known of whom a write waits
  outbox.emplace_back(
      CommitJob{writes.take_group(), std::move(forgotten), std::exchange(own_words, {})});
}

bool Hub::Impl::is_own_word(const Peer& peer) const {
  return master.forgotten_counter > limits::kForgottenMax && !writers.last(peer.node);
}

std::uint64_t Hub::Impl::last_counter(const Peer& peer) const {
  const std::uint64_t last = is_own_word(peer)
                                 ? std::max(peer.counter, limits::kForgottenMax)
                                 : writers.last(peer.node).value_or(master.forgotten_counter);
  return std::min(last, limits::kCounterMax);
}

std::vector<NodeId> Hub::Impl::forget_writers() {
  std::vector<NodeId> nodes;
  // Nor those of whom a write waits: it may be a repeat, which their outcomes alone tell.
  const auto is_here = [this](const NodeId& node) {
    return peers.holder(node) != nullptr || writes.waits(node);
  };
  for (const Writers::Forgotten& gone : writers.take_excess(is_here)) {
    nodes.push_back(gone.node);
    to_confirm.erase(gone.node);
    own_words.erase(gone.node);
    master.forgotten_counter =
        std::max(master.forgotten_counter, std::min(gone.counter, limits::kCounterMax));
  }
  return nodes;
}

TimePoint Hub::Impl::overdue_deadline() const {
  if (!commit_since || writes.waiting() + writes.in_ledger() < 2) return TimePoint::max();
  return std::max(*commit_since, overdue_looked) + kOverdueEach;
}

void Hub::Impl::turn_away_overdue(TimePoint now) {
  overdue_looked = now;
  for (const WriteQueue::Asked& asked : writes.take_overdue(now, begun)) {
    if (peers.find(asked.peer) == nullptr) continue;
    const auto busy = std::chrono::floor<std::chrono::seconds>(now - *commit_since);
    send(asked.peer,
         Nack{asked.tx, NackCode::kBusy,
              "The broker has been at work on other transactions for " +
                  std::to_string(busy.count()) + " s, and this one was not begun; send it again.",
              0});
  }
}

void Hub::Impl::publish_updates(const CommitResult& result) {
  Update update;
  std::size_t bytes = 0;
  const auto flush = [&] {
    const LogPiece& last = update.pieces.back();
    update.head = {result.head.epoch, last.header.seq, last.chain};
    publish(std::exchange(update, {}));
    bytes = 0;
  };
  for (const LogPiece& piece : result.pieces) {
    const std::size_t more = frame_bytes(piece);
    if (!update.pieces.empty() &&
        (bytes + more > limits::kUpdateMax || update.pieces.size() >= limits::kPiecesMax)) {
      flush();
    }
    update.pieces.push_back(piece);
    bytes += more;
  }
  if (!update.pieces.empty()) flush();
}

void Hub::Impl::answer(const WriteOutcome& outcome, TimePoint now) {
  const WriteQueue::Asked asked = writes.settle(outcome.ticket);
  if (is_outcome(outcome.answer)) writers.used(asked.tx.node, asked.tx.counter);
  const auto* const ack = std::get_if<Ack>(&outcome.answer);
  if (ack != nullptr && !ack->repeated) commits.add(1, now);
  // Whoever asked may be gone; it will ask for the outcome when it is back.
  if (peers.find(asked.peer) == nullptr) return;
  std::visit([&](const auto& one) { send(asked.peer, one); }, outcome.answer);
}

void Hub::on_committed(const CommitResult& result, TimePoint now) {
  Impl& hub = *impl_;
  hub.note_time(now);
  CSA_CHECK(hub.commit_since.has_value());
  CSA_CHECK(result.outcomes.size() == hub.writes.in_ledger());
  hub.commit_since.reset();
  if (hub.phase == Phase::kStopped) return;  // stepped down meanwhile
  hub.publish_updates(result);
  hub.master.head = result.head;
  hub.master.floor = result.floor;
  hub.master.schema_version = result.schema_version;
  hub.master.log_bytes = result.log_bytes;
  if (result.database_bytes != 0) hub.master.database_bytes = result.database_bytes;
  if (result.new_epoch) {
    hub.log.error(
        "hub: another program wrote to the database of the broker; a new history begins " +
        ("at " + to_string(result.head)) + " and every node takes a full copy");
    hub.publish_head(now);
  } else if (!result.pieces.empty()) {
    hub.burst_due = now + limits::kHeadAfterBurst;
  }
  for (const WriteOutcome& outcome : result.outcomes) hub.answer(outcome, now);
  for (const TxId& tx : result.named) hub.writers.used(tx.node, tx.counter);
  if (result.new_epoch) {
    hub.drop_spools_before(TimePoint::min());
    hub.leases.clear();
  }
  hub.release_cut(now);
  if (hub.phase == Phase::kStopping) hub.finish_stop();
}

void Hub::on_confirmed() {
  CSA_CHECK(impl_->confirming);
  impl_->confirming = false;
}

void Hub::on_ledger_progress(TimePoint at, std::uint64_t begun) {
  impl_->progress = std::max(impl_->progress, at);
  impl_->begun = begun;
}

void Hub::on_stored(const StoreState& state) {
  impl_->master.floor = state.floor;
  impl_->master.log_bytes = state.log_bytes;
  if (state.database_bytes != 0) impl_->master.database_bytes = state.database_bytes;
}

}  // namespace csa
