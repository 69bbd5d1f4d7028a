// Rules of merging as people write them: "TABLE RULE", "TABLE.COLUMN RULE", "TABLE atomic|rowwise",
// one a line, '#' begins a comment. Whether table, column and rule exist is asked of the database
// later.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/message.h"
#include "common/result.h"

namespace csa {

// TABLE[.COLUMN]; names with dots or spaces stand in double quotes.
[[nodiscard]] Result<RuleSetting> parse_rule(std::string_view place, std::string_view rule);

// As parse_rules reads it again.
[[nodiscard]] std::string rule_text(const RuleSetting& setting);

struct RuleLine {
  RuleSetting setting;
  std::size_t line = 0;  // from 1
};
// The error names `file` and the line; where two contradict each other, both.
[[nodiscard]] Result<std::vector<RuleLine>> parse_rules(std::string_view text,
                                                        const std::string& file);

}  // namespace csa
