// The end does not depend on who comes back first: offline edits of three nodes, by seed, handed
// over in every order.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <random>

#include "tests/support/cases.h"
#include "tests/support/merge_bench.h"

namespace csa::merge_order_test {
namespace {

using test::MergeBench;

constexpr const char* kSchema = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, a TEXT, b TEXT, w TEXT, n INTEGER, hi INTEGER,
                     lo INTEGER);
  INSERT INTO part VALUES (1, 'a', 'b', 'w', 100, 50, 50), (2, 'a', 'b', 'w', 100, 50, 50);
)";

struct Edited {
  std::string sql;
  std::int64_t at = 0;
};
using Plan = std::array<std::vector<Edited>, 3>;  // by node

struct Case {
  std::vector<RuleSetting> rules;
  Plan plan;
};

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  std::int64_t roll(std::int64_t sides) {
    return std::uniform_int_distribution<std::int64_t>(0, sides - 1)(engine_);
  }

 private:
  std::mt19937_64 engine_;
};

// Few values, so that nodes agree by chance, and put back what they changed.
std::string random_edit(Dice& dice, bool deletes, const std::string& own) {
  const std::string id = dice.roll(4) == 0 ? "7" : std::to_string(1 + dice.roll(2));
  const std::string value = dice.roll(3) == 0 ? "'a'" : "'" + std::to_string(dice.roll(3)) + "'";
  const std::string number = std::to_string(1 + dice.roll(9));
  switch (dice.roll(deletes ? 7 : 5)) {
    case 0:
      return "UPDATE part SET a = " + value + " WHERE id = " + id;
    case 1:
      return "UPDATE part SET b = " + value + ", w = " + value + " WHERE id = " + id;
    case 2:
      return "INSERT OR IGNORE INTO part VALUES (7, " + value + ", '" + own + "', '" + own + "', " +
             number + ", 1, 1)";
    case 3:
      return "UPDATE part SET hi = hi + " + number + ", lo = lo - " + number + " WHERE id = " + id;
    case 4:
      return "UPDATE part SET n = n - " + number + " WHERE id = " + id;
    default:
      return "DELETE FROM part WHERE id = " + id;
  }
}

Case random_case(std::uint64_t seed) {
  Dice dice(seed);
  Case result;
  const bool deletes = dice.roll(2) == 0;
  const bool merge = dice.roll(2) == 0;
  result.rules.push_back({"part", "", merge ? "merge" : "newest"});
  // By `newest`, a row that is gone takes with it what was counted.
  if (!deletes || (merge && dice.roll(2) == 0)) {
    for (const auto& [column, rule] : {std::pair("n", "sum"), std::pair("hi", "max"),
                                       std::pair("lo", "min"), std::pair("w", "newest")}) {
      result.rules.push_back({"part", column, rule});
    }
  }
  for (std::size_t node = 0; node < result.plan.size(); ++node) {
    std::int64_t at = 0;
    const std::int64_t count = 1 + dice.roll(3);
    for (std::int64_t i = 0; i < count; ++i) {
      at += dice.roll(4);
      std::string own(1, static_cast<char>('x' + node));
      if (i > 0) own += std::to_string(i);
      result.plan[node].push_back({random_edit(dice, deletes, own), at});
    }
  }
  return result;
}

// The rows in the end.
std::string outcome_of(const Case& one, const std::array<std::size_t, 3>& order,
                       const std::array<Id128, 3>& ids) {
  MergeBench b(kSchema, 0);
  const Rules rules{TxId{b.master.node, ++b.master.counter}, one.rules, false};
  CHECK(std::holds_alternative<Ack>(b.master.run({rules, "desk", 1})));
  for (const Id128& id : ids) b.add_node(NodeId{id});
  for (std::size_t i = 0; i < 3; ++i) {
    for (const Edited& edit : one.plan[i]) b.edit(b.nodes[i], edit.sql, edit.at);
  }
  for (const std::size_t i : order) {
    for (const Replayed& outcome : b.hand_over(b.nodes[i])) {
      CHECK_MESSAGE(outcome.result != ReplayResult::kParked, outcome.text);
    }
  }
  for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
  return b.text(
      "SELECT group_concat(id || a || b || w || ',' || n || ',' || hi || ',' || lo, ' ')"
      " FROM (SELECT * FROM part ORDER BY id)");
}

std::string described(const Case& one) {
  std::string text;
  for (const RuleSetting& rule : one.rules) text += rule.column + " " + rule.rule + ", ";
  text += "\n";
  for (std::size_t i = 0; i < one.plan.size(); ++i) {
    for (const Edited& edit : one.plan[i]) {
      text +=
          "node " + std::to_string(i) + " at " + std::to_string(edit.at) + ": " + edit.sql + "\n";
    }
  }
  return text;
}

void check_orders(const Case& one) {
  const std::string what = described(one);
  CAPTURE(what);
  std::array<Id128, 3> ids{};
  for (std::size_t i = 0; i < 3; ++i) ids[i].bytes[0] = static_cast<std::uint8_t>(i + 1);
  std::array<std::size_t, 3> order{0, 1, 2};
  const std::string first = outcome_of(one, order, ids);
  while (std::ranges::next_permutation(order).found) {
    CAPTURE(order[0]);
    CAPTURE(order[1]);
    CHECK(outcome_of(one, order, ids) == first);
  }
}

}  // namespace

TEST_CASE("merge: random edits of three nodes, the same rows in whichever order they return") {
  const char* const more = std::getenv("CSA_SEEDS");
  const std::uint64_t seeds = more == nullptr ? test::cases(12) : std::strtoull(more, nullptr, 10);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    CAPTURE(seed);
    check_orders(random_case(seed));
  }
}

namespace {

void set_rules(MergeBench& b, std::vector<RuleSetting> settings) {
  const Rules rules{TxId{b.master.node, ++b.master.counter}, std::move(settings), false};
  REQUIRE(std::holds_alternative<Ack>(b.master.run({rules, "desk", 1})));
}

void restore(MergeBench& b, std::int64_t id, ConflictVerb verb = ConflictVerb::kRestore) {
  const Conflict request{TxId{b.master.node, ++b.master.counter}, id, verb};
  const WriteAnswer done = b.master.run({request, "desk", 9});
  const auto* const nack = std::get_if<Nack>(&done);
  CHECK_MESSAGE(nack == nullptr, nack->message);
}

}  // namespace

TEST_CASE("merge: manual leaves the row to a person, and counts on both sides all the same") {
  MergeBench b(kSchema, 0);
  set_rules(b, {{"part", "", "manual"}, {"part", "n", "sum"}});
  b.add_node();
  b.edit(b.nodes[0], "UPDATE part SET a = 'node', n = n - 3 WHERE id = 1", 5);
  b.master.write("UPDATE part SET a = 'master', n = n - 4 WHERE id = 1");
  CHECK(b.hand_over(b.nodes[0])[0].result == ReplayResult::kSplit);
  CHECK(b.text("SELECT a || n FROM part WHERE id = 1") == "master93");
  // Put back, the loser does not bring its own count with it.
  b.master.write("UPDATE part SET n = n - 10 WHERE id = 1");
  restore(b, 1);
  CHECK(b.text("SELECT a || n FROM part WHERE id = 1") == "node83");
  CHECK(b.catch_up(b.nodes[0]) == "");
}

TEST_CASE("merge: a row of a parked transaction that is restored alone is counted then") {
  MergeBench b(
      "CREATE TABLE part (id INTEGER PRIMARY KEY, a TEXT, n INTEGER);"
      "CREATE TABLE tag (name TEXT UNIQUE, who TEXT);"
      "INSERT INTO part VALUES (1, 'a', 100)",
      0);
  set_rules(b, {{"part", "n", "sum"}});
  b.add_node();
  b.edit(b.nodes[0], "INSERT INTO tag VALUES ('red', 'node'); UPDATE part SET n = n - 3", 5);
  b.master.write("INSERT INTO tag VALUES ('red', 'master')");
  b.master.write("UPDATE part SET n = n - 4");
  CHECK(b.hand_over(b.nodes[0])[0].result == ReplayResult::kParked);
  CHECK(b.text("SELECT n FROM part") == "96");
  restore(b, std::stoll(b.text("SELECT id FROM csa_conflicts WHERE table_name = 'part'")),
          ConflictVerb::kRestoreRow);
  CHECK(b.text("SELECT n FROM part") == "93");
}

TEST_CASE("merge: a value that was put back was edited, whoever comes first") {
  for (const std::string rule : {"newest", "merge"}) {
    for (const std::size_t first : {std::size_t{0}, std::size_t{1}}) {
      CAPTURE(rule);
      CAPTURE(first);
      MergeBench b(kSchema, 0);
      set_rules(b, {{"part", "", rule}, {"part", "hi", "max"}});
      b.add_node();
      b.add_node();
      b.edit(b.nodes[0], "UPDATE part SET a = 'other', hi = 60 WHERE id = 1", 1);
      b.edit(b.nodes[0], "UPDATE part SET a = 'a', hi = 50 WHERE id = 1", 3);
      b.edit(b.nodes[1], "UPDATE part SET a = 'late', hi = 40 WHERE id = 1", 2);
      for (const std::size_t i : {first, 1 - first}) (void)b.hand_over(b.nodes[i]);
      CHECK(b.text("SELECT a FROM part WHERE id = 1") == "a");
      CHECK(b.text("SELECT count(*) > 0 FROM csa_conflicts WHERE node_row LIKE '%late%' OR broker"
                   " LIKE '%late%'") == "1");
      for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
    }
  }
}

TEST_CASE("merge: a row that was made and deleted again was deleted, whoever comes first") {
  for (const std::size_t first : {std::size_t{0}, std::size_t{1}}) {
    CAPTURE(first);
    MergeBench b(kSchema, 2);
    b.edit(b.nodes[0], "INSERT INTO part VALUES (7, 'x', 'x', 'x', 1, 1, 1)", 1);
    b.edit(b.nodes[0], "DELETE FROM part WHERE id = 7", 3);
    b.edit(b.nodes[1], "INSERT INTO part VALUES (7, 'y', 'y', 'y', 2, 2, 2)", 2);
    for (const std::size_t i : {first, 1 - first}) (void)b.hand_over(b.nodes[i]);
    CHECK(b.text("SELECT count(*) FROM part WHERE id = 7") == "0");
    CHECK(b.text("SELECT count(*) > 0 FROM csa_conflicts WHERE node_row LIKE '%y%' OR broker"
                 " LIKE '%y%'") == "1");
    for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
  }
}

TEST_CASE("merge: a row that came back is the same row to whoever edited it before") {
  MergeBench b(kSchema, 3);
  b.edit(b.nodes[0], "DELETE FROM part WHERE id = 1", 5);
  b.edit(b.nodes[1], "UPDATE part SET a = 'back' WHERE id = 1", 7);
  b.edit(b.nodes[2], "UPDATE part SET a = 'later' WHERE id = 1", 9);
  for (MergeBench::Node& node : b.nodes) (void)b.hand_over(node);
  CHECK(b.text("SELECT a FROM part WHERE id = 1") == "later");
  CHECK(b.text("SELECT count(*) FROM csa_touch") == "0");
  for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
}

TEST_CASE("merge: a row that was restored is the same row to whoever edited it before") {
  MergeBench b(kSchema, 3);
  b.edit(b.nodes[0], "UPDATE part SET a = 'first' WHERE id = 1", 5);
  b.edit(b.nodes[1], "DELETE FROM part WHERE id = 1", 7);
  b.edit(b.nodes[2], "UPDATE part SET a = 'second' WHERE id = 1", 8);
  (void)b.hand_over(b.nodes[0]);
  (void)b.hand_over(b.nodes[1]);
  REQUIRE(b.text("SELECT count(*) FROM part WHERE id = 1") == "0");
  restore(b, std::stoll(b.text("SELECT id FROM csa_conflicts WHERE broker LIKE '%first%'")));
  CHECK(b.text("SELECT a FROM part WHERE id = 1") == "first");
  set_rules(b, {{"part", "", "node"}});
  CHECK(b.hand_over(b.nodes[2])[0].result == ReplayResult::kApplied);
  CHECK(b.text("SELECT a FROM part WHERE id = 1") == "second");
  CHECK(b.text("SELECT count(*) FROM csa_touch") == "0");
  for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
}

TEST_CASE("merge: a key that was deleted and given to another row is another row") {
  MergeBench b(kSchema, 1);
  b.edit(b.nodes[0], "UPDATE part SET a = 'old' WHERE id = 1", 1'000'000'000'000'000);
  b.master.write("DELETE FROM part WHERE id = 1");
  b.master.write("INSERT INTO part VALUES (1, 'new', 'b', 'w', 0, 0, 0)");
  CHECK(b.hand_over(b.nodes[0])[0].result == ReplayResult::kSuperseded);
  CHECK(b.text("SELECT a FROM part WHERE id = 1") == "new");
  CHECK(b.text("SELECT count(*) FROM csa_conflicts WHERE reason LIKE '%another row%'") == "1");
}

}  // namespace csa::merge_order_test
