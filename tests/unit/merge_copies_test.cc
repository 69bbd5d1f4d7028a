// Merging the journals of two copies of a node's replica that have entries in common, or come in
// turns.
#include <doctest/doctest.h>

#include <string>

#include "tests/support/away_bench.h"

namespace csa::merge_copies_test {

using namespace away_bench;

namespace {

constexpr const char* kStore =
    "CREATE TABLE account (no TEXT PRIMARY KEY, n INTEGER);"
    "INSERT INTO account VALUES ('x', 100), ('y', 100), ('z', 100);"
    "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT);"
    "CREATE TABLE bin (id INTEGER PRIMARY KEY, part INTEGER REFERENCES part);"
    "CREATE TABLE par (id INTEGER PRIMARY KEY, name TEXT UNIQUE);"
    "CREATE TABLE note (text TEXT);"
    "INSERT INTO part VALUES (1, 'bolt')";

std::string transfer(const std::string& from, const std::string& to) {
  return "UPDATE account SET n = n - 10 WHERE no = '" + from +
         "'; UPDATE account SET n = n + 10 WHERE no = '" + to + "'";
}

struct Copies {
  MergeBench b{kStore, 1};
  MergeBench::Node& node = b.nodes[0];
  MergeBench::Node& copy = b.add_node(node.replica->state().node);
  // Of before the copy.
  void edit_both(const std::string& sql, std::int64_t at_ms) {
    b.edit(node, sql, at_ms);
    b.edit(copy, sql, at_ms);
  }
  void hand_over(MergeBench::Node& of) {
    for (const Replayed& one : b.hand_over(of)) CHECK(is_outcome(one.result));
  }
  std::string parts() {
    return b.text("SELECT group_concat(id || ':' || name) FROM (SELECT * FROM part ORDER BY id)");
  }
};

}  // namespace

TEST_CASE("merge: atomic, copies with one begin, the one's later entries are not the other's") {
  for (const bool restarted : {false, true}) {
    CAPTURE(restarted);
    Copies c;
    set_rules(c.b, {{"account", "", "atomic"}});
    c.edit_both("INSERT INTO note VALUES ('both')", 1000);
    c.b.edit(c.node, transfer("x", "y"), 1100);
    c.b.edit(c.node, "INSERT INTO note VALUES ('one')", 1200);
    c.b.edit(c.copy, "INSERT INTO note VALUES ('another')", 2100);
    c.b.edit(c.copy, transfer("y", "z"), 2200);
    c.b.edit(c.copy, "INSERT INTO note VALUES ('and more')", 2300);
    c.hand_over(c.node);
    if (restarted) c.b.master.open();
    CHECK(fate_of(c.b.hand_over(c.copy)).at(2) == ReplayResult::kSuperseded);
    CHECK(c.b.text("SELECT group_concat(n) FROM account") == "90,110,100");
  }
}

TEST_CASE("merge: copies with one begin, also the second follows to the numbers of that") {
  Copies c;
  (void)c.b.master.write("INSERT INTO part VALUES (2, 'elsewhere')");
  c.edit_both("INSERT INTO part (name) VALUES ('washer')", 1000);
  c.b.edit(c.node, "INSERT INTO note VALUES ('one')", 1100);
  c.b.edit(c.node, "INSERT INTO note VALUES ('two')", 1200);
  c.b.edit(c.copy, "INSERT INTO note VALUES ('another')", 2100);
  c.b.edit(c.copy, "INSERT INTO bin (part) VALUES (2)", 2200);
  c.hand_over(c.node);
  c.hand_over(c.copy);
  CHECK(c.b.text("SELECT part FROM bin") == "3");
}

TEST_CASE("merge: what three copies with one begin have lost of one row is kept apart") {
  Copies c;
  MergeBench::Node& third = c.b.add_node(c.node.replica->state().node);
  set_rules(c.b, {{"account", "", "broker"}});
  c.edit_both("INSERT INTO note VALUES ('both')", 1000);
  c.b.edit(third, "INSERT INTO note VALUES ('both')", 1000);
  std::int64_t n = 0;
  for (MergeBench::Node* const one : {&c.node, &c.copy, &third}) {
    const std::string value = std::to_string(++n);
    c.b.edit(*one, "UPDATE account SET n = " + value + " WHERE no = 'x'", 2000 + n);
  }
  (void)c.b.master.write("UPDATE account SET n = 50 WHERE no = 'x'");
  for (MergeBench::Node* const one : {&c.node, &c.copy, &third}) c.hand_over(*one);
  CHECK(c.b.text("SELECT group_concat(json_extract(node_row, '$.n')) FROM csa_conflicts WHERE"
                 " state = 'open'") == "1,2,3");
}

TEST_CASE("merge: copies in turns, each goes on with its own journal") {
  for (const bool restarted : {false, true}) {
    for (const bool both : {false, true}) {
      CAPTURE(restarted);
      CAPTURE(both);
      Copies c;
      if (both) c.edit_both("INSERT INTO note VALUES ('both')", 900);
      c.b.edit(c.node, "INSERT INTO part (name) VALUES ('A own')", 1000);
      c.b.edit(c.node, "INSERT INTO note VALUES ('A')", 1100);
      c.b.edit(c.copy, "INSERT INTO part (name) VALUES ('B own')", 1500);
      c.b.edit(c.copy, "INSERT INTO note VALUES ('B')", 1600);
      c.hand_over(c.node);
      c.hand_over(c.copy);
      CHECK(c.parts() == "1:bolt,2:A own,3:B own");
      c.b.edit(c.node, "UPDATE part SET name = 'A changed' WHERE id = 2", 2000);
      c.b.edit(c.copy, "UPDATE part SET name = 'B changed' WHERE id = 2", 2100);
      if (restarted) c.b.master.open();
      for (const Replayed& one : c.b.come_back(c.node)) CHECK(one.result == kApplied);
      CHECK(c.parts() == "1:bolt,2:A changed,3:B own");
      for (const Replayed& one : c.b.come_back(c.copy)) CHECK(is_outcome(one.result));
      CHECK(c.parts() == "1:bolt,2:A changed,3:B changed");
      CHECK(c.b.text("SELECT count(*) FROM csa_conflicts") == "0");
    }
  }
}

TEST_CASE("merge: a copy goes on behind what both have, the other one's entry is not its own") {
  Copies c;
  set_rules(c.b, {{"account", "", "atomic"}});
  c.edit_both("INSERT INTO note VALUES ('both')", 1000);
  c.edit_both("INSERT INTO note VALUES ('both')", 1100);
  c.hand_over(c.copy);
  c.b.edit(c.node, transfer("x", "y"), 1200);
  c.hand_over(c.node);
  c.b.edit(c.copy, transfer("y", "z"), 2200);
  CHECK(fate_of(c.b.come_back(c.copy)).back() == ReplayResult::kSuperseded);
  CHECK(c.b.text("SELECT group_concat(n) FROM account") == "90,110,100");
}

TEST_CASE("merge: a copy follows to numbers that the other one's later changes have forgotten") {
  enum class Later { kNextJournal, kAnother, kRestarted };
  for (const Later later : {Later::kNextJournal, Later::kAnother, Later::kRestarted}) {
    CAPTURE(static_cast<int>(later));
    Copies c;
    (void)c.b.master.write("INSERT INTO part VALUES (2, 'elsewhere')");
    c.edit_both("INSERT INTO part (name) VALUES ('washer')", 1000);
    if (later == Later::kAnother) {
      c.b.edit(c.node, "DELETE FROM part WHERE id = 2", 1100);
      c.b.edit(c.node, "INSERT INTO part (name) VALUES ('another')", 1200);
    }
    c.hand_over(c.node);
    CHECK(c.b.catch_up(c.node).empty());
    if (later != Later::kAnother) {
      c.b.edit(c.node, "INSERT INTO note VALUES ('next')", 1300);
      c.hand_over(c.node);
    }
    if (later == Later::kRestarted) c.b.master.open();
    c.b.edit(c.copy, "INSERT INTO note VALUES ('the copy''s')", 2000);
    c.b.edit(c.copy, "INSERT INTO bin (part) VALUES (2)", 2050);
    c.b.edit(c.copy, "UPDATE part SET name = 'washer of the copy' WHERE id = 2", 2100);
    c.hand_over(c.copy);
    CHECK(c.b.text("SELECT name FROM part WHERE id = 2") == "elsewhere");
    if (later == Later::kAnother) {
      CHECK(c.b.text("SELECT count(*) FROM part WHERE name = 'another'") == "1");
      continue;
    }
    CHECK(c.parts() == "1:bolt,2:elsewhere,3:washer of the copy");
    CHECK(c.b.text("SELECT part FROM bin") == "3");
    CHECK(c.b.text("SELECT count(*) FROM csa_conflicts") == "0");
  }
}

TEST_CASE("merge: a copy follows to its own numbers after another one has come in between") {
  for (const bool restarted : {false, true}) {
    for (const bool lost : {false, true}) {
      CAPTURE(restarted);
      CAPTURE(lost);
      Copies c;
      MergeBench::Node& third = c.b.add_node(c.node.replica->state().node);
      (void)c.b.master.write("INSERT INTO part VALUES (2, 'elsewhere')");
      c.b.edit(c.node, "INSERT INTO note VALUES ('A')", 1000);
      c.b.edit(c.copy, "INSERT INTO part (name) VALUES ('B own')", 1500);
      c.b.edit(third, "INSERT INTO note VALUES ('C')", 1600);
      if (lost) c.b.edit(c.copy, "DELETE FROM part WHERE id = 2", 1700);
      for (MergeBench::Node* const one : {&c.node, &c.copy, &third}) c.hand_over(*one);
      if (lost) {
        c.b.edit(c.copy, "INSERT INTO part VALUES (2, 'B chose it')", 2000);
      } else {
        c.b.edit(c.copy, "UPDATE part SET name = 'B changed' WHERE id = 2", 2000);
      }
      if (restarted) c.b.master.open();
      for (const Replayed& one : c.b.come_back(c.copy)) CHECK(is_outcome(one.result));
      CHECK(c.parts() == (lost ? "1:bolt,2:elsewhere" : "1:bolt,2:elsewhere,3:B changed"));
      CHECK((c.b.text("SELECT count(*) FROM csa_conflicts") == "0") == !lost);
    }
  }
}

TEST_CASE("merge: a copy's numbers are in every replica, also where its entry is taken back") {
  for (const bool atomic : {false, true}) {
    CAPTURE(atomic);
    Copies c;
    set_rules(c.b, {{"account", "", "atomic"}});
    MergeBench::Node& third = c.b.add_node(c.node.replica->state().node);
    (void)c.b.master.write("INSERT INTO part VALUES (2, 'elsewhere')");
    c.b.edit(c.node, "INSERT INTO note VALUES ('A')", 1000);
    c.b.edit(c.copy, "INSERT INTO part (name) VALUES ('B own')", 1500);
    c.b.edit(third, "INSERT INTO note VALUES ('C')", 1600);
    for (MergeBench::Node* const one : {&c.node, &c.copy, &third}) c.hand_over(*one);
    if (atomic) {
      (void)c.b.master.write(transfer("x", "y"));
      c.b.edit(c.copy, transfer("y", "z"), 2000);
    } else {
      (void)c.b.master.write("DELETE FROM part WHERE id = 1");
      c.b.edit(c.copy, "INSERT INTO bin (part) VALUES (1)", 2000);
    }
    const Fate fate = fate_of(c.b.come_back(c.copy));
    CHECK(fate.back() == (atomic ? ReplayResult::kSuperseded : kParked));
    CHECK(c.b.text("SELECT count(*) FROM csa_remap WHERE after = 3") == "1");
    CHECK(c.b.master.replay_difference() == "");
  }
}

TEST_CASE("merge: the log tells no more under which number a copy's row is, the outcome may") {
  for (const bool lost : {false, true}) {
    CAPTURE(lost);
    Copies c;
    set_rules(c.b, {{"account", "", "atomic"}});
    (void)c.b.master.write("INSERT INTO part VALUES (2, 'elsewhere')");
    c.edit_both(
        "INSERT INTO part (name) VALUES ('washer');"
        " UPDATE account SET n = 1 WHERE no = 'x'",
        1000);
    if (lost) (void)c.b.master.write("UPDATE account SET n = 2 WHERE no = 'x'");
    c.hand_over(c.node);
    CHECK(c.b.catch_up(c.node).empty());
    c.b.edit(c.node, "INSERT INTO note VALUES ('next')", 1300);
    c.hand_over(c.node);
    c.b.master.options.log_keep = 1000;
    c.b.master.open();
    for (int i = 0; i < 30; ++i) (void)c.b.master.write("UPDATE account SET n = n + 1");
    REQUIRE(c.b.master.ledger->meta().floor > Seq{6});
    c.b.edit(c.copy, "INSERT INTO note VALUES ('the copy''s')", 2000);
    c.b.edit(c.copy, "INSERT INTO bin (part) VALUES (2)", 2100);
    const Fate fate = fate_of(c.b.hand_over(c.copy));
    REQUIRE(fate.size() == 3);
    CHECK(fate[2] == (lost ? kParked : kApplied));
    // Nobody knows which of its numbers the rows had that are not there.
    CHECK(c.b.text("SELECT part FROM bin") == (lost ? "-" : "3"));
  }
}

TEST_CASE("merge: a copy follows to its numbers in a table that a migration has renamed") {
  Copies c;
  (void)c.b.master.write("INSERT INTO part VALUES (2, 'elsewhere')");
  c.b.edit(c.node, "INSERT INTO note VALUES ('one')", 1000);
  c.hand_over(c.node);
  c.b.edit(c.copy, "INSERT INTO part (name) VALUES ('washer')", 1500);
  c.hand_over(c.copy);
  c.b.edit(c.copy, "INSERT INTO bin (part) VALUES (2)", 2000);
  const WriteAnswer done = c.b.master.run(c.b.master.migration("ALTER TABLE part RENAME TO item"));
  REQUIRE(std::holds_alternative<Ack>(done));
  c.hand_over(c.copy);
  CHECK(c.b.text("SELECT group_concat(part) FROM bin") == "3");
}

TEST_CASE("merge: a copy follows to its row that a person has restored meanwhile") {
  Copies c;
  (void)c.b.master.write("INSERT INTO part VALUES (2, 'elsewhere')");
  c.b.edit(c.node, "INSERT INTO note VALUES ('one')", 1000);
  c.hand_over(c.node);
  c.b.edit(c.copy, "INSERT INTO part (name) VALUES ('washer'); INSERT INTO par VALUES (1, 'u')",
           1500);
  (void)c.b.master.write("INSERT INTO par VALUES (2, 'u')");
  c.hand_over(c.copy);
  (void)c.b.master.write("DELETE FROM par");
  CHECK(restore(c.b, "table_name = 'part'") == "");
  c.b.edit(c.copy, "INSERT INTO bin (part) VALUES (2)", 2000);
  (void)c.b.come_back(c.copy);
  CHECK(c.b.text("SELECT group_concat(part) FROM bin") == "3");
}

}  // namespace csa::merge_copies_test
