#include "broker/followed_names.h"

#include <utility>

namespace csa {
namespace {

std::vector<std::string> read_columns(const Database& db, const std::string& table) {
  std::vector<std::string> columns;
  Statement rows = db.prepare("SELECT name FROM pragma_table_xinfo(?1, 'main') ORDER BY cid");
  rows.bind(1, table);
  while (rows.step()) columns.push_back(rows.column_text(0));
  return columns;
}

}  // namespace

void FollowedNames::Names::take(std::map<std::int64_t, std::string> now) {
  now_ = std::move(now);
  numbers_.clear();
  for (const auto& [number, name] : now_) numbers_.emplace(lower(name), number);
  // The number of what is gone may be used again.
  std::erase_if(old_, [this](const auto& one) { return !now_.contains(one.first); });
}

void FollowedNames::Names::are_old() { old_ = now_; }

std::optional<std::int64_t> FollowedNames::Names::find(const std::string& name) const {
  const auto found = numbers_.find(lower(name));
  return found == numbers_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::int64_t> FollowedNames::Names::follow(std::optional<std::int64_t> number,
                                                         const std::string& name) const {
  if (number && !now_.contains(*number)) number.reset();
  const std::optional<std::int64_t> named = find(name);
  return named && (!number || !is_old(*named)) ? named : number;
}

std::string FollowedNames::Names::was(std::int64_t number) const {
  const auto old = old_.find(number);
  if (old == old_.end() || lower(old->second) == lower(now_.at(number))) return {};
  return old->second;
}

void FollowedNames::Columns::take(const std::vector<std::string>& now) {
  std::size_t others = 0;
  for (std::size_t i = 0; i < now.size() && now.size() == order.size(); ++i) {
    if (lower(now[i]) != lower(names.now().at(order[i]))) ++others;
  }
  // A statement that renames a column does nothing else.
  const bool in_place = now.size() == order.size() && others <= 1;
  std::map<std::int64_t, std::string> found;
  std::vector<std::int64_t> numbers;
  for (std::size_t i = 0; i < now.size(); ++i) {
    const std::optional<std::int64_t> known = in_place ? order[i] : names.find(now[i]);
    numbers.push_back(known ? *known : ++last);
    found.emplace(numbers.back(), now[i]);
  }
  order = std::move(numbers);
  names.take(std::move(found));
}

FollowedNames::FollowedNames(const Database& db) : db_(db) {
  look();
  tables_.are_old();
  for (auto& [table, columns] : columns_) columns.names.are_old();
}

void FollowedNames::look() {
  std::map<std::int64_t, std::string> tables;
  std::map<std::int64_t, std::string> changed;  // its statement
  // ALTER TABLE updates a table's row there, so its rowid stays; only DROP TABLE deletes it.
  Statement rows =
      db_.prepare("SELECT rowid, name, sql FROM main.sqlite_schema WHERE type = 'table'");
  while (rows.step()) {
    std::string name = rows.column_text(1);
    if (table_class(name) != TableClass::kApplication) continue;
    const std::int64_t number = rows.column_int(0);
    const auto known = columns_.find(number);
    std::string sql = rows.column_text(2);
    if (known == columns_.end() || known->second.sql != sql) changed.emplace(number, sql);
    tables.emplace(number, std::move(name));
  }
  tables_.take(std::move(tables));
  std::erase_if(columns_, [this](const auto& one) { return !tables_.now().contains(one.first); });
  for (auto& [number, sql] : changed) {
    Columns& columns = columns_[number];
    columns.sql = std::move(sql);
    columns.take(read_columns(db_, tables_.now().at(number)));
  }
}

const FollowedNames::Names& FollowedNames::columns(std::int64_t table) const {
  return columns_.at(table).names;
}

Renames FollowedNames::renames() const {
  Renames renames;
  for (const auto& [table, name] : tables_.now()) {
    TableRenames was{tables_.was(table), {}};
    const Names& columns = columns_.at(table).names;
    for (const auto& [column, now] : columns.now()) {
      std::string before = columns.was(column);
      if (!before.empty()) was.columns.emplace(now, std::move(before));
    }
    if (was != TableRenames{}) renames.emplace(name, std::move(was));
  }
  return renames;
}

}  // namespace csa
