#include "tools/settle.h"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "common/key_changes.h"
#include "common/limits.h"
#include "common/system_clock.h"
#include "common/terminal_text.h"
#include "common/text_table.h"
#include "common/value_json.h"

namespace csa {
namespace {

using Json = nlohmann::ordered_json;

struct Asked {
  int code = 0;  // not 0: it was said why
  Ack ack;
};

// The counter must be a new one of this caller; `where`: what stands before a refusal's words.
template <class Request>
Asked ask(
    Caller& caller, const Request& request, Duration timeout,
    const std::function<std::string(const Nack&)>& where = [](const Nack&) {
      return std::string();
    }) {
  caller.uplink().send(request);
  const TimePoint deadline = monotonic_now() + timeout;
  while (monotonic_now() < deadline) {
    const Caller::Turn turn = caller.turn(limits::kPollMax);
    for (const Message& message : turn.messages) {
      if (const auto* const ack = std::get_if<Ack>(&message); ack && ack->tx == request.tx) {
        return {0, *ack};
      }
      const auto* const nack = std::get_if<Nack>(&message);
      if (nack == nullptr || nack->tx != request.tx) continue;
      std::cerr << "csa-admin: " << where(*nack) << printable(nack->message) << std::endl;
      return {nack->code == NackCode::kForbidden ? 4 : 5, {}};
    }
    for (const LinkEvent& event : turn.events) {
      const auto* const lost = std::get_if<LinkLost>(&event);
      if (lost == nullptr) continue;
      std::cerr << "csa-admin: the broker went away: " << lost->why
                << ". Whether it was done is not known: look with csa-admin." << std::endl;
      return {6, {}};
    }
  }
  std::cerr << "csa-admin: the broker did not answer in time; whether it was done is not known"
            << std::endl;
  return {6, {}};
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.is_null() ? "" : to_line(value);
}

// One row of the inbox, as schemas/cli.md shows it.
Json conflict_json(const Ack& ack, const Row& row) {
  static const std::set<std::string> kObjects{"key", "base", "broker", "node_row"};
  Json json = Json::object();
  for (std::size_t i = 0; i < row.size() && i < ack.columns.size(); ++i) {
    const std::string& name = ack.columns[i];
    const auto* const text = std::get_if<Text>(&row[i]);
    const auto* const bytes = std::get_if<Bytes>(&row[i]);
    if (kObjects.contains(name) && text != nullptr) {
      json[name] = Json::parse(text->utf8, nullptr, false);
    } else if (name == "node" && bytes != nullptr) {
      json[name] = to_hex(*bytes);
    } else if (name == "close") {
      json[name] = row[i] == Value{std::int64_t{1}};
    } else {
      json[name] = value_json(row[i]);
    }
  }
  return json;
}

std::string short_time(const Json& time) {
  const std::string text = text_of(time);
  return text.size() == 24 ? text.substr(0, 19) + "Z" : text;
}

// {"id":7,"part":"x"} as id=7 part="x".
std::string assignments(const Json& object) {
  if (!object.is_object()) return text_of(object);
  std::string text;
  for (const auto& [name, value] : object.items()) {
    text += (text.empty() ? "" : " ") + name + "=" + to_line(value);
  }
  return text;
}

void print_table(const TextTable& table, TextTable::Long beyond) {
  table.print(std::cout, terminal_width(STDOUT_FILENO), beyond);
  std::cout.flush();
}

void print_list(const Json& conflicts) {
  TextTable table;
  table.row({"ID", "TIME", "HOSTNAME", "TABLE", "KEY", "DECISION", "STATE", "REASON"});
  for (const Json& one : conflicts) {
    table.row({text_of(one["id"]), short_time(one["time"]), text_of(one["hostname"]),
               text_of(one["table"]), assignments(one["key"]), text_of(one["decision"]),
               text_of(one["state"]), text_of(one["reason"])});
  }
  print_table(table, TextTable::Long::kCut);
}

// A value as SQL writes it, so that NULL and 1 are not the texts that look like them.
std::string literal(const Json& value) {
  if (value.is_null()) return "NULL";
  if (!value.is_string()) return to_line(value);
  std::string text = "'";
  for (const char c : value.get<std::string>()) text.append(c == '\'' ? 2 : 1, c);
  return text + "'";
}

std::string field(const Json& version, const std::string& name) {
  if (!version.is_object()) return "(no row)";
  return version.contains(name) ? literal(version[name]) : "";
}

void print_one(const Json& conflict) {
  TextTable about;
  for (const auto& [name, value] : conflict.items()) {
    if (name == "base" || name == "broker" || name == "node_row") continue;
    about.row({name, text_of(value)});
  }
  print_table(about, TextTable::Long::kWrap);
  std::vector<std::string> names;
  for (const char* const version : {"base", "broker", "node_row"}) {
    for (const auto& [name, value] : conflict[version].items()) {
      if (!conflict[version].is_object()) break;
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
    }
  }
  TextTable versions;
  versions.row({"", "BASE", "MASTER", "NODE"});
  for (const std::string& name : names) {
    std::string base = field(conflict["base"], name);
    std::string broker = field(conflict["broker"], name);
    std::string node = field(conflict["node_row"], name);
    const bool same = base == broker && broker == node;
    versions.row(
        {(same ? "  " : "* ") + name, std::move(base), std::move(broker), std::move(node)});
  }
  std::cout << '\n';
  print_table(versions, TextTable::Long::kWrap);
}

}  // namespace

int set_rules(Caller& caller, const SettleFlags& flags, const std::vector<RuleLine>& rules,
              const std::string& file) {
  Rules request{caller.next_tx(), {}, false};
  for (const RuleLine& line : rules) request.rules.push_back(line.setting);
  const auto where = [&](const Nack& nack) {
    const bool one = nack.code == NackCode::kSql && nack.statement < rules.size();
    if (!one || file.empty()) return std::string();
    return file + ", line " + std::to_string(rules[nack.statement].line) + ": ";
  };
  const Asked asked = ask(caller, request, flags.timeout, where);
  if (asked.code != 0) return asked.code;
  Json json = Json::array();
  for (const Row& row : asked.ack.rows) {
    if (row.size() != 3) continue;
    const RuleSetting rule{value_text(row[0]), value_text(row[1]), value_text(row[2])};
    json.push_back({{"table", rule.table},
                    {"column", rule.column.empty() ? Json(nullptr) : Json(rule.column)},
                    {"rule", rule.rule}});
    if (!flags.json) std::cout << rule_text(rule) << "\n";
  }
  if (flags.json) std::cout << to_line(json) << "\n";
  if (json.empty() && !flags.json)
    std::cerr << "csa-admin: no rules are set: newest decides everywhere\n";
  std::cout << std::flush;
  return 0;
}

int show_conflicts(Caller& caller, const SettleFlags& flags, std::optional<std::int64_t> id) {
  Json found = Json::array();
  std::int64_t next = id.value_or(1);
  while (true) {
    const Asked asked =
        ask(caller, Conflict{caller.next_tx(), next, ConflictVerb::kShow}, flags.timeout);
    if (asked.code != 0) return asked.code;
    for (const Row& row : asked.ack.rows) found.push_back(conflict_json(asked.ack, row));
    if (asked.ack.rows.empty() || id) break;
    next = found.back().value("id", next) + 1;
  }
  if (!id) {
    if (flags.json) {
      std::cout << to_line(found) << std::endl;
    } else {
      print_list(found);
    }
    return 0;
  }
  if (found.empty() || found.front().value("id", std::int64_t{0}) != *id) {
    std::cerr << "csa-admin: there is no conflict " << *id << "; csa-admin conflicts lists them"
              << std::endl;
    return 1;
  }
  if (flags.json) {
    std::cout << to_line(found.front()) << std::endl;
  } else {
    print_one(found.front());
  }
  return 0;
}

namespace {

// What an ACK of a restoring tells: the others of the transaction, and changed numbers.
Json restored_by(const Ack& ack, std::int64_t id) {
  Json told{{"with", Json::array()}, {"keys", Json::array()}};
  for (const Row& row : ack.rows) {
    if (row.size() != 4) continue;
    const Json other = value_json(row[0]);
    if (other.is_null()) {
      told["keys"].push_back({{"table", value_json(row[1])},
                              {"before", value_json(row[2])},
                              {"after", value_json(row[3])}});
    } else if (other != id) {
      told["with"].push_back(other);
    }
  }
  return told;
}

}  // namespace

int settle_conflict(Caller& caller, const SettleFlags& flags, std::int64_t id, ConflictVerb verb) {
  const Asked asked = ask(caller, Conflict{caller.next_tx(), id, verb}, flags.timeout);
  if (asked.code != 0) return asked.code;
  const char* const state = verb == ConflictVerb::kDismiss ? "dismissed" : "restored";
  Json told{{"id", id}, {"seq", asked.ack.seq.value}, {"state", state}};
  told.update(restored_by(asked.ack, id));
  if (flags.json) {
    std::cout << to_line(told) << std::endl;
    return 0;
  }
  std::string with;
  for (const Json& other : told["with"]) with += (with.empty() ? " with " : ", ") + text_of(other);
  std::cout << "conflict " << id << " " << state << with << ", seq " << asked.ack.seq.value
            << std::endl;
  for (const Json& key : told["keys"]) {
    std::cout << "  " << text_of(key["table"]) << " " << text_of(key["before"]) << " is now "
              << text_of(key["after"]) << std::endl;
  }
  return 0;
}

namespace {

// Every page of a list, as `json_of` makes it of a row.
template <class JsonOf>
Asked all_of(Caller& caller, const SettleFlags& flags, ConflictVerb verb, const JsonOf& json_of,
             Json& found) {
  found = Json::array();
  for (std::int64_t next = 1;; next = found.back().value("id", next) + 1) {
    Asked asked = ask(caller, Conflict{caller.next_tx(), next, verb}, flags.timeout);
    if (asked.code != 0 || asked.ack.rows.empty()) return asked;
    for (const Row& row : asked.ack.rows) found.push_back(json_of(asked.ack, row));
  }
}

Json lost_json(const Ack& ack, const Row& row) {
  Json json = Json::object();
  for (std::size_t i = 0; i < row.size() && i < ack.columns.size(); ++i) {
    const std::string& name = ack.columns[i];
    const auto* const bytes = std::get_if<Bytes>(&row[i]);
    const auto* const text = std::get_if<Text>(&row[i]);
    if ((name == "tables" || name == "rows") && text != nullptr) {
      json[name] = Json::parse(text->utf8, nullptr, false);
    } else {
      json[name] = bytes != nullptr ? Json(to_hex(*bytes)) : value_json(row[i]);
    }
  }
  return json;
}

// A row change in few words: part update id=1 name="bolt".
std::string change_words(const Json& change) {
  std::string text = text_of(change.value("table", Json())) + " " +
                     text_of(change.value("op", Json())) + " " +
                     assignments(change.value("key", Json()));
  const Json values = change.value(change.contains("new") ? "new" : "old", Json::object());
  for (const auto& [name, value] : values.items()) {
    if (change["key"].contains(name)) continue;
    text += " " + name + "=" + to_line(value);
  }
  return text;
}

// How many rows of which tables, and the first of them one below the other.
void print_lost(const Json& list) {
  TextTable table;
  table.row({"ID", "TIME", "HOSTNAME", "STATE", "ROWS", "OUTCOME"});
  for (const Json& one : list) {
    std::string rows;
    for (const auto& [name, count] : one["tables"].items()) {
      rows += (rows.empty() ? "" : ", ") + name + " " + text_of(count);
    }
    table.row({text_of(one["id"]), short_time(one["time"]), text_of(one["hostname"]),
               text_of(one["state"]), rows, text_of(one["outcome"])});
    if (!one.contains("rows")) continue;
    for (const Json& change : one["rows"]) table.row({"", "", "", "", change_words(change), ""});
  }
  print_table(table, TextTable::Long::kCut);
}

}  // namespace

namespace {

// Into the order in which the lost histories had them; their numbers only tell when they were
// offered.
void order_lost(std::vector<std::int64_t>& ids, const Json& list) {
  std::map<std::string, std::int64_t> first_of;  // of each history
  std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> places;
  for (const Json& one : list) {
    const auto id = one.value("id", std::int64_t{0});
    const auto history = first_of.emplace(one.value("epoch", ""), id).first;
    places[id] = {history->second, one.value("seq", std::int64_t{0})};
  }
  std::ranges::sort(ids, {}, [&](std::int64_t id) { return std::pair(places[id], id); });
}

}  // namespace

int list_lost(Caller& caller, const SettleFlags& flags) {
  Json found;
  const Asked asked = all_of(caller, flags, ConflictVerb::kShowLost, lost_json, found);
  if (asked.code != 0) return asked.code;
  if (flags.json) {
    std::cout << to_line(found) << std::endl;
  } else if (found.empty()) {
    std::cerr << "csa-admin: no node has offered anything that the master has lost" << std::endl;
  } else {
    print_lost(found);
  }
  return 0;
}

int settle_lost(Caller& caller, const SettleFlags& flags, std::vector<std::int64_t> ids,
                ConflictVerb verb) {
  Json found;
  const Asked listed = all_of(caller, flags, ConflictVerb::kShowLost, lost_json, found);
  if (listed.code != 0) return listed.code;
  if (ids.empty()) {
    for (const Json& one : found) {
      if (one.value("state", "") == "lost") ids.push_back(one.value("id", std::int64_t{0}));
    }
    if (ids.empty())
      std::cerr << "csa-admin: there is nothing to "
                << (verb == ConflictVerb::kRecover ? "recover" : "forget") << std::endl;
  }
  order_lost(ids, found);
  int worst = 0;
  for (const std::int64_t id : ids) {
    const Asked asked = ask(caller, Conflict{caller.next_tx(), id, verb}, flags.timeout);
    worst = std::max(worst, asked.code);
    if (asked.code == 6) return 6;
    if (asked.code != 0) continue;
    const bool told = !asked.ack.rows.empty() && asked.ack.rows.front().size() == 4;
    const std::string outcome = told ? text_of(value_json(asked.ack.rows.front()[1])) : "forgotten";
    const std::string reason = told ? text_of(value_json(asked.ack.rows.front()[2])) : "";
    const std::string keys = told ? text_of(value_json(asked.ack.rows.front()[3])) : "[]";
    if (flags.json) {
      std::cout << to_line(Json{{"id", id},
                                {"seq", asked.ack.seq.value},
                                {"outcome", outcome},
                                {"reason", reason},
                                {"keys", Json::parse(keys, nullptr, false)}})
                << std::endl;
    } else {
      std::cout << "lost transaction " << id << ": " << outcome
                << (reason.empty() ? "" : ": " + printable(reason)) << ", seq "
                << asked.ack.seq.value
                << (keys == "[]" ? "" : "; " + sentence_of_keys(keys_of_json(keys))) << std::endl;
    }
  }
  return worst;
}

}  // namespace csa
