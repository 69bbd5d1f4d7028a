#include "broker/merge_table.h"

#include <algorithm>
#include <limits>

#include "common/check.h"

namespace csa {
MergeTable::MergeTable(const Database& db, TableInfo info)
    : db_(db), info_(std::move(info)), utf16_(is_utf16(db)), folds_(key_folds(db, info_)) {
  shadow_ = csa::is_shadow(db_, name());
  const bool rowids = !info_.change_table.without_rowid;
  std::string columns;
  for (const std::uint32_t column : info_.carried) {
    names_.push_back(info_.columns[column].name);
    columns += (columns.empty() ? "" : ", ") + quote(names_.back());
  }
  const std::string table = " FROM main." + quote(name());
  const std::string from = table + " WHERE ";
  select_ =
      "SELECT " + (rowids ? quote(info_.rowid_name) : std::string("NULL")) + ", " + columns + table;
  find_physical_ = db_.prepare(select_ + " WHERE " + where_physical(1));
  if (!info_.change_table.declared_key.empty()) {
    std::string where;
    int parameter = 1;
    for (const std::uint32_t column : info_.change_table.declared_key) {
      where += (where.empty() ? "" : " AND ") + quote(info_.columns[info_.carried[column]].name) +
               " = ?" + std::to_string(parameter++);
    }
    find_declared_ = db_.prepare(select_ + " WHERE " + where);
  }
  if (rowids) {
    find_rowid_ = db_.prepare("SELECT 1" + from + quote(info_.rowid_name) + " = ?1");
    max_rowid_ = db_.prepare("SELECT coalesce(max(" + quote(info_.rowid_name) + "), 0) FROM main." +
                             quote(name()));
  }
  remove_ = db_.prepare("DELETE" + from + where_physical(1));
  read_references();
}

std::string MergeTable::where_physical(int first) const {
  if (!info_.change_table.without_rowid) {
    return quote(info_.rowid_name) + " = ?" + std::to_string(first);
  }
  std::string where;
  for (const std::uint32_t column : info_.change_table.key_columns) {
    where += (where.empty() ? "" : " AND ") + quote(info_.columns[info_.carried[column]].name) +
             " = ?" + std::to_string(first++);
  }
  return where;
}

void MergeTable::read_references() {
  Statement rows = db_.prepare(
      "SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?1) ORDER BY id, seq");
  rows.bind(1, name());
  std::int64_t last = -1;
  bool usable = true;
  while (rows.step()) {
    if (rows.column_int(0) != last) {
      if (!usable) references_.pop_back();
      usable = true;
      last = rows.column_int(0);
      references_.push_back({rows.column_text(1), {}, {}});
    }
    const std::string column = lower(rows.column_text(2));
    const auto carried = std::find_if(
        info_.carried.begin(), info_.carried.end(),
        [&](std::uint32_t index) { return lower(info_.columns[index].name) == column; });
    if (carried == info_.carried.end()) {
      usable = false;  // over a generated column: see ForeignKeyProof::ComputedKey
      continue;
    }
    references_.back().columns.push_back(
        static_cast<std::uint32_t>(carried - info_.carried.begin()));
    if (!rows.column_is_null(3)) references_.back().parent_columns.push_back(rows.column_text(3));
  }
  if (!usable) references_.pop_back();
  for (MergeReference& reference : references_) {
    if (reference.parent_columns.size() == reference.columns.size()) continue;
    // None is named: the parent's primary key.
    reference.parent_columns.clear();
    Statement key = db_.prepare("SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk");
    key.bind(1, reference.parent);
    while (key.step()) reference.parent_columns.push_back(key.column_text(0));
  }
}

std::optional<std::uint32_t> MergeTable::rowid_column() const {
  const ChangeTable& table = info_.change_table;
  if (table.without_rowid || table.key_columns.empty()) return std::nullopt;
  return table.key_columns.front();
}

bool MergeTable::keyed_by_rowid() const {
  return !info_.change_table.without_rowid && info_.change_table.declared_key.empty();
}

void MergeTable::bind_key(Statement& statement, const Row& key, int first) const {
  for (const Value& value : key) statement.bind(first++, value);
}

RowIdentity MergeTable::identity(const Row& row, const Row& physical) const {
  const ChangeTable& keys = info_.change_table;
  RowIdentity identity{keys.name, {}, false, folds_};
  for (const std::uint32_t column : keys.declared_key) {
    if (std::holds_alternative<Null>(row[column])) {
      identity = {keys.name, {}, true};
      break;
    }
    identity.key.push_back(row[column]);
  }
  if (!keys.declared_key.empty() && !identity.by_rowid) return identity;
  if (!keys.key_columns.empty()) {
    for (const std::uint32_t column : keys.key_columns) identity.key.push_back(row[column]);
  } else {
    identity.key = physical;
  }
  return identity;
}

std::optional<MergeTable::Found> MergeTable::find(const RowIdentity& row) {
  const bool declared = !info_.change_table.declared_key.empty() && !row.by_rowid;
  Statement& statement = declared ? find_declared_ : find_physical_;
  const std::size_t expected = declared ? info_.change_table.declared_key.size()
                               : info_.change_table.without_rowid
                                   ? info_.change_table.key_columns.size()
                                   : 1;
  if (row.key.size() != expected) return std::nullopt;
  statement.reset();
  bind_key(statement, row.key, 1);
  std::optional<Found> found;
  if (statement.step()) found = read(statement);
  statement.reset();
  // Under the rowid of a row whose key has a NULL may lie one whose key has none.
  if (found && row.by_rowid && !has_null_key(found->row)) found.reset();
  return found;
}

Statement MergeTable::all_rows() const { return db_.prepare(select_); }

MergeTable::Found MergeTable::read(const Statement& row) const {
  Found found;
  const int count = static_cast<int>(info_.carried.size());
  for (int i = 0; i < count; ++i) found.row.push_back(row.column_stored(i + 1, utf16_));
  if (info_.change_table.without_rowid) {
    for (const std::uint32_t column : info_.change_table.key_columns) {
      found.key.push_back(found.row[column]);
    }
  } else {
    found.key.emplace_back(row.column_int(0));
  }
  return found;
}

bool is_shadow(const Database& db, const std::string& table) {
  Statement type =
      db.prepare("SELECT type = 'shadow' FROM pragma_table_list(?1) WHERE schema = 'main'");
  type.bind(1, table);
  return type.step() && type.column_int(0) != 0;
}

std::string collation_of(const Database& db, const std::string& table, const std::string& column) {
  const char* collation = nullptr;
  const int code = sqlite3_table_column_metadata(db.handle(), "main", table.c_str(), column.c_str(),
                                                 nullptr, &collation, nullptr, nullptr, nullptr);
  return code == SQLITE_OK && collation != nullptr ? collation : "";
}

std::vector<KeyFold> key_folds(const Database& db, const TableInfo& info) {
  std::vector<KeyFold> folds;
  const ChangeTable& keys = info.change_table;
  for (const std::uint32_t column :
       keys.declared_key.empty() ? keys.key_columns : keys.declared_key) {
    const std::string known =
        lower(collation_of(db, keys.name, info.columns[info.carried[column]].name));
    folds.push_back(known == "nocase"  ? KeyFold::kNoCase
                    : known == "rtrim" ? KeyFold::kTrailingSpace
                                       : KeyFold::kExact);
  }
  return folds;
}

bool MergeTable::has_null_key(const Row& row) const {
  const auto& key = info_.change_table.declared_key;
  return key.empty() || std::ranges::any_of(key, [&](std::uint32_t column) {
           return std::holds_alternative<Null>(row[column]);
         });
}

bool MergeTable::has_rowid(std::int64_t rowid) {
  find_rowid_.bind(1, rowid);
  const bool found = find_rowid_.step();
  find_rowid_.reset();
  return found;
}

std::optional<std::int64_t> MergeTable::next_rowid() {
  CSA_CHECK(max_rowid_.step());
  std::int64_t highest = max_rowid_.column_int(0);
  max_rowid_.reset();
  if (info_.autoincrement) {
    Statement sequence = db_.prepare("SELECT seq FROM main.sqlite_sequence WHERE name = ?1");
    sequence.bind(1, name());
    if (sequence.step()) highest = std::max(highest, sequence.column_int(0));
  }
  if (highest == std::numeric_limits<std::int64_t>::max()) return std::nullopt;
  return highest + 1;
}

void MergeTable::raise_sequence(std::int64_t value) {
  Statement raise =
      db_.prepare("UPDATE main.sqlite_sequence SET seq = ?2 WHERE name = ?1 AND seq < ?2");
  raise.bind(1, name()).bind(2, value);
  raise.run();
}

void MergeTable::insert(const Row& row, const std::vector<bool>& known,
                        std::optional<std::int64_t> rowid) {
  // SQLite would call the disk full.
  if (!rowid && info_.autoincrement && !next_rowid()) {
    throw SqliteError(SQLITE_CONSTRAINT, "table " + name() + " has no higher rowid to give");
  }
  std::vector<bool> shape = known;
  shape.push_back(rowid.has_value());
  auto statement = inserts_.find(shape);
  if (statement == inserts_.end()) {
    std::string columns = rowid ? quote(info_.rowid_name) : "";
    std::string values = rowid ? "?1" : "";
    int parameter = rowid ? 2 : 1;
    for (std::size_t i = 0; i < known.size(); ++i) {
      if (!known[i]) continue;
      columns += (columns.empty() ? "" : ", ") + quote(info_.columns[info_.carried[i]].name);
      values += (values.empty() ? "?" : ", ?") + std::to_string(parameter++);
    }
    statement =
        inserts_
            .emplace(shape,
                     db_.prepare("INSERT OR ABORT INTO main." + quote(name()) +
                                 (columns.empty() ? " DEFAULT VALUES"
                                                  : " (" + columns + ") VALUES (" + values + ")")))
            .first;
  }
  int parameter = 1;
  if (rowid) statement->second.bind(parameter++, *rowid);
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (known[i]) statement->second.bind(parameter++, row[i]);
  }
  statement->second.run();
}

void MergeTable::update(const Row& key, const Row& row, const std::vector<bool>& changed) {
  auto statement = updates_.find(changed);
  if (statement == updates_.end()) {
    std::string set;
    int parameter = 1;
    for (std::size_t i = 0; i < changed.size(); ++i) {
      if (!changed[i]) continue;
      set += (set.empty() ? "" : ", ") + quote(info_.columns[info_.carried[i]].name) + " = ?" +
             std::to_string(parameter++);
    }
    CSA_CHECK(!set.empty());
    statement =
        updates_
            .emplace(changed, db_.prepare("UPDATE OR ABORT main." + quote(name()) + " SET " + set +
                                          " WHERE " + where_physical(parameter)))
            .first;
  }
  int parameter = 1;
  for (std::size_t i = 0; i < changed.size(); ++i) {
    if (changed[i]) statement->second.bind(parameter++, row[i]);
  }
  bind_key(statement->second, key, parameter);
  statement->second.run();
}

void MergeTable::remove(const Row& key) {
  bind_key(remove_, key, 1);
  remove_.run();
}

ColumnMap map_columns(const ChangeTable& journal, const MergeTable& master) {
  ColumnMap map;
  const std::vector<std::string>& names = master.column_names();
  map.known.assign(names.size(), false);
  map.to.reserve(journal.column_names.size());
  for (const std::string& name : journal.column_names) {
    auto found = std::ranges::find(names, name);
    if (found == names.end()) {
      found = std::ranges::find_if(
          names, [&](const std::string& known) { return lower(known) == lower(name); });
    }
    if (found == names.end()) {
      map.to.emplace_back(std::nullopt);
      continue;
    }
    const auto column = static_cast<std::uint32_t>(found - names.begin());
    map.to.emplace_back(column);
    map.known[column] = true;
  }
  return map;
}

}  // namespace csa
