#include "common/apply.h"

#include <doctest/doctest.h>

#include "tests/support/compare.h"
#include "tests/support/row_pair.h"

namespace csa::apply_test {
namespace {

struct Refusal {
  std::string schema;
  std::string write;          // on the master
  std::string replica_first;  // what differs on the replica before
};

// The replica's content as one text, to see that a refused change left nothing.
std::string content(const Database& db) {
  return db.query_text("SELECT group_concat(quote(k) || ':' || quote(v), ',') FROM t").value_or("");
}

}  // namespace

TEST_CASE("apply: anything but the exact old row, refused and nothing changed") {
  const std::string rowid = "CREATE TABLE t(k INTEGER PRIMARY KEY, v);";
  const std::string keyed = "CREATE TABLE t(k TEXT COLLATE NOCASE PRIMARY KEY, v) WITHOUT ROWID;";
  const std::vector<Refusal> cases = {
      {rowid + "INSERT INTO t VALUES (1, 1)", "UPDATE t SET v = 2", "UPDATE t SET v = 1.0"},
      {rowid + "INSERT INTO t VALUES (1, 1)", "UPDATE t SET v = 2", "UPDATE t SET v = '1'"},
      {rowid + "INSERT INTO t VALUES (1, 'a')", "DELETE FROM t", "UPDATE t SET v = x'61'"},
      {rowid + "INSERT INTO t VALUES (1, NULL)", "DELETE FROM t", "UPDATE t SET v = x''"},
      {rowid + "INSERT INTO t VALUES (1, NULL)", "DELETE FROM t", "DELETE FROM t"},
      {rowid, "INSERT INTO t VALUES (1, 2)", "INSERT INTO t VALUES (1, 2)"},
      {rowid + "INSERT INTO t VALUES (1, 1)", "UPDATE t SET k = 2", "INSERT INTO t VALUES (2, 9)"},
      {keyed + "INSERT INTO t VALUES ('a', 1)", "DELETE FROM t", "UPDATE t SET k = 'A'"},
      {keyed + "INSERT INTO t VALUES ('a', 1)", "UPDATE t SET v = 2", "UPDATE t SET k = 'A'"},
      {"CREATE TABLE t(k, v COLLATE NOCASE); INSERT INTO t VALUES (1, 'a')", "DELETE FROM t",
       "UPDATE t SET v = 'A'"},
  };
  for (const Refusal& one : cases) {
    CAPTURE(one.schema);
    CAPTURE(one.replica_first);
    test::RowPair pair(one.schema);
    const auto bytes = pair.write({one.write});
    REQUIRE(bytes.has_value());
    pair.replica.exec(one.replica_first);
    const std::string before = content(pair.replica);
    const Status status = pair.apply(*bytes);
    REQUIRE(!status.has_value());
    CHECK(status.error().code == Errc::kDamaged);
    CHECK(status.error().what.find("table t") != std::string::npos);
    CHECK(content(pair.replica) == before);
    CHECK(!pair.apply_two_phase(pair.replica, pair.applier(), *bytes).has_value());
    CHECK(content(pair.replica) == before);
  }
}

TEST_CASE("apply: conflict clauses of the schema throw nothing away") {
  test::RowPair pair("CREATE TABLE t(k INTEGER PRIMARY KEY, v UNIQUE ON CONFLICT REPLACE)");
  const auto bytes = pair.write({"INSERT INTO t VALUES (1, 'x')"});
  pair.replica.exec("INSERT INTO t VALUES (2, 'x')");
  CHECK(!pair.apply(*bytes).has_value());
  CHECK(content(pair.replica) == "2:'x'");
}

TEST_CASE("apply: triggers and foreign keys do nothing, shadow tables are written") {
  test::RowPair pair(
      "CREATE TABLE p(i INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p ON DELETE CASCADE);"
      "CREATE TABLE journal(at, n); CREATE TRIGGER g AFTER INSERT ON c BEGIN "
      "INSERT INTO journal VALUES (hex(randomblob(8)), new.p); END;"
      "CREATE VIRTUAL TABLE f USING fts5(x)");
  const auto bytes = pair.write({"INSERT INTO p VALUES (1), (2)", "INSERT INTO c VALUES (1), (1)",
                                 "UPDATE c SET p = 2 WHERE rowid = 1", "DELETE FROM p WHERE i = 1",
                                 "INSERT INTO f VALUES ('needle in hay')"});
  REQUIRE(bytes.has_value());
  REQUIRE(pair.apply(*bytes).has_value());
  CHECK(pair.difference() == "");
  CHECK(pair.replica.query_int("SELECT count(*) FROM c") == 1);
  CHECK(pair.replica.query_int("SELECT count(*) FROM f WHERE f MATCH 'needle'") == 1);
}

TEST_CASE("apply: swaps and cycles of unique values and keys, in order without collision") {
  test::RowPair pair(
      "CREATE TABLE t(k INTEGER PRIMARY KEY, v UNIQUE); INSERT INTO t VALUES (1,'a'),(2,'b'),"
      "(3,'c')");
  const auto bytes =
      pair.write({"UPDATE t SET v = '~' WHERE k = 1",
                  "UPDATE t SET v = 'a' WHERE "
                  "k = 3",
                  "UPDATE t SET v = 'c' WHERE k = 2", "UPDATE t SET v = 'b' WHERE k = 1",
                  "UPDATE t SET k = k + 10", "UPDATE t SET k = 100 - k"});
  REQUIRE(bytes.has_value());
  REQUIRE(pair.apply(*bytes).has_value());
  CHECK(pair.difference() == "");
  REQUIRE(pair.undo(*bytes).has_value());
  CHECK(content(pair.replica) == "1:'a',2:'b',3:'c'");
}

TEST_CASE("apply: insert raises the sequence only as far as the master's") {
  test::RowPair pair(
      "CREATE TABLE s(i INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO s(v) VALUES (1)");
  const auto moved = pair.write({"UPDATE s SET i = 500"});
  const auto removed = pair.write({"DELETE FROM s"});
  REQUIRE(pair.apply(*moved).has_value());
  REQUIRE(pair.apply(*removed).has_value());
  CHECK(pair.difference() == "");
  REQUIRE(pair.undo(*removed).has_value());
  CHECK(pair.replica.query_int("SELECT seq FROM sqlite_sequence") == 1);
  pair.replica.exec("UPDATE sqlite_sequence SET seq = 3");
  const auto next = pair.write({"INSERT INTO s(v) VALUES (2)"});
  const Status status = pair.apply(*next);
  REQUIRE(!status.has_value());
}

TEST_CASE("apply: table of as many columns as SQLite has, its rows made, changed and deleted") {
  for (const std::string type : {"", " INTEGER"}) {
    CAPTURE(type);
    std::string columns;
    std::string all;
    for (int i = 0; i < 1900; ++i) {
      columns += ", c" + std::to_string(i) + type;
      all += (i == 0 ? "c" : ", c") + std::to_string(i) + " = 1";
    }
    test::RowPair pair("CREATE TABLE t(k INTEGER PRIMARY KEY" + columns + ")");
    for (const std::string& sql : {std::string("INSERT INTO t(k, c1) VALUES (1, 2)"),
                                   "UPDATE t SET " + all, std::string("DELETE FROM t")}) {
      const auto bytes = pair.write({sql});
      REQUIRE(bytes.has_value());
      REQUIRE(pair.apply(*bytes).has_value());
      CHECK(pair.difference() == "");
    }
  }
}

TEST_CASE("apply: table that is missing or has other columns, damage that names it") {
  test::RowPair pair("CREATE TABLE t(k, v)");
  const auto bytes = pair.write({"INSERT INTO t VALUES (1, 2)"});
  pair.replica.exec("ALTER TABLE t ADD COLUMN w");
  const Status other = pair.apply(*bytes);
  REQUIRE(!other.has_value());
  CHECK(other.error().what.find("table t") != std::string::npos);
  pair.replica.exec("DROP TABLE t");
  CHECK(!pair.apply(*bytes).has_value());
}

TEST_CASE("apply: schema statement that fails here, damage and not an exception") {
  test::RowPair pair("CREATE TABLE t(k, v)");
  pair.replica.exec("CREATE TABLE n(a)");
  const Bytes bytes = pair.migrate("CREATE TABLE n(a)");
  const Status status = pair.apply(bytes);
  REQUIRE(!status.has_value());
  CHECK(status.error().code == Errc::kDamaged);
}

}  // namespace csa::apply_test
