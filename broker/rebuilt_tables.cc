#include "broker/rebuilt_tables.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <iterator>
#include <optional>
#include <utility>

#include "broker/merge_table.h"
#include "broker/merge_virtual.h"
#include "common/schema.h"

namespace csa {
namespace {

std::set<std::string> table_names(const Database& db) {
  std::set<std::string> names;
  // Of the shadow tables, which are their module's business, those by which the log tells of a
  // virtual table's rows.
  for (const std::string& shadow : MergeVirtual(db).logged()) names.insert(lower(shadow));
  Statement rows =
      db.prepare("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'");
  while (rows.step()) {
    const std::string name = rows.column_text(0);
    if (table_class(name) == TableClass::kApplication) names.insert(lower(name));
  }
  return names;
}

std::optional<double> numeric_of(const Value& value) {
  if (const auto* const number = std::get_if<std::int64_t>(&value)) {
    return static_cast<double>(*number);
  }
  if (const auto* const real = std::get_if<double>(&value)) return *real;
  const auto* const text = std::get_if<Text>(&value);
  if (text == nullptr) return std::nullopt;
  double number = 0;
  const char* const end = text->utf8.data() + text->utf8.size();
  const auto [stop, failed] = std::from_chars(text->utf8.data(), end, number);
  if (failed != std::errc() || stop != end) return std::nullopt;
  return number;
}

// Also where the column's new type has made 7 of '7'.
bool is_same(const Value& a, const Value& b) {
  if (a == b) return true;
  if (a.index() == b.index()) return false;
  const std::optional<double> number = numeric_of(a);
  return number && number == numeric_of(b);
}

// Two states of a table whose rows have the same names.
class Comparison {
 public:
  enum class Fate : std::uint8_t { kSame, kEdited, kOther, kGone };
  struct Row {
    RowIdentity name;
    Fate fate = Fate::kSame;
    Bytes mask;  // of the columns now that were edited
  };

  Comparison(MergeTable& before, MergeTable& now) : before_(before), now_(now) {
    const std::vector<std::string> names = now.column_names();
    mask_size_ = (names.size() + 7) / 8;
    const ChangeTable& keys = now.info().change_table;
    const std::vector<std::string> old_names = before.column_names();
    for (std::size_t i = 0; i < old_names.size(); ++i) {
      for (std::size_t j = 0; j < names.size(); ++j) {
        if (lower(old_names[i]) != lower(names[j])) continue;
        const auto& key = keys.declared_key.empty() ? keys.key_columns : keys.declared_key;
        const bool in_key = std::ranges::find(key, static_cast<std::uint32_t>(j)) != key.end();
        columns_.push_back({i, j, in_key});
      }
    }
  }

  // Every row of before.
  template <class Visit>
  void each_old(Visit visit) {
    before_.each([&](const MergeTable::Found& old) { visit(compare(old)); });
  }
  // Every row that was not there before.
  template <class Visit>
  void each_new(Visit visit) {
    now_.each([&](const MergeTable::Found& row) {
      RowIdentity name = now_.identity(row.row, row.key);
      if (!before_.find(name)) visit(std::move(name));
    });
  }

 private:
  struct Common {
    std::size_t before, now;
    bool in_key;
  };

  Row compare(const MergeTable::Found& old) {
    Row row{before_.identity(old.row, old.key), Fate::kGone, Bytes(mask_size_, 0)};
    const std::optional<MergeTable::Found> found = now_.find(row.name);
    if (!found) return row;
    row.fate = Fate::kSame;
    std::size_t kept = 0;
    std::size_t lost = 0;
    for (const Common& column : columns_) {
      const Value& was = old.row[column.before];
      const Value& is = found->row[column.now];
      if (is_same(was, is)) {
        if (!column.in_key && !std::holds_alternative<Null>(was)) ++kept;
        continue;
      }
      row.fate = Fate::kEdited;
      row.mask[column.now / 8] =
          static_cast<std::uint8_t>(row.mask[column.now / 8] | (1U << (column.now % 8)));
      if (!column.in_key) ++lost;
    }
    // Most of what it was is gone: nobody's edit, but another row that got the key.
    if (lost > kept) row.fate = Fate::kOther;
    return row;
  }

  MergeTable& before_;
  MergeTable& now_;
  std::vector<Common> columns_;
  std::size_t mask_size_ = 0;
};

// By what rows are told apart: names and collations of the columns.
std::vector<std::pair<std::string, KeyFold>> key_of(const Database& db, const TableInfo& info) {
  std::vector<std::pair<std::string, KeyFold>> key;
  const ChangeTable& table = info.change_table;
  const std::vector<KeyFold> folds = key_folds(db, info);
  for (const std::uint32_t column :
       table.declared_key.empty() ? table.key_columns : table.declared_key) {
    key.emplace_back(lower(info.columns[info.carried[column]].name), folds[key.size()]);
  }
  return key;
}

// A table by its name in the log.
struct LoggedTable {
  std::optional<TableInfo> info;  // of what has the rows; nothing: there is no such table
  bool is_virtual = false;
};
LoggedTable logged_table(const Database& db, const std::string& table) {
  const MergeVirtual virtuals(db);
  if (const MergeVirtual::Told* const told = virtuals.logged_by(table)) return {told->info, true};
  return {table_info(db, table)};
}

// Whether the rows of before are still to be found by their names: not, where most of them are not
// there, or where the rowids, which were given anew, are their only names.
bool keeps_rows(Comparison& comparison, bool keyed) {
  std::uint64_t rows = 0;
  std::uint64_t same = 0;
  std::uint64_t kept = 0;
  comparison.each_old([&](const Comparison::Row& row) {
    ++rows;
    if (row.fate == Comparison::Fate::kSame) ++same;
    if (row.fate <= Comparison::Fate::kEdited) ++kept;
  });
  return keyed ? 2 * kept >= rows : same == rows;
}

}  // namespace

RebuiltTables::RebuiltTables(const Database& db) : db_(db), there_(table_names(db)) {}

void RebuiltTables::look() {
  const std::set<std::string> now = table_names(db_);
  const std::size_t known = left_.size();
  std::ranges::set_difference(there_, now, std::back_inserter(left_));
  if (left_.size() == known) return;
  TouchMarks marks(db_);
  for (std::size_t i = known; i < left_.size(); ++i) {
    there_.erase(left_[i]);
    marks.add(whole_table(left_[i]), TouchOp::kLeft, {});
  }
}

void RebuiltTables::tell() {
  if (left_.empty()) return;
  const Database before(sqlite3_db_filename(db_.handle(), "main"), Database::Mode::kReadOnly);
  before.exec("BEGIN");
  for (const std::string& table : left_) tell(before, table);
}

void RebuiltTables::tell(const Database& before, const std::string& table) {
  LoggedTable old_one = logged_table(before, table);
  LoggedTable new_one = logged_table(db_, table);
  TouchMarks marks(db_);
  if (!old_one.info || !new_one.info || old_one.is_virtual != new_one.is_virtual ||
      key_of(before, *old_one.info) != key_of(db_, *new_one.info)) {
    return marks.add(whole_table(table), TouchOp::kOthers, {});
  }
  // Of documents and of places in a tree nobody knows who numbered them. An edit puts another in
  // the place of one: what is there then must be what the edit was made on, not look like it.
  const bool keyed = !new_one.is_virtual && !key_of(db_, *new_one.info).empty();
  MergeTable old_table(before, std::move(*old_one.info));
  MergeTable new_table(db_, std::move(*new_one.info));
  Comparison comparison(old_table, new_table);
  if (!keeps_rows(comparison, keyed)) {
    return marks.add(whole_table(table), TouchOp::kOthers, {});
  }
  comparison.each_old([&marks](const Comparison::Row& row) {
    using Fate = Comparison::Fate;
    if (row.fate == Fate::kEdited) marks.add(row.name, TouchOp::kChanged, row.mask);
    if (row.fate >= Fate::kOther) marks.add(row.name, TouchOp::kGone, {});
    if (row.fate == Fate::kOther) marks.add(row.name, TouchOp::kBorn, {});
  });
  comparison.each_new([&](RowIdentity name) {
    name.table = table;
    marks.add(name, TouchOp::kBorn, {});
  });
}

}  // namespace csa
