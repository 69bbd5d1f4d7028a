#include "tools/tail_line.h"

#include <nlohmann/json.hpp>

#include "common/value_json.h"

namespace csa {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kValueMax = 40;  // characters of one value in a line for people

std::string column_name(const TableLayout* layout, std::size_t index) {
  if (layout != nullptr && index < layout->columns.size()) return layout->columns[index];
  return "column" + std::to_string(index + 1);
}

// All values of a row: those carried, and the physical key in its columns.
NamedValues whole_row(const std::vector<std::optional<Value>>& values, const Row& key,
                      const ChangeTable& table, const TableLayout* layout) {
  NamedValues row;
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::optional<Value> value = values[i];
    for (std::size_t k = 0; k < table.key_columns.size() && k < key.size(); ++k) {
      if (table.key_columns[k] == i) value = key[k];
    }
    if (value) row.emplace_back(column_name(layout, i), *value);
  }
  return row;
}

NamedValues key_of(const RowChange& change, const ChangeTable& table, const TableLayout* layout) {
  NamedValues key;
  const auto& values = change.op == RowOp::kInsert ? change.new_values : change.old_values;
  if (!table.declared_key.empty()) {
    for (const std::uint32_t column : table.declared_key) {
      if (column < values.size() && values[column]) {
        key.emplace_back(column_name(layout, column), *values[column]);
      }
    }
    return key;
  }
  for (std::size_t i = 0; i < change.key.size(); ++i) {
    std::string name = "rowid";
    if (i < table.key_columns.size()) {
      name = column_name(layout, table.key_columns[i]);
    } else if (layout != nullptr && i < layout->key.size()) {
      name = layout->key[i];
    }
    key.emplace_back(std::move(name), change.key[i]);
  }
  return key;
}

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

NamedChange name_change(const RowChange& change, const ChangeTable& table, const Layout* layout) {
  const TableLayout* names = nullptr;
  if (layout != nullptr) {
    const auto found = layout->find(table.name);
    if (found != layout->end() && found->second.columns.size() == table.column_count) {
      names = &found->second;
    }
  }
  NamedChange named;
  named.table = table.name;
  named.key = key_of(change, table, names);
  switch (change.op) {
    case RowOp::kInsert:
      named.op = "insert";
      named.after = whole_row(change.new_values, change.key, table, names);
      return named;
    case RowOp::kDelete:
      named.op = "delete";
      named.before = whole_row(change.old_values, change.key, table, names);
      return named;
    case RowOp::kUpdate:
      break;
  }
  named.op = "update";
  for (std::size_t i = 0; i < change.new_values.size(); ++i) {
    if (!change.new_values[i]) continue;
    if (i < change.old_values.size() && change.old_values[i]) {
      named.before.emplace_back(column_name(names, i), *change.old_values[i]);
    }
    named.after.emplace_back(column_name(names, i), *change.new_values[i]);
  }
  if (!change.new_key) return named;
  for (std::size_t k = 0; k < change.new_key->size() && k < change.key.size(); ++k) {
    if (change.key[k] == (*change.new_key)[k]) continue;
    const std::string name =
        k < table.key_columns.size() ? column_name(names, table.key_columns[k]) : "rowid";
    named.before.emplace_back(name, change.key[k]);
    named.after.emplace_back(name, (*change.new_key)[k]);
  }
  return named;
}

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
