// Parts of replays in a group: put together, proved, merged under their TxId, the outcome stored
// with its effect.
#include <algorithm>

#include "broker/ledger_impl.h"
#include "broker/lost_transactions.h"
#include "common/codec.h"
#include "common/limits.h"

namespace csa {
namespace {

// A journal carries full rows before and after, so its entries are larger than the log's.
constexpr std::uint64_t kJournalGrowth = 4;

Replayed no_outcome(const TxId& tx, ReplayResult result, std::string why) {
  return Replayed{tx, result, 0, {}, std::move(why), {}};
}

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

}  // namespace

// What the outcome table says of this TxId; nothing: the entry is to be merged, and parked for
// `rejected` where the master has rejected the WRITE that was sent under it.
std::optional<Replayed> Ledger::Impl::known_replay(const Replay& replay,
                                                   std::optional<std::string>& rejected) {
  const TxId& tx = replay.header.tx;
  const std::uint64_t floor = outcomes->floor(tx.node);
  if (tx.counter <= floor) {
    return Replayed{tx,
                    ReplayResult::kStood,
                    replay.header.size,
                    meta.position.seq,
                    "its outcome was confirmed before and is forgotten",
                    {}};
  }
  const std::optional<Outcome> known = outcomes->find(tx);
  if (known && known->request_hash != request_hash(replay)) {
    return no_outcome(tx, ReplayResult::kBusy,
                      "another transaction was sent under " + to_string(tx) +
                          " before; two programs use one replica's identity: give a copied replica"
                          " a new one with csa-node identity --new");
  }
  if (known) {
    if (const auto* const replayed = std::get_if<Replayed>(&known->answer)) {
      Replayed again = *replayed;
      again.offset = replay.header.size;
      return again;
    }
    if (const auto* const ack = std::get_if<Ack>(&known->answer)) {
      return Replayed{tx, ReplayResult::kStood, replay.header.size, ack->seq, {}, {}};
    }
    rejected = std::get<Nack>(known->answer).message;
  }
  const TxId before{tx.node, replay.previous};
  if (replay.previous > floor && !outcomes->find(before)) {
    return no_outcome(tx, ReplayResult::kAgain,
                      "the transaction before it (" + to_string(before) + ") has no outcome yet");
  }
  if (replay.header.size / kJournalGrowth > options.max_changes) {
    return no_outcome(tx, ReplayResult::kBusy,
                      "the transaction is larger than this broker takes; raise --max-changes of"
                      " the broker");
  }
  return std::nullopt;
}

Replayed Ledger::Impl::run_replay(const Replay& replay, const std::string& hostname,
                                  GroupState& state) {
  const TxId& tx = replay.header.tx;
  std::optional<std::string> rejected;
  if (std::optional<Replayed> known = known_replay(replay, rejected)) {
    if (is_outcome(known->result)) parts.drop(tx.node);
    return std::move(*known);
  }
  const TxId& lost = replay.header.lost;
  if (replay.header.is_lost() && outcomes->find(lost)) {
    Replayed had{tx, ReplayResult::kOffered, replay.header.size, meta.position.seq, {}, {}};
    had.text = "the master has " + to_string(lost);
    parts.drop(tx.node);
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
  Replayed answer = merge_entry(entry, rejected, state);
  parts.drop(tx.node);
  if (is_outcome(answer.result)) outcomes->add({tx, request_hash(replay), answer});
  return answer;
}

Replayed Ledger::Impl::merge_entry(const ReplayEntry& entry,
                                   const std::optional<std::string>& rejected, GroupState& state) {
  const TxId& tx = entry.header.tx;
  const MergeContext context{state.meta, state.time};
  std::optional<std::string> park = rejected;
  for (const bool last : {false, true}) {
    savepoint.run();
    capture->begin();
    open_work.run();
    MergeOutcome done;
    const Spill* body = nullptr;
    std::optional<Rejection> failure;
    try {
      done = entry.header.is_lost() ? keep_lost(db, entry)
             : park                 ? merge->park(entry, context, *park)
                                    : merge->run(entry, context);
      failure = end_request(body, 0);
    } catch (const SqliteError& error) {
      if (last || park || !is_about_entry(error)) throw;
      failure = Rejection{NackCode::kSql, std::string("it cannot be merged: ") + error.what(), 0};
    }
    if (failure) {
      rollback_to.run();
      release.run();
      capture->discard();
      merge->forget();
      if (last) return no_outcome(tx, ReplayResult::kBusy, failure->message);
      park = failure->message;
      continue;
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
      header.changes = done.rows;
      append_entry(std::move(header), *body, state);
    }
    return Replayed{tx,
                    done.result,
                    entry.header.size,
                    state.meta.position.seq,
                    std::move(done.text),
                    std::move(done.keys)};
  }
  return no_outcome(tx, ReplayResult::kBusy, {});
}

}  // namespace csa
