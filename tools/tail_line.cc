#include "tools/tail_line.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "common/terminal_text.h"
#include "common/value_json.h"

namespace csa {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kValueMax = 40;  // columns of one value in a line for people

Json object_of(const NamedValues& values) {
  Json object = Json::object();
  for (const auto& [name, value] : values) object[name] = value_json(value);
  return object;
}

Json header_json(const EntryHeader& header) {
  return {{"seq", header.seq.value},
          {"time", to_string(header.time)},
          {"node", to_string(header.tx.node)},
          {"hostname", header.hostname}};
}

std::string short_text(const Value& value) { return cut_to(people_text(value), kValueMax); }

std::string coloured(const std::string& text, const std::string& op, bool colour) {
  if (!colour) return text;
  const char* code = "36";
  if (op == "insert" || op == "join") code = "32";
  if (op == "update") code = "33";
  if (op == "delete" || op == "lost") code = "31";
  return std::string("\033[") + code + "m" + text + "\033[0m";
}

std::string front(const EntryHeader& header) {
  const std::string time = to_string(header.time);
  return padded(std::to_string(header.seq.value), 6) + "  " + time.substr(11, 12) + "  " +
         padded(printable(header.hostname), 10) + "  ";
}

std::string assignments(const NamedValues& values) {
  std::string text;
  for (const auto& [name, value] : values) {
    if (!text.empty()) text += "  ";
    text += printable(name) + "=" + short_text(value);
  }
  return text;
}

// Columns of csa_conflicts and their names in a line.
constexpr std::array<std::pair<const char*, const char*>, 12> kConflictFields = {
    {{"id", "id"},
     {"table_name", "table"},
     {"key", "key"},
     {"op", "change"},
     {"rule", "rule"},
     {"decision", "decision"},
     {"reason", "reason"},
     {"base", "base"},
     {"broker", "broker"},
     {"node_row", "node_row"},
     {"close", "close"},
     {"state", "state"}}};

// Key and the values after the change, each name once.
NamedValues all_of(const NamedChange& change) {
  NamedValues all = change.key;
  for (const auto& value : change.after) {
    bool known = false;
    for (const auto& one : change.key) known = known || one.first == value.first;
    if (!known) all.push_back(value);
  }
  return all;
}

const Value* find(const NamedValues& values, std::string_view name) {
  for (const auto& [own, value] : values) {
    if (own == name) return &value;
  }
  return nullptr;
}

// Rows and keys are kept as JSON text; close as 0 or 1.
Json field_json(std::string_view name, const Value& value) {
  constexpr std::array<std::string_view, 5> kObjects = {"key", "base", "broker", "node_row",
                                                        "tables"};
  const auto* const text = std::get_if<Text>(&value);
  if (text != nullptr && std::ranges::find(kObjects, name) != kObjects.end()) {
    Json object = Json::parse(text->utf8, nullptr, false);
    if (!object.is_discarded()) return object;
  }
  if (name == "close") return value == Value{std::int64_t{1}};
  return value_json(value);
}

std::string text_in(const NamedValues& values, std::string_view name) {
  const Value* const value = find(values, name);
  return value == nullptr ? std::string() : short_text(*value);
}

}  // namespace

std::string json_line(const EntryHeader& header, const NamedChange& change) {
  Json json = header_json(header);
  json["table"] = change.table;
  json["op"] = change.op;
  json["key"] = object_of(change.key);
  if (change.op != "insert") json["old"] = object_of(change.before);
  if (change.op != "delete") json["new"] = object_of(change.after);
  return to_line(json);
}

std::string people_line(const EntryHeader& header, const NamedChange& change, bool colour) {
  std::string text = front(header) + padded(printable(change.table), 12) + "  " +
                     coloured(change.op, change.op, colour) + "  " + assignments(change.key);
  if (change.op == "update") {
    for (std::size_t i = 0; i < change.after.size(); ++i) {
      const std::string before =
          i < change.before.size() ? short_text(change.before[i].second) : "?";
      text += "  " + printable(change.after[i].first) + ": " + before + " → " +
              short_text(change.after[i].second);
    }
    return text;
  }
  NamedValues rest;
  for (const auto& value : change.op == "insert" ? change.after : change.before) {
    bool in_key = false;
    for (const auto& part : change.key) in_key = in_key || part.first == value.first;
    if (!in_key) rest.push_back(value);
  }
  return text + "  " + assignments(rest);
}

std::string conflict_line(const EntryHeader& header, const NamedChange& change, bool json,
                          bool colour) {
  const NamedValues all = all_of(change);
  if (json) {
    Json object = header_json(header);
    object["op"] = "conflict";
    for (const auto& [from, to] : kConflictFields) {
      if (const Value* const value = find(all, from)) object[to] = field_json(from, *value);
    }
    return to_line(object);
  }
  std::string text = front(header) + padded(text_in(all, "table_name"), 12) + "  " +
                     coloured("conflict", "conflict", colour) + "  ";
  const std::string id = text_in(all, "id");
  const bool decided = change.op == "insert";
  if (!decided && find(all, "state") != nullptr) return text + id + " " + text_in(all, "state");
  // Of one that came again only what differs from before is here.
  const std::string decision = text_in(all, "decision");
  const std::string reason = text_in(all, "reason");
  text += (decided ? text_in(all, "key") : id + " again") + "  " + decision;
  text += (decision.empty() || reason.empty() ? "" : ": ") + reason;
  return text + "  (csa-admin conflicts show " + id + ")";
}

std::string lost_line(const EntryHeader& header, const NamedChange& change, bool json,
                      bool colour) {
  const NamedValues all = all_of(change);
  if (json) {
    Json object = header_json(header);
    object["op"] = "offered";
    for (const char* const name : {"id", "tables", "state", "outcome"}) {
      if (const Value* const value = find(all, name)) object[name] = field_json(name, *value);
    }
    return to_line(object);
  }
  std::string text = front(header) + padded("", 12) + "  " + coloured("offered", "lost", colour) +
                     "  lost transaction " + text_in(all, "id") + " " + text_in(all, "state");
  if (change.op == "insert") return text + " " + text_in(all, "tables");
  return text + " " + text_in(all, "outcome");
}

std::string schema_line(const EntryHeader& header, const std::string& sql, bool json, bool colour) {
  if (json) {
    Json object = header_json(header);
    object["op"] = "schema";
    object["sql"] = sql;
    return to_line(object);
  }
  return front(header) + coloured("schema", "schema", colour) + "  " + short_text(Text{sql});
}

std::string presence_line(const Presence& presence, bool json, bool colour) {
  const char* op = "join";
  if (presence.event == PresenceEvent::kLeave) op = "leave";
  if (presence.event == PresenceEvent::kLost) op = "lost";
  if (json) {
    return to_line(Json{{"op", op},
                        {"time", to_string(presence.time)},
                        {"node", to_string(presence.node)},
                        {"hostname", presence.hostname},
                        {"address", presence.address}});
  }
  return padded("", 6) + "  " + to_string(presence.time).substr(11, 12) + "  " +
         padded(printable(presence.hostname), 10) + "  " + coloured(op, op, colour) + "  " +
         printable(presence.address);
}

}  // namespace csa
