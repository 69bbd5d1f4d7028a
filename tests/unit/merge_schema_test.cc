// Offline work on a schema that the master has left meanwhile.
#include <doctest/doctest.h>

#include "tests/support/merge_bench.h"

namespace csa::merge_schema_test {
namespace {

using test::MergeBench;

constexpr const char* kParts = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, price INTEGER, shelf TEXT);
  INSERT INTO part VALUES (1, 'bolt', 10, 'A'), (2, 'nut', 20, 'B'), (3, 'rod', 30, 'C');
  CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT);
)";

// The master's schema changes while one node is away with these edits, one transaction each, and
// with one more that fits any schema. What became of each.
struct Away {
  explicit Away(const std::string& schema = kParts) : b(schema, 1) {}
  std::vector<Replayed> run(const std::vector<std::string>& edits, const std::string& migration) {
    std::int64_t at = 0;
    for (const std::string& sql : edits) b.edit(b.nodes[0], sql, ++at);
    b.edit(b.nodes[0], "INSERT INTO note (text) VALUES ('on we go')", ++at);
    const WriteAnswer migrated = b.master.run(b.master.migration(migration));
    const auto* const nack = std::get_if<Nack>(&migrated);
    REQUIRE_MESSAGE(nack == nullptr, nack->message);
    std::vector<Replayed> outcomes = b.hand_over(b.nodes[0]);
    CHECK(outcomes.back().result == ReplayResult::kApplied);
    CHECK(b.text("SELECT text FROM note") == "on we go");
    CHECK(b.catch_up(b.nodes[0]) == "");
    outcomes.pop_back();
    return outcomes;
  }
  void parked(const Replayed& outcome, const std::string& word) const {
    CHECK(outcome.result == ReplayResult::kParked);
    CHECK_MESSAGE(outcome.text.find(word) != std::string::npos, outcome.text);
    CHECK(b.text("SELECT count(*) FROM csa_conflicts WHERE decision = 'parked' AND state = 'open'"
                 " AND instr(reason, '" +
                 word + "') > 0") != "0");
  }
  MergeBench b;
};

void set_rule(MergeBench& b, const RuleSetting& rule) {
  (void)b.master.ack({Rules{TxId{b.master.node, ++b.master.counter}, {rule}, false}, "desk", 1});
}

TEST_CASE("merge: a column was added, rows of before get its default, others keep their value") {
  Away away;
  const auto outcomes = away.run(
      {"INSERT INTO part VALUES (9, 'washer', 5, 'D')", "UPDATE part SET price = 11 WHERE id = 1"},
      "ALTER TABLE part ADD COLUMN unit TEXT NOT NULL DEFAULT 'piece';"
      "UPDATE part SET unit = 'box' WHERE id = 1");
  CHECK(outcomes[0].result == ReplayResult::kApplied);
  CHECK(away.b.text("SELECT unit FROM part WHERE id = 9") == "piece");
  CHECK(away.b.text("SELECT price || unit FROM part WHERE id = 1") == "11box");
}

TEST_CASE("merge: a column was dropped, edits of others go on, edits of it are parked with both") {
  Away away;
  const auto outcomes = away.run(
      {"UPDATE part SET price = 11 WHERE id = 1", "UPDATE part SET shelf = 'Z' WHERE id = 2",
       "INSERT INTO part VALUES (9, 'washer', 5, NULL)", "DELETE FROM part WHERE id = 3"},
      "ALTER TABLE part DROP COLUMN shelf");
  CHECK(outcomes[0].result == ReplayResult::kApplied);
  away.parked(outcomes[1], "shelf");
  away.parked(outcomes[1], "part (id, name, price, shelf)");
  away.parked(outcomes[1], "part (id, name, price)");
  CHECK(outcomes[2].result == ReplayResult::kApplied);
  CHECK(away.b.text("SELECT group_concat(id || name || price) FROM part") ==
        "1bolt11,2nut20,9washer5");
  CHECK(away.b.text("SELECT node_row FROM csa_conflicts").find("\"shelf\":\"Z\"") !=
        std::string::npos);
}

TEST_CASE("merge: a column was renamed, its value stays, edits under the old name are parked") {
  Away away;
  const auto outcomes = away.run(
      {"UPDATE part SET price = 11 WHERE id = 1", "UPDATE part SET shelf = 'Z' WHERE id = 2"},
      "ALTER TABLE part RENAME COLUMN shelf TO place");
  CHECK(outcomes[0].result == ReplayResult::kApplied);
  away.parked(outcomes[1], "part (id, name, price, place)");
  CHECK(away.b.text("SELECT group_concat(id || price || place) FROM part") == "111A,220B,330C");
}

TEST_CASE("merge: columns changed their order, every value finds its own") {
  Away away;
  const auto outcomes =
      away.run({"UPDATE part SET price = 11, shelf = 'Z' WHERE id = 1",
                "INSERT INTO part VALUES (9, 'washer', 5, 'D')"},
               "CREATE TABLE fresh (shelf TEXT, id INTEGER PRIMARY KEY, price INTEGER, name TEXT);"
               "INSERT INTO fresh SELECT shelf, id, price, name FROM part; DROP TABLE part;"
               "ALTER TABLE fresh RENAME TO part");
  CHECK(outcomes[0].result == ReplayResult::kApplied);
  CHECK(outcomes[1].result == ReplayResult::kApplied);
  CHECK(away.b.text(
            "SELECT group_concat(id || name || price || shelf) FROM part WHERE id IN (1, 9)") ==
        "1bolt11Z,9washer5D");
}

TEST_CASE(
    "merge: the table is gone or has another name, the edit is parked and the queue goes on") {
  for (const char* const migration : {"DROP TABLE part", "ALTER TABLE part RENAME TO article"}) {
    CAPTURE(migration);
    Away away;
    const auto outcomes = away.run(
        {"UPDATE part SET price = 11 WHERE id = 1", "INSERT INTO part (name) VALUES ('washer')"},
        migration);
    away.parked(outcomes[0], "part");
    away.parked(outcomes[1], "part");
    CHECK(away.b.text("SELECT node_row FROM csa_conflicts ORDER BY id").find("\"price\":11") !=
          std::string::npos);
  }
}

TEST_CASE("merge: the table has another key, no edit meets a row that it was not made on") {
  for (const bool without_rowid : {false, true}) {
    CAPTURE(without_rowid);
    Away away;
    const std::string kind = without_rowid ? " WITHOUT ROWID" : "";
    const auto outcomes =
        away.run({"UPDATE part SET price = 11 WHERE id = 1", "DELETE FROM part WHERE id = 2",
                  "INSERT INTO part VALUES (9, 'washer', 5, 'D')"},
                 "CREATE TABLE fresh (id INTEGER, name TEXT, price INTEGER, shelf TEXT,"
                 " PRIMARY KEY (shelf, name))" +
                     kind +
                     "; INSERT INTO fresh SELECT id + 1, name, price,"
                     " shelf FROM part; DROP TABLE part; ALTER TABLE fresh RENAME TO part");
    for (const Replayed& outcome : outcomes) CAPTURE(outcome.text);
    CHECK(away.b.text("SELECT price FROM part WHERE name = 'nut'") != "11");
    CHECK(away.b.text("SELECT price FROM part WHERE name = 'rod'") == "30");
    CHECK(away.b.text("SELECT count(*) FROM part WHERE name = 'bolt'") == "1");
  }
}

TEST_CASE("merge: the key is of another kind, the reason says which kinds") {
  Away away;
  const auto outcomes = away.run(
      {"UPDATE part SET price = 11 WHERE id = 1"},
      "CREATE TABLE fresh (id INTEGER PRIMARY KEY, name TEXT, price INTEGER, shelf TEXT) WITHOUT"
      " ROWID; INSERT INTO fresh SELECT * FROM part; DROP TABLE part;"
      "ALTER TABLE fresh RENAME TO part");
  away.parked(outcomes[0], "had the key (id), the master has the key (id) WITHOUT ROWID");
}

TEST_CASE("merge: the key has a column that the edit does not know, the reason names both keys") {
  Away away;
  const auto outcomes = away.run({"UPDATE part SET price = 11 WHERE id = 1"},
                                 "CREATE TABLE fresh (code TEXT PRIMARY KEY, id INTEGER, name "
                                 "TEXT, price INTEGER, shelf TEXT);"
                                 "INSERT INTO fresh SELECT 'c' || id, * FROM part; DROP TABLE part;"
                                 "ALTER TABLE fresh RENAME TO part");
  away.parked(outcomes[0], "had the key (id), the master has the key (code)");
}

TEST_CASE("merge: a rule of the new schema forbids the edit, which is parked with it") {
  Away away;
  const auto outcomes = away.run(
      {"UPDATE part SET price = -1 WHERE id = 1", "UPDATE part SET price = 12 WHERE id = 1",
       "UPDATE part SET price = 13 WHERE id = 2"},
      "CREATE TABLE fresh (id INTEGER PRIMARY KEY, name TEXT, price INTEGER CHECK (price > 0),"
      " shelf TEXT); INSERT INTO fresh SELECT * FROM part; DROP TABLE part;"
      "ALTER TABLE fresh RENAME TO part");
  away.parked(outcomes[0], "CHECK");
  CHECK(outcomes[1].result == ReplayResult::kParked);
  CHECK(outcomes[1].text.find("earlier offline change") != std::string::npos);
  CHECK(outcomes[2].result == ReplayResult::kApplied);
  CHECK(away.b.text("SELECT group_concat(price) FROM part") == "10,13,30");
}

TEST_CASE(
    "merge: full-text and spatial tables that are gone or other now, parked or written anew") {
  Away away(std::string(kParts) +
            "CREATE VIRTUAL TABLE page USING fts5 (title, body);"
            "CREATE VIRTUAL TABLE old USING fts5 (title);"
            "CREATE VIRTUAL TABLE area USING rtree (id, x0, x1);");
  const auto outcomes =
      away.run({"INSERT INTO page VALUES ('one', 'red')", "INSERT INTO old VALUES ('two')",
                "INSERT INTO area VALUES (1, 2, 3)"},
               "DROP TABLE page; CREATE VIRTUAL TABLE page USING fts5 (body);"
               "DROP TABLE old;"
               "DROP TABLE area; CREATE VIRTUAL TABLE area USING rtree (id, x0,"
               " x1, y0, y1)");
  for (const Replayed& outcome : outcomes) {
    CHECK_MESSAGE(outcome.result == ReplayResult::kParked, outcome.text);
  }
  CHECK(away.b.text("SELECT count(*) FROM page") == "0");
  CHECK(away.b.text("SELECT count(*) FROM area") == "0");
  CHECK(away.b.text("SELECT rtreecheck('area')") == "ok");
}

constexpr const char* kSwapped =
    "ALTER TABLE part RENAME COLUMN name TO t; ALTER TABLE part RENAME COLUMN shelf TO name;"
    "ALTER TABLE part RENAME COLUMN t TO shelf";

TEST_CASE("merge: two columns have exchanged names, every value finds its own") {
  Away away;
  const auto outcomes = away.run(
      {"UPDATE part SET shelf = 'Z' WHERE id = 1", "INSERT INTO part VALUES (9, 'washer', 5, 'D')",
       "UPDATE part SET price = 21 WHERE id = 2", "DELETE FROM part WHERE id = 3"},
      kSwapped);
  for (const Replayed& outcome : outcomes) {
    CHECK_MESSAGE(outcome.result == ReplayResult::kApplied, outcome.text);
  }
  CHECK(away.b.text("SELECT group_concat(id || shelf || price || name) FROM part") ==
        "1bolt10Z,2nut21B,9washer5D");
}

TEST_CASE("merge: a column has got the name of one that was renamed, both values find their own") {
  Away away;
  const auto outcomes = away.run(
      {"UPDATE part SET shelf = 'Z' WHERE id = 1", "UPDATE part SET name = 'nail' WHERE id = 2"},
      "ALTER TABLE part RENAME COLUMN shelf TO place;"
      "ALTER TABLE part RENAME COLUMN name TO shelf");
  CHECK(outcomes[0].result == ReplayResult::kApplied);
  CHECK(outcomes[1].result == ReplayResult::kApplied);
  CHECK(away.b.text("SELECT group_concat(id || shelf || place) FROM part") ==
        "1boltZ,2nailB,3rodC");
}

TEST_CASE("merge: a column has got the name of one that was dropped, whose edits are parked") {
  Away away;
  const auto outcomes = away.run(
      {"UPDATE part SET shelf = 'Z' WHERE id = 1", "UPDATE part SET name = 'nail' WHERE id = 2"},
      "ALTER TABLE part DROP COLUMN shelf; ALTER TABLE part RENAME COLUMN name TO shelf");
  away.parked(outcomes[0], "part (id, name, price, shelf)");
  away.parked(outcomes[0], "part (id, shelf, price)");
  CHECK(outcomes[1].result == ReplayResult::kApplied);
  CHECK(away.b.text("SELECT group_concat(id || shelf) FROM part") == "1bolt,2nail,3rod");
}

TEST_CASE("merge: columns have exchanged names, an edit meets those that others made before") {
  MergeBench b(kParts, 2);
  set_rule(b, {"part", "", "merge"});
  for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
  b.edit(b.nodes[0], "UPDATE part SET name = 'mine' WHERE id = 1", 1);
  b.edit(b.nodes[0], "UPDATE part SET shelf = 'mine' WHERE id = 2", 2);
  b.edit(b.nodes[1], "UPDATE part SET name = 'theirs' WHERE id = 1", 3);
  b.edit(b.nodes[1], "UPDATE part SET name = 'theirs' WHERE id = 2", 4);
  (void)b.hand_over(b.nodes[1]);
  (void)b.master.ack(b.master.migration(kSwapped));
  const std::vector<Replayed> outcomes = b.hand_over(b.nodes[0]);
  CHECK(outcomes[0].result == ReplayResult::kSuperseded);
  CHECK(outcomes[1].result == ReplayResult::kMerged);
  CHECK(b.text("SELECT group_concat(id || shelf || name) FROM part") ==
        "1theirsA,2theirsmine,3rodC");
  for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
}

TEST_CASE("merge: columns exchanged names twice, and another was renamed there and back") {
  MergeBench b(kParts, 2);
  set_rule(b, {"part", "", "merge"});
  for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
  b.edit(b.nodes[0], "UPDATE part SET name = 'mine', price = 1 WHERE id = 1", 1);
  (void)b.master.ack(b.master.migration(kSwapped));
  (void)b.master.ack(b.master.migration("ALTER TABLE part RENAME COLUMN price TO cost"));
  CHECK(b.catch_up(b.nodes[1]) == "");
  b.edit(b.nodes[1], "UPDATE part SET shelf = 'theirs', cost = 2 WHERE id = 1", 2);
  (void)b.hand_over(b.nodes[1]);
  (void)b.master.ack(b.master.migration(kSwapped));
  (void)b.master.ack(b.master.migration("ALTER TABLE part RENAME COLUMN cost TO price"));
  CHECK(b.hand_over(b.nodes[0]).at(0).result == ReplayResult::kSuperseded);
  CHECK(b.text("SELECT name || price || shelf FROM part WHERE id = 1") == "theirs2A");
}

TEST_CASE("merge: a column was made anew under its name, edits go on by name") {
  for (const bool at_once : {true, false}) {
    CAPTURE(at_once);
    MergeBench b(kParts, 1);
    b.edit(b.nodes[0], "UPDATE part SET price = 11, shelf = 'Z' WHERE id = 1", 1);
    const std::string adds = "ALTER TABLE part ADD COLUMN cost INTEGER DEFAULT 10";
    const std::string drops =
        "ALTER TABLE part DROP COLUMN price; ALTER TABLE part RENAME COLUMN cost TO price";
    if (!at_once) (void)b.master.ack(b.master.migration(adds));
    (void)b.master.ack(b.master.migration(at_once ? adds + ";" + drops : drops));
    const Replayed done = b.hand_over(b.nodes[0]).at(0);
    CHECK_MESSAGE(done.result == ReplayResult::kApplied, done.text);
    CHECK(b.text("SELECT name || price || shelf FROM part WHERE id = 1") == "bolt11Z");
    CHECK(b.catch_up(b.nodes[0]) == "");
  }
}

constexpr const char* kTwoTables = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT);
  CREATE TABLE old (id INTEGER PRIMARY KEY, name TEXT, year INTEGER);
  CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT);
  CREATE TABLE tag (part INTEGER REFERENCES part, text TEXT);
  INSERT INTO part VALUES (1, 'bolt');
  INSERT INTO old VALUES (1, 'bolt', 1990);
)";

TEST_CASE("merge: two tables have exchanged names, edits of both are parked with both shapes") {
  Away away(kTwoTables);
  const auto outcomes = away.run(
      {"UPDATE part SET name = 'nail' WHERE id = 1", "DELETE FROM old WHERE id = 1",
       "INSERT INTO part (name) VALUES ('washer')", "INSERT INTO tag VALUES (2, 'of the washer')",
       "INSERT INTO tag VALUES (1, 'of the bolt')"},
      "ALTER TABLE part RENAME TO t; ALTER TABLE old RENAME TO part; ALTER TABLE t RENAME TO old;"
      "INSERT INTO old VALUES (2, 'screw')");
  away.parked(outcomes[0],
              "the edit was made on part (id, name), the master has part (id, name, year)");
  away.parked(outcomes[1],
              "the edit was made on old (id, name, year), the master has old (id, name)");
  away.parked(outcomes[2], "part (id, name, year)");
  away.parked(outcomes[3], "waits in the inbox");
  CHECK(away.b.text("SELECT group_concat(name) FROM part") == "bolt");
  CHECK(away.b.text("SELECT group_concat(name) FROM old") == "bolt,screw");
  CHECK(away.b.text("SELECT table_name || node_row FROM csa_conflicts ORDER BY id") ==
        R"(part (now old){"id":1,"name":"nail"})");
}

TEST_CASE("merge: a table gets another name amid a journal, references follow to its rows") {
  for (const bool taken : {false, true}) {
    CAPTURE(taken);
    MergeBench b(kTwoTables, 1);
    b.master.write("INSERT INTO part VALUES (2, 'screw')");
    b.edit(b.nodes[0], "INSERT INTO part (name) VALUES ('washer')", 1);
    CHECK(b.hand_over(b.nodes[0]).at(0).keys.at(0).after == 3);
    (void)b.master.ack(
        b.master.migration("ALTER TABLE part RENAME TO item" +
                           std::string(taken ? "; ALTER TABLE old RENAME TO part" : "")));
    b.edit(b.nodes[0], "INSERT INTO tag VALUES (2, 'of the washer')", 2);
    CHECK(b.hand_over(b.nodes[0]).back().result == ReplayResult::kApplied);
    CHECK(b.text("SELECT name FROM tag JOIN item ON part = item.id") == "washer");
    CHECK(b.catch_up(b.nodes[0]) == "");
  }
}

TEST_CASE("merge: another table has got the name of one that was dropped, edits are parked") {
  Away away(kTwoTables);
  const auto outcomes = away.run({"UPDATE old SET name = 'nail' WHERE id = 1"},
                                 "DROP TABLE old; ALTER TABLE part RENAME TO old");
  away.parked(outcomes[0], "old (id, name, year)");
  away.parked(outcomes[0], "old (id, name)");
  CHECK(away.b.text("SELECT group_concat(name) FROM old") == "bolt");
}

TEST_CASE("merge: full-text tables have exchanged names, edits are parked") {
  Away away(std::string(kParts) +
            "CREATE VIRTUAL TABLE page USING fts5 (title); CREATE VIRTUAL TABLE old USING fts5"
            " (title)");
  const auto outcomes = away.run({"INSERT INTO page VALUES ('one')"},
                                 "ALTER TABLE page RENAME TO t; ALTER TABLE old RENAME TO page;"
                                 "ALTER TABLE t RENAME TO old");
  away.parked(outcomes[0], "page");
  CHECK(away.b.text("SELECT count(*) FROM page") == "0");
  CHECK(away.b.text("SELECT count(*) FROM old") == "0");
}

TEST_CASE("merge: columns exchange names after a conflict, what is restored finds its own") {
  for (const bool whole : {false, true}) {
    CAPTURE(whole);
    MergeBench b(std::string(kParts) + "CREATE UNIQUE INDEX by_text ON note (text)", 2);
    b.edit(b.nodes[0],
           std::string("UPDATE part SET name = 'mine' WHERE id = 1") +
               (whole ? "; INSERT INTO note VALUES (5, 'x')" : ""),
           1);
    b.edit(
        b.nodes[1],
        whole ? "INSERT INTO note VALUES (6, 'x')" : "UPDATE part SET name = 'theirs' WHERE id = 1",
        2);
    (void)b.hand_over(b.nodes[1]);
    const ReplayResult lost = whole ? ReplayResult::kParked : ReplayResult::kSuperseded;
    CHECK(b.hand_over(b.nodes[0]).at(0).result == lost);
    b.master.write("DELETE FROM note");
    (void)b.master.ack(b.master.migration(kSwapped));
    const Conflict restore{TxId{b.master.node, ++b.master.counter}, 1, ConflictVerb::kRestore};
    (void)b.master.ack({restore, "desk", 1});
    CHECK(b.text("SELECT shelf || name FROM part WHERE id = 1") == "mineA");
  }
}

TEST_CASE("merge: a replica knows what migrations have renamed, as the master does") {
  MergeBench b(kTwoTables, 1);
  (void)b.master.ack(b.master.migration(
      "ALTER TABLE part RENAME TO t; ALTER TABLE old RENAME TO part; ALTER TABLE t RENAME TO old;"
      "ALTER TABLE old RENAME COLUMN name TO title"));
  CHECK(b.catch_up(b.nodes[0]) == "");
  const Database db(b.nodes[0].path, Database::Mode::kReadOnly);
  const std::string layout = read_layout_json(db, 2).value_or("");
  CHECK(layout == b.text("SELECT json FROM csa_layout WHERE schema_version = 2"));
  CHECK(parse_layout(layout)->at("old").was == TableRenames{"part", {{"title", "name"}}});
  CHECK(parse_layout(layout)->at("note").was == TableRenames{});
}

}  // namespace
}  // namespace csa::merge_schema_test
