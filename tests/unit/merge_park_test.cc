// What breaks a constraint at the master: parked whole with the reason, what touches its rows with
// it, and the queue goes on.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/away_bench.h"

namespace csa::merge_park_test {

using namespace away_bench;

TEST_CASE("merge: a value that is taken by now, parked whole, later edits of its rows with it") {
  Away away;
  const Fate fate =
      away.run({"INSERT INTO item VALUES (7, 'washer', 'mine', 1);"
                "UPDATE item SET name = 'nut M5' WHERE id = 2",
                "UPDATE item SET stock = 99 WHERE id = 7", "INSERT INTO line VALUES (NULL, 7, 3)",
                "UPDATE item SET stock = 8 WHERE id = 2;"
                "UPDATE item SET stock = 7 WHERE id = 3",
                "UPDATE item SET stock = 6 WHERE id = 3", "UPDATE item SET stock = 5 WHERE id = 1",
                "INSERT INTO note VALUES ('on we go')"},
               {"INSERT INTO item VALUES (8, 'washer', 'theirs', 1)"});
  CHECK(fate == Fate{kParked, kParked, kParked, kParked, kParked, kApplied, kApplied});
  away.reason(0, "UNIQUE constraint failed: item.code");
  away.reason(1, "earlier offline change");
  away.reason(2, "FOREIGN KEY");
  CHECK(away.b.text("SELECT group_concat(id || name || stock, ' ') FROM item") ==
        "1bolt5 2nut10 3rod10 8theirs1");
  CHECK(away.b.text("SELECT count(*) FROM line") == "0");
  // Put back: refused as long as it does not fit, with the reason.
  const std::string why = restore(away.b, "table_name = 'item' AND op = 'insert'");
  CHECK_MESSAGE(why.find("item.code") != std::string::npos, why);
  CHECK(away.b.text("SELECT count(*) FROM item WHERE name = 'mine'") == "0");
  away.b.master.write("UPDATE item SET code = 'washer 8' WHERE id = 8");
  CHECK(restore(away.b, "table_name = 'item' AND op = 'insert'") == "");
  CHECK(away.b.text("SELECT name || stock FROM item WHERE id = 7") == "mine99");
  CHECK(restore(away.b, "table_name = 'line'") == "");
  CHECK(away.b.text("SELECT pieces FROM line WHERE item = 7") == "3");
  CHECK(away.b.catch_up(away.b.nodes[0]) == "");
}

TEST_CASE("merge: what is counted on both sides breaks a check, the second is parked whole") {
  Away away;
  set_rules(away.b, {{"item", "stock", "sum"}});
  const Fate fate = away.run({"UPDATE item SET stock = stock - 6 WHERE id = 1;"
                              "INSERT INTO line VALUES (NULL, 1, 6)",
                              "UPDATE item SET stock = stock - 1 WHERE id = 2"},
                             {"UPDATE item SET stock = stock - 6 WHERE id = 1"});
  CHECK(fate == Fate{kParked, kApplied});
  away.reason(0, "CHECK constraint failed");
  CHECK(away.b.text("SELECT group_concat(stock) FROM item") == "4,9,10");
  CHECK(away.b.text("SELECT count(*) FROM line") == "0");
  // What was taken is still to be taken when there is enough again.
  CHECK(restore(away.b, "table_name = 'item'").find("CHECK") != std::string::npos);
  away.b.master.write("UPDATE item SET stock = stock + 10 WHERE id = 1");
  CHECK(restore(away.b, "table_name = 'item'") == "");
  CHECK(away.b.text("SELECT stock FROM item WHERE id = 1") == "8");
}

TEST_CASE("merge: a child of a row that others deleted, parked; its own transaction with it") {
  Away away;
  const Fate fate =
      away.run({"INSERT INTO line VALUES (NULL, 1, 6); INSERT INTO note VALUES ('sold')",
                "INSERT INTO line VALUES (NULL, 2, 1)"},
               {"DELETE FROM item WHERE id = 1"});
  CHECK(fate == Fate{kParked, kApplied});
  away.reason(0, "refers to a row of item (id) that is not there");
  CHECK(away.b.text("SELECT group_concat(item) FROM line") == "2");
  CHECK(away.b.text("SELECT count(*) FROM note") == "0");
  CHECK(restore(away.b, "table_name = 'line'").find("FOREIGN KEY") != std::string::npos);
}

TEST_CASE(
    "merge: a row is deleted that has got children meanwhile, parked; nobody's child is lost") {
  Away away;
  const Fate fate =
      away.run({"DELETE FROM item WHERE id = 1"}, {"INSERT INTO line VALUES (NULL, 1, 6)"});
  CHECK(fate == Fate{kParked});
  away.reason(0, "still refer to it");
  CHECK(away.b.text("SELECT count(*) FROM item WHERE id = 1") == "1");
  CHECK(away.b.text("SELECT count(*) FROM line") == "1");
}

TEST_CASE("merge: what an earlier entry broke is no matter of the next one") {
  MergeBench b(
      "CREATE TABLE part (id INTEGER PRIMARY KEY);"
      "CREATE TABLE item (id INTEGER PRIMARY KEY, part INTEGER REFERENCES part (id));"
      "INSERT INTO part VALUES (1), (2)",
      1);
  b.edit(b.nodes[0], "INSERT INTO item VALUES (10, 1)", 1);
  b.edit(b.nodes[0], "INSERT INTO item VALUES (20, 2)", 2);
  b.master.write("DELETE FROM part WHERE id = 1");
  const std::vector<Replayed> outcomes = b.hand_over(b.nodes[0]);
  CHECK(outcomes.at(0).result == ReplayResult::kParked);
  CHECK(outcomes.at(1).result == ReplayResult::kApplied);
  CHECK(b.text("SELECT group_concat(id) FROM item") == "20");
  CHECK(b.catch_up(b.nodes[0]) == "");
}

TEST_CASE("merge: a deletion that cascaded at the node deletes the same rows at the master") {
  Away away;
  away.b.master.write("INSERT INTO line VALUES (1, 1, 6), (2, 1, 7), (3, 2, 8)");
  const Fate fate = away.run({"DELETE FROM item WHERE id = 1"}, {"UPDATE note SET text = 'x'"});
  CHECK(fate == Fate{kApplied});
  CHECK(away.b.text("SELECT group_concat(id) FROM line") == "3");
}

TEST_CASE("merge: triggers have done their work at the node and do it once, whoever wins") {
  Away away(R"(
    CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, n INTEGER);
    CREATE TABLE total (id INTEGER PRIMARY KEY, n INTEGER);
    CREATE TABLE trail (id INTEGER PRIMARY KEY, what TEXT);
    CREATE TRIGGER part_added AFTER INSERT ON part BEGIN
      UPDATE total SET n = n + new.n; INSERT INTO trail (what) VALUES ('added ' || new.name); END;
    CREATE TRIGGER part_changed AFTER UPDATE ON part BEGIN
      UPDATE total SET n = n + new.n - old.n;
      INSERT INTO trail (what) VALUES ('changed ' || new.name); END;
    CREATE TRIGGER part_never BEFORE DELETE ON part WHEN old.id = 1 BEGIN
      SELECT raise(ABORT, 'not this one'); END;
    INSERT INTO total VALUES (1, 0);
    INSERT INTO part VALUES (1, 'bolt', 10), (2, 'nut', 20);
  )");
  set_rules(away.b, {{"total", "n", "sum"}, {"part", "n", "sum"}});
  const Fate fate = away.run(
      {"INSERT INTO part (name, n) VALUES ('rod', 5)", "UPDATE part SET n = n - 1 WHERE id = 1",
       "DELETE FROM part WHERE id = 2"},
      {"INSERT INTO part (name, n) VALUES ('pin', 7)", "UPDATE part SET n = n - 2 WHERE id = 1"});
  CHECK(fate == Fate{kMerged, kMerged, kApplied});
  CHECK(away.b.text("SELECT n FROM total") == "39");
  CHECK(
      away.b.text("SELECT group_concat(name || n, ' ') FROM (SELECT * FROM part ORDER BY name)") ==
      "bolt7 pin7 rod5");
  CHECK(
      away.b.text("SELECT group_concat(what, '; ') FROM (SELECT what FROM trail ORDER BY what)") ==
      "added bolt; added nut; added pin; added rod; changed bolt; changed bolt");
}

TEST_CASE("restore: an edit of a row whose key belongs to another row now, refused however kept") {
  constexpr const char* kGuests =
      "CREATE TABLE guest (id INTEGER PRIMARY KEY, name TEXT, points INTEGER DEFAULT 0);"
      "CREATE TABLE seat (code TEXT UNIQUE); INSERT INTO guest (name) VALUES ('ann'), ('cy')";
  const std::string points = "UPDATE guest SET points = 5 WHERE id = 2";
  const std::string gone = "DELETE FROM guest WHERE id = 2";
  const std::string another = "INSERT INTO guest (name) VALUES ('new')";
  const auto refused = [](Away& away) {
    CHECK(away.b.text("SELECT group_concat(name) FROM guest") == "ann,new");
    const std::string why = restore(away.b, "table_name = 'guest'");
    CHECK_MESSAGE(why.find("belongs to another row now") != std::string::npos, why);
    CHECK(away.b.text("SELECT points FROM guest WHERE id = 2") == "0");
  };
  for (const bool atomic : {false, true}) {
    CAPTURE(atomic);
    Away away(kGuests);
    if (atomic) set_rules(away.b, {{"guest", "", "atomic"}});
    CHECK(away.run({points}, {gone, another}) == Fate{ReplayResult::kSuperseded});
    CHECK(away.b.text("SELECT broker IS NULL FROM csa_conflicts") == "1");
    refused(away);
  }
  // In a transaction that is parked for something else, whenever the other row came.
  for (const std::size_t before : {0U, 1U, 2U}) {
    CAPTURE(before);
    Away away(kGuests);
    const std::vector<std::string> edits = {gone, another};
    std::vector<std::string> master = {"INSERT INTO seat VALUES ('x')"};
    master.insert(master.end(), edits.begin(), edits.begin() + static_cast<std::ptrdiff_t>(before));
    CHECK(away.run({"INSERT INTO seat VALUES ('x'); " + points}, master) == Fate{kParked});
    away.b.master.write("DELETE FROM seat");
    for (std::size_t i = before; i < edits.size(); ++i) away.b.master.write(edits[i]);
    refused(away);
  }
}

TEST_CASE("merge: children are found as the parent's key compares, not as their own column does") {
  constexpr const char* kClinic =
      "CREATE TABLE patient (code TEXT PRIMARY KEY COLLATE NOCASE, ward TEXT UNIQUE);"
      "CREATE TABLE visit (id INTEGER PRIMARY KEY, patient TEXT REFERENCES patient"
      " ON UPDATE CASCADE, ward TEXT COLLATE NOCASE REFERENCES patient (ward));"
      "INSERT INTO patient VALUES ('A-1', 'n'), ('A-2', 'N')";
  const std::vector<std::string> visit = {"INSERT INTO visit (patient) VALUES ('a-1')"};
  for (const std::string edit : {"UPDATE patient SET code = 'B-1' WHERE code = 'A-1'",
                                 "DELETE FROM patient WHERE code = 'A-1'"}) {
    CAPTURE(edit);
    Away away(kClinic);
    CHECK(away.run({edit}, visit) == Fate{kParked});
    away.reason(0, "rows of visit (patient) still refer to it");
    Away other(kClinic);
    CHECK(other.run(visit, {edit}) == Fate{kParked});
  }
  // And the other way about: 'N' is not what 'n' refers to.
  Away away(kClinic);
  CHECK(away.run({"DELETE FROM patient WHERE ward = 'N'"},
                 {"INSERT INTO visit (ward) VALUES ('n')"}) == Fate{kApplied});
}

TEST_CASE("merge: many references in one entry, the one that does not hold is found among them") {
  constexpr const char* kClubs =
      "CREATE TABLE club (id INTEGER PRIMARY KEY, name TEXT);"
      "CREATE TABLE member (id INTEGER PRIMARY KEY, club INTEGER REFERENCES club);"
      "CREATE INDEX member_club ON member (club);"
      "INSERT INTO club WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE"
      " i < 33000) SELECT i, 'club' FROM n";
  const std::string joins = "INSERT INTO member SELECT id, id FROM club";
  const std::string deletes = "DELETE FROM club";
  Away away(kClubs);
  CHECK(away.run({joins}, {"DELETE FROM club WHERE id = 7"}) == Fate{kParked});
  away.reason(0, "refers to a row of club (id) that is not there");
  Away other(kClubs);
  CHECK(other.run({deletes}, {"INSERT INTO member VALUES (1, 7)"}) == Fate{kParked});
  other.reason(0, "rows of member (club) still refer to it");
}

TEST_CASE("restore: a row that breaks a constraint is named, and not csa's statement") {
  Away away;
  CHECK(away.run({"UPDATE item SET code = 'key', name = 'mine' WHERE id = 1"},
                 {"UPDATE item SET name = 'theirs' WHERE id = 1"}) ==
        Fate{ReplayResult::kSuperseded});
  away.b.master.write("INSERT INTO item VALUES (9, 'key', 'another', 1)");
  CHECK(restore(away.b, "table_name = 'item'") ==
        "the write breaks a rule of the schema and was undone: conflict 1 cannot be restored:"
        " UNIQUE constraint failed: item.code");
  CHECK(away.b.text("SELECT name FROM item WHERE id = 1") == "theirs");
}

TEST_CASE("merge: a reference over a generated column is kept whole like any other") {
  constexpr const char* kClinic =
      "CREATE TABLE ward (id INTEGER PRIMARY KEY, raw TEXT, code TEXT AS (upper(raw)) STORED "
      "UNIQUE);"
      "CREATE TABLE bed (id INTEGER PRIMARY KEY, raw TEXT, ward TEXT AS (upper(raw)) VIRTUAL"
      " REFERENCES ward (code)); CREATE TABLE plain (ward TEXT REFERENCES ward (code));"
      "INSERT INTO ward (raw) VALUES ('a'), ('b')";
  const std::vector<std::string> gone = {"DELETE FROM ward WHERE id = 1"};
  const std::vector<std::string> other = {"UPDATE ward SET raw = 'z' WHERE id = 1"};
  for (const std::string child :
       {"INSERT INTO bed (raw) VALUES ('a')", "INSERT INTO plain VALUES ('A')"}) {
    CAPTURE(child);
    for (const auto& parent : {gone, other}) {
      Away first(kClinic);
      CHECK(first.run(parent, {child}) == Fate{kParked});
      first.reason(0, "FOREIGN KEY constraint failed");
      Away second(kClinic);
      CHECK(second.run({child}, parent) == Fate{kParked});
    }
    Away third(kClinic);
    CHECK(third.run({"INSERT INTO bed (raw) VALUES ('b')"}, gone) == Fate{kApplied});
  }
}

TEST_CASE("merge: a child of a table that is not there any more, parked with its name") {
  Away away(
      "CREATE TABLE shelf (id INTEGER PRIMARY KEY, name TEXT);"
      "CREATE TABLE box (id INTEGER PRIMARY KEY, shelf INTEGER REFERENCES shelf);"
      "CREATE TABLE note (text TEXT);"
      "INSERT INTO shelf VALUES (1, 'A'); INSERT INTO box VALUES (1, NULL)");
  away.b.add_node();
  const WriteAnswer moved = away.b.master.run(away.b.master.migration("DROP TABLE shelf"));
  CHECK(std::holds_alternative<Ack>(moved));
  const Fate fate =
      away.run({"UPDATE box SET shelf = 1", "INSERT INTO note VALUES ('on we go')"}, {});
  CHECK(fate == Fate{kParked, kApplied});
  away.reason(0, "shelf");
  CHECK(away.b.text("SELECT shelf FROM box") == "-");
}

}  // namespace csa::merge_park_test
