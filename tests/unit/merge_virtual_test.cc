// Full-text tables under offline edits of several writers.
#include <doctest/doctest.h>

#include "common/virtual_table.h"
#include "tests/support/cases.h"
#include "tests/support/merge_bench.h"

namespace csa::merge_virtual_test {
namespace {

using test::MergeBench;

constexpr const char* kDocuments = R"(
  CREATE VIRTUAL TABLE page USING fts5 (title, body);
  INSERT INTO page (rowid, title, body) VALUES (1, 'first', 'red'), (2, 'second', 'green'),
    (3, 'third', 'blue');
)";
constexpr const char* kExternal = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, price INTEGER);
  CREATE VIRTUAL TABLE search USING fts5 (name, content = 'part', content_rowid = 'id');
  CREATE TRIGGER part_in AFTER INSERT ON part BEGIN
    INSERT INTO search (rowid, name) VALUES (new.id, new.name);
  END;
  CREATE TRIGGER part_out AFTER DELETE ON part BEGIN
    INSERT INTO search (search, rowid, name) VALUES ('delete', old.id, old.name);
  END;
  CREATE TRIGGER part_new AFTER UPDATE ON part BEGIN
    INSERT INTO search (search, rowid, name) VALUES ('delete', old.id, old.name);
    INSERT INTO search (rowid, name) VALUES (new.id, new.name);
  END;
  INSERT INTO part VALUES (1, 'red bolt', 1), (2, 'green nut', 2), (3, 'blue rod', 3);
)";

void check_fts5(MergeBench& b, const std::string& table) {
  for (const std::string& path : {b.master.path, b.nodes[0].path, b.nodes[1].path}) {
    // On a copy: the check is a write.
    const std::string copy = b.master.folder.file("check-" + to_string(random_id()));
    {
      const Database from(path, Database::Mode::kReadOnly);
      const Database to(copy, Database::Mode::kCreate);
      test::backup(from, to);
      CHECK_NOTHROW(
          to.exec("INSERT INTO " + table + " (" + table + ", rank) VALUES ('integrity-check', 1)"));
    }
  }
}

std::string hits(const std::string& path, const std::string& sql) {
  return Database(path, Database::Mode::kReadOnly).query_text(sql).value_or("-");
}

bool is_taken(ReplayResult result) {
  return result == ReplayResult::kApplied || result == ReplayResult::kMerged;
}

void all_equal(MergeBench& b) {
  CHECK(b.catch_up(b.nodes[0]) == "");
  CHECK(b.catch_up(b.nodes[1]) == "");
}

}  // namespace

TEST_CASE("virtual definition: module and options are read however they are quoted and spaced") {
  const auto parsed = [](const char* sql) { return parse_virtual(definition_in(sql)); };
  VirtualDefinition one = parsed(
      "CREATE VIRTUAL TABLE \"a using fts3(x)\" USING fts5 (name, 'content=x', content = 'my ''t',"
      " content_rowid=[id])");
  CHECK(one.module == "fts5");
  CHECK(one.options["content"] == "my 't");
  CHECK(one.options["content_rowid"] == "id");
  CHECK(one.options.size() == 2);
  one = parsed("create virtual table t /* using rtree */ using FTS4(content=\"\", a)");
  CHECK(one.module == "fts4");
  CHECK(one.options["content"].empty());
  CHECK(one.options.contains("content"));
  CHECK(parsed("CREATE VIRTUAL TABLE t USING rtree").module == "rtree");
  CHECK(parsed("CREATE VIRTUAL TABLE t USING rtree(id, x0, x1, +a TEXT, +b)").auxiliary == 2);
  CHECK(definition_in("CREATE TABLE t (a)").empty());
}

TEST_CASE("merge: documents of two nodes and the master, every search finds the same everywhere") {
  for (const bool first_a : {true, false}) {
    CAPTURE(first_a);
    MergeBench b(kDocuments, 2);
    MergeBench::Node& one = b.nodes[0];
    MergeBench::Node& two = b.nodes[1];
    b.edit(one, "INSERT INTO page (rowid, title, body) VALUES (10, 'ten', 'yellow one')", 1);
    b.edit(one, "UPDATE page SET body = 'red and white' WHERE rowid = 1", 2);
    b.edit(two, "INSERT INTO page (rowid, title, body) VALUES (20, 'twenty', 'yellow two')", 3);
    b.edit(two, "DELETE FROM page WHERE rowid = 2", 4);
    b.master.write("INSERT INTO page (rowid, title, body) VALUES (30, 'thirty', 'yellow three')");
    b.master.write("UPDATE page SET body = 'blue and white' WHERE rowid = 3");
    for (MergeBench::Node* const node : {first_a ? &one : &two, first_a ? &two : &one}) {
      for (const Replayed& outcome : b.hand_over(*node)) {
        CHECK_MESSAGE(is_taken(outcome.result), outcome.text);
      }
    }
    all_equal(b);
    check_fts5(b, "page");
    for (const std::string& path : {b.master.path, one.path, two.path}) {
      CHECK(hits(path, "SELECT group_concat(rowid) FROM page WHERE page MATCH 'yellow'") ==
            "10,20,30");
      CHECK(hits(path, "SELECT group_concat(rowid) FROM page WHERE page MATCH 'white'") == "1,3");
      CHECK(hits(path, "SELECT count(*) FROM page WHERE page MATCH 'green'") == "0");
    }
    CHECK(b.master.count("SELECT count(*) FROM csa_conflicts") == 0);
    CHECK(b.master.replay_difference() == "");
  }
}

TEST_CASE("merge: one document changed twice, the later edit is found, the other is in the inbox") {
  for (const bool first_a : {true, false}) {
    CAPTURE(first_a);
    MergeBench b(kDocuments, 2);
    b.edit(b.nodes[0], "UPDATE page SET body = 'older words' WHERE rowid = 1", 1);
    b.edit(b.nodes[1], "UPDATE page SET body = 'later words' WHERE rowid = 1", 2000);
    (void)b.hand_over(b.nodes[first_a ? 0 : 1]);
    (void)b.hand_over(b.nodes[first_a ? 1 : 0]);
    all_equal(b);
    check_fts5(b, "page");
    CHECK(hits(b.master.path, "SELECT rowid FROM page WHERE page MATCH 'later'") == "1");
    CHECK(hits(b.master.path, "SELECT count(*) FROM page WHERE page MATCH 'older'") == "0");
    CHECK(b.master.count("SELECT count(*) FROM csa_conflicts WHERE broker LIKE '%older%' OR"
                         " node_row LIKE '%older%'") > 0);
  }
}

TEST_CASE("merge: an index over another table follows its merged rows, whoever changed them") {
  for (const bool first_a : {true, false}) {
    CAPTURE(first_a);
    MergeBench b(kExternal, 2);
    MergeBench::Node& one = b.nodes[0];
    MergeBench::Node& two = b.nodes[1];
    b.edit(one, "INSERT INTO part (name) VALUES ('yellow one')", 1);
    b.edit(one, "UPDATE part SET name = 'older bolt' WHERE id = 1", 2);
    b.edit(two, "INSERT INTO part (name) VALUES ('yellow two')", 3);  // the same id
    b.edit(two, "UPDATE part SET name = 'later bolt' WHERE id = 1", 2000);
    b.edit(two, "DELETE FROM part WHERE id = 2", 2001);
    b.master.write("UPDATE part SET name = 'blue and white' WHERE id = 3");
    for (MergeBench::Node* const node : {first_a ? &one : &two, first_a ? &two : &one}) {
      for (const Replayed& outcome : b.hand_over(*node)) {
        CHECK(outcome.result != ReplayResult::kParked);
      }
    }
    all_equal(b);
    check_fts5(b, "search");
    for (const std::string& path : {b.master.path, one.path, two.path}) {
      CHECK(hits(path, "SELECT count(*) FROM search WHERE search MATCH 'yellow'") == "2");
      CHECK(hits(path, "SELECT name FROM search WHERE search MATCH 'bolt'") == "later bolt");
      CHECK(hits(path, "SELECT count(*) FROM search WHERE search MATCH 'nut'") == "0");
      CHECK(hits(path, "SELECT rowid FROM search WHERE search MATCH 'white'") == "3");
    }
  }
}

TEST_CASE("merge: an index that a node built anew is built anew at the master") {
  MergeBench b(
      "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT);"
      "CREATE VIRTUAL TABLE search USING fts5 (name, content = 'part', content_rowid = 'id');",
      2);
  b.edit(b.nodes[0], "INSERT INTO part VALUES (1, 'red')", 1);
  b.edit(b.nodes[0], "INSERT INTO search (search) VALUES ('rebuild')", 2);
  b.edit(b.nodes[1], "INSERT INTO part VALUES (2, 'green')", 3);
  b.edit(b.nodes[1], "INSERT INTO search (search) VALUES ('rebuild')", 4);
  (void)b.hand_over(b.nodes[0]);
  (void)b.hand_over(b.nodes[1]);
  all_equal(b);
  check_fts5(b, "search");
  CHECK(hits(b.nodes[0].path, "SELECT count(*) FROM search WHERE search MATCH 'red OR green'") ==
        "2");
}

TEST_CASE("merge: documents of FTS4 and of its external content are found everywhere") {
  MergeBench b(
      "CREATE VIRTUAL TABLE page USING fts4 (title, body);"
      "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT);"
      "CREATE VIRTUAL TABLE search USING fts4 (content=\"part\", name);"
      "CREATE TRIGGER part_in AFTER INSERT ON part BEGIN"
      "  INSERT INTO search (docid, name) VALUES (new.id, new.name); END;",
      2);
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string n = std::to_string(i + 1);
    b.edit(b.nodes[i], "INSERT INTO page (docid, title, body) VALUES (" + n + ", 't', 'red')", 1);
    b.edit(b.nodes[i], "INSERT INTO part (name) VALUES ('green " + n + "')", 2);
  }
  for (MergeBench::Node& node : b.nodes) {
    for (const Replayed& outcome : b.hand_over(node)) {
      CHECK_MESSAGE(is_taken(outcome.result), outcome.text);
    }
  }
  all_equal(b);
  for (const MergeBench::Node& node : b.nodes) {
    CHECK(hits(node.path, "SELECT count(*) FROM page WHERE page MATCH 'red'") == "2");
    CHECK(hits(node.path, "SELECT count(*) FROM search WHERE search MATCH 'green'") == "2");
  }
}

TEST_CASE("merge: rows of a spatial index from two nodes and the master, all found everywhere") {
  for (const bool first_a : {true, false}) {
    for (const std::string module : {"rtree", "rtree_i32"}) {
      if (test::kOneOf > 1 && first_a == (module == "rtree")) continue;
      CAPTURE(first_a);
      CAPTURE(module);
      MergeBench b("CREATE VIRTUAL TABLE area USING " + module +
                       " (id, x0, x1, +label);"
                       "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE"
                       " i < 300) INSERT INTO area SELECT i, i, i + 1, 'old' FROM n;",
                   2);
      MergeBench::Node& one = b.nodes[0];
      MergeBench::Node& two = b.nodes[1];
      b.edit(one, "INSERT INTO area VALUES (1001, -5, -4, 'one')", 1);
      b.edit(one, "UPDATE area SET label = 'named' WHERE id = 7", 2);
      b.edit(one, "UPDATE area SET x1 = 900 WHERE id = 8", 3);
      b.edit(one, "DELETE FROM area WHERE id BETWEEN 100 AND 250", 4);  // leaves vanish
      b.edit(two,
             "WITH RECURSIVE n (i) AS (VALUES (2001) UNION ALL SELECT i + 1 FROM n WHERE"
             " i < 2200) INSERT INTO area SELECT i, i, i + 1, 'two' FROM n",
             5);
      b.edit(two, "UPDATE area SET x0 = -50 WHERE id = 9", 6);
      b.edit(two, "UPDATE area SET label = 'later' WHERE id = 8", 2000);
      b.master.write("INSERT INTO area VALUES (3001, -7, -6, 'master')");
      b.master.write("DELETE FROM area WHERE id = 10");
      for (MergeBench::Node* const node : {first_a ? &one : &two, first_a ? &two : &one}) {
        for (const Replayed& outcome : b.hand_over(*node)) {
          CHECK_MESSAGE(outcome.result != ReplayResult::kParked, outcome.text);
        }
      }
      all_equal(b);
      for (const std::string& path : {b.master.path, one.path, two.path}) {
        CHECK(hits(path, "SELECT count(*) FROM area") ==
              std::to_string(300 + 1 + 200 + 1 - 151 - 1));
        CHECK(hits(path,
                   "SELECT group_concat(id) FROM (SELECT id FROM area WHERE x0 < 0 ORDER BY"
                   " id)") == "9,1001,3001");
        CHECK(hits(path, "SELECT label FROM area WHERE id = 7") == "named");
        CHECK(hits(path, "SELECT label || x1 FROM area WHERE id = 8").starts_with("later9"));
        CHECK(hits(path, "SELECT rtreecheck('area')") == "ok");
      }
    }
  }
}

TEST_CASE(
    "merge: documents and spatial rows that SQLite numbered alike on two nodes are both kept") {
  for (const bool first_a : {true, false}) {
    CAPTURE(first_a);
    MergeBench b(std::string(kDocuments) +
                     "CREATE VIRTUAL TABLE old USING fts4 (text);"
                     "CREATE VIRTUAL TABLE area USING rtree (id, x0, x1);"
                     "INSERT INTO area VALUES (1, 0, 1)",
                 2);
    for (std::size_t i = 0; i < 2; ++i) {
      const std::string n = std::to_string(i + 1);
      b.edit(b.nodes[i], "INSERT INTO page (title, body) VALUES ('new', 'yellow " + n + "')", 1);
      b.edit(b.nodes[i], "INSERT INTO old (text) VALUES ('yellow " + n + "')", 2);
      b.edit(b.nodes[i], "INSERT INTO area (x0, x1) VALUES (1" + n + ", 20)", 3);
      b.edit(b.nodes[i], "UPDATE page SET title = 'newer' WHERE rowid = 4", 4);
      b.edit(b.nodes[i], "UPDATE area SET x1 = 21 WHERE id = 2", 5);
    }
    for (const std::size_t i : {first_a ? 0U : 1U, first_a ? 1U : 0U}) {
      for (const Replayed& outcome : b.hand_over(b.nodes[i])) {
        CHECK_MESSAGE(is_taken(outcome.result), outcome.text);
      }
    }
    all_equal(b);
    check_fts5(b, "page");
    for (const MergeBench::Node& node : b.nodes) {
      CHECK(hits(node.path,
                 "SELECT group_concat(rowid || title) FROM page WHERE page MATCH"
                 " 'yellow'") == "4newer,5newer");
      CHECK(hits(node.path, "SELECT count(*) FROM old WHERE old MATCH 'yellow'") == "2");
      CHECK(hits(node.path, "SELECT count(*) FROM area WHERE x0 > 5 AND x1 = 21") == "2");
    }
    CHECK(b.master.count("SELECT count(*) FROM csa_conflicts WHERE decision <> 'remapped'") == 0);
  }
}

TEST_CASE("merge: documents and spatial rows of a numbered row go with it to its new number") {
  for (const bool first_a : {true, false}) {
    CAPTURE(first_a);
    MergeBench b(
        "CREATE TABLE place (id INTEGER PRIMARY KEY, name TEXT, x REAL);"
        "CREATE VIRTUAL TABLE words USING fts5 (name);"
        "CREATE VIRTUAL TABLE area USING rtree (id, x0, x1);"
        "CREATE TRIGGER place_in AFTER INSERT ON place BEGIN"
        "  INSERT INTO words (rowid, name) VALUES (new.id, new.name);"
        "  INSERT INTO area VALUES (new.id, new.x, new.x); END;"
        "CREATE TRIGGER place_new AFTER UPDATE ON place BEGIN"
        "  UPDATE words SET name = new.name WHERE rowid = new.id;"
        "  UPDATE area SET x0 = new.x, x1 = new.x WHERE id = new.id; END;"
        "INSERT INTO place VALUES (1, 'mill', 1)",
        2);
    for (std::size_t i = 0; i < 2; ++i) {
      const std::string n = std::to_string(i + 1);
      b.edit(b.nodes[i], "INSERT INTO place (name, x) VALUES ('lock " + n + "', 1" + n + ")", 1);
      b.edit(b.nodes[i], "UPDATE place SET name = 'bridge " + n + "' WHERE id = 2", 2);
    }
    for (const std::size_t i : {first_a ? 0U : 1U, first_a ? 1U : 0U}) {
      for (const Replayed& outcome : b.hand_over(b.nodes[i])) {
        CHECK_MESSAGE(is_taken(outcome.result), outcome.text);
      }
    }
    all_equal(b);
    check_fts5(b, "words");
    for (const MergeBench::Node& node : b.nodes) {
      CHECK(hits(node.path,
                 "SELECT count(*) FROM place JOIN words ON words.rowid = place.id JOIN"
                 " area ON area.id = place.id WHERE words.name = place.name AND"
                 " area.x0 = place.x") == "3");
      CHECK(hits(node.path, "SELECT count(*) FROM words WHERE words MATCH 'bridge'") == "2");
    }
    CHECK(b.master.count("SELECT count(*) FROM csa_conflicts WHERE decision <> 'remapped'") == 0);
  }
}

TEST_CASE("merge: a loser inside a virtual table or under an index is restored and found") {
  MergeBench b(std::string(kDocuments) + kExternal +
                   "CREATE VIRTUAL TABLE area USING rtree (id, x0, x1);"
                   "INSERT INTO area VALUES (1, 0, 1), (2, 0, 1);",
               2);
  for (const auto& [i, word] : {std::pair(0U, "older"), std::pair(1U, "later")}) {
    const std::string x = word == std::string("older") ? "500" : "600";
    const std::int64_t at = i == 0 ? 1 : 5000;
    b.edit(b.nodes[i], std::string("UPDATE page SET body = '") + word + "' WHERE rowid = 1", at);
    b.edit(b.nodes[i], std::string("UPDATE part SET name = '") + word + "' WHERE id = 1", at);
    b.edit(b.nodes[i], "UPDATE area SET x0 = " + x + ", x1 = 900 WHERE id = 1", at);
    b.edit(b.nodes[i],
           i == 0 ? "DELETE FROM area WHERE id = 2" : "UPDATE area SET x1 = 7 WHERE id = 2", at);
  }
  (void)b.hand_over(b.nodes[0]);
  (void)b.hand_over(b.nodes[1]);
  all_equal(b);
  REQUIRE(b.master.count("SELECT count(*) FROM csa_conflicts WHERE state = 'open'") == 4);
  const MergeBench::Node& node = b.nodes[0];
  CHECK(hits(node.path, "SELECT rowid FROM page WHERE page MATCH 'later'") == "1");
  for (std::int64_t id = 1; id <= 4; ++id) {
    const WriteAnswer done = b.master.run(
        {Conflict{TxId{b.master.node, ++b.master.counter}, id, ConflictVerb::kRestore}, "desk", 9});
    const auto* const nack = std::get_if<Nack>(&done);
    CHECK_MESSAGE(nack == nullptr, nack->message);
  }
  all_equal(b);
  check_fts5(b, "page");
  check_fts5(b, "search");
  CHECK(hits(node.path, "SELECT rowid FROM page WHERE page MATCH 'older'") == "1");
  CHECK(hits(node.path, "SELECT count(*) FROM page WHERE page MATCH 'later'") == "0");
  CHECK(hits(node.path, "SELECT rowid FROM search WHERE search MATCH 'older'") == "1");
  CHECK(hits(node.path, "SELECT count(*) FROM search WHERE search MATCH 'later'") == "0");
  CHECK(hits(node.path, "SELECT group_concat(id) FROM area WHERE x0 >= 500 AND x0 < 600") == "1");
  CHECK(hits(node.path, "SELECT count(*) FROM area") == "1");
}

TEST_CASE("merge: settings of a full-text table, set meanwhile, rank an offline document too") {
  MergeBench b(
      "CREATE VIRTUAL TABLE page USING fts5 (title, body);"
      "INSERT INTO page VALUES ('other', 'word word word')",
      2);
  b.edit(b.nodes[0], "INSERT INTO page VALUES ('word', 'other')", 1);
  b.master.write("INSERT INTO page (page, rank) VALUES ('rank', 'bm25(100.0, 1.0)')");
  b.master.write("INSERT INTO page (page, rank) VALUES ('pgsz', 64)");
  CHECK(b.hand_over(b.nodes[0])[0].result == ReplayResult::kApplied);
  all_equal(b);
  check_fts5(b, "page");
  for (const std::string& path : {b.master.path, b.nodes[0].path}) {
    CHECK(hits(path, "SELECT rowid FROM page WHERE page MATCH 'word' ORDER BY rank LIMIT 1") ==
          "2");
  }
}

TEST_CASE("merge: index tables that nothing can be told of are parked when others changed them") {
  for (const char* const schema : {"CREATE VIRTUAL TABLE page USING fts5 (body, content = '')"}) {
    CAPTURE(schema);
    MergeBench b(schema, 2);
    const auto insert = [&](int id) {
      const std::string n = std::to_string(id);
      return "INSERT INTO page (rowid, body) VALUES (" + n + ", 'word')";
    };
    b.edit(b.nodes[0], insert(1), 1);
    b.edit(b.nodes[1], insert(2), 2);
    CHECK(b.hand_over(b.nodes[0])[0].result == ReplayResult::kApplied);
    const Replayed second = b.hand_over(b.nodes[1])[0];
    CHECK(second.result == ReplayResult::kParked);
    CHECK(second.text.find("make the change again") != std::string::npos);
    all_equal(b);
  }
}

}  // namespace csa::merge_virtual_test
