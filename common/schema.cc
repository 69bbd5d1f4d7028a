#include "common/schema.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace csa {
namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// SQLite's rules (datatype3.html, 3.1), in their order.
Affinity affinity_of(std::string_view declared_type, bool strict) {
  const std::string type = lower(declared_type);
  if (strict && type == "any") return Affinity::kBlob;
  if (contains(type, "int")) return Affinity::kInteger;
  if (contains(type, "char") || contains(type, "clob") || contains(type, "text")) {
    return Affinity::kText;
  }
  if (type.empty() || contains(type, "blob")) return Affinity::kBlob;
  if (contains(type, "real") || contains(type, "floa") || contains(type, "doub")) {
    return Affinity::kReal;
  }
  return Affinity::kNumeric;
}

// pragma_table_xinfo, as far as it matters here.
struct ColumnRow {
  std::string type;
  int key_position = 0;  // from 1; 0: not in the PRIMARY KEY
};

std::vector<ColumnRow> read_columns(const Database& db, std::string_view table, bool strict,
                                    TableInfo& info) {
  constexpr std::string_view kColumns =
      "SELECT name, type, dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?1, 'main')";
  constexpr std::int64_t kVirtual = 2;
  constexpr std::int64_t kStored = 3;
  Statement statement = db.prepare(kColumns);
  statement.bind(1, table);
  std::vector<ColumnRow> rows;
  while (statement.step()) {
    Column column;
    column.name = statement.column_text(0);
    column.affinity = affinity_of(statement.column_text(1), strict);
    column.untyped = column.affinity == Affinity::kBlob;
    column.has_default = statement.column_int(2) != 0;
    const std::int64_t hidden = statement.column_int(4);
    column.virtual_ = hidden == kVirtual;
    column.generated = hidden == kVirtual || hidden == kStored;
    rows.push_back({statement.column_text(1), static_cast<int>(statement.column_int(3))});
    info.columns.push_back(std::move(column));
  }
  return rows;
}

// Indexes into columns, in key order.
std::vector<std::uint32_t> key_order(const std::vector<ColumnRow>& rows) {
  std::vector<std::uint32_t> key;
  for (std::uint32_t i = 0; i < rows.size(); ++i) {
    if (rows[i].key_position > 0) key.push_back(i);
  }
  std::sort(key.begin(), key.end(), [&](std::uint32_t a, std::uint32_t b) {
    return rows[a].key_position < rows[b].key_position;
  });
  return key;
}

// An INTEGER PRIMARY KEY is the rowid, unless it has an index of its own (INTEGER PRIMARY KEY
// DESC).
bool is_rowid_alias(const Database& db, std::string_view table, const ColumnRow& column) {
  if (lower(column.type) != "integer") return false;
  Statement statement =
      db.prepare("SELECT 1 FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'");
  statement.bind(1, table);
  const bool has_index = statement.step();
  statement.reset();
  return !has_index;
}

std::string free_rowid_name(const std::vector<Column>& columns) {
  for (const char* const name : {"rowid", "_rowid_", "oid"}) {
    const bool taken = std::any_of(columns.begin(), columns.end(), [&](const Column& column) {
      return lower(column.name) == name;
    });
    if (!taken) return name;
  }
  return {};
}

// Where each column lies in the stored record: rowid tables without VIRTUAL columns in table order;
// WITHOUT ROWID the key first. -1: VIRTUAL.
std::vector<int> record_positions(const std::vector<Column>& columns,
                                  const std::vector<std::uint32_t>& key_first) {
  std::vector<int> positions(columns.size(), -1);
  int next = 0;
  for (const std::uint32_t column : key_first) positions[column] = next++;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (!columns[i].virtual_ && positions[i] < 0) positions[i] = next++;
  }
  return positions;
}

// The hook looks up affinity and rowid alias by record position where it should use the table's.
bool hook_confuses(const std::vector<Column>& columns, const std::vector<int>& positions,
                   std::optional<std::uint32_t> rowid_alias) {
  if (rowid_alias && positions[*rowid_alias] != static_cast<int>(*rowid_alias)) return true;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const int position = positions[i];
    if (columns[i].generated || position < 0 || position == static_cast<int>(i)) continue;
    const bool may_hold_integers =
        columns[i].affinity != Affinity::kReal && columns[i].affinity != Affinity::kText;
    if (may_hold_integers &&
        columns[static_cast<std::size_t>(position)].affinity == Affinity::kReal) {
      return true;
    }
  }
  return false;
}

void set_hook_indexes(std::vector<Column>& columns, bool without_rowid) {
  int stored = 0;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    Column& column = columns[i];
    if (column.virtual_) {
      column.hook_index = column.hook_index_update = -1;
      continue;
    }
    column.hook_index_update = stored++;
    column.hook_index = without_rowid ? static_cast<int>(i) : column.hook_index_update;
  }
}

bool is_autoincrement(const Database& db, const std::string& table, const std::string& column) {
  int autoincrement = 0;
  const int code =
      sqlite3_table_column_metadata(db.handle(), "main", table.c_str(), column.c_str(), nullptr,
                                    nullptr, nullptr, nullptr, &autoincrement);
  return code == SQLITE_OK && autoincrement != 0;
}

void fill(const Database& db, TableInfo& info, bool without_rowid, bool strict) {
  ChangeTable& table = info.change_table;
  const std::vector<ColumnRow> rows = read_columns(db, table.name, strict, info);
  table.without_rowid = without_rowid;
  std::vector<std::uint32_t> position_of(info.columns.size(), 0);
  for (std::uint32_t i = 0; i < info.columns.size(); ++i) {
    if (info.columns[i].generated) continue;
    position_of[i] = static_cast<std::uint32_t>(info.carried.size());
    info.carried.push_back(i);
  }
  table.column_count = static_cast<std::uint32_t>(info.carried.size());
  const std::vector<std::uint32_t> key = key_order(rows);
  std::optional<std::uint32_t> alias;
  if (!without_rowid && key.size() == 1 && is_rowid_alias(db, table.name, rows[key[0]])) {
    alias = key[0];
  }
  const bool physical = without_rowid || alias.has_value();
  for (const std::uint32_t column : key) {
    (physical ? table.key_columns : table.declared_key).push_back(position_of[column]);
  }
  if (!without_rowid) {
    info.rowid_name = alias ? info.columns[*alias].name : free_rowid_name(info.columns);
  }
  if (alias) info.autoincrement = is_autoincrement(db, table.name, info.rowid_name);
  set_hook_indexes(info.columns, without_rowid);
  const auto positions =
      record_positions(info.columns, without_rowid ? key : std::vector<std::uint32_t>());
  info.odd = hook_confuses(info.columns, positions, alias);
}

}  // namespace

TableClass table_class(std::string_view table) {
  const std::string name = lower(table);
  if (name.starts_with("sqlite_")) return TableClass::kSqlite;
  if (!name.starts_with("csa_")) return TableClass::kApplication;
  constexpr std::array kShared = {"csa_inbox", "csa_inbox_later", "csa_rule", "csa_remap",
                                  "csa_lost",  "csa_lost_part",   "csa_touch"};
  if (std::find(kShared.begin(), kShared.end(), name) != kShared.end()) return TableClass::kShared;
  constexpr std::array kPrivate = {"csa_private", "csa_journal", "csa_journal_part",
                                   "csa_journal_outcome", "csa_inbox_row"};
  if (std::find(kPrivate.begin(), kPrivate.end(), name) != kPrivate.end()) {
    return TableClass::kPrivate;
  }
  constexpr std::array kDerived = {"csa_meta",          "csa_epoch",  "csa_log",      "csa_outcome",
                                   "csa_outcome_floor", "csa_layout", "csa_conflicts"};
  const bool derived = std::find(kDerived.begin(), kDerived.end(), name) != kDerived.end();
  return derived ? TableClass::kDerived : TableClass::kApplication;
}

std::optional<TableInfo> table_info(const Database& db, std::string_view table) {
  Statement statement = db.prepare(
      "SELECT name, type, wr, strict FROM pragma_table_list(?1) "
      "WHERE schema = 'main' AND type IN ('table', 'shadow')");
  statement.bind(1, table);
  if (!statement.step()) return std::nullopt;
  TableInfo info;
  info.change_table.name = statement.column_text(0);
  const bool without_rowid = statement.column_int(2) != 0;
  const bool strict = statement.column_int(3) != 0;
  statement.reset();
  fill(db, info, without_rowid, strict);
  return info;
}

namespace {

std::vector<std::string> tables_of(const Database& db, bool own_too) {
  // Virtual tables have no root page.
  Statement statement = db.prepare(
      "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY name");
  std::vector<std::string> tables;
  while (statement.step()) {
    std::string name = statement.column_text(0);
    const TableClass kind = table_class(name);
    const bool own = own_too && kind == TableClass::kShared;
    if (own || kind == TableClass::kApplication) tables.push_back(std::move(name));
  }
  return tables;
}

}  // namespace

std::vector<std::string> shared_tables(const Database& db) { return tables_of(db, false); }

std::vector<std::string> replicated_tables(const Database& db) { return tables_of(db, true); }

Id128 schema_fingerprint(const Database& db) {
  Statement statement = db.prepare(
      "SELECT type, name, tbl_name, sql FROM main.sqlite_schema ORDER BY type, name, tbl_name");
  Hasher hasher;
  while (statement.step()) {
    if (table_class(statement.column_text(1)) != TableClass::kApplication) continue;
    if (table_class(statement.column_text(2)) != TableClass::kApplication) continue;
    for (int i = 0; i < 4; ++i) {
      const std::string text = statement.column_text(i);
      // A NUL can stand in none of them, so the fields cannot run into each other.
      hasher.update(as_bytes(text));
      constexpr std::array<std::uint8_t, 1> kEnd = {0};
      hasher.update(kEnd);
    }
  }
  return hasher.digest();
}

}  // namespace csa
