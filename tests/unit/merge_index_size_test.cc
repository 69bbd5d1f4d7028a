// Full-text indexes over the rows of other tables in a merge: many rows, many entries, and indexes
// that do not tell which rows they hold. What is written is what the log carries.
#include <doctest/doctest.h>

#include "tests/support/index_feed.h"
#include "tests/support/merge_bench.h"

namespace csa::merge_index_size_test {
namespace {

using test::MergeBench;

constexpr const char* kParts =
    "CREATE TABLE kind (id INTEGER PRIMARY KEY); INSERT INTO kind VALUES (1), (2);"
    "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, kind INTEGER REFERENCES kind);";
constexpr const char* kFeed5 = test::kIndexFeed;
constexpr const char* kFeed4 = R"(
  CREATE TRIGGER part_in AFTER INSERT ON part BEGIN
    INSERT INTO search (docid, name) VALUES (new.id, new.name);
  END;
  CREATE TRIGGER part_out BEFORE DELETE ON part BEGIN
    DELETE FROM search WHERE docid = old.id;
  END;
  CREATE TRIGGER part_old BEFORE UPDATE OF name ON part BEGIN
    DELETE FROM search WHERE docid = old.id;
  END;
  CREATE TRIGGER part_new AFTER UPDATE OF name ON part BEGIN
    INSERT INTO search (docid, name) VALUES (new.id, new.name);
  END;
)";

std::string index5(const char* options) {
  return std::string("CREATE VIRTUAL TABLE search USING fts5 (name, content = 'part',") +
         " content_rowid = 'id'" + options + ");";
}
std::string index4(const char* options) {
  return std::string("CREATE VIRTUAL TABLE search USING fts4 (content=\"part\", name") + options +
         ");";
}

std::string rows(int first, int last, const char* kind = "1") {
  return "WITH RECURSIVE n (i) AS (SELECT " + std::to_string(first) +
         " UNION ALL SELECT i + 1 FROM n WHERE i < " + std::to_string(last) +
         ") INSERT INTO part SELECT i, 'part number ' || i, " + kind + " FROM n;";
}

struct Bench : MergeBench {
  Bench(const std::string& schema, std::size_t count) : MergeBench(kParts + schema, count) {}

  // What `run` adds to the log.
  template <class Run>
  std::int64_t logged(Run run) {
    const std::string sql = "SELECT coalesce(sum(length(body)), 0) FROM csa_log";
    const std::int64_t before = master.count(sql);
    run();
    return master.count(sql) - before;
  }
  Replayed merge_one(const std::string& sql) {
    edit(nodes[0], sql, ++time);
    return hand_over(nodes[0]).at(0);
  }
  // Every row is found by its words, and by no others.
  void check_whole() {
    const std::string copy = master.folder.file("check-" + to_string(random_id()));
    const Database from(master.path, Database::Mode::kReadOnly);
    const Database to(copy, Database::Mode::kCreate);
    test::backup(from, to);
    const auto word = [&](const char* of) {
      return to.query_text(
          std::string("SELECT group_concat(rowid) FROM (SELECT rowid FROM search") +
          " WHERE search MATCH '" + of + "' ORDER BY rowid)");
    };
    const std::optional<std::string> part = word("part");
    const std::optional<std::string> newer = word("newer");
    to.exec("INSERT INTO search (search) VALUES ('integrity-check')");
    to.exec("INSERT INTO search (search) VALUES ('rebuild')");
    CHECK(part == word("part"));
    CHECK(newer == word("newer"));
    CHECK(newer.has_value());
  }
  std::int64_t time = 0;
};

}  // namespace

TEST_CASE("merge: many rows of one entry, an index over them is written once as it is online") {
  for (const std::string& schema : {index5("") + kFeed5, index4("") + kFeed4}) {
    CAPTURE(schema);
    Bench b(schema, 1);
    const auto online = b.logged([&] { b.master.write(rows(1, 2000)); });
    const auto online_update =
        b.logged([&] { b.master.write("UPDATE part SET name = 'newer ' || id WHERE id % 2"); });
    CHECK(b.catch_up(b.nodes[0]) == "");
    CHECK(b.logged([&] { (void)b.merge_one(rows(2001, 4000)); }) < 2 * online);
    CHECK(b.logged([&] {
      (void)b.merge_one("UPDATE part SET name = 'newer ' || id WHERE id > 2000 AND id % 2");
    }) < 2 * online_update);
    b.check_whole();
    CHECK(b.catch_up(b.nodes[0]) == "");
  }
}

TEST_CASE("merge: an index without sizes of its documents is built anew for the first entry only") {
  for (const std::string& schema :
       {index5(", columnsize=0") + kFeed5, index5(", columnsize=0, detail=none") + kFeed5,
        index4(", matchinfo=fts3") + kFeed4}) {
    CAPTURE(schema);
    Bench b(schema + rows(1, 3000), 1);
    const auto first =
        b.logged([&] { (void)b.merge_one("UPDATE part SET name = 'newer' WHERE id = 1"); });
    const auto others = b.logged([&] {
      for (int i = 2; i < 12; ++i) {
        (void)b.merge_one("UPDATE part SET name = 'newer' WHERE id = " + std::to_string(i));
      }
      // Neither what triggers have indexed, nor what was refused, nor what waits in the inbox.
      b.master.write(
          "UPDATE part SET name = 'newer' WHERE id = 20; DELETE FROM part WHERE id = 21");
      (void)b.master.refused("INSERT INTO part VALUES (9999, 'never', 77)");
      b.edit(b.nodes[0], "INSERT INTO part VALUES (5000, 'never', 2)", ++b.time);
      b.master.write("DELETE FROM kind WHERE id = 2");
      CHECK(b.hand_over(b.nodes[0]).back().result == ReplayResult::kParked);
      (void)b.merge_one("INSERT INTO part (name) VALUES ('newer'); DELETE FROM part WHERE id = 30");
    });
    CHECK(others < first / 2);
    b.check_whole();
    CHECK(b.catch_up(b.nodes[0]) == "");
  }
}

TEST_CASE("merge: an index without sizes is built anew where others have taken rows out of it") {
  Bench b(index5(", columnsize=0") + kFeed5 + rows(1, 50), 1);
  (void)b.merge_one("UPDATE part SET name = 'newer' WHERE id = 1");
  b.master.write("INSERT INTO search (search) VALUES ('delete-all')");
  CHECK(b.merge_one("UPDATE part SET name = 'newer' WHERE id = 2").result ==
        ReplayResult::kApplied);
  b.check_whole();
  // The index alone.
  b.master.write("INSERT INTO search (search) VALUES ('delete-all')");
  (void)b.merge_one("INSERT INTO search (search) VALUES ('rebuild')");
  b.check_whole();
  CHECK(b.catch_up(b.nodes[0]) == "");
}

TEST_CASE("merge: an index without sizes that no trigger fills finds what others wrote meanwhile") {
  Bench b(index5(", columnsize=0") + rows(1, 50), 1);
  (void)b.merge_one("UPDATE part SET name = 'newer' WHERE id = 1");
  b.master.write("INSERT INTO part VALUES (100, 'newer', 1)");
  (void)b.merge_one("UPDATE part SET name = 'newer' WHERE id = 2");
  b.check_whole();
  CHECK(b.catch_up(b.nodes[0]) == "");
}

TEST_CASE("merge: an index without sizes stays as it is when others write to other tables") {
  Bench b(index5(", columnsize=0") + rows(1, 3000), 1);
  const auto update = [&](const char* id) {
    return b.logged(
        [&] { (void)b.merge_one(std::string("UPDATE part SET name = 'newer' WHERE id = ") + id); });
  };
  const auto first = update("1");
  b.master.write("INSERT INTO kind VALUES (3)");
  CHECK(update("2") < first / 10);
  b.master.write("INSERT INTO search (search) VALUES ('delete-all')");
  CHECK(update("3") > first / 2);
  b.check_whole();
  CHECK(b.catch_up(b.nodes[0]) == "");
}

TEST_CASE("merge: an index without sizes that a parked entry has built is built by the next one") {
  // Nothing is indexed yet.
  Bench b(rows(1, 50, "2") + index5(", columnsize=0") + kFeed5, 1);
  b.edit(b.nodes[0], "INSERT INTO part VALUES (60, 'never', 1)", 1);
  b.edit(b.nodes[0], "INSERT INTO part VALUES (61, 'newer', 2)", 2);
  b.master.write("DELETE FROM kind WHERE id = 1");
  const std::vector<Replayed> outcomes = b.hand_over(b.nodes[0]);
  CHECK(outcomes.at(0).result == ReplayResult::kParked);
  CHECK(outcomes.at(1).result == ReplayResult::kApplied);
  b.check_whole();
  CHECK(b.catch_up(b.nodes[0]) == "");
}

}  // namespace csa::merge_index_size_test
