// Which row a key means: one that was given again is another row, one that a transaction deletes
// and inserts again is the same.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/merge_bench.h"

namespace csa::merge_same_row_test {
namespace {

using test::MergeBench;
using Fate = std::vector<ReplayResult>;

constexpr ReplayResult kApplied = ReplayResult::kApplied;

void set_rules(MergeBench& b, std::vector<RuleSetting> settings) {
  const Rules rules{TxId{b.master.node, ++b.master.counter}, std::move(settings), false};
  REQUIRE(std::holds_alternative<Ack>(b.master.run({rules, "desk", 1})));
}

Fate hand_over(MergeBench& b, std::size_t node) {
  Fate fate;
  for (const Replayed& outcome : b.hand_over(b.nodes[node])) fate.push_back(outcome.result);
  return fate;
}

void all_equal(MergeBench& b) {
  for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
}

}  // namespace

TEST_CASE("merge: a row of the node's own, the history of a deleted one with its key is not its") {
  for (const std::string rule : {"newest", "merge"}) {
    CAPTURE(rule);
    MergeBench b(
        "CREATE TABLE job (id INTEGER PRIMARY KEY, tag TEXT, state TEXT);"
        "INSERT INTO job VALUES (1, 'base', 'x')",
        1);
    set_rules(b, {{"job", "", rule}});
    b.edit(b.nodes[0], "INSERT INTO job (tag, state) VALUES ('mine', 'new')", 1);
    b.edit(b.nodes[0], "UPDATE job SET state = 'done' WHERE tag = 'mine'", 2);
    b.edit(b.nodes[0], "INSERT INTO job (tag) VALUES ('short')", 3);
    b.edit(b.nodes[0], "DELETE FROM job WHERE tag = 'short'", 4);
    b.master.write("INSERT INTO job (tag) VALUES ('other'), ('another')");
    b.master.write("DELETE FROM job WHERE id > 1");
    CHECK(hand_over(b, 0) == Fate{kApplied, kApplied, kApplied, kApplied});
    CHECK(b.text("SELECT group_concat(tag || ' ' || state) FROM job") == "base x,mine done");
    all_equal(b);
  }
}

TEST_CASE("merge: rows whose key names a row of the node's own, new as that one is") {
  MergeBench b(
      "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT);"
      "CREATE TABLE staff (id INTEGER PRIMARY KEY REFERENCES person, name TEXT);"
      "CREATE TABLE pay (staff INTEGER REFERENCES staff, no INTEGER, name TEXT,"
      "                  PRIMARY KEY (staff, no));",
      2);
  const std::string person = "INSERT INTO person (name) VALUES ('$')";
  const std::string staff = "INSERT INTO staff SELECT id, name FROM person WHERE name = '$'";
  const std::string pay = "INSERT INTO pay SELECT id, 1, name FROM staff WHERE name = '$'";
  const auto named = [](std::string sql, char name) {
    sql[sql.find('$')] = name;
    return sql;
  };
  // In one transaction, and in one each.
  b.edit(b.nodes[0], named(person, 'a') + ";" + named(staff, 'a') + ";" + named(pay, 'a'), 1);
  for (const std::string& sql : {person, staff, pay}) b.edit(b.nodes[0], named(sql, 'b'), 2);
  b.edit(b.nodes[0], "UPDATE staff SET name = name || '!'; UPDATE pay SET name = name || '!'", 3);
  for (const char name : {'x', 'y', 'z'}) {
    for (const std::string& sql : {person, staff, pay}) b.master.write(named(sql, name));
  }
  b.master.write(
      "DELETE FROM pay WHERE name > 'x'; DELETE FROM staff WHERE name > 'x';"
      "DELETE FROM person WHERE name > 'x'");
  for (const ReplayResult result : hand_over(b, 0)) CHECK(result == kApplied);
  CHECK(b.text("SELECT group_concat(p.name || s.name || y.name) FROM person p JOIN staff s USING"
               " (id) JOIN pay y ON y.staff = s.id") == "xxx,aa!a!,bb!b!");
  CHECK(b.text("SELECT count(*) FROM csa_conflicts") == "0");
  all_equal(b);
}

TEST_CASE("merge: a row that is replaced is the same row, changed, at a node and at the master") {
  const std::vector<std::string> takes = {
      "UPDATE part SET n = n - 3 WHERE k = 'a'",
      "REPLACE INTO part SELECT k, name, n - 3 FROM part WHERE k = 'a'",
      "DELETE FROM part WHERE k = 'a'; INSERT INTO part VALUES ('a', 'bolt', 7)"};
  const std::vector<std::string> names = {
      "UPDATE part SET name = 'rod' WHERE k = 'a'",
      "INSERT OR REPLACE INTO part SELECT k, 'rod', n FROM part WHERE k = 'a'"};
  for (const std::string kind : {"", " WITHOUT ROWID"}) {
    for (std::size_t i = 0; i < takes.size() * takes.size() * names.size(); ++i) {
      CAPTURE(kind);
      CAPTURE(i);
      MergeBench b("CREATE TABLE part (k TEXT PRIMARY KEY, name TEXT, n INTEGER)" + kind +
                       "; INSERT INTO part VALUES ('b', 'nut', 5), ('a', 'bolt', 10)",
                   2);
      set_rules(b, {{"part", "", "merge"}, {"part", "n", "sum"}});
      b.edit(b.nodes[0], takes[i % 3], 1);
      b.edit(b.nodes[1], takes[i / 3 % 3], 2);
      b.master.write(names[i / 9]);
      for (const std::size_t node : {0U, 1U}) (void)hand_over(b, node);
      CHECK(b.text("SELECT name || n FROM part WHERE k = 'a'") == "rod4");
      CHECK(b.text("SELECT count(*) FROM csa_conflicts") == "0");
      all_equal(b);
    }
  }
}

TEST_CASE("merge: a row that is replaced loses to a later change, whoever comes first") {
  for (const std::size_t first : {0U, 1U}) {
    MergeBench b(
        "CREATE TABLE part (id INTEGER PRIMARY KEY, v TEXT);"
        "INSERT INTO part VALUES (1, 'base')",
        2);
    b.edit(b.nodes[0], "REPLACE INTO part VALUES (1, 'early')", 1);
    b.edit(b.nodes[1], "UPDATE part SET v = 'late'", 2);
    for (const std::size_t node : {first, 1 - first}) (void)hand_over(b, node);
    CHECK(b.text("SELECT v FROM part") == "late");
    CHECK(b.text("SELECT base LIKE '%base%' FROM csa_conflicts") == "1");
    all_equal(b);
  }
}

TEST_CASE("merge: rows that are replaced and exchange unique values, as the transaction has it") {
  MergeBench b(
      "CREATE TABLE line (no INTEGER PRIMARY KEY, item TEXT UNIQUE);"
      "INSERT INTO line VALUES (1, 'bolt'), (2, 'nut')",
      1);
  b.edit(b.nodes[0], "DELETE FROM line; INSERT INTO line VALUES (1, 'nut'), (2, 'bolt')", 1);
  CHECK(hand_over(b, 0) == Fate{kApplied});
  CHECK(b.text("SELECT group_concat(item) FROM line") == "nut,bolt");
  all_equal(b);
}

TEST_CASE("merge: a number that SQLite gives again in the same transaction is another row's") {
  MergeBench b(
      "CREATE TABLE part (id INTEGER PRIMARY KEY, v TEXT);"
      "INSERT INTO part VALUES (1, 'base'), (2, 'last')",
      2);
  b.edit(b.nodes[0], "DELETE FROM part WHERE id = 2; INSERT INTO part (v) VALUES ('other')", 1);
  b.edit(b.nodes[1], "UPDATE part SET v = 'changed' WHERE id = 2", 2);
  CHECK(hand_over(b, 0) == Fate{kApplied});
  CHECK(hand_over(b, 1) == Fate{ReplayResult::kSuperseded});
  CHECK(b.text("SELECT v FROM part WHERE id = 2") == "other");
  CHECK(b.text("SELECT count(*) FROM csa_conflicts WHERE reason LIKE '%another row%'") == "1");
  all_equal(b);
}

TEST_CASE("merge: a child of a row whose key is another row's now, parked with that reason") {
  MergeBench b(
      "CREATE TABLE parent (id INTEGER PRIMARY KEY, tag TEXT);"
      "CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent);"
      "INSERT INTO parent VALUES (1, 'first'), (2, 'last'); INSERT INTO child VALUES (1, 1)",
      1);
  b.edit(b.nodes[0], "INSERT INTO child (parent) VALUES (2)", 1);
  b.edit(b.nodes[0], "UPDATE child SET parent = 2 WHERE id = 1", 2);
  b.edit(b.nodes[0], "INSERT INTO child (parent) VALUES (1)", 3);
  b.edit(b.nodes[0],
         "INSERT INTO parent (tag) VALUES ('mine');"
         "INSERT INTO child (parent) VALUES (last_insert_rowid())",
         4);
  b.master.write("DELETE FROM parent WHERE id = 2");
  b.master.write("INSERT INTO parent (tag) VALUES ('stranger')");
  const ReplayResult parked = ReplayResult::kParked;
  CHECK(hand_over(b, 0) == Fate{parked, parked, kApplied, kApplied});
  CHECK(b.text("SELECT count(*) FROM csa_conflicts WHERE reason LIKE"
               " '%was deleted meanwhile, and its key 2 belongs to another row now'") == "2");
  CHECK(b.text("SELECT group_concat(tag) FROM (SELECT tag FROM child c JOIN parent p ON p.id ="
               " c.parent ORDER BY c.id)") == "first,first,mine");
  all_equal(b);
}

}  // namespace csa::merge_same_row_test
