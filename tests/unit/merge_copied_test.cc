// Merging the journal of a copy of a node's replica (a file that was set back or copied): the log
// has edits under its NodeId that it did not know.
#include <doctest/doctest.h>

#include <string>

#include "tests/support/away_bench.h"

namespace csa::merge_copied_test {

using namespace away_bench;

namespace {

constexpr const char* kAccounts =
    "CREATE TABLE account (no TEXT PRIMARY KEY, n INTEGER);"
    "INSERT INTO account VALUES ('x', 100), ('y', 100), ('z', 100);"
    "CREATE TABLE note (text TEXT)";

std::string transfer(const std::string& from, const std::string& to) {
  return "UPDATE account SET n = n - 10 WHERE no = '" + from +
         "'; UPDATE account SET n = n + 10 WHERE no = '" + to + "'";
}

struct Copied {
  MergeBench b{kAccounts, 1};
  MergeBench::Node& node = b.nodes[0];
  MergeBench::Node& copy = b.add_node(node.replica->state().node);
  Copied() { set_rules(b, {{"account", "", "atomic"}}); }
  Fate hand_over(MergeBench::Node& of) { return fate_of(b.hand_over(of)); }
  Fate come_back(MergeBench::Node& of) { return fate_of(b.come_back(of)); }
};

}  // namespace

TEST_CASE(
    "merge: atomic, a copy of the replica does not overwrite a part of what it did not know") {
  Copied c;
  c.b.edit(c.node, transfer("x", "y"), 1000);
  c.b.edit(c.copy, transfer("y", "z"), 2000);
  CHECK(c.hand_over(c.node) == Fate{ReplayResult::kApplied});
  CHECK(c.hand_over(c.copy) == Fate{ReplayResult::kSuperseded});
  CHECK(c.b.text("SELECT group_concat(n) FROM account") == "90,110,100");
  CHECK(c.b.text("SELECT count(*) FROM csa_conflicts WHERE state = 'open'") == "2");
}

TEST_CASE("merge: atomic, nor do a copy's later entries, under TxIds that nobody has used") {
  Copied c;
  c.b.edit(c.node, "INSERT INTO note VALUES ('one')", 1000);
  ++c.node.counter;
  c.b.edit(c.node, transfer("x", "y"), 1100);
  c.b.edit(c.copy, "INSERT INTO note VALUES ('another')", 2000);
  c.b.edit(c.copy, transfer("y", "z"), 2100);
  c.copy.counter += 5;
  c.b.edit(c.copy, transfer("z", "y"), 2200);
  CHECK(c.hand_over(c.node) == Fate{kApplied, kApplied});
  CHECK(c.hand_over(c.copy).size() == 3);
  CHECK(c.b.text("SELECT sum(n) FROM account") == "300");
  CHECK(c.b.text("SELECT n FROM account WHERE no = 'x'") == "90");
  CHECK(c.b.text("SELECT count(*) FROM note") == "2");
}

TEST_CASE("merge: atomic, nor does a copy whose node has confirmed what is under its TxIds") {
  Copied c;
  c.b.edit(c.node, transfer("x", "y"), 1000);
  c.b.edit(c.copy, transfer("y", "z"), 2000);
  CHECK(c.hand_over(c.node) == Fate{kApplied});
  c.b.master.ledger->confirm(c.node.replica->state().node, 1);
  c.b.edit_online(c.node, "INSERT INTO note VALUES ('with it, the confirmation')");
  CHECK(c.hand_over(c.copy) == Fate{ReplayResult::kSuperseded});
  CHECK(c.b.text("SELECT group_concat(n) FROM account") == "90,110,100");
}

TEST_CASE("merge: atomic, nor do a copy's later entries after the broker was started anew") {
  Copied c;
  c.b.edit(c.node, "INSERT INTO note VALUES ('one')", 1000);
  c.b.edit(c.node, transfer("x", "y"), 1100);
  for (std::int64_t n = 0; n < 3; ++n) c.b.edit(c.copy, "INSERT INTO note VALUES ('n')", 2000 + n);
  CHECK(c.hand_over(c.node) == Fate{kApplied, kApplied});
  CHECK(c.hand_over(c.copy) == Fate{kApplied, kApplied, kApplied});
  c.b.edit(c.copy, transfer("y", "z"), 2100);
  c.b.master.open();
  CHECK(c.come_back(c.copy).back() == ReplayResult::kSuperseded);
  CHECK(c.b.text("SELECT sum(n) FROM account") == "300");
  CHECK(c.b.text("SELECT group_concat(n) FROM account") == "90,110,100");
  CHECK(c.b.text("SELECT count(*) FROM note") == "4");
}

TEST_CASE("merge: a copy's own earlier edits are its own, whatever it is called") {
  for (const bool again : {false, true}) {
    CAPTURE(again);
    Copied c;
    set_rules(c.b, {{"account", "", "broker"}});
    c.b.edit(c.node, "INSERT INTO note VALUES ('one')", 1000);
    c.b.edit(c.copy, "INSERT INTO note VALUES ('another')", 2000);
    c.b.edit(c.copy, "UPDATE account SET n = 1 WHERE no = 'x'", 2100);
    c.b.edit(c.copy, "UPDATE account SET n = 2 WHERE no = 'x'", 2200);
    c.b.edit(c.copy, "UPDATE account SET n = 3 WHERE no = 'x'", 2300);
    CHECK(c.hand_over(c.node) == Fate{kApplied});
    if (again) {
      CHECK(c.hand_over(c.copy).size() == 4);
      c.b.edit(c.copy, "UPDATE account SET n = 4 WHERE no = 'x'", 2400);
      c.b.master.open();
      for (const ReplayResult one : c.come_back(c.copy)) CHECK(one == kApplied);
    } else {
      CHECK(c.hand_over(c.copy) == Fate(4, kApplied));
    }
    CHECK(c.b.text("SELECT n FROM account WHERE no = 'x'") == (again ? "4" : "3"));
    CHECK(c.b.text("SELECT count(*) FROM csa_conflicts") == "0");
  }
}

TEST_CASE("merge: atomic, a copy's transactions build on its own earlier ones") {
  Copied c;
  c.b.edit(c.node, "INSERT INTO note VALUES ('one')", 1000);
  c.b.edit(c.copy, "INSERT INTO note VALUES ('another')", 2000);
  c.b.edit(c.copy, transfer("x", "y"), 2100);
  c.b.edit(c.copy, transfer("y", "z"), 2200);
  CHECK(c.hand_over(c.node) == Fate{kApplied});
  CHECK(c.hand_over(c.copy) == Fate{kApplied, kApplied, kApplied});
  CHECK(c.b.text("SELECT group_concat(n) FROM account") == "90,100,110");
}

TEST_CASE("merge: a renamed journal does not lose to its own earlier edits") {
  for (const std::string rule : {"merge", "broker", "atomic"}) {
    for (const bool other : {false, true}) {
      for (const bool again : {false, true}) {
        CAPTURE(rule);
        CAPTURE(other);
        CAPTURE(again);
        Copied c;
        set_rules(c.b, {{"account", "", rule}});
        for (MergeBench::Node* const node : {&c.node, &c.copy}) {
          c.b.edit(*node, transfer("x", "y"), 1000);
          if (node == &c.copy || !other) c.b.edit(*node, transfer("y", "z"), 1100);
        }
        c.copy.replica->renew_identity();
        // The copy that has kept its name may have handed over what they share.
        if (other) CHECK(c.hand_over(c.node) == Fate{kApplied});
        CHECK(c.hand_over(c.copy) == Fate{kApplied, kApplied});
        if (again) {
          c.b.edit(c.copy, transfer("z", "x"), 1200);
          c.b.master.open();
          for (const ReplayResult one : c.come_back(c.copy)) CHECK(one == kApplied);
        }
        CHECK(c.b.text("SELECT group_concat(n) FROM account") ==
              (again ? "100,100,100" : "90,100,110"));
        CHECK(c.b.text("SELECT count(*) FROM csa_conflicts") == "0");
      }
    }
  }
}

TEST_CASE("merge: a renamed journal is told apart from what its old name did since") {
  Copied c;
  c.b.edit(c.node, transfer("x", "y"), 1000);
  c.b.edit(c.copy, "INSERT INTO note VALUES ('the copy''s')", 2000);
  c.b.edit(c.copy, transfer("y", "z"), 2100);
  c.copy.replica->renew_identity();
  CHECK(c.hand_over(c.node) == Fate{kApplied});
  CHECK(c.hand_over(c.copy) == Fate{kApplied, ReplayResult::kSuperseded});
  CHECK(c.b.text("SELECT group_concat(n) FROM account") == "90,110,100");
}

TEST_CASE("merge: a copy's journal follows to its own numbers, not to those of the other journal") {
  MergeBench b(
      "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT);"
      "CREATE TABLE bin (id INTEGER PRIMARY KEY, part INTEGER REFERENCES part)",
      1);
  MergeBench::Node& node = b.nodes[0];
  MergeBench::Node& copy = b.add_node(node.replica->state().node);
  b.edit(node, "INSERT INTO part (name) VALUES ('offline')", 1000);
  (void)b.master.write("INSERT INTO part (name) VALUES ('elsewhere')");
  CHECK(b.catch_up(copy).empty());
  CHECK(b.hand_over(node).at(0).keys.size() == 1);
  b.edit(copy, "INSERT INTO bin (part) VALUES (1)", 2000);
  b.edit(copy, "INSERT INTO part (name) VALUES ('the copy''s')", 2100);
  b.edit(copy, "INSERT INTO bin (part) VALUES (2)", 2200);
  for (const Replayed& one : b.hand_over(copy)) CHECK(is_outcome(one.result));
  CHECK(b.text("SELECT group_concat(p.name) FROM bin JOIN part AS p ON p.id = part ORDER BY"
               " bin.id") == "elsewhere,the copy's");
}

TEST_CASE("merge: what two copies have lost of one row is kept twice") {
  Copied c;
  set_rules(c.b, {{"account", "", "broker"}});
  c.b.edit(c.node, "UPDATE account SET n = 1 WHERE no = 'x'", 1000);
  c.b.edit(c.copy, "UPDATE account SET n = 2 WHERE no = 'x'", 2000);
  (void)c.b.master.write("UPDATE account SET n = 50 WHERE no = 'x'");
  CHECK(c.hand_over(c.node) == Fate{ReplayResult::kSuperseded});
  CHECK(c.hand_over(c.copy) == Fate{ReplayResult::kSuperseded});
  CHECK(c.b.text("SELECT group_concat(json_extract(node_row, '$.n')) FROM csa_conflicts WHERE"
                 " state = 'open'") == "1,2");
}

}  // namespace csa::merge_copied_test
