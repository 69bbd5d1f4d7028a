#include "node/lost_history.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "common/apply.h"
#include "common/apply_table.h"
#include "common/check.h"
#include "common/clock_limits.h"
#include "common/journal.h"
#include "common/limits.h"
#include "common/past_log.h"
#include "common/spill.h"
#include "common/store_meta.h"
#include "common/virtual_table.h"
#include "node/identity.h"
#include "node/install.h"

namespace csa {
namespace {

// Csa's own rows of the lost history (its inbox, its rules) are nobody's to bring back.
bool is_offered(const Change& change, const std::vector<ChangeTable>& tables) {
  const auto* const row = std::get_if<RowChange>(&change);
  return row == nullptr || table_class(tables.at(row->table).name) == TableClass::kApplication;
}

// Changes of the log, which tell what differs, as changes of a journal, which tell whole rows.
class Widener {
 public:
  explicit Widener(const Database& db)
      : db_(db), utf16_(db.query_text("PRAGMA encoding").value_or("").starts_with("UTF-16")) {}

  // Before the change is applied. Damaged: the row that it changes is not there.
  [[nodiscard]] Status widen(const Change& change, const std::vector<ChangeTable>& tables,
                             Bytes& out) {
    const auto* const row = std::get_if<RowChange>(&change);
    if (row == nullptr) {
      encoder_.append(change, out);
      return Ok{};
    }
    Known* const known = table(tables.at(row->table).name);
    if (known == nullptr) return missing(tables.at(row->table).name);
    RowChange wide = *row;
    if (row->op == RowOp::kUpdate) {
      std::optional<Row> before = known->rows.read(row->key);
      if (!before) return known->rows.damage(row->key, "the row is missing");
      fill(*before, wide);
    }
    if (row->op == RowOp::kInsert) wide.assigned = row->assigned || chosen_by_sqlite(*row, *known);
    if (row->op == RowOp::kDelete) leave(*row, *known);
    wide.table = encoder_.table(known->named, out);
    encoder_.append(wide, out);
    return Ok{};
  }
  void next_entry() {
    encoder_.reset();
    for (auto& [name, known] : tables_) known.left = 0;
  }

 private:
  struct Known {
    AppliedTable rows;
    ChangeTable named;
    Statement highest;      // rowid; none where there are no rowids
    std::int64_t left = 0;  // the highest rowid that the entry has deleted
  };

  static Status missing(const std::string& name) {
    return Error{Errc::kDamaged, "table " + name + " is missing"};
  }

  static void fill(const Row& before, RowChange& wide) {
    for (std::size_t i = 0; i < before.size() && i < wide.old_values.size(); ++i) {
      wide.old_values[i] = before[i];
      if (!wide.new_values[i]) wide.new_values[i] = before[i];
    }
  }

  Known* table(const std::string& name) {
    const auto found = tables_.find(name);
    if (found != tables_.end()) return &found->second;
    std::optional<TableInfo> info = table_info(db_, name);
    if (!info || (!info->change_table.without_rowid && info->rowid_name.empty())) return nullptr;
    ChangeTable named = journal_table(db_, *info);
    Statement highest;
    if (!named.without_rowid) {
      // AUTOINCREMENT goes on from what was ever given, which is at least that.
      highest = db_.prepare("SELECT coalesce(max(" + quote(info->rowid_name) + "), 0) FROM main." +
                            quote(name));
    }
    Known known{AppliedTable(db_, std::move(*info), utf16_), std::move(named), std::move(highest)};
    return &tables_.emplace(name, std::move(known)).first->second;
  }

  static void leave(const RowChange& row, Known& known) {
    const auto* const key = std::get_if<std::int64_t>(&row.key.front());
    if (known.highest && key != nullptr) known.left = std::max(known.left, *key);
  }

  static bool chosen_by_sqlite(const RowChange& row, Known& known) {
    if (!known.highest || row.key.size() != 1) return false;
    const auto* const key = std::get_if<std::int64_t>(&row.key.front());
    if (key == nullptr || !known.highest.step()) return false;
    const std::int64_t highest = known.highest.column_int(0);
    known.highest.reset();
    if (*key <= highest) return false;
    // A row that is replaced is there still when the number is chosen.
    return known.rows.info().autoincrement || *key - 1 == std::max<std::int64_t>(highest, 0) ||
           *key - 1 == known.left;
  }

  const Database& db_;
  const bool utf16_;
  ChangeEncoder encoder_;
  std::map<std::string, Known> tables_;
};

class Salvage {
 public:
  explicit Salvage(const Database& kept, const Meta& meta)
      : kept_(kept),
        meta_(meta),
        epochs_(read_epochs(kept)),
        log_(kept),
        proof_(kept, log_),
        applier_(kept),
        widener_(kept) {}

  // Back to before the oldest entry that can be offered. REQUIRES: a transaction is open, which the
  // caller rolls back.
  [[nodiscard]] Status go_back(Seq common, LostOffer& offer) {
    CSA_TRY(Journal(kept_).undo(taking()));
    std::uint64_t bytes = 0;
    first_ = meta_.position.seq.next();
    while (first_ > common.next()) {
      const Seq seq{first_.value - 1};
      const auto entry = readable_entry(log_, seq);
      if (!entry || log_.stored(seq) != entry->header.size) {
        offer.why_left = "its log does not reach further back";
      } else if (proof_.doubts(seq)) {
        offer.why_left = "entry " + std::to_string(seq.value) + " of its log is damaged";
      } else if (entry->header.kind != EntryKind::kChanges) {
        offer.why_left = "the schema was changed after them";
      } else if (first_.value + kOfferedMax <= meta_.position.seq.value + 1 ||
                 bytes + entry->header.size > kOfferedBytes) {
        offer.why_left = "so many are not offered at once";
      }
      if (!offer.why_left.empty()) break;
      bytes += entry->header.size;
      CSA_TRY(undo_changes(stored(seq, entry->header.size), taking()));
      first_ = seq;
    }
    offer.left = first_.value - common.next().value;
    applier_.finish();
    return Ok{};
  }

  // Forward again, every entry into the journal of `copy`, under TxIds that follow `identity`'s.
  [[nodiscard]] Status go_forward(const Database& copy, Identity& identity, LostOffer& offer) {
    const Journal journal(copy);
    JournalState state = journal.read_state();
    for (Seq seq = first_; seq <= meta_.position.seq; seq = seq.next()) {
      const auto entry = log_.entry(seq);
      if (!entry) return damaged(seq, "it is gone");
      Spill body(folder_of(copy), limits::kCaptureMemory);
      CSA_TRY(widen(*entry, body));
      if (body.size() == 0) continue;  // of csa alone
      const TxId tx{identity.node, ++identity.counter};
      journal.append(header_of(entry->header, tx, body.size()), body, state);
      ++offer.entries;
    }
    return Ok{};
  }

 private:
  static std::string folder_of(const Database& db) {
    const std::string path = sqlite3_db_filename(db.handle(), "main");
    return path.substr(0, path.rfind('/') + 1) + ".";
  }

  static Error damaged(Seq seq, const std::string& why) {
    return {Errc::kDamaged, "log entry " + std::to_string(seq.value) + " is damaged: " + why};
  }

  TakeChange taking() {
    return [this](const Change& change, const std::vector<ChangeTable>& tables) -> Status {
      return is_offered(change, tables) ? applier_.apply(change, tables) : Status(Ok{});
    };
  }

  StoredChanges stored(Seq seq, std::uint64_t size) {
    return {size,
            [this, seq](std::uint64_t offset) {
              std::optional<LogPiece> piece = log_.read(seq, offset, limits::kPieceMax);
              return piece ? std::move(piece->bytes) : Bytes{};
            },
            [seq](const std::string& why) { return damaged(seq, why); }};
  }

  Status widen(const LogTable::Entry& entry, Spill& body) {
    const Seq seq = entry.header.seq;
    const StoredChanges changes = stored(seq, entry.header.size);
    widener_.next_entry();
    ChangeReader reader;
    for (std::uint64_t offset = 0; offset < changes.size;) {
      const Bytes bytes = changes.read(offset);
      if (bytes.empty()) return damaged(seq, "a part is missing");
      offset += bytes.size();
      reader.feed(bytes);
      while (true) {
        const Result<std::optional<Change>> change = reader.next();
        if (!change) return damaged(seq, change.error().what);
        if (!*change) break;
        if (!is_offered(**change, reader.tables())) continue;
        Bytes wide;
        CSA_TRY(widener_.widen(**change, reader.tables(), wide));
        body.append(wide);
        CSA_TRY(applier_.apply(**change, reader.tables()));
      }
    }
    return reader.at_boundary() ? Status(Ok{}) : damaged(seq, "it ends inside a change");
  }

  // The log may hold entries of the histories that a restored master came from.
  [[nodiscard]] Epoch epoch_of(Seq seq) const {
    const auto record =
        std::find_if(epochs_.rbegin(), epochs_.rend(),
                     [seq](const EpochRecord& one) { return one.parent.seq < seq; });
    return record == epochs_.rend() ? meta_.position.epoch : record->epoch;
  }

  JournalHeader header_of(const EntryHeader& entry, const TxId& tx, std::uint64_t size) const {
    JournalHeader header;
    header.tx = tx;
    header.base.epoch = epoch_of(entry.seq);
    header.base.seq = Seq{entry.seq.value - 1};
    header.schema_version = meta_.schema_version;
    header.edited = entry.edited.ms != 0 ? entry.edited : entry.time;
    // Of which scale, the log does not tell; the next broker's may be another one.
    header.edited_error_ms = kUnknownErrorMs;
    header.changes = entry.changes;
    header.size = size;
    header.lost = entry.tx;
    header.request_hash = entry.request_hash;
    header.lost_hostname = entry.hostname;
    return header;
  }

  const Database& kept_;
  const Meta& meta_;
  const std::vector<EpochRecord> epochs_;
  LogTable log_;
  LogProof proof_;
  Applier applier_;
  Widener widener_;
  Seq first_;
};

}  // namespace

Result<LostOffer> offer_lost(const LostHistory& lost, const std::string& copy) {
  LostOffer offer;
  const Database kept(lost.kept, Database::Mode::kReadWrite);
  const Result<Meta> meta = read_meta(kept);
  if (!meta) return meta.error();
  const Database to(copy, Database::Mode::kReadWrite);
  to.exec("PRAGMA synchronous=FULL");
  Result<std::optional<Identity>> own = read_identity(to);
  if (!own) return own.error();
  CSA_CHECK(own->has_value());
  Identity identity = std::move(**own);
  identity.counter = std::max(identity.counter, OutcomeTable(to).last_counter(identity.node));
  Statement losers =
      kept.prepare("SELECT count(*) FROM csa_conflicts WHERE seq > ?1 AND state = 'open'");
  losers.bind(1, static_cast<std::int64_t>(lost.common.value));
  if (losers.step()) offer.inbox = static_cast<std::uint64_t>(losers.column_int(0));
  losers.reset();
  Salvage salvage(kept, *meta);
  const Transaction never_committed(kept);
  CSA_TRY(salvage.go_back(lost.common, offer));
  Transaction transaction(to);
  CSA_TRY(salvage.go_forward(to, identity, offer));
  if (offer.entries == 0) return offer;
  write_identity(to, identity);
  transaction.commit();
  if (!checkpoint_all(to)) return Error{Errc::kFailed, "another program has the full copy open"};
  return offer;
}

}  // namespace csa
