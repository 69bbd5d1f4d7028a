#include "tools/tail_line.h"

#include <nlohmann/json.hpp>

#include "common/value_json.h"

namespace csa {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kValueMax = 40;  // characters of one value in a line for people

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

std::string short_text(const Value& value) {
  if (std::holds_alternative<Null>(value)) return "NULL";
  std::string text = value_text(value);
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  if (text.size() <= kValueMax) return text;
  std::size_t cut = kValueMax;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0U) == 0x80U) --cut;
  return text.substr(0, cut) + "…";
}

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

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
         padded(header.hostname, 10) + "  ";
}

std::string assignments(const NamedValues& values) {
  std::string text;
  for (const auto& [name, value] : values) {
    if (!text.empty()) text += "  ";
    text += name + "=" + short_text(value);
  }
  return text;
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
  std::string text = front(header) + padded(change.table, 12) + "  " +
                     coloured(change.op, change.op, colour) + "  " + assignments(change.key);
  if (change.op == "update") {
    for (std::size_t i = 0; i < change.after.size(); ++i) {
      const std::string before =
          i < change.before.size() ? short_text(change.before[i].second) : "?";
      text +=
          "  " + change.after[i].first + ": " + before + " → " + short_text(change.after[i].second);
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
         padded(presence.hostname, 10) + "  " + coloured(op, op, colour) + "  " + presence.address;
}

}  // namespace csa
