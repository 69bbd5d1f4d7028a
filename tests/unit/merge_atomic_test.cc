// One transaction of which a row wins and another loses: split, or lost whole where a table is
// atomic.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/away_bench.h"

namespace csa::merge_atomic_test {

using namespace away_bench;

TEST_CASE("merge: of one transaction a row wins and another loses, reported as split") {
  Away away;
  const Fate fate = away.run({"UPDATE item SET name = 'mine' WHERE id IN (1, 2)"},
                             {"UPDATE item SET name = 'theirs' WHERE id = 1"});
  CHECK(fate == Fate{kSplit});
  CHECK(away.b.text("SELECT group_concat(name) FROM item") == "theirs,mine,rod");
  CHECK(away.b.text("SELECT count(*) FROM csa_conflicts") == "1");
}

TEST_CASE("merge: two tables, one of them atomic, lose whole; what follows on their rows too") {
  Away away;
  set_rules(away.b, {{"item", "", "atomic"}});
  const Fate fate = away.run(
      {"UPDATE item SET name = 'mine' WHERE id IN (1, 2);"
       "INSERT INTO line VALUES (5, 2, 1)",
       "UPDATE line SET pieces = 2 WHERE id = 5", "UPDATE item SET stock = 3 WHERE id = 3"},
      {"UPDATE item SET name = 'theirs' WHERE id = 1"});
  CHECK(fate == Fate{ReplayResult::kSuperseded, kParked, kApplied});
  CHECK(away.b.text("SELECT group_concat(name) FROM item") == "theirs,nut,rod");
  CHECK(away.b.text("SELECT count(*) FROM line") == "0");
  CHECK(away.b.text("SELECT count(*) FROM csa_conflicts WHERE state = 'open'") == "4");
}

TEST_CASE("merge: atomic, both sides gave a row the same value, one of them loses whole") {
  constexpr const char* kAccounts =
      "CREATE TABLE account (no TEXT PRIMARY KEY, n INTEGER);"
      "INSERT INTO account VALUES ('x', 100), ('y', 100), ('z', 100)";
  const auto transfer = [](const std::string& from, const std::string& to) {
    return "UPDATE account SET n = n - 10 WHERE no = '" + from +
           "'; UPDATE account SET n = n + 10 WHERE no = '" + to + "'";
  };
  for (const std::string rule : {"newest", "merge", "broker", "node", "manual"}) {
    CAPTURE(rule);
    Away away(kAccounts);
    set_rules(away.b, {{"account", "", "atomic"}, {"account", "", rule}});
    const Fate fate = away.run({transfer("x", "y")}, {transfer("x", "z")});
    CHECK(fate == Fate{ReplayResult::kSuperseded});
    CHECK(away.b.text("SELECT group_concat(n) FROM account") == "90,100,110");
    CHECK(away.b.text("SELECT count(*) FROM csa_conflicts WHERE state = 'open'") == "2");
  }
  // What adds up is lost on neither side.
  Away away(kAccounts);
  set_rules(away.b, {{"account", "", "atomic"}, {"account", "n", "sum"}});
  CHECK(away.run({transfer("x", "y")}, {transfer("x", "z")}) == Fate{kMerged});
  CHECK(away.b.text("SELECT group_concat(n) FROM account") == "80,110,110");
}

TEST_CASE("merge: atomic, both sides deleted a row, one of them loses whole") {
  for (const std::string rule : {"newest", "merge", "broker", "node", "manual"}) {
    CAPTURE(rule);
    Away away(
        "CREATE TABLE job (id INTEGER PRIMARY KEY); INSERT INTO job VALUES (1), (2);"
        "CREATE TABLE done (job INTEGER, who TEXT)");
    set_rules(away.b, {{"job", "", "atomic"}, {"job", "", rule}});
    const Fate fate =
        away.run({"INSERT INTO done VALUES (1, 'node'); DELETE FROM job WHERE id = 1"},
                 {"INSERT INTO done VALUES (1, 'master'); DELETE FROM job WHERE id = 1"});
    CHECK(fate == Fate{ReplayResult::kSuperseded});
    CHECK(away.b.text("SELECT group_concat(who) FROM done") == "master");
  }
}

TEST_CASE("merge: atomic, a node may overwrite a part of its own transaction") {
  constexpr const char* kAccounts =
      "CREATE TABLE account (id INTEGER PRIMARY KEY, a TEXT, b TEXT);"
      "INSERT INTO account VALUES (1, 'a', 'b'), (2, 'a', 'b')";
  const std::string both = "UPDATE account SET a = 'both'";
  Away away(kAccounts);
  set_rules(away.b,
            {{"account", "", "atomic"}, {"account", "", "merge"}, {"account", "b", "node"}});
  CHECK(away.run({both, "UPDATE account SET b = 'mine' WHERE id = 1"},
                 {"UPDATE account SET b = 'theirs' WHERE id = 1"}) == Fate{kMerged, kApplied});
  CHECK(away.b.text("SELECT group_concat(a || b) FROM account") == "bothmine,bothb");
  // What it has won from others is the row that its next edit was made on.
  Away again(kAccounts);
  set_rules(again.b, {{"account", "", "atomic"}, {"account", "", "node"}});
  CHECK(again.run({both, "UPDATE account SET a = 'mine' WHERE id = 1"},
                  {"UPDATE account SET a = 'theirs'"}) == Fate{kApplied, kApplied});
  CHECK(again.b.text("SELECT group_concat(a) FROM account") == "mine,both");
  CHECK(again.b.text("SELECT count(*) FROM csa_conflicts") == "2");
}

TEST_CASE("merge: atomic, what loses one of a row's columns loses whole, though it wins another") {
  Away away(
      "CREATE TABLE account (id INTEGER PRIMARY KEY, a TEXT, b TEXT);"
      "INSERT INTO account VALUES (1, 'a', 'b'), (2, 'a', 'b')");
  set_rules(away.b,
            {{"account", "", "atomic"}, {"account", "", "merge"}, {"account", "a", "node"}});
  const Fate fate = away.run({"UPDATE account SET a = 'mine', b = 'mine'"},
                             {"UPDATE account SET a = 'theirs', b = 'theirs'"});
  CHECK(fate == Fate{ReplayResult::kSuperseded});
  CHECK(away.b.text("SELECT group_concat(a || b) FROM account") == "theirstheirs,theirstheirs");
}

TEST_CASE("merge: atomic, what a node had sent and not seen again is not overwritten in part") {
  Away away(
      "CREATE TABLE account (id INTEGER PRIMARY KEY, a TEXT);"
      "INSERT INTO account VALUES (1, 'a'), (2, 'a'), (3, 'a')");
  set_rules(away.b, {{"account", "", "atomic"}, {"account", "", "node"}});
  away.b.add_node();
  WriteJob sent = away.b.master.job("UPDATE account SET a = 'sent' WHERE id < 3");
  std::get<Write>(sent.request).tx = {away.b.nodes[0].replica->state().node, 1000};
  (void)away.b.master.ack(sent);
  CHECK(away.run({"UPDATE account SET a = 'mine' WHERE id > 1"}, {}) ==
        Fate{ReplayResult::kSuperseded});
  away.reason(0, "a part of transaction");
  CHECK(away.b.text("SELECT group_concat(a) FROM account") == "sent,sent,a");
}

namespace {

constexpr const char* kPair =
    "CREATE TABLE account (id INTEGER PRIMARY KEY, a TEXT, b TEXT, n INTEGER);"
    "INSERT INTO account VALUES (1, 'a', 'b', 0), (2, 'a', 'b', 0), (3, 'a', 'b', 0)";
constexpr const char* kRowsOfPair = "SELECT group_concat(a || b || n) FROM account";

void set_pair_rules(MergeBench& b) {
  set_rules(b, {{"account", "", "atomic"},
                {"account", "", "merge"},
                {"account", "a", "node"},
                {"account", "n", "sum"}});
}

}  // namespace

TEST_CASE("merge: atomic, a row that others deleted and inserted again is changed, not gone") {
  constexpr const char* kSeats =
      "CREATE TABLE seat (id INTEGER PRIMARY KEY, who TEXT, note TEXT);"
      "INSERT INTO seat VALUES (1, '-', 'window'), (2, '-', 'aisle')";
  const std::string anew = "DELETE FROM seat WHERE id = 1;INSERT INTO seat VALUES (1, ";
  for (const bool all : {true, false}) {
    CAPTURE(all);
    Away away(kSeats);
    set_rules(away.b, {{"seat", "", "atomic"}, {"seat", "", "merge"}, {"seat", "who", "node"}});
    // What of theirs is overwritten is all that they gave the row, or half of it.
    const std::string theirs = all ? "'theirs', 'window')" : "'theirs', 'door')";
    const Fate fate = away.run({"UPDATE seat SET who = 'mine' WHERE id = 1"}, {anew + theirs});
    CHECK(fate == Fate{all ? kApplied : ReplayResult::kSuperseded});
    CHECK(away.b.text("SELECT who || ' ' || note FROM seat WHERE id = 1") ==
          (all ? "mine window" : "theirs door"));
  }
}

TEST_CASE("merge: atomic by column, half of the master's transaction in a row is not overwritten") {
  Away away(kPair);
  set_pair_rules(away.b);
  CHECK(away.run({"UPDATE account SET a = 'mine' WHERE id < 3"},
                 {"UPDATE account SET a = 'theirs', b = 'theirs' WHERE id = 1"}) ==
        Fate{ReplayResult::kSuperseded});
  away.reason(0, "a part of transaction");
  CHECK(away.b.text(kRowsOfPair) == "theirstheirs0,ab0,ab0");
}

TEST_CASE("merge: atomic by column, what others did to other columns of the row stands whole") {
  Away away(kPair);
  set_pair_rules(away.b);
  CHECK(away.run({"UPDATE account SET a = 'mine' WHERE id < 3"},
                 {"UPDATE account SET b = 'theirs' WHERE id <> 2",
                  "UPDATE account SET a = 'theirs' WHERE id = 1"}) == Fate{kApplied});
  CHECK(away.b.text(kRowsOfPair) == "minetheirs0,mineb0,atheirs0");
}

TEST_CASE("merge: atomic, what others added to a row that they lose elsewhere is no part of it") {
  Away away(kPair);
  set_pair_rules(away.b);
  CHECK(away.run({"UPDATE account SET n = n + 1, a = 'mine' WHERE id = 1;"
                  "UPDATE account SET n = n - 1 WHERE id = 2"},
                 {"UPDATE account SET n = n + 5, a = 'theirs' WHERE id = 1;"
                  "UPDATE account SET n = n - 5 WHERE id = 2"}) == Fate{kMerged});
  CHECK(away.b.text(kRowsOfPair) == "mineb6,ab-6,ab0");
  // One of their rows is not among the node's.
  Away part(kPair);
  set_pair_rules(part.b);
  CHECK(part.run({"UPDATE account SET n = n + 1, a = 'mine' WHERE id = 1"},
                 {"UPDATE account SET n = n + 5, a = 'theirs' WHERE id = 1;"
                  "UPDATE account SET n = n - 5 WHERE id = 2"}) == Fate{ReplayResult::kSuperseded});
  CHECK(part.b.text(kRowsOfPair) == "theirsb5,ab-5,ab0");
}

TEST_CASE("merge: atomic, a row that one node brought back is another's to overwrite") {
  MergeBench b(
      "CREATE TABLE seat (id INTEGER PRIMARY KEY, who TEXT, note TEXT);"
      "INSERT INTO seat VALUES (1, '-', 'window'), (2, '-', 'aisle')",
      2);
  set_rules(b, {{"seat", "", "atomic"}, {"seat", "", "node"}, {"seat", "note", "newest"}});
  b.edit(b.nodes[0], "UPDATE seat SET who = 'first'", 1);
  b.edit(b.nodes[1], "UPDATE seat SET who = 'second'", 2);
  b.edit(b.nodes[1], "UPDATE seat SET note = 'door' WHERE id = 2", 3);
  (void)b.master.ack(b.master.job("DELETE FROM seat WHERE id = 1"));
  CHECK(b.hand_over(b.nodes[0]).at(0).result == kApplied);
  // Neither the deletion, which lost, nor the note, which came back as it was, is in its way.
  const std::vector<Replayed> second = b.hand_over(b.nodes[1]);
  CHECK_MESSAGE(second.at(0).result == kApplied, second.at(0).text);
  CHECK(second.at(1).result == kApplied);
  CHECK(b.text("SELECT group_concat(who || ' ' || note) FROM seat") == "second window,second door");
}

TEST_CASE(
    "merge: atomic, of a row that one node brought back half of its edit is not overwritten") {
  MergeBench b(
      "CREATE TABLE seat (id INTEGER PRIMARY KEY, who TEXT, note TEXT);"
      "INSERT INTO seat VALUES (1, '-', 'window'), (2, '-', 'aisle')",
      2);
  set_rules(b, {{"seat", "", "atomic"}, {"seat", "", "node"}, {"seat", "note", "newest"}});
  b.edit(b.nodes[0], "UPDATE seat SET who = 'first', note = 'door' WHERE id = 1", 1);
  b.edit(b.nodes[1], "UPDATE seat SET who = 'second'", 2);
  (void)b.master.ack(b.master.job("DELETE FROM seat WHERE id = 1"));
  CHECK(b.hand_over(b.nodes[0]).at(0).result == kApplied);
  CHECK(b.hand_over(b.nodes[1]).at(0).result == ReplayResult::kSuperseded);
  CHECK(b.text("SELECT group_concat(who || ' ' || note) FROM seat") == "first door,- aisle");
}

}  // namespace csa::merge_atomic_test
