// What two sides made of one value, where nothing of either is lost. Pure.
#pragma once

#include <optional>

#include "broker/merge_row.h"
#include "common/value.h"

namespace csa {

// kSum, kMax, kMin, kAppend: true.
[[nodiscard]] bool adds_up(ColumnRule rule);
// `base`: nullptr where there was no row. Nothing: they are no numbers (kAppend: not both longer
// than the base), or the sum is too large; the table's rule decides then. REQUIRES: adds_up(rule).
[[nodiscard]] std::optional<Value> merge_values(ColumnRule rule, const Value& broker,
                                                const Value& node, const Value* base);

}  // namespace csa
