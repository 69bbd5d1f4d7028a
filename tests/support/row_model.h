// A small model of the rules by which a row of a journal meets the master's row, written from what
// is promised of them, not from the code, to be held against broker/merge_row.h.
#pragma once

#include <optional>

#include "broker/merge_row.h"

namespace csa::test {

using Maybe = std::optional<Row>;

struct Expected {
  RowDecision decision = RowDecision::kNothing;
  Maybe result;
  std::optional<bool> close = false;  // nothing: the text does not say (exactly at the bound)
  bool node_loses = false;            // a column, though it may win another
};

[[nodiscard]] Expected model(const RowRules& rules, const RowMeeting& x);

}  // namespace csa::test
