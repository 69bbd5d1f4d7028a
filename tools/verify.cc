#include "tools/verify.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/cli.h"
#include "common/limits.h"
#include "common/system_clock.h"
#include "common/terminal_text.h"
#include "common/value_json.h"

namespace csa {
namespace {

using Json = nlohmann::ordered_json;

// Until the broker's answer, which it gives in time, is here.
constexpr std::chrono::seconds kGrace{2};

std::string plain_text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::optional<AdminReply> await_reply(Caller& caller, Duration timeout) {
  const TimePoint deadline = monotonic_now() + timeout;
  while (monotonic_now() < deadline) {
    for (const Message& message : caller.turn(limits::kPollMax).messages) {
      if (const auto* const reply = std::get_if<AdminReply>(&message)) return *reply;
    }
  }
  return std::nullopt;
}

std::string key_text(const Json& range, const char* end) {
  std::string text;
  if (!range.contains(end)) return text;
  for (const Json& value : range[end]) text += (text.empty() ? "" : ", ") + plain_text(value);
  return text;
}

void print_verdict(const Json& node) {
  const Json& equal = node["equal"];
  std::cout << printable(plain_text(node["hostname"])) << " "
            << plain_text(node["node"]).substr(0, 8) << ": "
            << (equal.is_null() ? "not known"
                : equal == true ? "equal"
                                : "DIFFERS");
  if (node.contains("text")) std::cout << ". " << printable(plain_text(node["text"]));
  std::cout << "\n";
  for (const Json& range : node["tables"]) {
    std::cout << "  " << printable(plain_text(range["table"]));
    if (range.contains("rows")) std::cout << ": " << plain_text(range["rows"]) << " rows";
    if (range.contains("from")) {
      std::cout << ", from key " << printable(key_text(range, "from")) << " to "
                << printable(key_text(range, "to"));
    }
    std::cout << "\n";
  }
}

// Leaves one table of what differs; whether others differ is not asked.
void keep_table(Json& nodes, const std::string& table) {
  for (Json& node : nodes) {
    Json kept = Json::array();
    for (const Json& range : node["tables"]) {
      if (range["table"] == table) kept.push_back(range);
    }
    if (node["equal"] == false && !node["tables"].empty()) node["equal"] = kept.empty();
    node["tables"] = std::move(kept);
  }
}

}  // namespace

int verify(Caller& caller, const VerifyFlags& flags) {
  using std::chrono::milliseconds;
  const auto wait = std::chrono::duration_cast<milliseconds>(flags.timeout).count();
  const auto wait_ms = static_cast<std::uint32_t>(std::clamp<std::int64_t>(wait, 1, UINT32_MAX));
  caller.uplink().send(Admin{1, AdminVerb::kVerify, wait_ms});
  const std::optional<AdminReply> reply = await_reply(caller, flags.timeout + kGrace);
  if (!reply) {
    return report_error("csa-admin", {Errc::kTimeout, "the broker did not answer in time"});
  }
  Json json = Json::parse(reply->json, nullptr, false);
  if (!reply->ok || !json.is_object()) {
    std::cerr << "csa-admin: " << printable(reply->text) << std::endl;
    return 6;
  }
  if (!flags.table.empty()) {
    const Json names = json.value("compared", Json::array());
    if (std::find(names.begin(), names.end(), Json(flags.table)) == names.end()) {
      return report_error("csa-admin",
                          {Errc::kFailed, "there is no table " + flags.table +
                                              " among those that are compared: " + names.dump()});
    }
    keep_table(json["nodes"], flags.table);
  }
  bool differs = false;
  bool unknown = false;
  for (const Json& node : json["nodes"]) {
    differs = differs || node["equal"] == false;
    unknown = unknown || node["equal"].is_null();
  }
  if (flags.json) {
    std::cout << to_line(json) << std::endl;
  } else {
    std::cout << "compared at " << plain_text(json["position"]["epoch"]) << ":"
              << json["position"]["seq"] << "\n";
    for (const Json& node : json["nodes"]) print_verdict(node);
    if (json.contains("text")) std::cout << plain_text(json["text"]) << std::endl;
  }
  return differs ? 1 : unknown ? 6 : 0;
}

}  // namespace csa
