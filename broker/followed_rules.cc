#include "broker/followed_rules.h"

#include <set>
#include <utility>

namespace csa {
FollowedRules::FollowedRules(const Database& db, const FollowedNames& names)
    : db_(db), names_(names), before_(read_rules(db)) {
  for (const RuleSetting& rule : before_) rules_.push_back({rule, rule.column, {}});
  for (Rule& rule : rules_) {
    follow(rule);
    rule.by_name = false;
  }
}

void FollowedRules::look() {
  for (Rule& rule : rules_) follow(rule);
}

void FollowedRules::follow(Rule& rule) {
  const FollowedNames::Names& tables = names_.tables();
  const std::optional<std::int64_t> table = tables.follow(rule.table, rule.was.table);
  const bool moved = table != std::exchange(rule.table, table);
  if (moved) rule.by_name = table && tables.is_old(*table);
  if (rule.was.column.empty()) return;
  if (!table) {
    rule.number.reset();
    return;
  }
  const FollowedNames::Names& columns = names_.columns(*table);
  if (moved) rule.number = columns.find(rule.column);
  const std::optional<std::int64_t> number = columns.follow(rule.number, rule.was.column);
  const bool other = number != std::exchange(rule.number, number);
  if (other && number && columns.is_old(*number)) rule.by_name = true;
  if (rule.number) rule.column = columns.now().at(*rule.number);
}

std::optional<RuleSetting> FollowedRules::name_of(const Rule& rule) const {
  if (!rule.table || (!rule.was.column.empty() && !rule.number)) return std::nullopt;
  return RuleSetting{names_.tables().now().at(*rule.table), rule.column, rule.was.rule};
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
