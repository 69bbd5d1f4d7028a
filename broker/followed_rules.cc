#include "broker/followed_rules.h"

#include <utility>

namespace csa {
namespace {

// ALTER TABLE updates a table's row there, so its rowid stays; only DROP TABLE deletes it.
std::map<std::int64_t, std::string> read_tables(const Database& db) {
  std::map<std::int64_t, std::string> tables;
  Statement rows = db.prepare("SELECT rowid, name FROM main.sqlite_schema WHERE type = 'table'");
  while (rows.step()) tables.emplace(rows.column_int(0), rows.column_text(1));
  return tables;
}

std::vector<std::string> read_columns(const Database& db, const std::string& table) {
  std::vector<std::string> columns;
  Statement rows = db.prepare("SELECT name FROM pragma_table_xinfo(?1, 'main') ORDER BY cid");
  rows.bind(1, table);
  while (rows.step()) columns.push_back(rows.column_text(0));
  return columns;
}

}  // namespace

void FollowedRules::Names::take(std::map<std::int64_t, std::string> now) {
  now_ = std::move(now);
  numbers_.clear();
  for (const auto& [number, name] : now_) numbers_.emplace(lower(name), number);
  // The number of what is gone may be used again.
  std::erase_if(old_, [this](std::int64_t number) { return !now_.contains(number); });
}

void FollowedRules::Names::are_old() {
  for (const auto& [number, name] : now_) old_.insert(number);
}

std::optional<std::int64_t> FollowedRules::Names::find(const std::string& name) const {
  const auto found = numbers_.find(lower(name));
  return found == numbers_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::int64_t> FollowedRules::Names::follow(std::optional<std::int64_t> number,
                                                         const std::string& name) const {
  if (number && !now_.contains(*number)) number.reset();
  const std::optional<std::int64_t> named = find(name);
  return named && (!number || !is_old(*named)) ? named : number;
}

void FollowedRules::Columns::take(const std::vector<std::string>& now) {
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

FollowedRules::FollowedRules(const Database& db) : db_(db), before_(read_rules(db)) {
  for (const RuleSetting& rule : before_) rules_.push_back({rule, rule.column, {}});
  if (rules_.empty()) return;
  tables_.take(read_tables(db));
  tables_.are_old();
  std::set<std::int64_t> seen;
  for (Rule& rule : rules_) {
    follow(rule, seen);
    rule.by_name = false;
  }
}

void FollowedRules::look() {
  if (rules_.empty()) return;
  tables_.take(read_tables(db_));
  std::erase_if(columns_, [this](const auto& one) { return !tables_.now().contains(one.first); });
  std::set<std::int64_t> seen;
  for (Rule& rule : rules_) follow(rule, seen);
}

// `seen`: tables whose columns were read after this statement.
void FollowedRules::follow(Rule& rule, std::set<std::int64_t>& seen) {
  const std::optional<std::int64_t> table = tables_.follow(rule.table, rule.was.table);
  const bool moved = table != std::exchange(rule.table, table);
  if (moved) rule.by_name = table && tables_.is_old(*table);
  if (rule.was.column.empty()) return;
  if (!table) {
    rule.number.reset();
    return;
  }
  const Names& columns = columns_of(*table, seen);
  if (moved) rule.number = columns.find(rule.column);
  const std::optional<std::int64_t> number = columns.follow(rule.number, rule.was.column);
  const bool other = number != std::exchange(rule.number, number);
  if (other && number && columns.is_old(*number)) rule.by_name = true;
  if (rule.number) rule.column = columns.now().at(*rule.number);
}

const FollowedRules::Names& FollowedRules::columns_of(std::int64_t table,
                                                      std::set<std::int64_t>& seen) {
  const auto [known, fresh] = columns_.try_emplace(table);
  Columns& columns = known->second;
  if (!seen.insert(table).second) return columns.names;
  columns.take(read_columns(db_, tables_.now().at(table)));
  if (fresh && tables_.is_old(table)) columns.names.are_old();
  return columns.names;
}

std::optional<RuleSetting> FollowedRules::name_of(const Rule& rule) const {
  if (!rule.table || (!rule.was.column.empty() && !rule.number)) return std::nullopt;
  return RuleSetting{tables_.now().at(*rule.table), rule.column, rule.was.rule};
}

std::vector<std::string> FollowedRules::settle() {
  StoredRules after;
  std::set<RuleSlot> taken;
  std::vector<std::string> sentences;
  // A table's own rules before those that come to it with a dropped table's name.
  for (const bool by_name : {false, true}) {
    for (const Rule& rule : rules_) {
      if (rule.by_name != by_name) continue;
      const std::string what = "the rule " + place_of(rule.was) + " " + rule.was.rule;
      const std::optional<RuleSetting> now = name_of(rule);
      if (!now) {
        sentences.push_back(what + " is dropped: " + place_of(rule.was) + " is not there any more");
      } else if (!taken.insert(slot_of(*now)).second) {
        sentences.push_back(what + " is dropped: " + place_of(*now) + " has one of its own");
      } else {
        after.insert(*now);
        if (*now != rule.was) sentences.push_back(what + " is now that of " + place_of(*now));
      }
    }
  }
  write_rules(db_, before_, after);
  return sentences;
}

}  // namespace csa
