// Rows that get another key at one node while others edit them under the old one.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/merge_bench.h"

namespace csa::merge_move_test {
namespace {

using test::MergeBench;

constexpr const char* kSchema = R"(
  CREATE TABLE part (code TEXT PRIMARY KEY, a TEXT, b TEXT, n INTEGER);
  CREATE TABLE item (id INTEGER PRIMARY KEY, a TEXT, b TEXT, n INTEGER);
  CREATE TABLE pair (x INTEGER, y TEXT, a TEXT, b TEXT, PRIMARY KEY (x, y)) WITHOUT ROWID;
  CREATE TABLE tag (x INTEGER, k TEXT, a TEXT, PRIMARY KEY (x, k));
  INSERT INTO part VALUES ('K', 'a', 'b', 10), ('other', 'a', 'b', 10);
  INSERT INTO item VALUES (7, 'a', 'b', 10);
  INSERT INTO pair VALUES (1, 'k', 'a', 'b');
  INSERT INTO tag VALUES (NULL, 'k', 'a');
)";

void set_rules(MergeBench& b, std::vector<RuleSetting> settings) {
  const Rules rules{TxId{b.master.node, ++b.master.counter}, std::move(settings), false};
  REQUIRE(std::holds_alternative<Ack>(b.master.run({rules, "desk", 1})));
}

struct Edited {
  std::size_t node = 0;
  const char* sql = "";
};

// At times in their order, by two nodes or three, who return in every order; the broker may be
// restarted between any two transactions.
void check_orders(const std::string& rule, const std::vector<Edited>& edits, const char* query,
                  const char* expected, const char* lost = nullptr) {
  std::size_t count = 0;
  for (const Edited& edit : edits) count = std::max(count, edit.node + 1);
  std::vector<std::size_t> order;
  for (std::size_t node = 0; node < count; ++node) order.push_back(node);
  do {
    MergeBench b(kSchema, 0);
    set_rules(b, {{"part", "", rule},
                  {"item", "", rule},
                  {"pair", "", rule},
                  {"tag", "", rule},
                  {"part", "n", "sum"},
                  {"item", "n", "sum"}});
    for (std::size_t node = 0; node < count; ++node) b.add_node();
    std::int64_t at = 0;
    for (const Edited& edit : edits) b.edit(b.nodes[edit.node], edit.sql, ++at);
    for (const std::size_t node : order) {
      (void)b.hand_over(b.nodes[node]);
      b.master.open();
    }
    CAPTURE(order[0]);
    CHECK(b.text(query) == expected);
    if (lost != nullptr) {
      const std::string like = " LIKE '%" + std::string(lost) + "%'";
      CHECK(b.text("SELECT count(*) > 0 FROM csa_conflicts WHERE node_row" + like + " OR broker" +
                   like) == "1");
    }
    for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
  } while (std::ranges::next_permutation(order).found);
}

constexpr const char* kParts =
    "SELECT group_concat(code || a || b || n, ' ') FROM (SELECT * FROM part WHERE code <> 'other'"
    " ORDER BY code)";

}  // namespace

TEST_CASE("merge: a row gets another key, an edit under the old one finds it") {
  check_orders("merge",
               {{0, "UPDATE part SET code = 'Z', n = n + 1 WHERE code = 'K'"},
                {1, "UPDATE part SET a = 'second', n = n + 2 WHERE code = 'K'"},
                {0, "UPDATE part SET b = 'first', n = n + 4 WHERE code = 'Z'"},
                {1, "UPDATE part SET n = n + 8 WHERE code = 'K'"}},
               kParts, "Zsecondfirst25");
  check_orders("merge",
               {{0, "UPDATE item SET id = 70 WHERE id = 7"},
                {1, "UPDATE item SET a = 'second', n = n + 2 WHERE id = 7"}},
               "SELECT group_concat(id || a || n) FROM item", "70second12");
  check_orders("merge",
               {{1, "UPDATE pair SET b = 'second' WHERE x = 1"},
                {0, "UPDATE pair SET y = 'z' WHERE x = 1"},
                {2, "UPDATE pair SET a = 'third' WHERE x = 1"}},
               "SELECT group_concat(x || y || a || b) FROM pair", "1zthirdsecond");
  check_orders(
      "merge",
      {{0, "UPDATE tag SET x = 5 WHERE k = 'k'"}, {1, "UPDATE tag SET a = 'second' WHERE k = 'k'"}},
      "SELECT group_concat(ifnull(x, '-') || a) FROM tag", "5second");
}

TEST_CASE("merge: by newest the later of a change of key and an edit is the row, whole") {
  check_orders("newest",
               {{0, "UPDATE part SET code = 'Z' WHERE code = 'K'"},
                {1, "UPDATE part SET a = 'second' WHERE code = 'K'"}},
               kParts, "Ksecondb10", "Z");
  check_orders("newest",
               {{1, "UPDATE part SET a = 'second' WHERE code = 'K'"},
                {0, "UPDATE part SET code = 'Z' WHERE code = 'K'"}},
               kParts, "Zab10", "second");
}

TEST_CASE("merge: two give one row two keys, the later wins, what follows finds it") {
  for (const std::string rule : {"newest", "merge"}) {
    check_orders(rule,
                 {{0, "UPDATE part SET code = 'Y' WHERE code = 'K'"},
                  {1, "UPDATE part SET code = 'Z' WHERE code = 'K'"},
                  {0, "UPDATE part SET n = n - 3 WHERE code = 'Y'"},
                  {2, "UPDATE part SET n = n - 4 WHERE code = 'K'"}},
                 kParts, "Zab3", "Y");
  }
}

TEST_CASE("merge: a change of key loses, later edits under the new key are the old row's") {
  check_orders("newest",
               {{0, "UPDATE part SET code = 'Z' WHERE code = 'K'"},
                {1, "UPDATE part SET a = 'second' WHERE code = 'K'"},
                {0, "UPDATE part SET b = 'first' WHERE code = 'Z'"},
                {0, "UPDATE part SET b = 'first!' WHERE code = 'Z'"}},
               kParts, "Zafirst!10", "second");
  check_orders("broker",
               {{0, "UPDATE part SET code = 'Z' WHERE code = 'K'"},
                {0, "UPDATE part SET n = n + 1 WHERE code = 'Z'"}},
               kParts, "Zab11");
}

TEST_CASE("merge: who has changed the key edits on, others' later edit of before is still later") {
  check_orders("merge",
               {{0, "UPDATE part SET code = 'Z' WHERE code = 'K'"},
                {0, "UPDATE part SET a = 'first' WHERE code = 'Z'"},
                {1, "UPDATE part SET a = 'second' WHERE code = 'K'"},
                {1, "UPDATE part SET b = 'second' WHERE code = 'K'"}},
               kParts, "Zsecondsecond10", "first");
  check_orders("newest",
               {{0, "UPDATE part SET code = 'Y' WHERE code = 'K'"},
                {1, "UPDATE part SET b = 'second' WHERE code = 'K'"},
                {1, "UPDATE part SET a = 'second' WHERE code = 'K'"},
                {0, "UPDATE part SET code = 'Z' WHERE code = 'Y'"},
                {0, "UPDATE part SET b = 'first' WHERE code = 'Z'"},
                {1, "UPDATE part SET b = 'last' WHERE code = 'K'"}},
               kParts, "Ksecondlast10", "Z");
}

TEST_CASE("merge: a change of key was undone by others, replacing the row under it finds it") {
  for (const bool restarted : {false, true}) {
    for (const char* const theirs :
         {"UPDATE part SET a = 'theirs' WHERE code = 'K'",
          "DELETE FROM part WHERE code = 'K'; INSERT INTO part VALUES ('K', 'theirs', 'b', 10)",
          "INSERT OR REPLACE INTO part VALUES ('K', 'theirs', 'b', 10)"}) {
      for (const char* const own : {"UPDATE part SET n = n - 7 WHERE code = 'Z'",
                                    "INSERT OR REPLACE INTO part VALUES ('Z', 'a', 'b', 3)"}) {
        CAPTURE(std::string(theirs));
        CAPTURE(std::string(own));
        CAPTURE(restarted);
        MergeBench b(kSchema, 0);
        set_rules(b, {{"part", "", "newest"}, {"part", "n", "sum"}});
        for (int node = 0; node < 3; ++node) b.add_node();
        b.edit(b.nodes[0], "UPDATE part SET code = 'Z' WHERE code = 'K'", 1);
        (void)b.hand_over(b.nodes[0]);
        b.edit(b.nodes[1], theirs, 2);
        b.edit(b.nodes[0], own, 3);
        b.edit(b.nodes[2], "INSERT OR REPLACE INTO part VALUES ('K', 'a', 'b', 4)", 4);
        (void)b.hand_over(b.nodes[1]);
        (void)b.hand_over(b.nodes[2]);
        if (restarted) b.master.open();
        (void)b.hand_over(b.nodes[0]);
        CHECK(b.text(kParts) == "Ktheirsb-3");
      }
    }
  }
}

TEST_CASE("merge: a row got another key and was deleted under it, others' edit is told so") {
  check_orders("newest",
               {{1, "UPDATE part SET a = 'second' WHERE code = 'K'"},
                {0, "UPDATE part SET code = 'Z' WHERE code = 'K'"},
                {0, "DELETE FROM part WHERE code = 'Z'"}},
               "SELECT count(*) FROM part", "1", "second");
}

TEST_CASE("merge: the old key is another row's by now, an edit of before goes with the row") {
  check_orders("merge",
               {{0, "UPDATE part SET code = 'Z' WHERE code = 'K'"},
                {0, "INSERT INTO part VALUES ('K', 'new', 'new', 1)"},
                {0, "UPDATE part SET b = 'newer' WHERE code = 'K'"},
                {1, "UPDATE part SET a = 'second' WHERE code = 'K'"}},
               kParts, "Knewnewer1 Zsecondb10");
}

TEST_CASE("merge: two insert a key of their choice, one changes it then, they are one row") {
  check_orders("merge",
               {{0, "INSERT INTO part VALUES ('7', 'first', 'b', 1)"},
                {1, "INSERT INTO part VALUES ('7', 'second', 'b', 2)"},
                {0, "UPDATE part SET code = '8' WHERE code = '7'"},
                {0, "UPDATE part SET code = '9' WHERE code = '8'"}},
               "SELECT group_concat(code || a || n) FROM part WHERE code < 'A'", "9second3",
               "first");
}

TEST_CASE("merge: a change of key to one that is taken, parked, and edits under it with it") {
  MergeBench b(kSchema, 1);
  b.edit(b.nodes[0], "UPDATE part SET code = 'Z' WHERE code = 'K'", 1);
  b.edit(b.nodes[0], "UPDATE part SET a = 'mine' WHERE code = 'Z'", 2);
  b.edit(b.nodes[0], "UPDATE part SET a = 'mine' WHERE code = 'other'", 3);
  b.master.write("INSERT INTO part VALUES ('Z', 'theirs', 'b', 1)");
  const std::vector<Replayed> fates = b.hand_over(b.nodes[0]);
  CHECK(fates[0].result == ReplayResult::kParked);
  CHECK(fates[1].result == ReplayResult::kParked);
  CHECK(fates[2].result == ReplayResult::kApplied);
  CHECK(b.text(kParts) == "Kab10 Ztheirsb1");
  CHECK(b.text("SELECT count(*) FROM csa_conflicts") == "1");
  CHECK(b.text("SELECT node_row FROM csa_conflicts") ==
        R"({"code":"Z","a":"mine","b":"b","n":10})");
  CHECK(b.catch_up(b.nodes[0]) == "");
}

}  // namespace csa::merge_move_test
