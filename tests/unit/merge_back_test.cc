// Rows that one node deletes and others change: by `merge` they come back, once, whoever returns
// first.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "tests/support/merge_bench.h"

namespace csa::merge_back_test {
namespace {

using test::MergeBench;

constexpr const char* kSchema = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, a TEXT, b TEXT, n INTEGER);
  CREATE TABLE tag (x INTEGER, k TEXT, a TEXT, b TEXT, PRIMARY KEY (x, k));
  INSERT INTO part VALUES (1, 'a', 'b', 10);
  INSERT INTO tag VALUES (NULL, 'one', 'a', 'b'), (NULL, 'two', 'a', 'b');
)";

struct Edited {
  std::size_t node = 0;
  const char* sql = "";
};

// At times in their order, by two nodes or three; what `query` finds in the end.
void check_orders(const std::vector<Edited>& edits, const char* query, const char* expected) {
  std::size_t count = 0;
  for (const Edited& edit : edits) count = std::max(count, edit.node + 1);
  std::vector<std::size_t> order;
  for (std::size_t node = 0; node < count; ++node) order.push_back(node);
  do {
    MergeBench b(kSchema, 0);
    const std::vector<RuleSetting> settings = {
        {"part", "", "merge"}, {"tag", "", "merge"}, {"part", "n", "sum"}};
    const Rules rules{TxId{b.master.node, ++b.master.counter}, settings, false};
    REQUIRE(std::holds_alternative<Ack>(b.master.run({rules, "desk", 1})));
    for (std::size_t node = 0; node < count; ++node) b.add_node();
    std::int64_t at = 0;
    for (const Edited& edit : edits) b.edit(b.nodes[edit.node], edit.sql, ++at);
    for (const std::size_t node : order) (void)b.hand_over(b.nodes[node]);
    CAPTURE(order[0]);
    CHECK(b.text(query) == expected);
    for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
  } while (std::ranges::next_permutation(order).found);
}

}  // namespace

TEST_CASE("merge: a row with a NULL in its key, deleted and changed by two, comes back once") {
  check_orders({{0, "DELETE FROM tag WHERE k = 'one'"},
                {1, "UPDATE tag SET a = 'second' WHERE k = 'one'"},
                {2, "UPDATE tag SET b = 'third' WHERE k = 'one'"}},
               "SELECT group_concat(k || a || b) FROM tag WHERE k = 'one'", "onesecondthird");
}

TEST_CASE("merge: a new row with a NULL in its key is none that was deleted") {
  check_orders({{0, "DELETE FROM tag WHERE k = 'two'"},
                {1, "INSERT INTO tag VALUES (NULL, 'new', 'a', 'b')"},
                {2, "UPDATE tag SET a = 'changed' WHERE k = 'two'"}},
               "SELECT group_concat(k || a, ' ') FROM (SELECT * FROM tag ORDER BY k)",
               "newa onea twochanged");
}

TEST_CASE("merge: a row that both sides changed and deleted stays, for both to see") {
  check_orders({{0, "UPDATE part SET a = 'first' WHERE id = 1"},
                {1, "UPDATE part SET a = 'second' WHERE id = 1"},
                {0, "DELETE FROM part WHERE id = 1"},
                {1, "DELETE FROM part WHERE id = 1"}},
               "SELECT a FROM part WHERE id = 1", "second");
}

TEST_CASE("merge: a key that one made and deleted and another made too, later edits find it") {
  check_orders({{0, "INSERT INTO part VALUES (7, 'x', 'x', 1)"},
                {1, "INSERT INTO part VALUES (7, 'y', 'y', 2)"},
                {0, "DELETE FROM part WHERE id = 7"},
                {1, "UPDATE part SET n = n - 9 WHERE id = 7"}},
               "SELECT a || n FROM part WHERE id = 7", "y-6");
}

}  // namespace csa::merge_back_test
