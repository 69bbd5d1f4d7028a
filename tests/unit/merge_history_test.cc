// What others did to a row before, in and after a schema change, met by an edit of before it.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/merge_bench.h"

namespace csa::merge_history_test {
namespace {

using test::MergeBench;

constexpr const char* kParts = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, price INTEGER, shelf TEXT);
  INSERT INTO part VALUES (1, 'bolt', 10, 'A'), (2, 'nut', 20, 'B'), (3, 'rod', 30, 'C');
)";

void set_rules(MergeBench& b, std::vector<RuleSetting> settings) {
  const Rules rules{TxId{b.master.node, ++b.master.counter}, std::move(settings), false};
  REQUIRE(std::holds_alternative<Ack>(b.master.run({rules, "desk", 1})));
}

void migrate(MergeBench& b, const std::string& sql) {
  const WriteAnswer answer = b.master.run(b.master.migration(sql));
  const auto* const nack = std::get_if<Nack>(&answer);
  REQUIRE_MESSAGE(nack == nullptr, nack->message);
}

// One node edits at 1, another at 2 and is back first; then the schema changes, and the first
// comes.
struct Met {
  std::string first, second, migration;
  std::vector<RuleSetting> rules = {};
  const char* schema = kParts;
};
struct Meeting {
  Replayed first;
  std::unique_ptr<MergeBench> bench;
  [[nodiscard]] std::string text(const std::string& sql) const { return bench->text(sql); }
};
Meeting meet(const Met& met) {
  auto bench = std::make_unique<MergeBench>(met.schema, 0);
  if (!met.rules.empty()) set_rules(*bench, met.rules);
  bench->add_node();
  bench->add_node();
  bench->edit(bench->nodes[0], met.first, 1);
  if (!met.second.empty()) bench->edit(bench->nodes[1], met.second, 2);
  if (!met.second.empty()) (void)bench->hand_over(bench->nodes[1]);
  if (!met.migration.empty()) migrate(*bench, met.migration);
  std::vector<Replayed> outcomes = bench->hand_over(bench->nodes[0]);
  REQUIRE(outcomes.size() == 1);
  for (MergeBench::Node& node : bench->nodes) CHECK(bench->catch_up(node) == "");
  CHECK(bench->text("SELECT count(*) FROM csa_touch") == "0");
  return {std::move(outcomes[0]), std::move(bench)};
}

}  // namespace

TEST_CASE("merge: a column to the left was dropped, each column keeps the time of its own edit") {
  for (const char* const migration :
       {"", "ALTER TABLE part DROP COLUMN name",
        "ALTER TABLE part DROP COLUMN name; ALTER TABLE part ADD COLUMN unit TEXT"}) {
    CAPTURE(migration);
    const Meeting same = meet({"UPDATE part SET price = 55 WHERE id = 1",
                               "UPDATE part SET price = 99 WHERE id = 1",
                               migration,
                               {{"part", "", "merge"}}});
    CHECK(same.text("SELECT price FROM part WHERE id = 1") == "99");
    CHECK(same.text("SELECT node_row LIKE '%55%' FROM csa_conflicts") == "1");
    const Meeting other = meet({"UPDATE part SET shelf = 'Z' WHERE id = 1",
                                "UPDATE part SET price = 99 WHERE id = 1",
                                migration,
                                {{"part", "", "merge"}}});
    CHECK(other.text("SELECT price || shelf FROM part WHERE id = 1") == "99Z");
    CHECK(other.text("SELECT count(*) FROM csa_conflicts") == "0");
    const Meeting newest = meet({"UPDATE part SET price = 55, shelf = 'Z' WHERE id = 1",
                                 "UPDATE part SET price = 99 WHERE id = 1",
                                 migration,
                                 {{"part", "price", "newest"}}});
    CHECK(newest.text("SELECT price || shelf FROM part WHERE id = 1") == "99Z");
  }
}

TEST_CASE("merge: what a migration itself writes counts for the column that it has afterwards") {
  for (const char* const migration :
       {"ALTER TABLE part DROP COLUMN name; UPDATE part SET price = 99 WHERE id = 1",
        "UPDATE part SET price = 99 WHERE id = 1; ALTER TABLE part DROP COLUMN name",
        "ALTER TABLE part ADD COLUMN unit; UPDATE part SET price = 99 WHERE id = 1;"
        "ALTER TABLE part ADD COLUMN weight"}) {
    CAPTURE(migration);
    const Meeting other =
        meet({"UPDATE part SET shelf = 'Z' WHERE id = 1", "", migration, {{"part", "", "merge"}}});
    CHECK(other.text("SELECT price || shelf FROM part WHERE id = 1") == "99Z");
    CHECK(other.text("SELECT count(*) FROM csa_conflicts") == "0");
    const Meeting same =
        meet({"UPDATE part SET price = 55 WHERE id = 1", "", migration, {{"part", "", "merge"}}});
    CHECK(same.text("SELECT price FROM part WHERE id = 1") == "99");
  }
}

namespace {

// Ways to make a table anew with all its rows, as people write them.
constexpr const char* kRebuilds[] = {
    "ALTER TABLE part RENAME TO old; CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, price"
    " INTEGER, shelf TEXT, unit TEXT DEFAULT 'pc'); INSERT INTO part (id, name, price, shelf)"
    " SELECT * FROM old; DROP TABLE old",
    "CREATE TABLE kept AS SELECT * FROM part; DROP TABLE part; CREATE TABLE part (shelf TEXT, id"
    " INTEGER PRIMARY KEY, price INTEGER CHECK (price > 0), name TEXT); INSERT INTO part (id, name,"
    " price, shelf) SELECT * FROM kept; DROP TABLE kept",
    "CREATE TABLE fresh (id INTEGER PRIMARY KEY, name TEXT, price INTEGER, shelf TEXT); INSERT INTO"
    " fresh SELECT * FROM part; DROP TABLE part; ALTER TABLE fresh RENAME TO part",
    "CREATE TABLE fresh (id INTEGER PRIMARY KEY, name TEXT, price INTEGER, shelf TEXT); INSERT INTO"
    " fresh SELECT * FROM part; DROP TABLE part; ALTER TABLE fresh RENAME TO Part"};

}  // namespace

TEST_CASE("merge: the table was made anew with the same rows, edits of before are applied") {
  for (const char* const migration : kRebuilds) {
    for (const char* const sql :
         {"UPDATE part SET price = 55 WHERE id = 1", "DELETE FROM part WHERE id = 1",
          "UPDATE part SET price = 55 WHERE id = 1; UPDATE part SET name ="
          " 'screw' WHERE id = 1"}) {
      CAPTURE(migration);
      CAPTURE(sql);
      const Meeting outcome = meet({sql, "", migration});
      CHECK_MESSAGE(outcome.first.result == ReplayResult::kApplied, outcome.first.text);
      CHECK(outcome.text("SELECT count(*) FROM csa_conflicts") == "0");
    }
  }
}

TEST_CASE("merge: the table was made anew, edits of before and after it meet by their times") {
  for (const char* const migration : kRebuilds) {
    CAPTURE(migration);
    const Meeting later = meet({"UPDATE part SET price = 55 WHERE id = 1",
                                "UPDATE part SET price = 99 WHERE id = 1", migration});
    CHECK(later.first.result == ReplayResult::kSuperseded);
    CHECK(later.text("SELECT price FROM part WHERE id = 1") == "99");
    const Meeting merged = meet({"UPDATE part SET shelf = 'Z' WHERE id = 1",
                                 "UPDATE part SET price = 99 WHERE id = 1",
                                 migration,
                                 {{"part", "", "merge"}}});
    CHECK(merged.first.result == ReplayResult::kMerged);
    CHECK(merged.text("SELECT price || shelf FROM part WHERE id = 1") == "99Z");
    const Meeting gone = meet(
        {"UPDATE part SET price = 55 WHERE id = 1", "DELETE FROM part WHERE id = 1", migration});
    CHECK(gone.first.result == ReplayResult::kSuperseded);
    CHECK(gone.text("SELECT count(*) FROM part WHERE id = 1") == "0");
  }
}

TEST_CASE("merge: what a rebuild changes, leaves out and adds, edits of its own time") {
  const std::string migration =
      "ALTER TABLE part RENAME TO old; CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, price"
      " INTEGER, shelf TEXT); INSERT INTO part SELECT id, name, price * 2, shelf FROM old WHERE id"
      " <> 3; INSERT INTO part VALUES (9, 'cap', 90, 'D'); DROP TABLE old";
  const Meeting newest = meet({"UPDATE part SET price = 55 WHERE id = 1", "", migration});
  CHECK(newest.first.result == ReplayResult::kSuperseded);
  CHECK(newest.text("SELECT price FROM part WHERE id = 1") == "20");
  const Meeting merged =
      meet({"UPDATE part SET shelf = 'Z' WHERE id = 1", "", migration, {{"part", "", "merge"}}});
  CHECK(merged.text("SELECT price || shelf FROM part WHERE id = 1") == "20Z");
  const Meeting gone = meet({"UPDATE part SET price = 55 WHERE id = 3", "", migration});
  CHECK(gone.first.result == ReplayResult::kSuperseded);
  CHECK(gone.text("SELECT count(*) FROM part WHERE id = 3") == "0");
  const Meeting added = meet({"INSERT INTO part VALUES (9, 'x', 1, 'x')", "", migration});
  CHECK(added.first.result == ReplayResult::kSuperseded);
  CHECK(added.text("SELECT name FROM part WHERE id = 9") == "cap");
}

TEST_CASE("merge: the table was dropped, one of the same name holds other rows, none is edited") {
  const std::string people =
      "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, price INTEGER, shelf TEXT);"
      "INSERT INTO part VALUES (1, 'Ann', 1, 'x'), (3, 'Cid', 30, 'z')";
  for (const bool at_once : {true, false}) {
    for (const char* const sql :
         {"UPDATE part SET price = 55 WHERE id = 1", "DELETE FROM part WHERE id = 3",
          "UPDATE part SET price = 55 WHERE id = 2"}) {
      CAPTURE(at_once);
      CAPTURE(sql);
      MergeBench b(kParts, 1);
      b.edit(b.nodes[0], sql, 1'000'000'000'000'000);
      migrate(b, "DROP TABLE part" + (at_once ? "; " + people : std::string()));
      if (!at_once) migrate(b, people);
      const Replayed outcome = b.hand_over(b.nodes[0]).at(0);
      CHECK(outcome.result == ReplayResult::kParked);
      CHECK_MESSAGE(outcome.text.find("made anew") != std::string::npos, outcome.text);
      CHECK(b.text("SELECT group_concat(id || name || price || shelf) FROM part") ==
            "1Ann1x,3Cid30z");
      CHECK(b.text("SELECT base IS NOT NULL FROM csa_conflicts WHERE state = 'open'") == "1");
      CHECK(b.catch_up(b.nodes[0]) == "");
    }
  }
}

TEST_CASE("merge: a few rows got other content in a rebuild, each is another row to old edits") {
  const std::string migration =
      "ALTER TABLE part RENAME TO old; CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, price"
      " INTEGER, shelf TEXT); INSERT INTO part SELECT * FROM old WHERE id > 1; INSERT INTO part"
      " VALUES (1, 'cap', 90, 'A'); DROP TABLE old";
  MergeBench b(kParts, 1);
  b.edit(b.nodes[0], "UPDATE part SET price = 55", 1'000'000'000'000'000);
  migrate(b, migration);
  CHECK(b.hand_over(b.nodes[0]).at(0).result == ReplayResult::kSplit);
  CHECK(b.text("SELECT group_concat(name || price) FROM part") == "cap90,nut55,rod55");
  CHECK(b.text("SELECT reason LIKE '%another row%' FROM csa_conflicts") == "1");
}

TEST_CASE(
    "merge: rowids were given anew, edits by the old ones are parked, those of new rows not") {
  constexpr const char* kNotes = R"(
    CREATE TABLE note (text TEXT, n INTEGER);
    INSERT INTO note VALUES ('a', 1), ('b', 2), ('c', 3), ('d', 4);
    DELETE FROM note WHERE text = 'b';
  )";
  const std::string migration =
      "CREATE TABLE fresh (n INTEGER, text TEXT); INSERT INTO fresh SELECT n, text FROM note ORDER"
      " BY rowid; DROP TABLE note; ALTER TABLE fresh RENAME TO note";
  for (const bool rows_first : {true, false}) {
    CAPTURE(rows_first);
    MergeBench b(kNotes, 2);
    b.edit(b.nodes[0], "UPDATE note SET n = 11 WHERE text = 'a'", 1);
    b.edit(b.nodes[0], "UPDATE note SET n = 33 WHERE text = 'c'", 2);
    b.edit(b.nodes[0], "INSERT INTO note VALUES ('new', 5)", 3);
    b.edit(b.nodes[0], "UPDATE note SET n = 6 WHERE text = 'new'", 4);
    b.edit(b.nodes[0], "DELETE FROM note WHERE text = 'd'", 5);
    if (rows_first) {
      b.edit(b.nodes[1], "INSERT INTO note VALUES ('other', 7)", 1);
      (void)b.hand_over(b.nodes[1]);
    }
    migrate(b, migration);
    const std::vector<Replayed> outcomes = b.hand_over(b.nodes[0]);
    REQUIRE(outcomes.size() == 5);
    CHECK(outcomes[0].result == ReplayResult::kApplied);  // it is what it was, under its rowid
    CHECK(outcomes[1].result == ReplayResult::kParked);
    CHECK(outcomes[2].result == ReplayResult::kApplied);
    CHECK_MESSAGE(outcomes[3].result == ReplayResult::kApplied, outcomes[3].text);
    CHECK(outcomes[4].result == ReplayResult::kParked);
    CHECK(b.text("SELECT group_concat(text || n) FROM (SELECT * FROM note WHERE text <> 'other'"
                 " ORDER BY text)") == "a11,c3,d4,new6");
    for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
  }
}

TEST_CASE("merge: rowids stayed what they were in a rebuild, edits by them are applied") {
  const Meeting outcome = meet(
      {"UPDATE note SET n = 33 WHERE text = 'c'",
       "",
       "CREATE TABLE fresh (n INTEGER, text TEXT); INSERT INTO fresh (rowid, n, text) SELECT rowid,"
       " n, text FROM note; DROP TABLE note; ALTER TABLE fresh RENAME TO note",
       {},
       "CREATE TABLE note (text TEXT, n INTEGER); INSERT INTO note VALUES ('a', 1), ('b', 2),"
       " ('c', 3); DELETE FROM note WHERE text = 'b'"});
  CHECK(outcome.first.result == ReplayResult::kApplied);
  CHECK(outcome.text("SELECT group_concat(text || n) FROM note") == "a1,c33");
}

TEST_CASE("merge: the table got another key, rows as they were are edited, others are parked") {
  const std::string migration =
      "CREATE TABLE fresh (id INTEGER, name TEXT, price INTEGER, shelf TEXT, PRIMARY KEY (id,"
      " shelf)); INSERT INTO fresh SELECT * FROM part; DROP TABLE part; ALTER TABLE fresh RENAME TO"
      " part";
  const Meeting alone = meet({"UPDATE part SET price = 55 WHERE id = 1", "", migration});
  CHECK(alone.first.result == ReplayResult::kApplied);
  const Meeting met = meet({"UPDATE part SET price = 55 WHERE id = 1",
                            "UPDATE part SET price = 99 WHERE id = 1", migration});
  CHECK(met.first.result == ReplayResult::kParked);
  CHECK(met.text("SELECT price FROM part WHERE id = 1") == "99");
  CHECK(met.text("SELECT broker LIKE '%99%' AND node_row LIKE '%55%' FROM csa_conflicts") == "1");
  const Meeting moved = meet({"UPDATE part SET price = 55 WHERE id = 1",
                              "UPDATE part SET shelf = 'Y' WHERE id = 1", migration});
  CHECK(moved.first.result == ReplayResult::kParked);
  CHECK(moved.text("SELECT price || shelf FROM part WHERE id = 1") == "10Y");
  const Meeting anew = meet({"UPDATE part SET price = 55 WHERE id = 1",
                             "DELETE FROM part WHERE id = 1; INSERT INTO part VALUES (1, 'cap', 90,"
                             " 'A')",
                             migration});
  CHECK(anew.first.result == ReplayResult::kParked);
  CHECK(anew.text("SELECT name || price FROM part WHERE id = 1") == "cap90");
}

TEST_CASE("merge: the parents' table was made anew, no reference leads to another row") {
  const std::string create = "CREATE TABLE parent (id INTEGER PRIMARY KEY, tag TEXT);";
  const std::string others =
      "DROP TABLE parent;" + create + "INSERT INTO parent VALUES (1, 'other'), (2, 'stranger')";
  const std::string same =
      "CREATE TABLE fresh (id INTEGER PRIMARY KEY, tag TEXT); INSERT INTO fresh SELECT * FROM"
      " parent; DROP TABLE parent; ALTER TABLE fresh RENAME TO parent";
  for (const std::string& migration : {others, same}) {
    CAPTURE(migration);
    MergeBench b(create +
                     "CREATE TABLE child (parent INTEGER REFERENCES parent);"
                     "INSERT INTO parent VALUES (1, 'first'), (2, 'last')",
                 1);
    b.edit(b.nodes[0], "INSERT INTO child VALUES (2)", 1);
    b.edit(b.nodes[0],
           "INSERT INTO parent (tag) VALUES ('mine');"
           "INSERT INTO child VALUES (last_insert_rowid())",
           2);
    migrate(b, migration);
    const std::vector<Replayed> outcomes = b.hand_over(b.nodes[0]);
    REQUIRE(outcomes.size() == 2);
    const bool is_same = migration == same;
    CHECK(outcomes[0].result == (is_same ? ReplayResult::kApplied : ReplayResult::kParked));
    CHECK((outcomes[0].text.find("may belong to another row now") != std::string::npos) != is_same);
    CHECK_MESSAGE(outcomes[1].result == ReplayResult::kApplied, outcomes[1].text);
    CHECK(b.text("SELECT group_concat(tag) FROM child JOIN parent ON id = parent") ==
          (is_same ? "last,mine" : "mine"));
    CHECK(b.catch_up(b.nodes[0]) == "");
  }
}

TEST_CASE(
    "merge: a row that comes back has what it had last in columns that the edit cannot know") {
  for (const char* const rule : {"newest", "merge"}) {
    for (const bool deleted_in_time : {true, false}) {
      CAPTURE(rule);
      CAPTURE(deleted_in_time);
      MergeBench b(kParts, 0);
      set_rules(b, {{"part", "", rule}});
      b.add_node();
      b.add_node();
      b.edit(b.nodes[0], "UPDATE part SET price = 55 WHERE id = 1", 3);
      migrate(b, "ALTER TABLE part ADD COLUMN unit TEXT DEFAULT 'pc'");
      REQUIRE(b.catch_up(b.nodes[1]) == "");
      b.edit(b.nodes[1], "UPDATE part SET unit = 'box' WHERE id = 1", 1);
      b.edit(b.nodes[1], "DELETE FROM part WHERE id = 1", 2);
      if (deleted_in_time) {
        (void)b.hand_over(b.nodes[1]);
        migrate(b,
                "ALTER TABLE part ADD COLUMN weight INTEGER DEFAULT 7;"
                "ALTER TABLE part DROP COLUMN name");
      } else {
        migrate(b,
                "ALTER TABLE part ADD COLUMN weight INTEGER DEFAULT 7;"
                "ALTER TABLE part DROP COLUMN name");
        (void)b.hand_over(b.nodes[1]);
      }
      CHECK(b.hand_over(b.nodes[0]).at(0).result == ReplayResult::kApplied);
      CHECK(b.text("SELECT id || price || shelf || unit || weight FROM part WHERE id = 1") ==
            "155Abox7");
      for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
    }
  }
}

TEST_CASE("merge: a row was replaced by one transaction, it is the same after a schema change") {
  MergeBench b(kParts, 0);
  set_rules(b, {{"part", "", "merge"}});
  b.add_node();
  b.edit(b.nodes[0], "UPDATE part SET shelf = 'Z' WHERE id = 1", 1);
  b.master.write("REPLACE INTO part VALUES (1, 'bolt', 99, 'A')");
  migrate(b, "ALTER TABLE part DROP COLUMN name");
  CHECK(b.hand_over(b.nodes[0]).at(0).result == ReplayResult::kMerged);
  CHECK(b.text("SELECT price || shelf FROM part WHERE id = 1") == "99Z");
  CHECK(b.catch_up(b.nodes[0]) == "");
}

}  // namespace csa::merge_history_test
