// Tables as people declare them: names that need quotes, keys of every type and collation,
// generated columns, partial indexes, actions of foreign keys. Offline work on each meets others'.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/merge_bench.h"

namespace csa::merge_schemas_test {
namespace {

using test::MergeBench;

void set_rules(MergeBench& b, std::vector<RuleSetting> settings) {
  const Rules rules{TxId{b.master.node, ++b.master.counter}, std::move(settings), false};
  REQUIRE(std::holds_alternative<Ack>(b.master.run({rules, "desk", 1})));
}

struct Edited {
  std::size_t node = 0;
  const char* sql = "";
};
struct Story {
  const char* schema = "";
  std::vector<RuleSetting> rules;
  std::vector<Edited> edits;  // at times in their order
  const char* query = "";     // at the master, and by the end at every node
  const char* expected = "";
  std::int64_t conflicts = 0;  // -1: depends on the order
};

// Whoever returns first.
void check(const Story& story) {
  for (const std::size_t first : {std::size_t{0}, std::size_t{1}}) {
    CAPTURE(first);
    MergeBench b(story.schema, 0);
    if (!story.rules.empty()) set_rules(b, story.rules);
    b.add_node();
    b.add_node();
    std::int64_t at = 0;
    for (const Edited& edit : story.edits) b.edit(b.nodes[edit.node], edit.sql, ++at);
    for (const std::size_t node : {first, 1 - first}) (void)b.hand_over(b.nodes[node]);
    CHECK(b.text(story.query) == story.expected);
    if (story.conflicts >= 0) {
      CHECK(b.text("SELECT count(*) FROM csa_conflicts") == std::to_string(story.conflicts));
    }
    CHECK(b.text("PRAGMA integrity_check") == "ok");
    CHECK(b.text("PRAGMA foreign_key_check") == "-");
    for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
  }
}

}  // namespace

TEST_CASE("merge: names of tables and columns that need quotes, merged by column as any") {
  check(
      {R"(CREATE TABLE "order ""x"" [y]" ("the key" INTEGER PRIMARY KEY, "select" TEXT, "a.b" TEXT,
                                           "naïve; --" TEXT);
            INSERT INTO "order ""x"" [y]" VALUES (1, 'a', 'b', 'c'))",
       {{"order \"x\" [y]", "", "merge"}},
       {{0, R"(UPDATE "order ""x"" [y]" SET "select" = 'first')"},
        {1, R"(UPDATE "order ""x"" [y]" SET "a.b" = 'second')"},
        {1, R"(INSERT INTO "order ""x"" [y]" ("naïve; --") VALUES ('new'))"},
        {0, R"(INSERT INTO "order ""x"" [y]" ("naïve; --") VALUES ('too'))"}},
       R"(SELECT max("select" || "a.b") || count(*) FROM "order ""x"" [y]")",
       "firstsecond3",
       0});
}

TEST_CASE("merge: a text key that knows no case is one key, however it is written") {
  check({"CREATE TABLE tag (name TEXT COLLATE NOCASE PRIMARY KEY, a TEXT, n INTEGER)",
         {{"tag", "n", "sum"}},
         {{0, "INSERT INTO tag VALUES ('Red', 'first', 3)"},
          {1, "INSERT INTO tag VALUES ('red', 'second', 4)"}},
         "SELECT group_concat(a || n) FROM tag",
         "second7",
         1});
}

TEST_CASE("merge: a NOCASE key is written anew in other case, an edit of the row still finds it") {
  check(
      {"CREATE TABLE tag (name TEXT COLLATE NOCASE PRIMARY KEY, a TEXT) WITHOUT ROWID;"
       "INSERT INTO tag VALUES ('red', 'a')",
       {{"tag", "", "merge"}},
       {{0, "UPDATE tag SET name = 'RED'"}, {1, "UPDATE tag SET a = 'second'"}},
       "SELECT group_concat(name || a) FROM tag",
       "REDsecond",
       0});
}

TEST_CASE("merge: a REAL key is the same row written 1 and 1.0") {
  check(
      {"CREATE TABLE price (amount REAL PRIMARY KEY, a TEXT, b TEXT);"
       "INSERT INTO price VALUES (1, 'a', 'b'), (2.5, 'a', 'b')",
       {{"price", "", "merge"}},
       {{0, "UPDATE price SET a = 'first' WHERE amount = 1"},
        {1, "UPDATE price SET b = 'second' WHERE amount = 1.0"},
        {0, "INSERT INTO price VALUES (3, 'x', 'x')"},
        {1, "INSERT INTO price VALUES (3.0, 'y', 'y')"}},
       "SELECT group_concat(amount || a || b, ' ') FROM (SELECT * FROM price ORDER BY amount)",
       "1.0firstsecond 2.5ab 3.0yy",
       1});
}

TEST_CASE(
    "merge: a key without a type keeps its integer and its real apart only where SQLite does") {
  check(
      {"CREATE TABLE thing (k PRIMARY KEY, a TEXT, b TEXT);"
       "INSERT INTO thing VALUES (1, 'a', 'b'), ('1', 'a', 'b'), (x'31', 'a', 'b')",
       {{"thing", "", "merge"}},
       {{0, "UPDATE thing SET a = 'int' WHERE k = 1"},
        {1, "UPDATE thing SET b = 'int' WHERE k = 1.0"},
        {0, "UPDATE thing SET a = 'text' WHERE k = '1'"},
        {1, "UPDATE thing SET b = 'blob' WHERE k = x'31'"},
        {0, "INSERT INTO thing VALUES (7, 'x', 'x')"},
        {1, "INSERT INTO thing VALUES (7.0, 'y', 'y')"}},
       "SELECT group_concat(typeof(k) || a || b, ' ') FROM (SELECT * FROM thing WHERE k <> 7"
       " ORDER BY typeof(k)) UNION ALL SELECT count(*) || b FROM thing WHERE k = 7",
       "blobablob integerintint texttextb",
       1});
}

TEST_CASE("merge: a blob key with zero bytes, descending, without rowid") {
  check(
      {"CREATE TABLE part (id BLOB, no INTEGER, a TEXT, b TEXT, PRIMARY KEY (id DESC, no))"
       " WITHOUT ROWID;"
       "INSERT INTO part VALUES (x'00', 1, 'a', 'b'), (x'0000', 1, 'a', 'b'), (x'', 1, 'a', 'b')",
       {{"part", "", "merge"}},
       {{0, "UPDATE part SET a = 'one' WHERE id = x'00'"},
        {1, "UPDATE part SET b = 'one' WHERE id = x'00'"},
        {0, "UPDATE part SET a = 'none' WHERE id = x''"},
        {1, "DELETE FROM part WHERE id = x'0000'"}},
       "SELECT group_concat(hex(id) || a || b, ' ') FROM (SELECT * FROM part ORDER BY id)",
       "noneb 00oneone",
       0});
}

TEST_CASE("merge: a strict table with generated columns, merged; what they show follows") {
  check(
      {"CREATE TABLE part (id INTEGER PRIMARY KEY, w INTEGER, h INTEGER, any_value ANY,"
       " area INTEGER GENERATED ALWAYS AS (w * h) STORED,"
       " half INTEGER GENERATED ALWAYS AS (w / 2) VIRTUAL) STRICT;"
       "CREATE INDEX by_area ON part (area);"
       "INSERT INTO part (id, w, h) VALUES (1, 2, 3)",
       {{"part", "", "merge"}},
       {{0, "UPDATE part SET w = 10"}, {1, "UPDATE part SET h = 7, any_value = x'00ff'"}},
       "SELECT area || ',' || half || ',' || hex(any_value) FROM part WHERE area = 70",
       "70,5,00FF",
       0});
}

TEST_CASE("merge: a partial unique index forbids only what it covers") {
  check(
      {"CREATE TABLE bed (id INTEGER PRIMARY KEY, room INTEGER, free INTEGER);"
       "CREATE UNIQUE INDEX one_guest ON bed (room) WHERE free = 0;"
       "INSERT INTO bed VALUES (1, 5, 1), (2, 5, 1), (3, 6, 1)",
       {},
       {{0, "UPDATE bed SET free = 0 WHERE id = 1"},
        {1, "UPDATE bed SET free = 0 WHERE id = 2"},
        {1, "UPDATE bed SET room = 7 WHERE id = 3"}},
       "SELECT count(*) || max(room) FROM bed WHERE free = 0 OR room = 7",
       "27",
       1});
}

TEST_CASE("merge: an index on an expression, and one that knows no case, hold at the master") {
  check(
      {"CREATE TABLE user (id TEXT PRIMARY KEY, mail TEXT);"
       "CREATE UNIQUE INDEX by_mail ON user (lower(mail))",
       {},
       {{0, "INSERT INTO user VALUES ('u1', 'Ann@x')"},
        {1, "INSERT INTO user VALUES ('u2', 'ann@X')"},
        {1, "INSERT INTO user VALUES ('u3', 'bob@x')"},
        {0, "INSERT INTO user VALUES ('u4', 'cid@x')"}},
       "SELECT count(*) FROM user",
       "3",
       1});
}

TEST_CASE("merge: SET NULL at the node and a new parent elsewhere, nobody points to nothing") {
  check(
      {"CREATE TABLE shelf (id INTEGER PRIMARY KEY, name TEXT);"
       "CREATE TABLE box (id INTEGER PRIMARY KEY, shelf INTEGER REFERENCES shelf ON DELETE SET"
       " NULL ON UPDATE CASCADE, label TEXT);"
       "INSERT INTO shelf VALUES (1, 'A'), (2, 'B');"
       "INSERT INTO box VALUES (1, 1, 'x'), (2, 1, 'y')",
       {{"box", "", "merge"}},
       {{0, "DELETE FROM shelf WHERE id = 1"},
        {1, "UPDATE box SET label = 'named' WHERE id = 1"},
        {1, "UPDATE box SET shelf = 2 WHERE id = 2"}},
       "SELECT group_concat(label || ifnull(shelf, '-'), ' ') FROM box",
       "named- y2",
       -1});
}

TEST_CASE("merge: a parent's key that the node changed carries its children along") {
  check(
      {"CREATE TABLE shelf (name TEXT PRIMARY KEY, a TEXT);"
       "CREATE TABLE box (id INTEGER PRIMARY KEY, shelf TEXT REFERENCES shelf ON UPDATE CASCADE,"
       " label TEXT);"
       "INSERT INTO shelf VALUES ('A', 'a'); INSERT INTO box VALUES (1, 'A', 'x')",
       {{"box", "", "merge"}, {"shelf", "", "merge"}},
       {{0, "UPDATE shelf SET name = 'Z'"},
        {1, "UPDATE box SET label = 'named'"},
        {1, "UPDATE shelf SET a = 'second'"}},
       "SELECT group_concat(box.label || shelf.name || shelf.a) FROM box JOIN shelf ON"
       " box.shelf = shelf.name",
       "namedZsecond",
       0});
}

TEST_CASE("merge: huge integers, reals that print alike, infinities and NUL in text, to the bit") {
  check(
      {"CREATE TABLE v (id INTEGER PRIMARY KEY, a, b);"
       "INSERT INTO v VALUES (1, NULL, NULL), (-9223372036854775808, 1, 1)",
       {{"v", "", "merge"}},
       {{0, "UPDATE v SET a = 9223372036854775807 WHERE id = 1"},
        {1, "UPDATE v SET b = 0.1 + 0.2 WHERE id = 1"},
        {0, "UPDATE v SET a = 9e999 WHERE id < 0"},
        {1, "UPDATE v SET b = 'x' || char(0) || 'y' WHERE id < 0"}},
       "SELECT group_concat(a || (b = 0.1 + 0.2) || length(hex(b)), ' ') FROM v WHERE id = 1"
       " OR (a = 9e999 AND hex(b) = '780079')",
       "Inf06 922337203685477580716",
       0});
}

}  // namespace csa::merge_schemas_test
