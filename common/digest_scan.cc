#include "common/digest_scan.h"

#include <algorithm>
#include <utility>

#include "common/capture_table.h"
#include "common/check.h"
#include "common/log_changes.h"
#include "common/schema.h"
#include "common/store_meta.h"

namespace csa {
namespace {

// A table as it is read: slices by rowid; WITHOUT ROWID whole.
struct ScannedTable {
  TableInfo info;
  std::vector<ColumnRole> roles;
  Statement rows;  // ?1: from this rowid on; ?2: so many
};

// One read transaction's view.
Result<Meta> present(const Database& db) {
  Result<Meta> meta = read_meta(db);
  if (!meta) return meta.error();
  if (db.query_int("SELECT 1 FROM csa_journal LIMIT 1")) {
    return Error{Errc::kRefused, "it has changes that were made offline and not yet sent"};
  }
  return meta;
}

std::int64_t rowid_of(const Row& key) {
  const auto* const rowid = key.empty() ? nullptr : std::get_if<std::int64_t>(&key.front());
  return rowid != nullptr ? *rowid : INT64_MIN;
}

}  // namespace

struct DigestScan::Impl {
  explicit Impl(const Database& database) : db(database), utf16(is_utf16(database)) {}

  Status begin(const Meta& meta);
  Status follow_log(const Meta& meta);
  void open_table(const std::string& name);
  void scan_sequence();
  // True: the table is read to its end.
  bool scan_slice(const SliceBudget& budget);
  void scan_row(TableDigest& digest);
  [[nodiscard]] bool scanned(const std::string& table, const Row& key) const;

  const Database& db;
  const bool utf16;
  bool begun = false;
  bool whole = false;
  Digest result;
  std::vector<std::string> names;  // in the order in which they are read
  std::size_t at = 0;              // in names
  std::optional<ScannedTable> open;
  std::optional<std::int64_t> last;  // rowid that was read last in it
  std::uint64_t bytes = 0;
  RowDigest row;
  Bytes key;
  Bytes value;
};

Status DigestScan::Impl::begin(const Meta& meta) {
  result.position = meta.position;
  result.fingerprint = meta.fingerprint;
  if (schema_fingerprint(db) != meta.fingerprint) {
    return Error{Errc::kDamaged, "its schema is another than csa has given it"};
  }
  names = replicated_tables(db);
  for (const std::string& name : names) result.tables.push_back({name, true, {}, {}});
  if (db.query_int("SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence'")) {
    result.tables.push_back({std::string(kSequenceTable), true, {}, {}});
  }
  std::sort(result.tables.begin(), result.tables.end(),
            [](const TableDigest& a, const TableDigest& b) { return a.name < b.name; });
  scan_sequence();
  begun = true;
  return Ok{};
}

void DigestScan::Impl::scan_sequence() {
  TableDigest* const table = result.find(kSequenceTable);
  if (table == nullptr) return;
  Statement rows = db.prepare("SELECT name, seq FROM main.sqlite_sequence");
  while (rows.step()) {
    Bytes name;
    append_value(rows.column_value(0), name);
    row.begin(name);
    row.row(*table, true);
    row.cell(*table, 0, rows.column_value(1), true);
  }
}

bool DigestScan::Impl::scanned(const std::string& table, const Row& row_key) const {
  if (at >= names.size() || table < names[at]) return true;
  if (table != names[at]) return false;
  // A table WITHOUT ROWID is never half read between two slices.
  return open && last && rowid_of(row_key) <= *last;
}

Status DigestScan::Impl::follow_log(const Meta& meta) {
  if (meta.position.epoch != result.position.epoch || meta.position.seq < result.position.seq) {
    return Error{Errc::kNothing, "another history of the database has begun meanwhile"};
  }
  const IsScanned is_scanned = [this](const std::string& table, const Row& row_key) {
    return scanned(table, row_key);
  };
  CSA_TRY(each_logged_change(db, meta.floor, result.position.seq, meta.position.seq,
                             [&](const Change& change, const std::vector<ChangeTable>& tables) {
                               follow(result, change, tables, true, is_scanned);
                             }));
  result.position = meta.position;
  return Ok{};
}

void DigestScan::Impl::open_table(const std::string& name) {
  std::optional<TableInfo> info = table_info(db, name);
  CSA_CHECK(info.has_value());  // it is of this very schema
  ScannedTable table;
  table.roles = column_roles(info->change_table);
  std::string sql = select_rows(*info);
  if (!info->change_table.without_rowid) {
    const std::string rowid = quote(info->rowid_name);
    sql += " WHERE " + rowid + " >= ?1 ORDER BY " + rowid + " LIMIT ?2";
  }
  table.rows = db.prepare(sql);
  table.info = std::move(*info);
  open = std::move(table);
  last.reset();
}

void DigestScan::Impl::scan_row(TableDigest& digest) {
  sqlite3_stmt* const rows = open->rows.handle();
  const auto append = [&](std::size_t column, Bytes& out) {
    const Column& declared = open->info.columns[open->info.carried[column]];
    append_stored(sqlite3_column_value(rows, static_cast<int>(column)), declared.affinity, utf16,
                  out);
  };
  key.clear();
  if (open->info.change_table.without_rowid) {
    for (const std::uint32_t column : open->info.change_table.key_columns) append(column, key);
  } else {
    last = open->rows.column_int(static_cast<int>(open->roles.size()));
    append_integer(*last, key);
  }
  row.begin(key);
  row.row(digest, true);
  for (std::uint32_t i = 0; i < open->roles.size(); ++i) {
    if (open->roles[i] == ColumnRole::kKey) continue;
    value.clear();
    append(i, value);
    row.encoded_cell(digest, i, value, true);
    bytes += value.size();
  }
  bytes += key.size();
}

bool DigestScan::Impl::scan_slice(const SliceBudget& budget) {
  TableDigest* const digest = result.find(names[at]);
  CSA_CHECK(digest != nullptr);
  if (!open) open_table(names[at]);
  const bool whole_table = open->info.change_table.without_rowid;
  if (!whole_table) {
    if (last && *last == INT64_MAX) return true;
    open->rows.bind(1, last ? *last + 1 : INT64_MIN);
    open->rows.bind(2, static_cast<std::int64_t>(budget.rows));
  }
  std::uint64_t rows = 0;
  while (open->rows.step()) {
    scan_row(*digest);
    ++rows;
    if (!whole_table && bytes >= budget.bytes) {
      open->rows.reset();
      return false;
    }
  }
  return whole_table || rows < budget.rows;
}

DigestScan::DigestScan(const Database& db) : impl_(std::make_unique<Impl>(db)) {}
DigestScan::~DigestScan() = default;

Result<bool> DigestScan::step(const SliceBudget& budget) {
  Impl& scan = *impl_;
  scan.bytes = 0;
  const ReadTransaction view(scan.db);
  const Result<Meta> meta = present(scan.db);
  if (!meta) return meta.error();
  if (!scan.begun) {
    CSA_TRY(scan.begin(*meta));
  } else {
    CSA_TRY(scan.follow_log(*meta));
  }
  // Small tables share a slice.
  while (scan.at < scan.names.size() && scan.bytes < budget.bytes) {
    if (!scan.scan_slice(budget)) return false;
    scan.open.reset();
    ++scan.at;
  }
  scan.whole = scan.at >= scan.names.size();
  return scan.whole;
}

std::uint64_t DigestScan::step_bytes() const { return impl_->bytes; }

const Digest& DigestScan::digest() const {
  CSA_CHECK(impl_->whole);
  return impl_->result;
}

Status lead(const Database& db, Digest& digest, Seq to) {
  const Result<Meta> meta = present(db);
  if (!meta) return meta.error();
  if (meta->position.epoch != digest.position.epoch) {
    return Error{Errc::kNothing, "another history of the database has begun meanwhile"};
  }
  const Seq from = digest.position.seq;
  if (std::max(from, to) > meta->position.seq) {
    return Error{Errc::kTimeout, "it has not got to entry " +
                                     std::to_string(std::max(from, to).value) + " yet"};
  }
  const bool forward = from < to;
  CSA_TRY(each_logged_change(db, meta->floor, std::min(from, to), std::max(from, to),
                             [&](const Change& change, const std::vector<ChangeTable>& tables) {
                               follow(digest, change, tables, forward, {});
                             }));
  if (to == meta->position.seq) {
    digest.position = meta->position;
  } else if (to != from) {
    const std::optional<LogTable::Entry> entry = LogTable(db).entry(to);
    digest.position.seq = to;
    digest.position.chain = entry ? entry->chain : Chain{};
  }
  return Ok{};
}

}  // namespace csa
