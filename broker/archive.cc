#include "broker/archive.h"

#include <algorithm>
#include <map>
#include <utility>

#include "broker/spool.h"
#include "common/check.h"
#include "common/codec.h"
#include "common/limits.h"
#include "common/past_log.h"
#include "common/planted.h"
#include "common/store_meta.h"

namespace csa {
namespace {

// What an entry weighs in a LOG besides its bytes: header and chain, generously.
constexpr std::size_t kHeaderWeight = 192;

std::string entry_name(Seq seq) { return "entry " + std::to_string(seq.value); }

// Entries up to this size are hashed to prove the chain before them.
constexpr std::uint64_t kProofMax = 64 * limits::kMiB;

// Whether the entry after `after` continues its chain, when the entry at `after` is gone (the first
// one in the log, or the first of a history), or has another chain: it may be that which is
// damaged.
bool goes_on(LogTable& log, const Position& after) {
  const Seq next = after.seq.next();
  const auto entry = readable_entry(log, next);
  return entry && entry->header.size <= kProofMax && continues(log, after.chain, next);
}

// The chain at request.after.seq as far as the log can tell it. What lies below the floor is of no
// history any more, even while it waits to be deleted.
std::optional<Chain> chain_at(LogTable& log, const LogGet& request, Seq floor) {
  std::optional<LogTable::Entry> here;
  if (request.after.seq >= floor) {
    here = readable_entry(log, request.after.seq);
    if (here && here->chain == request.after.chain) return here->chain;
  }
  // In the midst of an entry the reader has proved its chain when it began with it.
  const bool begun = request.offset > 0 && !here;
  if (begun || goes_on(log, request.after)) return request.after.chain;
  return here ? std::optional(here->chain) : std::nullopt;
}

Database open_source(const std::string& path) {
  Database db(path, Database::Mode::kReadOnly);
  // Checkpoints belong to the ledger's connection alone, also the one at the end.
  sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  db.exec("PRAGMA query_only=ON");
  return db;
}

}  // namespace

CatchUp catch_up(const Position& after, const LogState& log) {
  const Position& head = log.head;
  if (after.epoch != Epoch{} && after.epoch != head.epoch) {
    return {false, "it follows history " + to_string(after.epoch) + ", this is history " +
                       to_string(head.epoch)};
  }
  if (after.seq > head.seq) {
    return {false, "it is ahead, at " + std::to_string(after.seq.value) + "; the head is " +
                       std::to_string(head.seq.value)};
  }
  if (after.seq.next() < log.floor) {
    if (planted("serve the log from below its floor")) return {true, "it is below the floor"};
    return {false, "the log begins at " + entry_name(log.floor) + ", wanted is " +
                       entry_name(after.seq.next())};
  }
  if (after.chain == Chain{}) return {true, "the log holds what follows"};
  const std::optional<Chain> here = after.seq == head.seq ? head.chain : log.chain_at;
  if (!here) {
    return {false, "the log no longer holds " + entry_name(after.seq) + " to compare with"};
  }
  if (*here != after.chain) {
    return {false, "its history forked off before or at " + entry_name(after.seq)};
  }
  return {true, "the log holds what follows"};
}

struct Archive::Impl {
  Impl(const std::string& path, std::string directory, const Log& log_lines)
      : db(open_source(path)),
        spool_directory(std::move(directory)),
        out(log_lines),
        log(db),
        outcomes(db) {}

  // Adds what fits. The entry that should be there and is not what was written, or not there at
  // all, if it met one.
  std::optional<Seq> fill(const LogGet& request, Seq last, LogSlice& slice);
  // Once, until another one is met.
  void tell_doubted(Seq seq) {
    if (std::exchange(told, seq) != seq) out.error("archive: " + doubted_entry(db, seq));
  }
  [[nodiscard]] std::optional<Chain> chain_before(const LogGet& request, Seq floor);

  Database db;
  std::string spool_directory;
  const Log& out;
  LogTable log;
  OutcomeTable outcomes;
  std::map<Id128, Spool> spools;
  Seq told{0};  // to be damaged
};

// Of what is asked for; nothing: the log does not tell.
std::optional<Chain> Archive::Impl::chain_before(const LogGet& request, Seq floor) {
  if (request.after.chain != Chain{}) return request.after.chain;
  if (request.after.seq == Seq{0}) return chain_of_beginning(read_epochs(db));
  const auto entry =
      request.after.seq >= floor ? readable_entry(log, request.after.seq) : std::nullopt;
  return entry ? std::optional(entry->chain) : std::nullopt;
}

std::optional<Seq> Archive::Impl::fill(const LogGet& request, Seq last, LogSlice& slice) {
  std::size_t room = std::clamp<std::size_t>(request.max_bytes, std::size_t{1}, limits::kUpdateMax);
  std::size_t weight = 0;
  Cursor at{request.after.seq.next(), request.offset};
  std::optional<Chain> before = chain_before(request, slice.floor);
  while (at.seq <= last && room > 0 && slice.pieces.size() < limits::kPiecesMax) {
    const auto entry = readable_entry(log, at.seq);
    if (!entry && planted("serve the log from below its floor")) {
      before.reset();  // which would tell
      at = {at.seq.next(), 0};
      continue;
    }
    if (!entry) return at.seq;
    const bool begins = at.offset == 0 && entry->header.size <= kProofMax;
    if (begins && before && !continues(log, *before, at.seq)) return at.seq;
    before = entry->chain;
    if (at.offset > 0 && at.offset >= entry->header.size) {
      at = {at.seq.next(), 0};
      continue;
    }
    weight += kHeaderWeight + entry->header.hostname.size();
    if (weight > limits::kUpdateMax && !slice.pieces.empty()) return std::nullopt;
    auto piece = log.read(at.seq, at.offset, std::min(limits::kPieceMax, room));
    if (!piece || piece->is_stub()) return at.seq;
    room -= piece->bytes.size();
    const bool complete = piece->completes();
    slice.pieces.push_back(std::move(*piece));
    // A LOG holds one part of an entry, and nothing after a part that is not the last.
    if (!complete) return std::nullopt;
    at = {at.seq.next(), 0};
  }
  return std::nullopt;
}

Archive::Archive(const std::string& path, std::string spool_directory, const Log& log)
    : impl_(std::make_unique<Impl>(path, std::move(spool_directory), log)) {}

Archive::~Archive() = default;

std::variant<LogSlice, LogGone> Archive::read_log(const LogGet& request, const Position& through) {
  const ReadTransaction view(impl_->db);
  const auto gone = [&](Seq floor, std::string text) {
    return LogGone{request.request, through, floor, std::move(text)};
  };
  const Result<Meta> meta = read_meta(impl_->db);
  if (!meta) throw SqliteError(SQLITE_CORRUPT, meta.error().what);
  if (meta->position.epoch != through.epoch) {
    return gone(meta->floor, "a new history of the database has begun: take a full copy");
  }
  const Seq last = std::min(through.seq, meta->position.seq);
  const LogState state{through, meta->floor, chain_at(impl_->log, request, meta->floor)};
  const CatchUp answer = catch_up(request.after, state);
  if (!answer.tail) {
    const Seq at = request.after.seq;
    const bool here = request.after.epoch == through.epoch && at >= meta->floor && at <= last;
    if (here && LogProof(impl_->db, impl_->log).doubts(at)) impl_->tell_doubted(at);
    return gone(meta->floor, answer.reason);
  }
  LogSlice slice{request.request, through, meta->floor, {}};
  const std::optional<Seq> hole = impl_->fill(request, last, slice);
  if (hole && slice.pieces.empty()) {
    impl_->tell_doubted(*hole);
    return gone(meta->floor, "the broker's log has lost " + entry_name(*hole));
  }
  return slice;
}

LayoutReply Archive::layout(std::uint64_t schema_version) {
  return {schema_version, read_layout_json(impl_->db, schema_version).value_or("")};
}

namespace {

// A replayed transaction, to one who asks for a write.
std::variant<Ack, Nack> answer_of(const Replayed& replayed) {
  if (replayed.result == ReplayResult::kParked) {
    return Nack{
        replayed.tx, NackCode::kConstraint,
        "This offline transaction lies in the inbox (csa-admin conflicts): " + replayed.text, 0};
  }
  Ack ack;
  ack.tx = replayed.tx;
  ack.seq = replayed.seq;
  ack.repeated = true;
  return ack;
}

}  // namespace

std::variant<Ack, Nack> Archive::outcome(const TxId& tx) {
  const ReadTransaction view(impl_->db);
  if (tx.counter <= impl_->outcomes.floor(tx.node)) {
    return Nack{tx, NackCode::kExpired,
                "The outcome of this transaction was confirmed before, and is forgotten.", 0};
  }
  if (auto found = impl_->outcomes.find(tx)) {
    if (auto* const ack = std::get_if<Ack>(&found->answer)) return std::move(*ack);
    if (auto* const nack = std::get_if<Nack>(&found->answer)) return std::move(*nack);
    return answer_of(std::get<Replayed>(found->answer));
  }
  if (tx.counter > limits::kCounterMax) {
    return Nack{tx, NackCode::kExpired,
                "The outcome of this transaction, if it had one, is forgotten.", 0};
  }
  return Nack{tx, NackCode::kUnknown, "The master has no outcome of this transaction.", 0};
}

std::uint64_t Archive::last_counter(const NodeId& node) {
  return impl_->outcomes.last_counter(node);
}

Result<SnapshotInfo> Archive::cut() {
  Result<Spool> spool = Spool::cut(impl_->db, impl_->spool_directory);
  if (!spool) {
    impl_->out.error("archive: " + spool.error().what);
    return spool.error();
  }
  const SnapshotInfo info = spool->info();
  impl_->spools.emplace(info.id, std::move(*spool));
  impl_->out.info("archive: full copy cut (" + std::to_string(info.total) + " bytes at " +
                  to_string(info.position) + ")");
  return info;
}

std::optional<Bytes> Archive::read_chunk(const Id128& snapshot, bool map, std::uint64_t offset,
                                         std::size_t length) {
  const auto found = impl_->spools.find(snapshot);
  if (found == impl_->spools.end()) return std::nullopt;
  auto bytes = found->second.read(map, offset, std::min(length, limits::kChunkMax));
  if (!bytes) {
    impl_->out.error("archive: the full copy " + to_string(snapshot) + " in " +
                     impl_->spool_directory +
                     " is not what was cut: the disk keeps it wrongly, and should be looked after."
                     " Another one is cut for those who read it");
  }
  return bytes;
}

Spool Archive::release(const Id128& snapshot) {
  auto taken = impl_->spools.extract(snapshot);
  CSA_CHECK(!taken.empty());
  return std::move(taken.mapped());
}

void Archive::keep(Spool spool) {
  const Id128 id = spool.info().id;
  impl_->spools.emplace(id, std::move(spool));
}

void Archive::drop(const Id128& snapshot) { impl_->spools.erase(snapshot); }

void Archive::clear_spool(const std::string& spool_directory) { Spool::clear(spool_directory); }

}  // namespace csa
