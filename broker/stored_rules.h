// The rules of merging as csa_rule holds them. Belongs to the ledger's thread; throws SqliteError.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <tuple>

#include "common/message.h"
#include "common/sqlite.h"

namespace csa {

// Take a table's atomic mark, or a column's own rule, away; never stored.
inline constexpr std::string_view kRowwiseRule = "rowwise";
inline constexpr std::string_view kNoColumnRule = "table";

// What only one rule can say: a table's rule, its atomic mark, a column's rule. Names in lower
// case.
using RuleSlot = std::tuple<std::string, std::string, bool>;
[[nodiscard]] RuleSlot slot_of(const RuleSetting& rule);

// "part", "part.qty".
[[nodiscard]] std::string place_of(const RuleSetting& rule);

struct RuleOrder {
  bool operator()(const RuleSetting& a, const RuleSetting& b) const {
    return std::tie(a.table, a.column, a.rule) < std::tie(b.table, b.column, b.rule);
  }
};
using StoredRules = std::set<RuleSetting, RuleOrder>;
[[nodiscard]] StoredRules read_rules(const Database& db);
// Brings csa_rule from `before` to `after`; the rows that changed. REQUIRES: a transaction is open.
std::int64_t write_rules(const Database& db, const StoredRules& before, const StoredRules& after);

}  // namespace csa
