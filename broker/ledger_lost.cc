// What a lost history held and replicas offer back, where its own node brings the same transaction
// by itself, before or after: it takes effect once.
#include <algorithm>
#include <array>

#include "broker/ledger_impl.h"
#include "broker/ledger_rules.h"
#include "common/codec.h"

namespace csa {
namespace {

ReplayResult result_of(const std::string& outcome) {
  constexpr std::array kResults = {ReplayResult::kMerged, ReplayResult::kSuperseded,
                                   ReplayResult::kSplit, ReplayResult::kParked};
  for (const ReplayResult result : kResults) {
    if (outcome.starts_with(to_string(result))) return result;
  }
  return ReplayResult::kApplied;
}

}  // namespace

std::variant<CallEffect, Rejection> Ledger::Impl::recover(std::int64_t id, const GroupState& state,
                                                          EditTime& edited) {
  const auto merge_lost = [&](const ReplayEntry& entry) {
    return merge->run(entry, MergeContext{state.meta, state.time, state.wall_ahead_ms}, [] {});
  };
  std::variant<Recovered, Rejection> done =
      recover_lost(db, id, options.spill_directory, merge_lost);
  if (auto* const rejection = std::get_if<Rejection>(&done)) return std::move(*rejection);
  auto& recovered = std::get<Recovered>(done);
  edited = {std::min(recovered.edited, state.time), recovered.edited_error_ms};
  return std::move(recovered.effect);
}

std::variant<CallEffect, Rejection> Ledger::Impl::restore(const Conflict& request,
                                                          const GroupState& state) {
  const MergeContext context{state.meta, state.time, state.wall_ahead_ms};
  const Meta told = past->told(state.meta);
  const RestorePlace place{db, *edits, told};
  return restore_conflict(place, request, [&](const KeptConflict& conflict) {
    return restore_whole(place, conflict, options.spill_directory, context, *merge);
  });
}

std::optional<KnownLost> Ledger::Impl::was_recovered(const TxId& tx, const Id128& hash) {
  std::optional<KnownLost> found = find_lost(lost_by_tx, tx, hash);
  if (found && found->state != "recovered") found.reset();
  return found;
}

void Ledger::Impl::look_at_recovered(const Replay& replay, ReplayFate& fate) {
  const JournalHeader& header = replay.header;
  std::optional<KnownLost> found = was_recovered(header.tx, request_hash(replay));
  if (!found && header.is_renamed()) {
    found = was_recovered(header.origin, request_hash(replay));
  }
  if (!found) return;
  fate.standing = Replayed{header.tx,
                           result_of(found->outcome),
                           header.size,
                           meta.position.seq,
                           "another replica had it, and it was recovered from there",
                           {}};
  fate.keys_of = found->as_entry;
}

void Ledger::Impl::settle_brought(const TxId& tx, const Id128& hash) {
  const std::optional<KnownLost> found = find_lost(lost_by_tx, tx, hash);
  if (found && (found->state == "lost" || found->state == "doubtful")) mark_brought(db, found->id);
}

void Ledger::Impl::read_logged() {
  const Seq first = std::max(logged_to.next(), past->floor(meta));
  if (first > meta.position.seq) return;
  LogProof proof(db, *entries);
  for (Seq seq = first; seq <= meta.position.seq; seq = seq.next()) {
    if (const auto entry = proof.doubts(seq) ? std::nullopt : entries->entry(seq)) {
      const EntryHeader& header = entry->header;
      logged[{header.tx.node, header.tx.counter}] = {header.request_hash, seq};
    } else {
      logged_doubted = seq;
    }
  }
  logged_to = meta.position.seq;
  if (logged_doubted >= first) log.error("ledger: " + doubted_entry(db, logged_doubted));
  forget_logged();
}

// The outcome of what a node has confirmed is forgotten; the log may still tell of it.
Ledger::Impl::Held Ledger::Impl::log_holds(const TxId& tx, const Id128& hash,
                                           const Position& base) {
  read_logged();
  const auto found = logged.find({tx.node, tx.counter});
  if (found != logged.end() && (hash.is_zero() || found->second.hash == hash)) return Held::kYes;
  return log_tells_since(base) ? Held::kNo : Held::kUnknown;
}

// What the log has no more goes, a half at a time: it would be every transaction there ever was.
void Ledger::Impl::forget_logged() {
  constexpr std::size_t kSlack = 1000;
  const Seq floor = past->floor(meta);
  const std::uint64_t there = meta.position.seq.next().value - floor.value;
  if (logged.size() <= 2 * there + kSlack) return;
  std::erase_if(logged, [floor](const auto& one) { return one.second.seq < floor; });
}

bool Ledger::Impl::log_tells_since(const Position& base) const {
  // What it tells begins behind an entry that a disk keeps wrongly, as behind one that is gone.
  const Seq floor = std::max(past->floor(meta), logged_doubted.next());
  const std::vector<EpochRecord> epochs = read_epochs(db);
  if (base.epoch.id == meta.position.epoch.id) {
    const bool begins = std::ranges::any_of(epochs, [&base](const EpochRecord& record) {
      return record.epoch.id == base.epoch.id && record.parent.seq == base.seq;
    });
    if (floor > base.seq.next()) return false;
    // Only this epoch ever began there; an entry with that number is of the one before.
    if (begins || base.seq.value == 0) return true;
    // An older state of the file may have been put back: is it this epoch's `base`?
    const auto entry = readable_entry(*entries, base.seq);
    return entry && entry->chain == base.chain;
  }
  for (const EpochRecord& record : epochs) {
    // Here the histories part.
    if (record.epoch.generation > base.epoch.generation) {
      return floor <= std::min(base.seq, record.parent.seq).next();
    }
  }
  return false;
}

Ledger::Impl::Held Ledger::Impl::holds(const TxId& tx, const Id128& hash, const Position& base) {
  const std::optional<Outcome> found = outcomes->find(tx);
  if (found && (hash.is_zero() || found->request_hash == hash)) return Held::kYes;
  if (found || !outcomes->forgets(tx)) return Held::kNo;
  return log_holds(tx, hash, base);
}

Ledger::Impl::Held Ledger::Impl::holds_lost(const JournalHeader& header) {
  const Id128& hash = header.request_hash;
  const Held held = holds(header.lost, hash, header.base);
  if (held == Held::kYes || hash.is_zero()) return held;
  for (const TxId& name : other_names(header.lost, hash)) {
    if (holds(name, hash, header.base) == Held::kYes) return Held::kYes;
  }
  return held;
}

// Of a node that was set back: whether an entry of its journal goes by its own TxId depends on what
// a history had under that, and a lost one had other things there than this one.
std::vector<TxId> Ledger::Impl::other_names(const TxId& tx, const Id128& hash) {
  std::vector<TxId> names = {name_of_stray(tx, hash)};
  const std::map<NodeId, std::uint64_t> nodes = outcome_floors(db);
  if (nodes.contains(tx.node)) return names;  // of a stray nobody else knows the name
  for (const auto& [node, floor] : nodes) {
    const TxId own{node, tx.counter};
    if (name_of_stray(own, hash) == tx) names.push_back(own);
  }
  return names;
}

}  // namespace csa
