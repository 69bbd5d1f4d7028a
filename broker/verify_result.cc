#include "broker/verify_result.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "common/bytes.h"
#include "common/limits.h"
#include "common/value_json.h"

namespace csa {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kTextMax = 400;
constexpr std::size_t kVerdictTextMax = limits::kTextMax;

Json key_json(const Row& key) {
  Json list = Json::array();
  for (const Value& value : key) list.push_back(value_json(value));
  return list;
}

Id128 content_hash(const Checked& checked) {
  Hasher hasher;
  for (const TableSum& table : checked.tables) {
    const std::string line = table.name + "/" + std::to_string(table.rows) + "/" +
                             std::to_string(table.low) + "/" + std::to_string(table.high) + "/";
    hasher.update(as_bytes(line));
  }
  return hasher.digest();
}

// The node's own words for the table, or the table alone.
KeyRange range_told(const Checked& checked, const std::string& table) {
  const auto range = std::find_if(checked.differences.begin(), checked.differences.end(),
                                  [&](const KeyRange& one) { return one.table == table; });
  return range != checked.differences.end() ? *range : KeyRange{table, 0, {}, {}};
}

std::size_t kept_bytes(const Row& key) {
  std::size_t bytes = key.size() * sizeof(Value);
  for (const Value& value : key) {
    if (const auto* const text = std::get_if<Text>(&value)) bytes += text->utf8.size();
    if (const auto* const blob = std::get_if<Bytes>(&value)) bytes += blob->size();
    if (const auto* const text = std::get_if<Text16>(&value)) bytes += 2 * text->units.size();
  }
  return bytes;
}

void judge_tables(const DigestReply& reference, const Checked& checked, NodeVerdict& verdict) {
  std::map<std::string, const TableSum*> theirs;
  for (const TableSum& table : checked.tables) theirs[table.name] = &table;
  std::string unknown;
  for (const TableSum& ours : reference.tables) {
    const auto found = theirs.find(ours.name);
    if (found == theirs.end()) {
      verdict.tables.push_back({ours.name, 0, {}, {}});
    } else if (!ours.known || !found->second->known) {
      unknown += (unknown.empty() ? "" : ", ") + ours.name;
    } else if (TableSum same = *found->second; (same.known = true, same != ours)) {
      verdict.tables.push_back(range_told(checked, ours.name));
    }
  }
  for (const KeyRange& range : checked.differences) {
    // Its file, or its log: no table is called so.
    const bool is_table = std::ranges::any_of(
        reference.tables, [&](const TableSum& ours) { return ours.name == range.table; });
    if (!is_table) verdict.tables.push_back(range);
  }
  verdict.equal = verdict.tables.empty();
  if (unknown.empty()) return;
  if (*verdict.equal) verdict.equal.reset();
  verdict.text += "Not compared, because rows got other keys while they were read: " + unknown +
                  ". Try again when less is written.";
}

}  // namespace

void judge(const DigestReply& reference, const Checked& checked, NodeVerdict& verdict) {
  verdict.text = checked.text.substr(0, kTextMax);
  if (checked.pending > 0) {
    verdict.text = "It has " + std::to_string(checked.pending) + " unsent offline changes.";
    return;
  }
  if (checked.tables.empty()) {
    // A file that cannot be read is no equal one.
    verdict.tables = checked.differences;
    if (!verdict.tables.empty()) verdict.equal = false;
    return;
  }
  if (checked.position != reference.position) {
    verdict.text = "It answered for another position.";
    return;
  }
  verdict.content = content_hash(checked);
  if (checked.fingerprint != reference.fingerprint) {
    verdict.equal = false;
    verdict.text = "Its schema is another than the master's.";
    return;
  }
  judge_tables(reference, checked, verdict);
}

std::size_t shorten(NodeVerdict& verdict, std::size_t room) {
  std::size_t bytes = 0;
  std::vector<KeyRange> told;
  for (KeyRange& range : verdict.tables) {
    const std::size_t name = sizeof(KeyRange) + range.table.size();
    const std::size_t keys = kept_bytes(range.from) + kept_bytes(range.to);
    if (name > room - bytes) {
      verdict.text = "More differs than can be told here. " + verdict.text;
      break;
    }
    const bool fits = keys <= room - bytes - name;
    bytes += name + (fits ? keys : 0);
    told.push_back({std::move(range.table), range.rows, {}, {}});
    if (!fits) continue;
    told.back().from = std::move(range.from);
    told.back().to = std::move(range.to);
  }
  verdict.tables = std::move(told);
  if (verdict.text.size() > kVerdictTextMax) verdict.text.resize(kVerdictTextMax);
  verdict.text.shrink_to_fit();
  return bytes;
}

std::string verdicts_json(const DigestReply& reference, const std::vector<NodeVerdict>& nodes) {
  const Position& position = reference.position;
  Json list = Json::array();
  std::map<Id128, std::size_t> alike;
  std::size_t judged = 0;
  for (const NodeVerdict& node : nodes) {
    Json tables = Json::array();
    for (const KeyRange& range : node.tables) {
      Json table{{"table", range.table}};
      if (range.rows > 0) table["rows"] = range.rows;
      if (!range.from.empty()) table["from"] = key_json(range.from);
      if (!range.to.empty()) table["to"] = key_json(range.to);
      tables.push_back(std::move(table));
    }
    Json one{{"node", to_string(node.node)}, {"hostname", node.hostname}};
    one["equal"] = node.equal ? Json(*node.equal) : Json(nullptr);
    one["tables"] = std::move(tables);
    if (!node.text.empty()) one["text"] = node.text;
    list.push_back(std::move(one));
    if (node.equal) ++judged;
    if (node.equal == false && !node.content.is_zero()) ++alike[node.content];
  }
  Json all{{"position", {{"epoch", to_string(position.epoch)}, {"seq", position.seq.value}}},
           {"nodes", std::move(list)}};
  for (const TableSum& table : reference.tables) all["compared"].push_back(table.name);
  for (const auto& [content, count] : alike) {
    if (count < 2 || 2 * count <= judged) continue;
    all["text"] =
        std::to_string(count) + " of " + std::to_string(judged) +
        " nodes equal each other and differ from the master: perhaps the master's file is "
        "damaged. Compare the rows before anything is repaired.";
  }
  return all.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace csa
