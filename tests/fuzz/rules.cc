// Rules that are read are written so that the same rules are read again.
#include "common/rules_text.h"
#include "tests/fuzz/fuzz.h"

namespace csa::fuzz::rules_target {

CSA_FUZZ_TARGET(rules) {
  const std::string text(data, data + size);
  const Result<std::vector<RuleLine>> rules = parse_rules(text, "rules");
  if (!rules) {
    fuzz::prove(!rules.error().what.empty(), "rules: an error without a sentence");
    return 0;
  }
  std::string written;
  for (const RuleLine& line : *rules) written += rule_text(line.setting) + "\n";
  const Result<std::vector<RuleLine>> again = parse_rules(written, "rules");
  fuzz::prove(again.has_value(), "rules: what was written is not read: " + written);
  fuzz::prove(again->size() == rules->size(), "rules: another number of them");
  for (std::size_t i = 0; i < rules->size(); ++i) {
    fuzz::prove((*again)[i].setting == (*rules)[i].setting, "rules: another one: " + written);
  }
  return 0;
}

}  // namespace csa::fuzz::rules_target
