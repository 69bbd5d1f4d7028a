// Full-text and spatial tables in a merge: indexes over other tables that are right whoever changed
// their rows, columns by name after a migration, numbers that go together.
#include <doctest/doctest.h>

#include "broker/merge_index.h"
#include "tests/support/index_feed.h"
#include "tests/support/merge_bench.h"

namespace csa::merge_indexes_test {
namespace {

using test::MergeBench;

constexpr const char* kParts = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, price INTEGER);
  INSERT INTO part VALUES (1, 'red bolt', 1), (2, 'green nut', 2), (3, 'blue rod', 3);
)";
constexpr const char* kIndex = R"(
  CREATE VIRTUAL TABLE search USING fts5 (name, content = 'part', content_rowid = 'id');
  INSERT INTO search (search) VALUES ('rebuild');
)";
constexpr const char* kFeed = test::kIndexFeed;

struct Bench : MergeBench {
  using MergeBench::MergeBench;
  void migrate(const std::string& sql) {
    const WriteAnswer done = master.run(master.migration(sql));
    const auto* const nack = std::get_if<Nack>(&done);
    REQUIRE_MESSAGE(nack == nullptr, nack->message);
  }
  std::vector<Replayed> all_back() {
    std::vector<Replayed> outcomes;
    for (Node& node : nodes) {
      for (Replayed& outcome : hand_over(node)) outcomes.push_back(std::move(outcome));
    }
    for (Node& node : nodes) CHECK(catch_up(node) == "");
    return outcomes;
  }
  // On a copy: the check is a write.
  void check_index(const std::string& table) {
    const std::string copy = master.folder.file("check-" + to_string(random_id()));
    const Database from(master.path, Database::Mode::kReadOnly);
    const Database to(copy, Database::Mode::kCreate);
    test::backup(from, to);
    CHECK_NOTHROW(
        to.exec("INSERT INTO " + table + " (" + table + ", rank) VALUES ('integrity-check', 1)"));
  }
  [[nodiscard]] std::string found(const std::string& table, const std::string& word) const {
    return text("SELECT coalesce(group_concat(rowid), '') FROM (SELECT rowid FROM " + table +
                " WHERE " + table + " MATCH '" + word + "' ORDER BY rowid)");
  }
};

void check_applied(const std::vector<Replayed>& outcomes) {
  for (const Replayed& outcome : outcomes) {
    CHECK_MESSAGE(outcome.result == ReplayResult::kApplied, outcome.text);
  }
}

}  // namespace

TEST_CASE("index trigger: its event and condition, if it writes to the index") {
  const auto told = [](const char* sql) {
    const std::optional<IndexTrigger> trigger = index_trigger(sql, "Search");
    return trigger ? trigger->event + ":" + trigger->condition : "no";
  };
  CHECK(told("CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO search VALUES (1); END") ==
        "insert:");
  CHECK(told("CREATE TRIGGER a AFTER INSERT ON t WHEN new.pub /* BEGIN */ = 'BEGIN' BEGIN"
             " INSERT INTO other VALUES (1); REPLACE INTO \"search\" VALUES (1); END") ==
        "insert: new.pub /* BEGIN */ = 'BEGIN' ");
  CHECK(told("CREATE TRIGGER \"insert\" AFTER UPDATE OF a ON t BEGIN"
             " INSERT INTO search VALUES (1); END") == "update:");
  CHECK(told("CREATE TRIGGER a BEFORE DELETE ON t WHEN CASE WHEN old.a THEN 1 END BEGIN"
             " DELETE FROM [search] WHERE docid = old.id; END") ==
        "delete: CASE WHEN old.a THEN 1 END ");
  CHECK(told("CREATE TRIGGER a AFTER INSERT ON search BEGIN SELECT 'into search'; END") == "no");
  CHECK(told("CREATE TRIGGER a AFTER INSERT ON t BEGIN DELETE FROM search; END") == "no");
  CHECK(told("CREATE TRIGGER a AFTER DELETE ON t BEGIN SELECT 1 FROM search; END") == "no");
}

TEST_CASE("merge: an index that a migration has made meanwhile finds what the node wrote before") {
  Bench b(kParts, 2);
  b.edit(b.nodes[0], "INSERT INTO part (name, price) VALUES ('yellow rod', 3)", 1);
  b.edit(b.nodes[0], "UPDATE part SET name = 'purple bolt' WHERE id = 1", 2);
  b.edit(b.nodes[0], "DELETE FROM part WHERE id = 2", 3);
  b.migrate(std::string(kIndex) + kFeed);
  check_applied(b.all_back());
  b.check_index("search");
  CHECK(b.found("search", "yellow OR purple") == "1,4");
  CHECK(b.found("search", "red OR green") == "");
}

TEST_CASE("merge: a row that wins whole or comes back is found though no trigger ran at the node") {
  Bench b(std::string(kParts) + kIndex + kFeed, 2);
  b.edit(b.nodes[0], "UPDATE part SET name = 'orange bolt' WHERE id = 1", 1);
  b.edit(b.nodes[0], "DELETE FROM part WHERE id = 2", 2);
  b.edit(b.nodes[1], "UPDATE part SET price = 11 WHERE id = 1", 2000);
  b.edit(b.nodes[1], "UPDATE part SET price = 22 WHERE id = 2", 2001);
  (void)b.all_back();
  CHECK(b.text("SELECT group_concat(name) FROM part") == "red bolt,green nut,blue rod");
  b.check_index("search");
  CHECK(b.found("search", "red OR green") == "1,2");
  CHECK(b.found("search", "orange") == "");
}

TEST_CASE("merge: an index that the application fills itself holds the rows that it put there") {
  Bench b(std::string(kParts) + kIndex, 2);
  MergeBench::Node& node = b.nodes[0];
  b.edit(node, "INSERT INTO part VALUES (4, 'yellow rod', 4)", 1);
  b.edit(node,
         "INSERT INTO search (rowid, name) VALUES (4, 'yellow rod');"
         "INSERT INTO part VALUES (5, 'purple pin', 5)",
         2);
  b.edit(node,
         "INSERT INTO search (rowid, name) VALUES (5, 'purple pin');"
         "INSERT INTO part VALUES (6, 'cyan cog', 6)",
         3);
  b.edit(node, "INSERT INTO search (search, rowid, name) VALUES ('delete', 3, 'blue rod')", 4);
  check_applied(b.all_back());
  CHECK(b.found("search", "yellow OR purple OR cyan") == "4,5");
  CHECK(b.found("search", "blue OR red") == "1");
}

TEST_CASE("merge: an index that a trigger fills in part holds that part, also of merged rows") {
  Bench b(std::string(kParts) + "ALTER TABLE part ADD COLUMN pub INTEGER DEFAULT 1;" + kIndex +
              "CREATE TRIGGER part_in AFTER INSERT ON part WHEN new.pub BEGIN"
              "  INSERT INTO search (rowid, name) VALUES (new.id, new.name); END;",
          2);
  for (MergeBench::Node& node : b.nodes) {
    b.edit(node, "INSERT INTO part (name, pub) VALUES ('yellow rod', 1)", 1);
    b.edit(node, "INSERT INTO part (name, pub) VALUES ('secret draft', 0)", 2);
  }
  check_applied(b.all_back());
  CHECK(b.text("SELECT group_concat(id) FROM part WHERE pub = 0") == "5,7");
  CHECK(b.found("search", "secret") == "");
  CHECK(b.found("search", "yellow") == "4,6");
}

TEST_CASE("merge: an index without sizes of its documents is built anew and right") {
  Bench b(std::string(kParts) +
              "CREATE VIRTUAL TABLE search USING fts5 (name, content = 'part',"
              " content_rowid = 'id', columnsize = 0);"
              "INSERT INTO search (search) VALUES ('rebuild');" +
              kFeed,
          2);
  b.edit(b.nodes[0], "UPDATE part SET name = 'yellow bolt' WHERE id = 1", 1);
  b.edit(b.nodes[1], "INSERT INTO part (name) VALUES ('yellow pin')", 2);
  check_applied(b.all_back());
  b.check_index("search");
  CHECK(b.found("search", "yellow") == "1,4");
  CHECK(b.found("search", "red") == "");
}

TEST_CASE("merge: many rows of an indexed table in one entry and in many, no rebuild for each") {
  Bench b(std::string(kParts) + kIndex + kFeed +
              "WITH RECURSIVE n (i) AS (VALUES (10) UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
              "INSERT INTO part SELECT i, 'old ' || i, i FROM n;",
          1);
  b.edit(b.nodes[0], "UPDATE part SET name = 'new ' || id WHERE id >= 10", 1);
  for (int i = 10; i < 110; ++i) {
    b.edit(b.nodes[0], "UPDATE part SET name = 'newer' WHERE id = " + std::to_string(i), i);
  }
  check_applied(b.all_back());
  b.check_index("search");
  CHECK(b.text("SELECT count(*) FROM search WHERE search MATCH 'newer'") == "100");
  CHECK(b.text("SELECT count(*) FROM search WHERE search MATCH 'old'") == "0");
}

TEST_CASE("merge: full-text and spatial tables made anew meanwhile, values go by column name") {
  Bench b(
      "CREATE VIRTUAL TABLE page USING fts5 (title, body);"
      "CREATE VIRTUAL TABLE area USING rtree (id, x0, x1, y0, y1, +label, +note);"
      "CREATE VIRTUAL TABLE whole USING rtree (id, x0, x1);"
      "CREATE VIRTUAL TABLE bare USING fts5 (title, body, content = '');"
      "CREATE VIRTUAL TABLE less USING fts5 (title, body);",
      1);
  MergeBench::Node& node = b.nodes[0];
  b.edit(node, "INSERT INTO page (title, body) VALUES ('mytitle', 'mybody')", 1);
  b.edit(node, "INSERT INTO area VALUES (7, 5, 6, 70, 80, 'lab7', 'note7')", 2);
  b.edit(node, "INSERT INTO whole VALUES (7, 5, 6)", 3);
  b.edit(node, "INSERT INTO bare (rowid, title, body) VALUES (1, 'mytitle', 'mybody')", 4);
  b.edit(node, "INSERT INTO less (title, body) VALUES ('mytitle', 'mybody')", 5);
  b.migrate(
      "DROP TABLE page; CREATE VIRTUAL TABLE page USING fts5 (body, title);"
      "DROP TABLE area; CREATE VIRTUAL TABLE area USING rtree (id, y0, y1, x0, x1, +note, +label);"
      "DROP TABLE whole; CREATE VIRTUAL TABLE whole USING rtree_i32 (id, x0, x1);"
      "DROP TABLE bare; CREATE VIRTUAL TABLE bare USING fts5 (body, title, content = '');"
      "DROP TABLE less; CREATE VIRTUAL TABLE less USING fts5 (body);");
  const std::vector<Replayed> outcomes = b.all_back();
  check_applied({outcomes[0], outcomes[1]});
  CHECK(b.text("SELECT title || ' ' || body FROM page") == "mytitle mybody");
  CHECK(b.found("page", "title : mytitle") == "1");
  CHECK(b.text("SELECT x0 || ' ' || y1 || ' ' || label || ' ' || note FROM area") ==
        "5.0 80.0 lab7 note7");
  for (const std::size_t i : {std::size_t{2}, std::size_t{3}, std::size_t{4}}) {
    CHECK(outcomes[i].result == ReplayResult::kParked);
    CHECK(outcomes[i].text.find("title") + outcomes[i].text.find("whole") != 0);
  }
  CHECK(b.text("SELECT count(*) FROM whole") == "0");
  CHECK(b.found("bare", "mytitle OR mybody") == "");
  CHECK(b.text("SELECT count(*) FROM less") == "0");
  CHECK(b.text("SELECT group_concat(DISTINCT table_name) FROM csa_conflicts WHERE table_name IN"
               " ('whole', 'less')") == "whole,less");
}

TEST_CASE("merge: spatial rows are merged though a migration changed another table meanwhile") {
  Bench b(std::string(kParts) +
              "CREATE VIRTUAL TABLE area USING rtree (id, x0, x1);"
              "INSERT INTO area VALUES (1, 1, 2), (2, 2, 3);",
          2);
  b.edit(b.nodes[0], "INSERT INTO area VALUES (10, 10, 11)", 1);
  b.edit(b.nodes[0], "UPDATE area SET x1 = 5 WHERE id = 1", 2);
  b.edit(b.nodes[1], "INSERT INTO area VALUES (20, 20, 21)", 3);
  b.master.write("INSERT INTO area VALUES (30, 30, 31)");
  b.migrate("ALTER TABLE part ADD COLUMN shelf TEXT");
  check_applied(b.all_back());
  CHECK(b.text("SELECT group_concat(id || ':' || x1) FROM (SELECT * FROM area ORDER BY id)") ==
        "1:5.0,2:3.0,10:11.0,20:21.0,30:31.0");
  CHECK(b.text("SELECT rtreecheck('area')") == "ok");
}

TEST_CASE("merge: an index that is dropped or renamed meanwhile is no reason to park its rows") {
  Bench b(std::string(kParts) + kIndex + kFeed, 1);
  b.edit(b.nodes[0], "INSERT INTO part (name) VALUES ('yellow rod')", 1);
  b.edit(b.nodes[0], "UPDATE part SET name = 'purple bolt' WHERE id = 1", 2);
  SUBCASE("dropped") {
    b.migrate(
        "DROP TRIGGER part_in; DROP TRIGGER part_out; DROP TRIGGER part_new;"
        "DROP TABLE search");
    check_applied(b.all_back());
  }
  SUBCASE("renamed") {
    b.migrate("ALTER TABLE search RENAME TO finder");
    check_applied(b.all_back());
    b.check_index("finder");
    CHECK(b.found("finder", "yellow OR purple") == "1,4");
  }
  CHECK(b.text("SELECT group_concat(name) FROM part") ==
        "purple bolt,green nut,blue rod,yellow rod");
}

TEST_CASE("merge: a document that is changed is changed, and told under the names one knows") {
  Bench b(
      "CREATE VIRTUAL TABLE page USING fts5 (title, body);"
      "INSERT INTO page (rowid, title, body) VALUES (1, 't one', 'red'), (2, 't two', 'green');",
      2);
  b.edit(b.nodes[0], "UPDATE page SET title = 'zero'", 1);
  b.edit(b.nodes[1], "UPDATE page SET body = 'other' WHERE rowid = 1", 2000);
  b.edit(b.nodes[1], "DELETE FROM page WHERE rowid = 2", 2000);
  (void)b.hand_over(b.nodes[1]);
  (void)b.all_back();
  CHECK(b.text("SELECT group_concat(op || table_name || key || base || coalesce(broker, '-')"
               " || node_row, ' ') FROM csa_conflicts") ==
        R"(updatepage{"rowid":1}{"rowid":1,"title":"t one","body":"red"})"
        R"({"rowid":1,"title":"t one","body":"other"}{"rowid":1,"title":"zero","body":"red"})"
        R"( updatepage{"rowid":2}{"rowid":2,"title":"t two","body":"green"}-)"
        R"({"rowid":2,"title":"zero","body":"green"})");
  b.check_index("page");
}

TEST_CASE("merge: a row and its document keep one number, in one transaction or in two") {
  for (const bool document_first : {false, true}) {
    for (const bool together : {true, false}) {
      if (document_first && !together) continue;  // an application's number, which stays
      CAPTURE(document_first);
      CAPTURE(together);
      Bench b(
          "CREATE TABLE doc (id INTEGER PRIMARY KEY, title TEXT);"
          "CREATE VIRTUAL TABLE txt USING fts5 (body);"
          "INSERT INTO doc VALUES (1, 'd1'); INSERT INTO txt (rowid, body) VALUES (1, 'b1');",
          2);
      for (std::size_t i = 0; i < 2; ++i) {
        const std::string n = std::to_string(i);
        std::string first = "INSERT INTO doc (title) VALUES ('t" + n + "')";
        std::string second = "INSERT INTO txt (rowid, body) VALUES (2, 'b" + n + "')";
        if (document_first) {
          first = "INSERT INTO txt (body) VALUES ('b" + n + "')";
          second = "INSERT INTO doc (id, title) VALUES (2, 't" + n + "')";
        }
        if (together) {
          b.edit(b.nodes[i], first + ";" + second, 1);
        } else {
          b.edit(b.nodes[i], first, 1);
          b.edit(b.nodes[i], second, 2);
        }
        b.edit(b.nodes[i], "UPDATE txt SET body = body || ' more' WHERE rowid = 2", 3);
      }
      check_applied(b.all_back());
      CHECK(b.text("SELECT group_concat(title || '=' || body) FROM doc JOIN txt ON"
                   " txt.rowid = doc.id") == "d1=b1,t0=b0 more,t1=b1 more");
      CHECK(b.text("SELECT count(*) FROM csa_conflicts WHERE decision <> 'remapped'") == "0");
    }
  }
}

TEST_CASE("merge: a number that the application chose stays, whatever documents are numbered") {
  Bench b(
      "CREATE TABLE doc (id INTEGER PRIMARY KEY, title TEXT);"
      "CREATE VIRTUAL TABLE txt USING fts5 (body);"
      "INSERT INTO txt (rowid, body) VALUES (1, 'b1');",
      2);
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string id = std::to_string(2 + 100 * i);
    b.edit(b.nodes[i],
           "INSERT INTO txt (body) VALUES ('b'); INSERT INTO doc VALUES (" + id + ", 't'), (" +
               std::to_string(50 + i) + ", 'u')",
           1);
  }
  check_applied(b.all_back());
  CHECK(b.text("SELECT group_concat(id) FROM doc") == "2,50,51,102");
}

}  // namespace csa::merge_indexes_test
