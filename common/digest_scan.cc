#include "common/digest_scan.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/capture_table.h"
#include "common/check.h"
#include "common/log_changes.h"
#include "common/past_log.h"
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

ScannedTable open_table(const Database& db, const std::string& name) {
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
  return table;
}

// The row that a table's statement stands at.
class RowReader {
 public:
  explicit RowReader(bool utf16) : utf16_(utf16) {}

  // Its bytes.
  std::uint64_t add_to(const ScannedTable& table, TableDigest& digest) {
    std::uint64_t bytes = read_key(table);
    row_.row(digest, true);
    for (std::uint32_t i = 0; i < table.roles.size(); ++i) {
      if (table.roles[i] == ColumnRole::kKey) continue;
      value_.clear();
      append(table, i, value_);
      row_.encoded_cell(digest, i, value_, true);
      bytes += value_.size();
    }
    return bytes;
  }
  std::uint64_t read_key(const ScannedTable& table) {
    key_.clear();
    if (table.info.change_table.without_rowid) {
      for (const std::uint32_t column : table.info.change_table.key_columns) {
        append(table, column, key_);
      }
    } else {
      rowid_ = table.rows.column_int(static_cast<int>(table.roles.size()));
      append_integer(rowid_, key_);
    }
    row_.begin(key_);
    return key_.size();
  }
  [[nodiscard]] std::size_t bucket() const { return row_.bucket(); }
  [[nodiscard]] const Bytes& key() const { return key_; }
  [[nodiscard]] std::int64_t rowid() const { return rowid_; }

 private:
  void append(const ScannedTable& table, std::size_t column, Bytes& out) const {
    const Column& declared = table.info.columns[table.info.carried[column]];
    append_stored(sqlite3_column_value(table.rows.handle(), static_cast<int>(column)),
                  declared.affinity, utf16_, out);
  }

  const bool utf16_;
  RowDigest row_;
  std::int64_t rowid_ = 0;
  Bytes key_;
  Bytes value_;
};

// One read transaction's view.
Result<Meta> readable_meta(const Database& db) {
  Result<Meta> meta = read_meta(db);
  if (!meta) return meta.error();
  if (db.query_int("SELECT 1 FROM csa_journal LIMIT 1")) {
    return Error{Errc::kRefused, "it has changes that were made offline and not yet sent"};
  }
  return meta;
}

// About what it takes in a message.
std::size_t sum_bytes(const RowSum& row) {
  constexpr std::size_t kFixedBytes = 24;
  std::size_t bytes = kFixedBytes;
  for (const Value& value : row.key) {
    bytes += sizeof(std::int64_t);
    if (const auto* const text = std::get_if<Text>(&value)) bytes += text->utf8.size();
    if (const auto* const blob = std::get_if<Bytes>(&value)) bytes += blob->size();
    if (const auto* const wide = std::get_if<Text16>(&value)) bytes += 2 * wide->units.size();
  }
  return bytes;
}

std::int64_t rowid_of(const Row& key) {
  const auto* const rowid = key.empty() ? nullptr : std::get_if<std::int64_t>(&key.front());
  return rowid != nullptr ? *rowid : INT64_MIN;
}

}  // namespace

struct DigestScan::Impl {
  explicit Impl(const Database& database) : db(database), reader(is_utf16(database)) {}

  Status begin(const Meta& meta);
  Status follow_log(const Meta& meta);
  void scan_sequence();
  // True: the table is read to its end.
  bool scan_slice(const SliceBudget& budget);
  [[nodiscard]] bool scanned(const std::string& table, const Row& key) const;

  const Database& db;
  bool begun = false;
  bool whole = false;
  Digest result;
  std::vector<std::string> names;  // in the order in which they are read
  std::size_t at = 0;              // in names
  std::optional<ScannedTable> open;
  std::optional<std::int64_t> last;  // rowid that was read last in it
  std::uint64_t bytes = 0;
  RowReader reader;
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
  RowDigest row;
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

bool DigestScan::Impl::scan_slice(const SliceBudget& budget) {
  TableDigest* const digest = result.find(names[at]);
  CSA_CHECK(digest != nullptr);
  if (!open) {
    open = open_table(db, names[at]);
    last.reset();
  }
  const bool whole_table = open->info.change_table.without_rowid;
  if (!whole_table) {
    if (last && *last == INT64_MAX) return true;
    open->rows.bind(1, last ? *last + 1 : INT64_MIN);
    open->rows.bind(2, static_cast<std::int64_t>(budget.rows));
  }
  std::uint64_t rows = 0;
  while (open->rows.step()) {
    bytes += reader.add_to(*open, *digest);
    if (!whole_table) last = reader.rowid();
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
  const Result<Meta> meta = readable_meta(scan.db);
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

std::optional<std::vector<RowSum>> row_sums(const Database& db, const std::string& table,
                                            const std::vector<std::uint32_t>& buckets,
                                            std::size_t bytes_max) {
  std::vector<RowSum> sums;
  if (!table_info(db, table)) return sums;
  ScannedTable open = open_table(db, table);
  if (!open.info.change_table.without_rowid) open.rows.bind(1, INT64_MIN).bind(2, INT64_MAX);
  const std::set<std::size_t> wanted(buckets.begin(), buckets.end());
  RowReader reader(is_utf16(db));
  TableDigest one;
  std::size_t bytes = 0;
  while (open.rows.step()) {
    reader.read_key(open);
    if (!wanted.contains(reader.bucket())) continue;
    one.sum = {};
    reader.add_to(open, one);
    RowSum sum{{}, one.sum.low, one.sum.high};
    for (ByteReader key(reader.key()); !key.at_end() && key.ok();) sum.key.push_back(key.value());
    bytes += sum_bytes(sum);
    if (bytes > bytes_max) return std::nullopt;
    sums.push_back(std::move(sum));
  }
  return sums;
}

std::vector<TableSum> table_sums(const Digest& digest) {
  std::vector<TableSum> sums;
  for (const TableDigest& table : digest.tables) {
    sums.push_back({table.name, table.known, table.sum.rows, table.sum.low, table.sum.high});
  }
  return sums;
}

std::vector<RowSum> bucket_sums(const TableDigest& table) {
  std::vector<RowSum> sums;
  for (std::size_t i = 0; i < table.buckets.size(); ++i) {
    const DigestSum& sum = table.buckets[i];
    if (sum == DigestSum{}) continue;
    sums.push_back({{Value(static_cast<std::int64_t>(i))}, sum.low, sum.high});
  }
  return sums;
}

Status lead(const Database& db, Digest& digest, Seq to) {
  const Result<Meta> meta = readable_meta(db);
  if (!meta) return meta.error();
  if (meta->position.epoch != digest.position.epoch) {
    return Error{Errc::kNothing, "another history of the database has begun meanwhile"};
  }
  const Seq from = digest.position.seq;
  if (std::max(from, to) > meta->position.seq) {
    return Error{Errc::kTimeout,
                 "it has not got to entry " + std::to_string(std::max(from, to).value) + " yet"};
  }
  const bool forward = from < to;
  CSA_TRY(each_logged_change(db, meta->floor, std::min(from, to), std::max(from, to),
                             [&](const Change& change, const std::vector<ChangeTable>& tables) {
                               follow(digest, change, tables, forward, {});
                             }));
  if (to == meta->position.seq) {
    digest.position = meta->position;
  } else if (to != from) {
    LogTable log(db);
    const std::optional<LogTable::Entry> entry = readable_entry(log, to);
    digest.position.seq = to;
    digest.position.chain = entry ? entry->chain : Chain{};
  }
  return Ok{};
}

}  // namespace csa
