// Offline work on a schema that the master has left meanwhile.
#include <doctest/doctest.h>

#include "tests/support/merge_bench.h"

namespace csa {
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

}  // namespace
}  // namespace csa
