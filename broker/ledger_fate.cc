// What is known of a journaled transaction before it is merged: by the outcome table, by the log,
// and by what came of its journal before.
#include <utility>

#include "broker/ledger_impl.h"
#include "common/limits.h"
#include "common/past_log.h"
#include "common/planted.h"

namespace csa {
namespace {

// A journal carries full rows before and after, so its entries are larger than the log's.
constexpr std::uint64_t kJournalGrowth = 4;

// The outcome that stands; nothing: the master has rejected the WRITE that was sent under the TxId.
std::optional<Replayed> standing_of(const Outcome& outcome, const Replay& replay) {
  const TxId& tx = replay.header.tx;
  if (const auto* const replayed = std::get_if<Replayed>(&outcome.answer)) {
    Replayed again = *replayed;
    again.tx = tx;
    again.offset = replay.header.size;
    return again;
  }
  if (const auto* const ack = std::get_if<Ack>(&outcome.answer)) {
    return Replayed{tx, ReplayResult::kStood, replay.header.size, ack->seq, {}, {}};
  }
  return std::nullopt;
}

constexpr const char* kOutcomeForgotten =
    " may be this transaction, and its outcome is forgotten (the node works with an older copy of"
    " its file): compare, and restore it if it is missing";

}  // namespace

Replayed no_outcome(const TxId& tx, ReplayResult result, std::string why) {
  return Replayed{tx, result, 0, {}, std::move(why), {}};
}

// The entry before it was handed over. Where that was sent as a WRITE too, an outcome alone says
// nothing about the journal: others before it may be on their way still, or were told to wait.
bool Ledger::Impl::follows(const Replay& replay) {
  const TxId before{replay.header.tx.node, replay.previous};
  if (planted("merge a journal out of order")) return true;
  // Whether it is a copy's, its first entries may be all that tells.
  if (replay.previous != 0 && !handed_over.has_begun(before.node, replay.first)) return false;
  if (const auto passed = handed_over.passed(before.node, replay.first, replay.previous)) {
    return *passed;
  }
  if (handed_over.has(before)) return true;
  // What has an outcome under its TxId is another transaction, of another copy of the replica.
  if (handed_over.is_stray(before)) return false;
  if (replay.previous <= outcomes->floor(before.node)) return true;
  const std::optional<Outcome> found = outcomes->find(before);
  return found && std::holds_alternative<Replayed>(found->answer);
}

void Ledger::Impl::note_handed_over(const Replay& replay) {
  if (follows(replay)) handed_over.note(replay.header.tx);
}

void Ledger::Impl::note_fate(const Replay& replay, const ReplayFate& fate, const Replayed& answer) {
  const TxId& tx = replay.header.tx;
  handed_over.pass(tx.node, replay.first, replay.previous, tx.counter);
  const std::optional<LogTable::Entry> there = readable_entry(*entries, answer.seq);
  if (!there && answer.result != ReplayResult::kOffered) {
    const bool made = answer.result == ReplayResult::kApplied ||
                      answer.result == ReplayResult::kMerged ||
                      answer.result == ReplayResult::kSplit;
    const bool told = made && answer.keys.size() < limits::kKeyChangesMax;
    handed_over.note_gone(tx.node, replay.first, tx.counter, told ? &answer.keys : nullptr);
  }
  if (!there || there->header.request_hash != request_hash(replay)) return;
  const TxId& name = there->header.tx;
  bool is_its = name == tx || name == fate.name;
  if (replay.header.is_renamed()) {
    // The log has it under the name that it had before, or would have had.
    const TxId& origin = replay.header.origin;
    is_its = is_its || name == origin || name == name_of_stray(origin, there->header.request_hash);
  }
  if (!is_its) return;
  handed_over.note_logged(tx.node, replay.first, answer.seq);
  if (name.node != tx.node) handed_over.note_renamed(tx.node, replay.first);
}

// What is answered where the entry cannot be merged now.
std::optional<Replayed> Ledger::Impl::waits(const Replay& replay, const ReplayFate& fate) {
  const TxId& tx = replay.header.tx;
  if (!follows(replay)) {
    return no_outcome(tx, ReplayResult::kAgain,
                      "what comes before it, to " + to_string(TxId{tx.node, replay.previous}) +
                          ", is not known to have an outcome");
  }
  if (!fate.stood && replay.header.size / kJournalGrowth > options.max_changes) {
    return no_outcome(tx, ReplayResult::kBusy,
                      "the transaction is larger than this broker takes; raise --max-changes of"
                      " the broker");
  }
  return std::nullopt;
}

Ledger::Impl::ReplayFate Ledger::Impl::fate_of(const Replay& replay) {
  const TxId& tx = replay.header.tx;
  ReplayFate fate;
  fate.name = tx;
  const auto answer = [&](Replayed replayed) {
    fate.known = std::move(replayed);
    return fate;
  };
  fate.first = replay.first;
  fate.previous = replay.previous;
  const std::uint64_t floor = outcomes->floor(tx.node);
  const Id128 hash = request_hash(replay);
  if (replay.previous == 0) {
    handed_over.begin(tx.node, replay.first, name_of_stray(tx, hash).node);
  }
  std::optional<Outcome> found = outcomes->find(tx);
  if (planted("merge an entry again")) found.reset();
  const bool forgotten = !found && tx.counter <= floor;
  const TxId stray = name_of_stray(tx, hash);
  const bool lost_other = !found && !forgotten && outcomes->find(stray).has_value();
  if (found && found->request_hash != hash) {
    handed_over.note_copy(tx.node, replay.first, stray.node);
  }
  fate.of_copy = handed_over.is_copy(tx.node, replay.first);
  if (forgotten || lost_other || (found && found->request_hash != hash)) {
    // Two programs with one identity, or one with an older copy of its file. Nobody's work is lost:
    // this one goes by another name. So it does where a lost history alone knew the other one.
    fate.name = stray;
    found = outcomes->find(fate.name);
    if (found) {
      handed_over.note_copy(tx.node, replay.first, stray.node);
      fate.of_copy = handed_over.is_copy(tx.node, replay.first);
    } else {
      log.warn("ledger: another transaction was sent under " + to_string(tx) + " before");
      handed_over.note_stray(tx);
    }
  }
  const bool was_sent = !replay.header.request_hash.is_zero() && !replay.header.is_renamed() &&
                        !replay.header.is_lost();
  if (found && was_sent && fate.name == tx && std::holds_alternative<Ack>(found->answer)) {
    fate.stood = std::get<Ack>(std::move(found->answer));
  } else if (found && (std::holds_alternative<Replayed>(found->answer) || follows(replay))) {
    if (auto standing = standing_of(*found, replay)) return answer(std::move(*standing));
    fate.park = std::get<Nack>(found->answer).message;
  }
  if (std::optional<Replayed> not_yet = waits(replay, fate)) return answer(std::move(*not_yet));
  if (found || replay.header.is_lost()) return fate;
  if (forgotten || fate.name != tx) look_at_forgotten(replay, fate);
  // Only that may have told that it is a copy's.
  if (std::optional<Replayed> not_yet = waits(replay, fate)) return answer(std::move(*not_yet));
  look_at_recovered(replay, fate);
  if (replay.header.is_renamed() && !fate.standing && !fate.stood) look_at_origin(replay, fate);
  return fate;
}

// Its TxId was confirmed: by the entry's own outcome, or by that of another which had it before.
// Or the node is forgotten, or the name is that the entry goes by.
void Ledger::Impl::look_at_forgotten(const Replay& replay, ReplayFate& fate) {
  for (const TxId& tx : {replay.header.tx, fate.name}) {
    if (tx.counter > outcomes->floor(tx.node)) continue;
    const Held held = log_holds(tx, request_hash(replay), replay.header.base);
    if (held == Held::kUnknown) fate.park = to_string(replay.header.tx) + kOutcomeForgotten;
    if (held != Held::kYes && tx == replay.header.tx) {
      const Id128 hash = request_hash(replay);
      handed_over.note_copy(tx.node, replay.first, name_of_stray(tx, hash).node);
      fate.of_copy = handed_over.is_copy(tx.node, replay.first);
    }
    if (held != Held::kYes) continue;
    fate.park.reset();
    fate.stood = Ack{};
    fate.stood->tx = replay.header.tx;
    fate.stood->seq = logged.at({tx.node, tx.counter}).seq;
    return;
  }
}

// The same entry may have come from another copy of the replica.
void Ledger::Impl::look_at_origin(const Replay& replay, ReplayFate& fate) {
  const TxId& origin = replay.header.origin;
  const Id128 hash = request_hash(replay);
  const std::optional<Outcome> found = outcomes->find(origin);
  if (found && found->request_hash == hash) {
    fate.standing = standing_of(*found, replay);
    fate.keys_of = origin;
    fate.park.reset();
    if (!fate.standing) fate.park = std::get<Nack>(found->answer).message;
    return;
  }
  // A lost history alone may have known the other one that had its TxId.
  const TxId stray = name_of_stray(origin, hash);
  if (const std::optional<Outcome> there = outcomes->find(stray)) {
    fate.standing = standing_of(*there, replay);
    fate.park.reset();
    fate.keys_of = origin;
    return;
  }
  const bool forgotten = !found && outcomes->forgets(origin);
  const TxId name = found || forgotten ? stray : origin;
  TxId had = origin;
  Held held = forgotten ? log_holds(origin, hash, replay.header.base) : Held::kNo;
  if (held != Held::kYes && name != origin && outcomes->forgets(name)) {
    had = name;
    held = log_holds(name, hash, replay.header.base);
  }
  fate.keys_of = origin;
  if (held == Held::kYes) {
    fate.park.reset();
    const Seq seq = logged.at({had.node, had.counter}).seq;
    const std::uint64_t size = replay.header.size;
    fate.standing = Replayed{replay.header.tx, ReplayResult::kStood, size, seq, {}, {}};
    return;
  }
  if (held == Held::kUnknown) fate.park = to_string(origin) + kOutcomeForgotten;
  fate.also = fate.name;
  fate.name = name;
}

}  // namespace csa
