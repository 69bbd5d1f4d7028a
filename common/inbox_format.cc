#include "common/inbox_format.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "common/value_json.h"

namespace csa {
namespace {

using Json = nlohmann::ordered_json;

std::optional<InboxDecision> decision_of(const Json& json) {
  if (!json.is_array() || json.size() != 8) return std::nullopt;
  InboxDecision decision;
  std::string* const texts[] = {&decision.table, &decision.op, &decision.rule, &decision.decision,
                                &decision.reason};
  std::size_t at = 0;
  for (std::string* const text : texts) {
    if (!json[at].is_string()) return std::nullopt;
    *text = json[at++].get<std::string>();
  }
  if (json[5].is_string()) decision.broker_time = json[5].get<std::string>();
  decision.close = json[6] == 1;
  decision.numbered = json[7] == 1;
  return decision;
}

std::optional<InboxTexts> texts_of(const Json& json) {
  if (!json.is_array() || json.size() != 5 || !json[1].is_object()) return std::nullopt;
  InboxTexts texts;
  texts.key = to_line(json[1]);
  for (std::size_t i = 0; i < texts.versions.size(); ++i) {
    Json version = json[i + 2];
    if (version.is_null()) continue;
    if (i > 0 && version.is_array() && version.size() == 1 && version[0].is_object()) {
      Json whole = json[2];
      if (!whole.is_object()) return std::nullopt;
      whole.merge_patch(version[0]);
      version = std::move(whole);
    }
    if (!version.is_object()) return std::nullopt;
    texts.versions[i] = to_line(version);
  }
  return texts;
}

}  // namespace

std::string decision_json(const InboxDecision& decision) {
  const Json time = decision.broker_time ? Json(*decision.broker_time) : Json(nullptr);
  return to_line(
      Json::array({decision.table, decision.op, decision.rule, decision.decision, decision.reason,
                   time, decision.close ? 1 : 0, decision.numbered ? 1 : 0}));
}

void append_row_json(std::size_t place, const InboxTexts& texts, std::string& out) {
  out += '[';
  out += std::to_string(place);
  out += ',';
  out += texts.key;
  for (const std::optional<std::string>& version : texts.versions) {
    out += ',';
    out += version ? *version : "null";
  }
  out += ']';
}

std::optional<std::vector<InboxRow>> read_inbox_rows(std::string_view decided,
                                                     std::string_view rows) {
  const Json decisions = Json::parse(decided, nullptr, false);
  const Json all = Json::parse(rows, nullptr, false);
  if (!decisions.is_array() || !all.is_array()) return std::nullopt;
  std::vector<InboxDecision> known;
  for (const Json& json : decisions) {
    std::optional<InboxDecision> decision = decision_of(json);
    if (!decision) return std::nullopt;
    known.push_back(std::move(*decision));
  }
  std::vector<InboxRow> read;
  for (const Json& json : all) {
    std::optional<InboxTexts> texts = texts_of(json);
    if (!texts || !json[0].is_number_unsigned()) return std::nullopt;
    const auto place = json[0].get<std::size_t>();
    if (place >= known.size()) return std::nullopt;
    read.push_back({known[place], std::move(*texts)});
  }
  return read;
}

std::optional<InboxDecision> read_decision(std::string_view json) {
  return decision_of(Json::parse(json, nullptr, false));
}

std::optional<InboxTexts> read_row(std::string_view json) {
  return texts_of(Json::parse(json, nullptr, false));
}

}  // namespace csa
