#include "broker/ledger_rules.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "broker/merge_inbox.h"
#include "broker/merge_row.h"
#include "common/limits.h"
#include "common/schema.h"

namespace csa {
namespace {

using Stored = std::tuple<std::string, std::string, std::string>;  // table, column, rule

// Takes a column's own rule, or the atomic mark of a table, away.
constexpr std::string_view kNoColumnRule = "table";
constexpr std::string_view kRowwise = "rowwise";

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::set<Stored> read_rules(const Database& db) {
  std::set<Stored> rules;
  Statement rows = db.prepare("SELECT table_name, column_name, rule FROM main.csa_rule");
  while (rows.step()) {
    rules.emplace(rows.column_text(0), rows.column_text(1), rows.column_text(2));
  }
  return rules;
}

// The name as the schema spells it; nothing: no such table of the application.
std::optional<std::string> spelled(const Database& db, const std::string& table) {
  Statement find = db.prepare(
      "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND"
      " name = ?1 COLLATE NOCASE");
  find.bind(1, table);
  if (!find.step()) return std::nullopt;
  const std::string name = find.column_text(0);
  if (table_class(name) != TableClass::kApplication) return std::nullopt;
  return name;
}

bool is_key(const TableInfo& info, std::uint32_t carried) {
  const ChangeTable& table = info.change_table;
  const auto holds = [carried](const std::vector<std::uint32_t>& columns) {
    return std::ranges::find(columns, carried) != columns.end();
  };
  return holds(table.declared_key) || holds(table.key_columns);
}

bool counts(ColumnRule rule) {
  return rule == ColumnRule::kSum || rule == ColumnRule::kMax || rule == ColumnRule::kMin;
}

// Why the column cannot have this rule; `one.column` becomes what the schema spells.
std::optional<std::string> bad_column(const TableInfo& info, RuleSetting& one) {
  const std::string where = one.table + "." + one.column;
  for (std::uint32_t i = 0; i < info.carried.size(); ++i) {
    const Column& column = info.columns[info.carried[i]];
    if (!same_name(column.name, one.column)) continue;
    one.column = column.name;
    if (one.rule == kNoColumnRule) return std::nullopt;
    const std::optional<ColumnRule> rule = parse_column_rule(one.rule);
    if (!rule) {
      return where + ": '" + one.rule +
             "' is no rule of a column; there are sum, max, min, append, newest, broker, node, and"
             " table for what the table's rule says";
    }
    if (is_key(info, i)) return where + " is part of the key, by which rows are the same row";
    if (counts(*rule) && column.affinity == Affinity::kText) {
      return where + " holds text; " + one.rule + " is for numbers";
    }
    const bool number = column.affinity == Affinity::kInteger ||
                        column.affinity == Affinity::kReal || column.affinity == Affinity::kNumeric;
    if (*rule == ColumnRule::kAppend && number) {
      return where + " holds numbers; append is for text and blobs, sum for numbers";
    }
    return std::nullopt;
  }
  return where + ": table " + one.table + " has no such column that is stored";
}

std::optional<std::string> bad_setting(const Database& db, RuleSetting& one) {
  const std::optional<std::string> name = spelled(db, one.table);
  if (!name) return "there is no table " + one.table + " of the application";
  one.table = *name;
  const std::optional<TableInfo> info = table_info(db, *name);
  if (!info) return "table " + *name + " has no rows of its own to merge";
  if (!one.column.empty()) return bad_column(*info, one);
  if (one.rule == kAtomicRule || one.rule == kRowwise || parse_table_rule(one.rule)) {
    return std::nullopt;
  }
  return one.table + ": '" + one.rule +
         "' is no rule of a table; there are newest, merge, broker, node, manual, and atomic or"
         " rowwise";
}

// `one` is valid and spelled as the schema does.
void place(std::set<Stored>& rules, const RuleSetting& one) {
  const bool whole = one.rule == kAtomicRule || one.rule == kRowwise;
  std::erase_if(rules, [&](const Stored& stored) {
    const auto& [table, column, rule] = stored;
    if (!same_name(table, one.table) || !same_name(column, one.column)) return false;
    return !one.column.empty() || whole == (rule == kAtomicRule);
  });
  const bool none = one.rule == kRowwise || (!one.column.empty() && one.rule == kNoColumnRule);
  if (!none) rules.emplace(one.table, one.column, one.rule);
}

std::int64_t write_difference(const Database& db, const std::set<Stored>& before,
                              const std::set<Stored>& after) {
  const auto each = [&](const std::set<Stored>& from, const std::set<Stored>& without,
                        const char* sql) {
    Statement statement = db.prepare(sql);
    std::int64_t count = 0;
    for (const Stored& one : from) {
      if (without.contains(one)) continue;
      const auto& [table, column, rule] = one;
      statement.bind(1, table).bind(2, column).bind(3, rule).run();
      ++count;
    }
    return count;
  };
  const std::int64_t gone =
      each(before, after,
           "DELETE FROM main.csa_rule WHERE table_name = ?1 AND column_name = ?2 AND rule = ?3");
  const std::int64_t made = each(after, before, "INSERT INTO main.csa_rule VALUES (?1, ?2, ?3)");
  return gone + made;
}

}  // namespace

std::variant<CallEffect, Rejection> set_rules(const Database& db, const Rules& request) {
  const std::set<Stored> before = read_rules(db);
  std::set<Stored> after = request.replace ? std::set<Stored>() : before;
  std::uint32_t index = 0;
  for (RuleSetting one : request.rules) {
    if (const std::optional<std::string> why = bad_setting(db, one)) {
      return Rejection{NackCode::kSql, *why + "; no rule was changed", index, true};
    }
    place(after, one);
    ++index;
  }
  if (after.size() > limits::kRuleSettingsMax) {
    return Rejection{NackCode::kLimit,
                     "there would be " + std::to_string(after.size()) + " rules, at most " +
                         std::to_string(limits::kRuleSettingsMax) + " are kept",
                     0, true};
  }
  CallEffect effect;
  effect.changes = write_difference(db, before, after);
  effect.columns = {"table", "column", "rule"};
  std::size_t bytes = 0;
  for (const auto& [table, column, rule] : after) {
    bytes += 16 + table.size() + column.size() + rule.size();
    if (bytes > limits::kRowsMax) break;
    effect.rows.push_back({Text{table}, Text{column}, Text{rule}});
  }
  return effect;
}

}  // namespace csa
