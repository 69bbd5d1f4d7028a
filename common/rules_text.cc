#include "common/rules_text.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "common/limits.h"
#include "common/sqlite.h"

namespace csa {
namespace {

constexpr std::string_view kBlank = " \t\r";

Error unreadable(std::string what) { return {Errc::kMalformed, std::move(what)}; }

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// Takes one name off the front; quoted ones double a quote inside.
Result<std::string> take_name(std::string_view& text) {
  std::string name;
  if (!text.starts_with('"')) {
    const std::size_t end = std::min(text.find_first_of("."), text.size());
    name = text.substr(0, end);
    text.remove_prefix(end);
  } else {
    text.remove_prefix(1);
    while (true) {
      const std::size_t end = text.find('"');
      if (end == std::string_view::npos) return unreadable("a double quote is not closed");
      name += text.substr(0, end);
      text.remove_prefix(end + 1);
      if (!text.starts_with('"')) break;
      name += '"';
      text.remove_prefix(1);
    }
  }
  if (name.empty()) return unreadable("a name is empty; TABLE or TABLE.COLUMN is expected");
  if (name.size() > limits::kRuleNameMax) return unreadable("a name is too long");
  return name;
}

// The rule is the last word; quotes may hold blanks and '#'.
std::string_view without_comment(std::string_view line) {
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"') quoted = !quoted;
    if (line[i] == '#' && !quoted) return line.substr(0, i);
  }
  return line;
}

// In quotes where take_name or a line of a file would read it otherwise.
std::string quoted_name(const std::string& name) {
  if (name.find_first_of(" \t\r.\"#") == std::string::npos) return name;
  std::string text = "\"";
  for (const char c : name) text.append(c == '"' ? 2 : 1, c);
  return text + "\"";
}

}  // namespace

Result<RuleSetting> parse_rule(std::string_view place, std::string_view rule) {
  RuleSetting setting;
  Result<std::string> table = take_name(place);
  if (!table) return table.error();
  setting.table = std::move(table).value();
  if (place.starts_with('.')) {
    place.remove_prefix(1);
    Result<std::string> column = take_name(place);
    if (!column) return column.error();
    setting.column = std::move(column).value();
  }
  if (!place.empty()) {
    return unreadable("'" + std::string(place) + "' is left over behind TABLE.COLUMN");
  }
  if (rule.empty() || rule.size() > limits::kRuleNameMax) return unreadable("the rule is missing");
  if (rule.find_first_of("\"#") != std::string_view::npos) {
    return unreadable("'" + std::string(rule) + "' is no rule: it has a quote or '#' in it");
  }
  setting.rule = rule;
  return setting;
}

std::string rule_text(const RuleSetting& setting) {
  const std::string column = setting.column.empty() ? "" : "." + quoted_name(setting.column);
  return quoted_name(setting.table) + column + " " + setting.rule;
}

namespace {

// Where a line says something else of the same place: nothing else could tell which is meant.
std::optional<Error> contradiction(const std::vector<RuleLine>& rules, const std::string& file) {
  std::map<std::tuple<std::string, std::string, bool>, const RuleLine*> first;
  for (const RuleLine& line : rules) {
    const RuleSetting& one = line.setting;
    const std::string rule = lower(one.rule);
    const bool whole = one.column.empty() && (rule == "atomic" || rule == "rowwise");
    const auto known = first.emplace(std::tuple(lower(one.table), lower(one.column), whole), &line);
    const RuleLine& other = *known.first->second;
    if (lower(other.setting.rule) == rule) continue;
    return unreadable(file + ", line " + std::to_string(line.line) + ": '" + rule_text(one) +
                      "' contradicts line " + std::to_string(other.line) + ", '" +
                      rule_text(other.setting) + "'; keep one of them");
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<RuleLine>> parse_rules(std::string_view text, const std::string& file) {
  std::vector<RuleLine> rules;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // as some editors begin a file
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(without_comment(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    const auto at = [&](const std::string& why) {
      return unreadable(file + ", line " + std::to_string(number) + ": " + why);
    };
    const std::size_t blank = line.find_last_of(kBlank);
    if (blank == std::string_view::npos || line.back() == '"') {
      return at("'" + std::string(line) + "' is no rule; TABLE[.COLUMN] RULE is expected");
    }
    const Result<RuleSetting> setting =
        parse_rule(trimmed(line.substr(0, blank)), line.substr(blank + 1));
    if (!setting) return at(setting.error().what);
    if (rules.size() == limits::kRuleSettingsMax) return at("too many rules");
    rules.push_back({*setting, number});
  }
  if (std::optional<Error> wrong = contradiction(rules, file)) return std::move(*wrong);
  return rules;
}

}  // namespace csa
