#include "broker/ledger_rules.h"

#include <algorithm>

#include "broker/merge_inbox.h"
#include "broker/merge_row.h"
#include "broker/merge_virtual.h"
#include "broker/stored_rules.h"
#include "common/limits.h"
#include "common/schema.h"

namespace csa {
namespace {

bool takes_away(const RuleSetting& one) {
  return one.rule == (one.column.empty() ? kRowwiseRule : kNoColumnRule);
}

bool is_stored(const StoredRules& rules, const RuleSetting& one) {
  return std::ranges::any_of(
      rules, [&](const RuleSetting& stored) { return slot_of(stored) == slot_of(one); });
}

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

// As the schema spells the name; kind as pragma_table_list says it.
struct NamedTable {
  std::string name, kind;
};

std::optional<NamedTable> spelled(const Database& db, const std::string& table) {
  Statement find = db.prepare(
      "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND type <> 'view' AND"
      " name = ?1 COLLATE NOCASE");
  find.bind(1, table);
  if (!find.step()) return std::nullopt;
  const std::string name = find.column_text(0);
  if (table_class(name) != TableClass::kApplication) return std::nullopt;
  return NamedTable{name, find.column_text(1)};
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

std::optional<std::string> bad_table_rule(const RuleSetting& one) {
  if (one.rule == kAtomicRule || one.rule == kRowwiseRule || parse_table_rule(one.rule)) {
    return std::nullopt;
  }
  return one.table + ": '" + one.rule +
         "' is no rule of a table; there are newest, merge, broker, node, manual, and atomic or"
         " rowwise";
}

// Virtual tables replace a row that is changed: which of its columns were meant, no log tells.
std::optional<std::string> bad_virtual(const Database& db, RuleSetting& one) {
  const MergeVirtual virtuals(db);
  const MergeVirtual::Told* const known = virtuals.told(one.table);
  if (known == nullptr) {
    return "virtual table " + one.table +
           " has no rows of its own to merge; where it indexes another table, set that one's rules";
  }
  if (one.column.empty() && parse_table_rule(one.rule) != TableRule::kMerge) {
    return bad_table_rule(one);
  }
  const bool tree = known->coordinates > 0;
  const std::optional<ColumnRule> column = parse_column_rule(one.rule);
  if (tree && !one.column.empty() && (one.rule == kNoColumnRule || (column && counts(*column)))) {
    return bad_column(known->info, one);
  }
  return one.table +
         " is a virtual table, in which every change replaces the whole row; there are newest,"
         " broker, node, manual, and atomic or rowwise" +
         (tree ? ", and for columns sum, max, min and table" : "");
}

std::optional<std::string> bad_setting(const Database& db, RuleSetting& one) {
  const std::optional<NamedTable> table = spelled(db, one.table);
  if (!table) return "there is no table " + one.table + " of the application";
  one.table = table->name;
  if (table->kind == "virtual") return bad_virtual(db, one);
  if (table->kind == "shadow") {
    return one.table + " is inside a virtual table; set the rules of that one";
  }
  if (one.column.empty()) return bad_table_rule(one);
  const std::optional<TableInfo> info = table_info(db, one.table);
  if (!info) return "table " + one.table + " has no rows of its own to merge";
  return bad_column(*info, one);
}

// `one` is valid and spelled as the schema does, or takes away what is stored.
void place(StoredRules& rules, const RuleSetting& one) {
  std::erase_if(rules, [&](const RuleSetting& stored) { return slot_of(stored) == slot_of(one); });
  if (!takes_away(one)) rules.insert(one);
}

}  // namespace

std::variant<CallEffect, Rejection> set_rules(const Database& db, const Rules& request) {
  const StoredRules before = read_rules(db);
  StoredRules after = request.replace ? StoredRules() : before;
  std::uint32_t index = 0;
  for (RuleSetting one : request.rules) {
    // What is stored can go, whatever became of its table.
    const bool removes = takes_away(one) && is_stored(after, one);
    const std::optional<std::string> why = removes ? std::nullopt : bad_setting(db, one);
    if (why) return Rejection{NackCode::kSql, *why + "; no rule was changed", index, true};
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
  effect.changes = write_rules(db, before, after);
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
