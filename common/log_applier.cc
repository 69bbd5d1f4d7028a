#include "common/log_applier.h"

#include <algorithm>
#include <limits>

#include "common/codec.h"
#include "common/limits.h"
#include "common/log_applier_changed.h"
#include "common/planted.h"
#include "common/schema.h"

namespace csa {
namespace {

constexpr std::size_t kTrimParts = 256;
constexpr std::size_t kForgottenPerEntry = 4;  // more than an entry adds

std::string entry_name(Seq seq) { return "log entry " + std::to_string(seq.value); }

Error does_not_fit(Seq seq, const std::string& why) {
  return {Errc::kDamaged,
          entry_name(seq) + " does not follow this replica (" + why + "); it needs a full copy"};
}

Error malformed(Seq seq, const std::string& why) {
  return {Errc::kMalformed, entry_name(seq) + ": " + why};
}

// Whole entry or part of one that fills the gap between `have` and its end.
bool is_known(const LogPiece& piece, Seq applied, std::uint64_t have) {
  if (piece.header.seq <= applied) return true;
  return piece.header.seq == applied.next() && !piece.completes() &&
         piece.offset + piece.bytes.size() <= have;
}

// The log's sum is read anew after a transaction of which nobody tells how it ended.
class SumReader {
 public:
  explicit SumReader(LogTable& log) : log_(log) {}
  ~SumReader() { log_.forget_sum(); }
  SumReader(const SumReader&) = delete;
  SumReader& operator=(const SumReader&) = delete;

 private:
  LogTable& log_;  // must outlive this
};

}  // namespace

LogApplier::LogApplier(const Database& db, const Meta& meta, Spooled spooled)
    : db_(db), applier_(db) {
  log_.emplace(db);
  outcomes_.emplace(db);
  past_.emplace(db);
  commits_.emplace(db);
  now_.meta = meta;
  if (spooled == Spooled::kErase) find_partial();
  next_ = now_;
}

LogApplier::~LogApplier() = default;

void LogApplier::find_partial() {
  const Seq next = now_.meta.position.seq.next();
  std::uint64_t end = 0;
  bool fits = true;
  bool any = false;
  {
    Statement parts = db_.prepare(
        "SELECT offset, length(body) FROM csa_log WHERE part_id >= ?1 AND part_id < ?2"
        " ORDER BY part_id");
    parts.bind(1, first_log_part(next)).bind(2, first_log_part(next.next()));
    while (parts.step()) {
      any = true;
      fits = fits && static_cast<std::uint64_t>(parts.column_int(0)) == end;
      end += static_cast<std::uint64_t>(parts.column_int(1));
    }
  }
  if (any) {
    // What cannot be read goes too: the master has it.
    const std::optional<LogTable::Entry> entry = readable_entry(*log_, next);
    fits = fits && entry && entry->header.seq == next && end < entry->header.size;
  }
  CountedTransaction transaction(db_, *commits_);
  outcomes_->know_all();
  log_->erase_from(fits ? next.next() : next);
  log_->save_sum();
  transaction.commit();
  now_.partial = fits ? end : 0;
}

bool LogApplier::all_known(const std::vector<LogPiece>& pieces) const {
  for (const LogPiece& piece : pieces) {
    if (!is_known(piece, now_.meta.position.seq, now_.partial)) return false;
  }
  return true;
}

Result<LogApplier::Outcome> LogApplier::apply(const std::vector<LogPiece>& pieces) {
  suspicious_ = false;
  next_ = now_;
  Changed changed;
  for (const LogPiece& piece : pieces) CSA_TRY(take(piece, changed));
  log_->save_sum();
  if (changed.position) {
    applier_.finish();
    if (!planted("store no position")) write_meta(db_, next_.meta);
  }
  Outcome outcome;
  outcome.tables.assign(changed.tables.begin(), changed.tables.end());
  outcome.schema_changed = changed.schema;
  return outcome;
}

void LogApplier::committed() { now_ = next_; }

void LogApplier::rolled_back() {
  next_ = now_;
  log_->forget_sum();
  outcomes_->rolled_back();
  writers_.reset();
  applier_.discard();
}

Status LogApplier::take(const LogPiece& piece, Changed& changed) {
  const EntryHeader& header = piece.header;
  const Seq applied = next_.meta.position.seq;
  if (piece.offset > header.size || piece.bytes.size() > header.size - piece.offset) {
    return malformed(header.seq, "a part goes beyond the entry's end");
  }
  if (is_known(piece, applied, next_.partial)) return Ok{};
  if (header.seq != applied.next() || piece.offset > next_.partial) {
    return malformed(header.seq, "byte " + std::to_string(piece.offset) + " came, but byte " +
                                     std::to_string(next_.partial) + " of " +
                                     entry_name(applied.next()) + " is next");
  }
  CSA_TRY(may_follow(header));
  if (next_.partial != 0 || !piece.completes()) return take_part(piece, changed);

  ChainHasher chain(next_.meta.position.chain, header);
  chain.update(piece.bytes);
  if (chain.digest() != piece.chain) return does_not_fit(header.seq, "its chain is another one");
  log_->append(piece);
  ChangeReader reader;
  reader.feed(piece.bytes);
  CSA_TRY(drain(reader, header.seq, changed));
  if (!reader.at_boundary()) return doubt(entry_name(header.seq) + " ends inside a change");
  return advance(header, piece.chain, changed);
}

Status LogApplier::may_follow(const EntryHeader& header) const {
  if (header.kind == EntryKind::kCopy) {
    return does_not_fit(header.seq, "it cannot be repeated exactly");
  }
  if (header.schema_version != next_.meta.schema_version) {
    return does_not_fit(header.seq,
                        "it is for schema version " + std::to_string(header.schema_version) +
                            ", the replica has " + std::to_string(next_.meta.schema_version));
  }
  return Ok{};
}

Status LogApplier::take_part(const LogPiece& piece, Changed& changed) {
  const Seq seq = piece.header.seq;
  if (piece.offset == next_.partial) {
    log_->append(piece);
  } else {
    LogPiece rest{piece.header, piece.chain, next_.partial, {}};
    const auto skip = static_cast<std::ptrdiff_t>(next_.partial - piece.offset);
    rest.bytes.assign(piece.bytes.begin() + skip, piece.bytes.end());
    log_->append(rest);
  }
  next_.partial = piece.offset + piece.bytes.size();
  const std::optional<LogTable::Entry> entry = log_->entry(seq);
  if (!entry || !(entry->header == piece.header) || entry->chain != piece.chain) {
    return does_not_fit(seq, "its parts speak of different entries");
  }
  if (!piece.completes()) return Ok{};
  CSA_TRY(apply_stored(*entry, changed));
  next_.partial = 0;
  return advance(entry->header, entry->chain, changed);
}

// Twice through the stored parts: nothing of an entry is executed before all of it is proved.
Status LogApplier::apply_stored(const LogTable::Entry& entry, Changed& changed) {
  const Seq seq = entry.header.seq;
  ChainHasher chain(next_.meta.position.chain, entry.header);
  ChangeReader reader;
  for (const bool proving : {true, false}) {
    std::uint64_t offset = 0;
    while (offset < entry.header.size) {
      const std::optional<LogPiece> part = log_->read(seq, offset, limits::kPieceMax);
      if (!part || part->bytes.empty()) return doubt(entry_name(seq) + " has lost a part");
      offset += part->bytes.size();
      if (proving) {
        chain.update(part->bytes);
      } else {
        reader.feed(part->bytes);
        CSA_TRY(drain(reader, seq, changed));
      }
    }
    if (proving && chain.digest() != entry.chain) {
      return does_not_fit(seq, "its chain is another one");
    }
  }
  if (!reader.at_boundary()) return doubt(entry_name(seq) + " ends inside a change");
  return Ok{};
}

Status LogApplier::drain(ChangeReader& reader, Seq seq, Changed& changed) {
  constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t noted = kNone;  // rows of one table mostly come together
  while (true) {
    Result<std::optional<Change>> change = reader.next();
    if (!change) return doubt(entry_name(seq) + ": " + change.error().what);
    if (!*change) return Ok{};
    if (const auto* const row = std::get_if<RowChange>(&**change)) {
      if (row->table != noted) changed.tables.insert(reader.tables().at(row->table).name);
      noted = row->table;
    } else if (const auto* const schema = std::get_if<SchemaStatement>(&**change)) {
      noted = kNone;
      if (schema->sql.starts_with(kFingerprintRemark)) {
        CSA_TRY(prove_schema(schema->sql, seq));
        continue;
      }
      if (std::optional<Renames> renames = parse_renames_remark(schema->sql)) {
        next_.renames = std::move(*renames);
        continue;
      }
    }
    const Status applied = applier_.apply(**change, reader.tables());
    if (!applied && !planted("ignore an apply error")) {
      return doubt(entry_name(seq) + ": " + applied.error().what);
    }
  }
}

Status LogApplier::prove_schema(const std::string& remark, Seq seq) {
  const std::string here = to_string(schema_fingerprint(db_));
  if (remark.substr(kFingerprintRemark.size()) == here) return Ok{};
  return doubt(entry_name(seq) + " gave another schema here than on the master: fingerprint " +
               here);
}

Status LogApplier::advance(const EntryHeader& header, const Chain& chain, Changed& changed) {
  Meta& meta = next_.meta;
  if (header.kind == EntryKind::kSchema) {
    if (!planted("count no schema change")) ++meta.schema_version;
    meta.fingerprint = schema_fingerprint(db_);
    write_layout(db_, meta.schema_version, to_json(read_layout(db_, next_.renames)));
    next_.renames.clear();
    changed.schema = true;
  }
  meta.position.seq = header.seq;
  meta.position.chain = chain;
  changed.position = true;
  if (header.tx.node.value.is_zero()) return Ok{};
  Ack ack;
  ack.tx = header.tx;
  ack.seq = header.seq;
  ack.changes = header.changes;
  ack.last_insert_rowid = header.last_insert_rowid;
  ack.schema_version = meta.schema_version;
  outcomes_->add({header.tx, header.request_hash, std::move(ack)});
  bound_writers(header.tx);
  // As at the master, or outcomes would stay here for ever.
  outcomes_->raise_floor(header.tx.node, header.confirmed);
  outcomes_->forget(kForgottenPerEntry);
  return Ok{};
}

// Who is connected to the master is not known here, and not asked: where this replica becomes the
// master, whoever was forgotten is told a higher counter, and goes on above it.
void LogApplier::bound_writers(const TxId& tx) {
  if (!writers_) writers_.emplace(outcome_floors(db_), limits::kWritersMax);
  writers_->used(tx.node, tx.counter);
  const auto is_this = [&tx](const NodeId& node) { return node == tx.node; };
  for (const Writers::Forgotten& gone : writers_->take_excess(is_this)) {
    outcomes_->forget_node(gone.node);
  }
}

Error LogApplier::doubt(const std::string& why) {
  suspicious_ = true;
  return {Errc::kDamaged, "the replica is not what the broker's log was made on (" + why +
                              "); it needs a full copy"};
}

// The same steps as at the broker: the floor first, and then what lies below it.
bool LogApplier::trim(Seq floor) {
  Meta meta = now_.meta;
  meta.floor = std::max(meta.floor, std::min(floor, meta.position.seq.next()));
  const Seq kept = past_->floor(meta);
  if (meta.floor == now_.meta.floor && !log_->has_before(kept)) return false;
  constexpr std::uint64_t kAll = std::numeric_limits<std::uint64_t>::max();
  const SumReader sum(*log_);
  CountedTransaction transaction(db_, *commits_);
  const Seq same = log_->prune(kept, kept, kAll, kTrimParts);
  CSA_CHECK(same == kept);
  log_->save_sum();
  write_meta(db_, meta);
  transaction.commit();
  now_.meta = meta;
  next_ = now_;
  return log_->has_before(kept);
}

}  // namespace csa
