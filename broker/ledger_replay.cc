// Parts of replays in a group: put together, proved, merged under their TxId, the outcome stored
// with its effect.
#include <algorithm>

#include "broker/ledger_impl.h"
#include "broker/merge_keys.h"
#include "common/codec.h"
#include "common/limits.h"
#include "common/planted.h"

namespace csa {
namespace {

constexpr const char* kDoubt =
    "its own node has been here since, and may have brought it; compare, then recover or forget it";

constexpr const char* kKeysForgotten =
    "under which numbers the master has the rows of earlier transactions of this copy of the"
    " replica is forgotten: compare, and restore it";

// Keeps sums of a peer's numbers inside their type.
std::int64_t bounded(std::int64_t ms) {
  constexpr std::int64_t kMax = std::int64_t{1} << 60U;
  return std::clamp(ms, -kMax, kMax);
}

// Not the disk's doing: what the schema, or an index that the application's own rows have broken,
// says to this entry, it says whenever the entry comes.
bool is_about_entry(const SqliteError& error) {
  const int code = error.primary_code();
  return code == SQLITE_CONSTRAINT || code == SQLITE_MISMATCH || code == SQLITE_TOOBIG ||
         code == SQLITE_ERROR || error.code() == SQLITE_CORRUPT_VTAB;
}

bool is_whole(const Replay& replay, const Spill& body) {
  JournalHasher hasher(replay.header);
  for (std::uint64_t at = 0; at < body.size(); at += limits::kPieceMax) {
    hasher.update(body.read(at, limits::kPieceMax));
  }
  return hasher.digest() == replay.checksum;
}

// Beside its node's own journal, which may have begun with the same counter.
std::uint64_t number_of_copy(const NodeId& id) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < sizeof number; ++i) number = number << 8U | id.value.bytes.at(i);
  return kCopyJournals | number % kCopyJournals;
}

}  // namespace

// What `from` was told of changed keys holds for later entries of `to`'s journal too.
void Ledger::Impl::share_keys(const TxId& from, const TxId& to, std::uint64_t journal) {
  Statement share = db.prepare(
      "INSERT OR IGNORE INTO main.csa_remap SELECT ?3, ?5, table_name, before, after, ?4,"
      " lost FROM main.csa_remap WHERE node = ?1 AND counter = ?2");
  share.bind_blob(1, from.node.value.bytes).bind(2, static_cast<std::int64_t>(from.counter));
  share.bind_blob(3, to.node.value.bytes).bind(4, static_cast<std::int64_t>(to.counter));
  share.bind(5, static_cast<std::int64_t>(journal));
  share.run();
}

// csa_remap may have lost what it held for a copy's journal: to the journal of another copy, or, of
// the entries that it has in common with the node's own, to that. Once a journal is enough.
std::optional<Merge::Earlier> Ledger::Impl::keys_to_recall(const TxId& tx, const ReplayFate& fate,
                                                           std::uint64_t now) {
  const HandedOver::Journal* const journal = handed_over.find(tx.node, fate.first);
  if (!fate.of_copy || journal == nullptr || journal->has_keys) return std::nullopt;
  return Merge::Earlier{fate.first, journal->logged, journal->told, journal->untold, now};
}

MergeOutcome Ledger::Impl::run_merge(const ReplayEntry& entry, const ReplayFate& fate,
                                     const MergeContext& context) {
  const JournalHeader& header = entry.header;
  if (header.is_lost()) {
    const bool unknown = holds_lost(header) == Held::kUnknown;
    return keep_lost(db, entry, unknown ? kDoubt : "");
  }
  const auto earlier = keys_to_recall(header.tx, fate, context.meta.schema_version);
  const bool known = !earlier || merge->knows(*earlier, *entries);
  const auto recall = [&] {
    if (earlier && known) merge->recall(entry, *entries, *earlier);
  };
  if (fate.standing) {
    recall();
    share_keys(fate.keys_of, header.tx, entry.first);
    return merge->stands(entry, *entries, *fate.standing);
  }
  if (fate.park || !known) {
    recall();
    return merge->park(entry, context, fate.park.value_or(kKeysForgotten));
  }
  MergeOutcome done = merge->run(entry, context, recall);
  if (header.is_renamed()) share_keys(header.tx, header.origin, fate.first);
  return done;
}

Replayed Ledger::Impl::run_replay(const Replay& replay, const std::string& hostname,
                                  GroupState& state) {
  const TxId& tx = replay.header.tx;
  ReplayFate fate = fate_of(replay);
  if (fate.known) {
    if (is_outcome(fate.known->result)) {
      parts.drop(tx.node);
      note_fate(replay, fate, *fate.known);
      const bool other = fate.name != tx || handed_over.is_stray(tx);
      if (fate.known->result == ReplayResult::kStood || other) note_handed_over(replay);
    }
    return std::move(*fate.known);
  }
  const TxId& lost = replay.header.lost;
  if (replay.header.is_lost() && holds_lost(replay.header) == Held::kYes) {
    Replayed had{tx, ReplayResult::kOffered, replay.header.size, meta.position.seq, {}, {}};
    had.text = "the master has " + to_string(lost);
    parts.drop(tx.node);
    handed_over.pass(tx.node, replay.first, replay.previous, tx.counter);
    outcomes->add({tx, request_hash(replay), had});  // the next entry asks for it
    return had;
  }
  const std::optional<ReplayParts::Taken> taken = parts.take(replay);
  if (!taken) return no_outcome(tx, ReplayResult::kAgain, {});
  if (taken->whole == nullptr) return Replayed{tx, ReplayResult::kMore, taken->here, {}, {}, {}};
  if (!is_whole(replay, *taken->whole)) {
    parts.drop(tx.node);
    log.error("ledger: " + to_string(tx) + " of " + hostname + " came damaged: asked for again");
    return no_outcome(tx, ReplayResult::kAgain, "its bytes do not agree with its checksum");
  }
  ReplayEntry entry{replay.header, replay.first, hostname, *taken->whole};
  // Nobody edits in the future: a clock ahead of ours must not win for days.
  WallTime& edited = entry.header.edited;
  edited.ms = std::min(bounded(edited.ms) + bounded(replay.correction_ms), state.time.ms);
  entry.header.edited_error_ms = replay.error_ms;
  // Into the log, so that a replica which becomes the master knows the entry when it comes again.
  entry.header.request_hash = request_hash(replay);
  if (fate.of_copy) entry.first = number_of_copy(handed_over.find(tx.node, replay.first)->name);
  if (fate.stood) {
    Replayed stands = stand(entry, std::move(*fate.stood), state);
    if (stands.result == ReplayResult::kStood) {
      note_handed_over(replay);
      note_fate(replay, fate, stands);
    }
    parts.drop(tx.node);
    return stands;
  }
  Replayed answer = merge_entry(entry, fate, state);
  edits->count_as({}, nullptr);
  parts.drop(tx.node);
  if (!is_outcome(answer.result)) return answer;
  note_fate(replay, fate, answer);
  const HandedOver::Journal* const journal = handed_over.find(tx.node, replay.first);
  if (fate.of_copy && journal != nullptr && !journal->untold) {
    handed_over.note_keys(tx.node, replay.first);
  }
  if (fate.standing) note_fate(replay, fate, *fate.standing);
  outcomes->add({fate.name, request_hash(replay), answer});
  if (fate.name != tx) {
    state.named.push_back(fate.name);
    note_handed_over(replay);
  }
  // The node's next entry asks for it, and so does a copy of the node for its own.
  if (fate.also) outcomes->add({*fate.also, request_hash(replay), answer});
  return answer;
}

// The outcome is the WRITE's and stays it; only where later entries must follow to other numbers
// something is written, under the same TxId.
Replayed Ledger::Impl::stand(const ReplayEntry& entry, Ack ack, GroupState& state) {
  const TxId& tx = entry.header.tx;
  savepoint.run();
  capture->begin();
  open_work.run();
  MergeOutcome done = merge->stood(entry, *entries, ack.seq);
  const Spill* body = nullptr;
  const std::optional<Rejection> failure = end_request(body, 0);
  if (failure) {
    rollback_to.run();
    release.run();
    capture->discard();
    merge->forget();
    return no_outcome(tx, ReplayResult::kBusy, failure->message);
  }
  release.run();
  if (body->size() > 0) {
    EntryHeader header;
    header.tx = tx;
    header.time = state.time;
    header.edited = entry.header.edited;
    header.edited_error_ms = entry.header.edited_error_ms;
    header.hostname = entry.hostname;
    header.request_hash = entry.header.request_hash;
    header.changes = ack.changes;
    header.last_insert_rowid = ack.last_insert_rowid;
    append_entry(std::move(header), *body, state);
    // As replicas read it from the log.
    ack.seq = state.meta.position.seq;
    outcomes->add({tx, entry.header.request_hash, ack});
  }
  return Replayed{tx, done.result, entry.header.size, ack.seq, {}, std::move(done.keys)};
}

Replayed Ledger::Impl::merge_entry(const ReplayEntry& entry, const ReplayFate& fate,
                                   GroupState& state) {
  const TxId& tx = entry.header.tx;
  MergeContext context{state.meta, state.time, state.wall_ahead_ms};
  const HandedOver::Journal* const journal = handed_over.find(tx.node, fate.first);
  edits->count_as({}, nullptr);
  if (fate.of_copy && journal != nullptr) {
    context.author = journal->name;
    edits->count_as(journal->name, &journal->logged, journal->begun);
  } else if (journal != nullptr && journal->renamed) {
    // Earlier entries of it stand in the log under the NodeId that it had before.
    edits->count_as(tx.node, &journal->logged, journal->begun);
  }
  ReplayFate now = fate;
  for (const bool last : {false, true}) {
    savepoint.run();
    capture->begin();
    open_work.run();
    MergeOutcome done;
    const Spill* body = nullptr;
    std::optional<Rejection> failure;
    try {
      done = run_merge(entry, now, context);
      settle_brought(fate.name, entry.header.request_hash);
      if (fate.name != tx) settle_brought(tx, entry.header.request_hash);
      failure = end_request(body, 0);
    } catch (const SqliteError& error) {
      if (last || now.park || !is_about_entry(error)) throw;
      failure = Rejection{NackCode::kSql, std::string("it cannot be merged: ") + error.what(), 0};
    }
    if (failure) {
      rollback_to.run();
      release.run();
      capture->discard();
      merge->forget();
      if (last) return no_outcome(tx, ReplayResult::kBusy, failure->message);
      now.park = failure->message;
      now.standing.reset();
      continue;
    }
    release.run();
    crash_point("ledger: replay merged");
    // Where nothing is written, its effect is where that of the other copy's entry is.
    const Seq effect = now.standing ? now.standing->seq : Seq{};
    const bool elsewhere = body->size() == 0 && effect != Seq{};
    if (body->size() > 0) {
      EntryHeader header;
      header.tx = fate.name;
      header.time = state.time;
      header.edited = entry.header.edited;
      header.edited_error_ms = entry.header.edited_error_ms;
      header.hostname = entry.hostname;
      header.request_hash = entry.header.request_hash;
      header.changes = done.rows;
      append_entry(std::move(header), *body, state);
    }
    return Replayed{tx,
                    done.result,
                    entry.header.size,
                    elsewhere ? effect : state.meta.position.seq,
                    std::move(done.text),
                    std::move(done.keys)};
  }
  return no_outcome(tx, ReplayResult::kBusy, {});
}

}  // namespace csa
