#include "tools/tail_inbox.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "common/inbox_format.h"

namespace csa {
namespace {

constexpr const char* kView = "csa_conflicts";

const Value* value_of(const NamedValues& values, std::string_view name) {
  const auto found = std::ranges::find(values, name, &NamedValues::value_type::first);
  return found == values.end() ? nullptr : &found->second;
}

std::optional<std::string> text_of(const NamedChange& stored, std::string_view name) {
  const Value* const value = value_of(stored.after, name);
  const auto* const text = value == nullptr ? nullptr : std::get_if<Text>(value);
  return text == nullptr ? std::nullopt : std::optional(text->utf8);
}

std::optional<std::int64_t> key_of(const NamedChange& stored) {
  if (stored.key.size() != 1) return std::nullopt;
  const auto* const number = std::get_if<std::int64_t>(&stored.key.front().second);
  return number == nullptr ? std::nullopt : std::optional(*number);
}

Value told(const std::optional<std::string>& text) {
  return text ? Value(Text{*text}) : Value(Null{});
}

void add_decision(const InboxDecision& decided, bool about, NamedValues& values) {
  if (about) values.emplace_back("table_name", Text{decided.table});
  values.emplace_back("op", Text{decided.op});
  values.emplace_back("rule", Text{decided.rule});
  values.emplace_back("decision", Text{decided.decision});
  values.emplace_back("reason", Text{decided.reason});
  values.emplace_back("broker_time", told(decided.broker_time));
  values.emplace_back("close", std::int64_t{decided.close ? 1 : 0});
}

void add_versions(const InboxTexts& texts, NamedValues& values) {
  values.emplace_back("base", told(texts.versions[0]));
  values.emplace_back("broker", told(texts.versions[1]));
  values.emplace_back("node_row", told(texts.versions[2]));
}

std::vector<NamedChange> decided_rows(const NamedChange& stored, std::int64_t first) {
  std::vector<NamedChange> changes;
  const auto decided = text_of(stored, "decided");
  const auto rows = text_of(stored, "rows");
  if (!decided || !rows) return changes;
  const auto read = read_inbox_rows(*decided, *rows);
  if (!read) return changes;
  for (const InboxRow& row : *read) {
    NamedChange& one = changes.emplace_back(NamedChange{kView, "insert", {}, {}, {}});
    one.key.emplace_back("id", first++);
    add_decision(row.decision, true, one.after);
    one.after.insert(one.after.begin() + 1, {"key", Text{row.texts.key}});
    add_versions(row.texts, one.after);
    one.after.emplace_back("state", Text{"open"});
  }
  return changes;
}

}  // namespace

std::vector<NamedChange> conflicts_of(const NamedChange& stored) {
  const std::optional<std::int64_t> id = key_of(stored);
  if (!id || stored.op == "delete") return {};
  if (stored.table == "csa_inbox") {
    return stored.op == "insert" ? decided_rows(stored, *id) : std::vector<NamedChange>();
  }
  NamedChange later{kView, "update", {{"id", *id}}, {}, {}};
  const auto state = text_of(stored, "state");
  if (state && *state != "open") later.after.emplace_back("state", Text{*state});
  const auto decided = text_of(stored, "decided");
  const auto decision = decided ? read_decision(*decided) : std::nullopt;
  if (decision) add_decision(*decision, false, later.after);
  const auto row = text_of(stored, "row");
  const auto texts = row ? read_row(*row) : std::nullopt;
  if (texts) add_versions(*texts, later.after);
  if (later.after.empty()) return {};
  return {std::move(later)};
}

}  // namespace csa
