#include "tools/settle.h"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "common/limits.h"
#include "common/system_clock.h"
#include "common/value_json.h"

namespace csa {
namespace {

using Json = nlohmann::ordered_json;

struct Asked {
  int code = 0;  // not 0: it was said why
  Ack ack;
};

// The request's counter must be a new one of this peer.
template <class Request>
Asked ask(Peer& peer, const Request& request, Duration timeout) {
  peer.uplink().send(request);
  const TimePoint deadline = monotonic_now() + timeout;
  while (monotonic_now() < deadline) {
    const Peer::Turn turn = peer.turn(limits::kPollMax);
    for (const Message& message : turn.messages) {
      if (const auto* const ack = std::get_if<Ack>(&message); ack && ack->tx == request.tx) {
        return {0, *ack};
      }
      const auto* const nack = std::get_if<Nack>(&message);
      if (nack == nullptr || nack->tx != request.tx) continue;
      std::cerr << "csa-admin: " << nack->message << std::endl;
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

// One row of the inbox, as cli.md shows it.
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

void print_list(const Json& conflicts) {
  std::printf("%-6s %-24s %-16s %-16s %-24s %-8s %-10s %s\n", "ID", "TIME", "HOSTNAME", "TABLE",
              "KEY", "DECISION", "STATE", "REASON");
  for (const Json& one : conflicts) {
    std::printf("%-6s %-24s %-16s %-16s %-24s %-8s %-10s %s\n", text_of(one["id"]).c_str(),
                text_of(one["time"]).c_str(), text_of(one["hostname"]).c_str(),
                text_of(one["table"]).c_str(), text_of(one["key"]).c_str(),
                text_of(one["decision"]).c_str(), text_of(one["state"]).c_str(),
                text_of(one["reason"]).c_str());
  }
}

std::string field(const Json& version, const std::string& name) {
  if (!version.is_object()) return "(no row)";
  return version.contains(name) ? (version[name].is_null() ? "NULL" : text_of(version[name])) : "";
}

void print_one(const Json& conflict) {
  for (const auto& [name, value] : conflict.items()) {
    if (name == "base" || name == "broker" || name == "node_row") continue;
    std::printf("%-12s %s\n", name.c_str(), text_of(value).c_str());
  }
  std::vector<std::string> names;
  for (const char* const version : {"base", "broker", "node_row"}) {
    for (const auto& [name, value] : conflict[version].items()) {
      if (!conflict[version].is_object()) break;
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
    }
  }
  std::printf("\n  %-20s %-24s %-24s %s\n", "", "BASE", "MASTER", "NODE");
  for (const std::string& name : names) {
    const std::string base = field(conflict["base"], name);
    const std::string broker = field(conflict["broker"], name);
    const std::string node = field(conflict["node_row"], name);
    std::printf("%c %-20s %-24s %-24s %s\n", base == broker && broker == node ? ' ' : '*',
                name.c_str(), base.c_str(), broker.c_str(), node.c_str());
  }
}

}  // namespace

int set_rules(Peer& peer, const SettleFlags& flags, std::vector<RuleSetting> rules) {
  const Asked asked =
      ask(peer, Rules{TxId{peer.node(), 1}, std::move(rules), false}, flags.timeout);
  if (asked.code != 0) return asked.code;
  Json json = Json::array();
  for (const Row& row : asked.ack.rows) {
    if (row.size() != 3) continue;
    json.push_back({{"table", value_json(row[0])},
                    {"column", row[1] == Value{Text{}} ? Json(nullptr) : value_json(row[1])},
                    {"rule", value_json(row[2])}});
  }
  if (flags.json) {
    std::cout << to_line(json) << std::endl;
    return 0;
  }
  for (const Json& one : json) {
    const std::string column = one["column"].is_null() ? "" : "." + text_of(one["column"]);
    std::cout << text_of(one["table"]) << column << " " << text_of(one["rule"]) << "\n";
  }
  if (json.empty()) std::cerr << "csa-admin: no rules are set: newest decides everywhere\n";
  std::cout << std::flush;
  return 0;
}

int show_conflicts(Peer& peer, const SettleFlags& flags, std::optional<std::int64_t> id) {
  Json found = Json::array();
  std::int64_t next = id.value_or(1);
  for (std::uint64_t counter = 1;; ++counter) {
    const Asked asked =
        ask(peer, Conflict{TxId{peer.node(), counter}, next, ConflictVerb::kShow}, flags.timeout);
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

int settle_conflict(Peer& peer, const SettleFlags& flags, std::int64_t id, ConflictVerb verb) {
  const Asked asked = ask(peer, Conflict{TxId{peer.node(), 1}, id, verb}, flags.timeout);
  if (asked.code != 0) return asked.code;
  const char* const state = verb == ConflictVerb::kRestore ? "restored" : "dismissed";
  if (flags.json) {
    std::cout << to_line(Json{{"id", id}, {"seq", asked.ack.seq.value}, {"state", state}})
              << std::endl;
  } else {
    std::cout << "conflict " << id << " " << state << ", seq " << asked.ack.seq.value << std::endl;
  }
  return 0;
}

namespace {

// Every page of a list, as `json_of` makes it of a row.
template <class JsonOf>
Asked all_of(Peer& peer, const SettleFlags& flags, ConflictVerb verb, std::uint64_t& counter,
             const JsonOf& json_of, Json& found) {
  found = Json::array();
  for (std::int64_t next = 1;; next = found.back().value("id", next) + 1) {
    Asked asked = ask(peer, Conflict{TxId{peer.node(), ++counter}, next, verb}, flags.timeout);
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
    if (name == "tables" && text != nullptr) {
      json[name] = Json::parse(text->utf8, nullptr, false);
    } else {
      json[name] = bytes != nullptr ? Json(to_hex(*bytes)) : value_json(row[i]);
    }
  }
  return json;
}

void print_lost(const Json& list) {
  std::printf("%-6s %-24s %-16s %-10s %-30s %s\n", "ID", "TIME", "HOSTNAME", "STATE", "ROWS",
              "OUTCOME");
  for (const Json& one : list) {
    std::string rows;
    for (const auto& [table, count] : one["tables"].items()) {
      rows += (rows.empty() ? "" : ", ") + table + " " + text_of(count);
    }
    std::printf("%-6s %-24s %-16s %-10s %-30s %s\n", text_of(one["id"]).c_str(),
                text_of(one["time"]).c_str(), text_of(one["hostname"]).c_str(),
                text_of(one["state"]).c_str(), rows.c_str(), text_of(one["outcome"]).c_str());
  }
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

int list_lost(Peer& peer, const SettleFlags& flags) {
  Json found;
  std::uint64_t counter = 0;
  const Asked asked = all_of(peer, flags, ConflictVerb::kShowLost, counter, lost_json, found);
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

int settle_lost(Peer& peer, const SettleFlags& flags, std::vector<std::int64_t> ids,
                ConflictVerb verb) {
  std::uint64_t counter = 0;
  Json found;
  const Asked listed = all_of(peer, flags, ConflictVerb::kShowLost, counter, lost_json, found);
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
    const Asked asked = ask(peer, Conflict{TxId{peer.node(), ++counter}, id, verb}, flags.timeout);
    worst = std::max(worst, asked.code);
    if (asked.code == 6) return 6;
    if (asked.code != 0) continue;
    const bool told = !asked.ack.rows.empty() && asked.ack.rows.front().size() == 3;
    const std::string outcome = told ? text_of(value_json(asked.ack.rows.front()[1])) : "forgotten";
    const std::string reason = told ? text_of(value_json(asked.ack.rows.front()[2])) : "";
    if (flags.json) {
      std::cout << to_line(Json{{"id", id},
                                {"seq", asked.ack.seq.value},
                                {"outcome", outcome},
                                {"reason", reason}})
                << std::endl;
    } else {
      std::cout << "lost transaction " << id << ": " << outcome
                << (reason.empty() ? "" : ": " + reason) << ", seq " << asked.ack.seq.value
                << std::endl;
    }
  }
  return worst;
}

}  // namespace csa
