// One node away while the master goes on, and what became of its transactions: for tests of what is
// parked, split, or loses whole.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/merge_bench.h"

namespace csa::away_bench {

using test::MergeBench;
using Fate = std::vector<ReplayResult>;

inline constexpr ReplayResult kApplied = ReplayResult::kApplied;
inline constexpr ReplayResult kMerged = ReplayResult::kMerged;
inline constexpr ReplayResult kSplit = ReplayResult::kSplit;
inline constexpr ReplayResult kParked = ReplayResult::kParked;

inline constexpr const char* kShop = R"(
  CREATE TABLE item (id INTEGER PRIMARY KEY, code TEXT UNIQUE, name TEXT,
                     stock INTEGER CHECK (stock >= 0));
  CREATE TABLE line (id INTEGER PRIMARY KEY,
                     item INTEGER NOT NULL REFERENCES item ON DELETE CASCADE, pieces INTEGER);
  CREATE TABLE note (text TEXT);
  INSERT INTO item VALUES (1, 'bolt', 'bolt', 10), (2, 'nut', 'nut', 10), (3, 'rod', 'rod', 10);
)";

inline void set_rules(MergeBench& b, std::vector<RuleSetting> settings) {
  const Rules rules{TxId{b.master.node, ++b.master.counter}, std::move(settings), false};
  REQUIRE(std::holds_alternative<Ack>(b.master.run({rules, "desk", 1})));
}

inline Fate fate_of(const std::vector<Replayed>& outcomes) {
  Fate fate;
  for (const Replayed& one : outcomes) fate.push_back(one.result);
  return fate;
}

// The refusal; empty: restored.
inline std::string restore(MergeBench& b, const std::string& where) {
  const std::string id =
      b.text("SELECT id FROM csa_conflicts WHERE state = 'open' AND " + where + " ORDER BY id");
  REQUIRE(id != "-");
  const Conflict request{TxId{b.master.node, ++b.master.counter}, std::stoll(id),
                         ConflictVerb::kRestore};
  const WriteAnswer done = b.master.run({request, "desk", 9});
  const auto* const nack = std::get_if<Nack>(&done);
  return nack == nullptr ? std::string() : nack->message;
}

// One node edits while it is away, the master too; what became of the node's transactions.
struct Away {
  explicit Away(const std::string& schema = kShop) : b(schema, 0) {}
  Fate run(const std::vector<std::string>& node, const std::vector<std::string>& master) {
    if (b.nodes.empty()) b.add_node();
    std::int64_t at = 0;
    for (const std::string& sql : node) b.edit(b.nodes[0], sql, ++at);
    for (const std::string& sql : master) {
      const WriteAnswer done = b.master.write(sql);
      const auto* const nack = std::get_if<Nack>(&done);
      REQUIRE_MESSAGE(nack == nullptr, nack->message);
    }
    Fate fate;
    for (const Replayed& outcome : b.hand_over(b.nodes[0])) {
      fate.push_back(outcome.result);
      reasons.push_back(outcome.text);
    }
    CHECK(b.catch_up(b.nodes[0]) == "");
    CHECK(b.text("PRAGMA foreign_key_check") == "-");
    CHECK(b.text("PRAGMA integrity_check") == "ok");
    return fate;
  }
  void reason(std::size_t entry, const std::string& word) const {
    CHECK_MESSAGE(reasons.at(entry).find(word) != std::string::npos, reasons.at(entry));
  }
  MergeBench b;
  std::vector<std::string> reasons;
};

}  // namespace csa::away_bench
