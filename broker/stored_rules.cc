#include "broker/stored_rules.h"

#include "broker/merge_inbox.h"

namespace csa {

RuleSlot slot_of(const RuleSetting& rule) {
  const bool mark = rule.column.empty() && (rule.rule == kAtomicRule || rule.rule == kRowwiseRule);
  return {lower(rule.table), lower(rule.column), mark};
}

std::string place_of(const RuleSetting& rule) {
  return rule.column.empty() ? rule.table : rule.table + "." + rule.column;
}

StoredRules read_rules(const Database& db) {
  StoredRules rules;
  Statement rows = db.prepare("SELECT table_name, column_name, rule FROM main.csa_rule");
  while (rows.step()) {
    rules.insert({rows.column_text(0), rows.column_text(1), rows.column_text(2)});
  }
  return rules;
}

std::int64_t write_rules(const Database& db, const StoredRules& before, const StoredRules& after) {
  const auto each = [&](const StoredRules& from, const StoredRules& without, const char* sql) {
    Statement statement = db.prepare(sql);
    std::int64_t count = 0;
    for (const RuleSetting& one : from) {
      if (without.contains(one)) continue;
      statement.bind(1, one.table).bind(2, one.column).bind(3, one.rule).run();
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

}  // namespace csa
