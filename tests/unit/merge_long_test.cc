// A row that every transaction of long journals changes, as the counters of a shop's day are.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "tests/support/cases.h"
#include "tests/support/merge_bench.h"

namespace csa::merge_long_test {
namespace {

using test::MergeBench;

constexpr std::size_t kNodes = 3;
constexpr std::int64_t kEdits = 60;

struct Stroke {
  std::size_t node = 0;
  std::int64_t at = 0;
};

// Every node's edits in its own order, everybody's in between.
std::vector<Stroke> strokes(std::uint64_t seed) {
  std::vector<Stroke> all;
  for (std::size_t node = 0; node < kNodes; ++node) all.insert(all.end(), kEdits, {node, 0});
  std::mt19937_64 engine(seed);
  std::ranges::shuffle(all, engine);
  for (std::size_t i = 0; i < all.size(); ++i) all[i].at = static_cast<std::int64_t>(10 * i);
  return all;
}

std::string value_of(const Stroke& stroke) {
  return std::to_string(stroke.node) + "-" + std::to_string(stroke.at);
}

void check_order(const std::vector<Stroke>& all, const std::vector<std::size_t>& order) {
  MergeBench b(
      "CREATE TABLE part (id INTEGER PRIMARY KEY, a TEXT, n INTEGER);"
      "INSERT INTO part VALUES (1, 'a', 1000), (2, 'a', 1000)",
      0);
  const Rules rules{TxId{b.master.node, ++b.master.counter},
                    {{"part", "", "merge"}, {"part", "n", "sum"}},
                    false};
  REQUIRE(std::holds_alternative<Ack>(b.master.run({rules, "desk", 1})));
  for (std::size_t i = 0; i < kNodes; ++i) b.add_node();
  for (const Stroke& stroke : all) {
    b.edit(b.nodes[stroke.node],
           "UPDATE part SET a = '" + value_of(stroke) + "', n = n - 1 WHERE id = 1", stroke.at);
  }
  for (const std::size_t i : order) (void)b.hand_over(b.nodes[i]);
  CHECK(b.text("SELECT a FROM part WHERE id = 1") == value_of(all.back()));
  CHECK(b.text("SELECT n FROM part WHERE id = 1") ==
        std::to_string(1000 - static_cast<std::int64_t>(kNodes) * kEdits));
  CHECK(b.text("SELECT a || n FROM part WHERE id = 2") == "a1000");
  // Whatever was not the last: overwritten by its own author, or in the inbox.
  for (std::size_t i = 0; i + 1 < all.size(); ++i) {
    const auto later = [&](const Stroke& other) {
      return other.node == all[i].node && other.at > all[i].at;
    };
    if (std::ranges::any_of(all, later)) continue;
    const std::string value = value_of(all[i]);
    CAPTURE(value);
    CHECK(b.text("SELECT count(*) > 0 FROM csa_conflicts WHERE instr(broker, '\"" + value +
                 "\"') + instr(node_row, '\"" + value + "\"') > 0") == "1");
  }
  for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
}

}  // namespace

TEST_CASE("merge: a row that all transactions of three journals change, the latest edit stays") {
  for (std::uint64_t seed = 1; seed <= test::cases(3); ++seed) {
    CAPTURE(seed);
    const std::vector<Stroke> all = strokes(seed);
    check_order(all, {0, 1, 2});
    check_order(all, {2, 0, 1});
  }
}

TEST_CASE("ledger: a long merge, its progress is told all the time") {
  MergeBench b("CREATE TABLE part (id INTEGER PRIMARY KEY, a TEXT, n INTEGER)", 0);
  std::size_t told = 0;
  b.master.options.progress = [&told] { ++told; };
  b.master.open();
  MergeBench::Node& node = b.add_node();
  constexpr std::size_t kRows = 20000;
  b.edit(node,
         "WITH RECURSIVE one (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM one LIMIT " +
             std::to_string(kRows) + ") INSERT INTO part SELECT i, 'x', i FROM one",
         0);
  b.master.write("INSERT INTO part VALUES (100000, 'meanwhile', 1)");
  told = 0;
  CHECK(b.hand_over(node).size() == 1);
  CHECK(b.text("SELECT count(*) FROM part") == std::to_string(kRows + 1));
  CHECK(told > kRows / 1000);
}

}  // namespace csa::merge_long_test
