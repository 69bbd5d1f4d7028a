#include "common/capture.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "common/schema.h"
#include "tests/support/compare.h"
#include "tests/support/ledger_bench.h"
#include "tests/support/row_pair.h"

namespace csa::capture_test {
namespace {

void check_applied(test::RowPair& pair, const Bytes& bytes) {
  const Status status = pair.apply(bytes);
  CHECK_MESSAGE(status.has_value(), (status ? "" : status.error().what));
  CHECK(pair.difference() == "");
}

// Writes, applies, compares.
Bytes check_write(test::RowPair& pair, const std::vector<std::string>& statements) {
  const auto bytes = pair.write(statements);
  REQUIRE_MESSAGE(bytes.has_value(), pair.last_error());
  check_applied(pair, *bytes);
  return *bytes;
}

const RowChange& row_at(const test::DecodedChanges& decoded, std::size_t index) {
  REQUIRE(index < decoded.changes.size());
  return std::get<RowChange>(decoded.changes[index]);
}

}  // namespace

TEST_CASE("capture: integers in REAL columns and keys, carried as REAL") {
  test::RowPair pair(
      "CREATE TABLE t(a REAL, b);"
      "CREATE TABLE w(k REAL PRIMARY KEY, r REAL) WITHOUT ROWID");
  const Bytes bytes =
      check_write(pair, {"INSERT INTO t VALUES (5, 5)", "INSERT INTO w VALUES (3, 4)",
                         "UPDATE w SET k = 7", "DELETE FROM w"});
  const test::DecodedChanges decoded = test::decode(bytes);
  CHECK(row_at(decoded, 0).new_values ==
        std::vector<std::optional<Value>>{Value(5.0), Value(std::int64_t{5})});
  CHECK(row_at(decoded, 1).key == Row{3.0});
  CHECK(row_at(decoded, 2).new_key == Row{7.0});
  CHECK(row_at(decoded, 3).old_values[1] == Value(4.0));
}

TEST_CASE("capture: column added with a default, old rows show it and not NULL") {
  test::RowPair pair(
      "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2);"
      "CREATE TABLE w(k PRIMARY KEY, a) WITHOUT ROWID; INSERT INTO w VALUES (1, 2);"
      "ALTER TABLE t ADD COLUMN d DEFAULT 'x'; ALTER TABLE w ADD COLUMN d DEFAULT 3");
  const Bytes bytes =
      check_write(pair, {"UPDATE t SET d = NULL WHERE a = 1", "DELETE FROM t", "DELETE FROM w"});
  const test::DecodedChanges decoded = test::decode(bytes);
  CHECK(row_at(decoded, 0).old_values[1] == Value(Text{"x"}));
  CHECK(row_at(decoded, 1).old_values[1] == Value(Null{}));
  CHECK(row_at(decoded, 2).old_values[1] == Value(Text{"x"}));
  CHECK(row_at(decoded, 3).old_values[2] == Value(std::int64_t{3}));
}

TEST_CASE("capture: an update that changes nothing, no record; a declared key, always carried") {
  test::RowPair pair("CREATE TABLE t(code TEXT PRIMARY KEY, v); INSERT INTO t VALUES ('a', 1)");
  CHECK(check_write(pair, {"UPDATE t SET v = v"}).size() <= 20);  // the table's definition alone
  const Bytes bytes = check_write(pair, {"UPDATE t SET v = 2"});
  const test::DecodedChanges decoded = test::decode(bytes);
  CHECK(row_at(decoded, 0).old_values[0] == Value(Text{"a"}));
  CHECK(!row_at(decoded, 0).new_values[0].has_value());
}

TEST_CASE("capture: values at every edge, exact on the replica") {
  test::RowPair pair("CREATE TABLE t(v); CREATE TABLE u(v TEXT, w BLOB)");
  check_write(pair, {"INSERT INTO t VALUES (9e999), (-9e999), (9223372036854775807), "
                     "(-9223372036854775808), (-0.0), (0.0), (''), (x''), (NULL), "
                     "('a' || char(0) || 'b'), (CAST(x'ff80' AS TEXT)), (zeroblob(70000)), (1), "
                     "(1.0), ('1'), (5e-324)",
                     "INSERT INTO u SELECT v, v FROM t"});
  check_write(pair, {"UPDATE t SET v = -v WHERE typeof(v) IN ('real')",
                     "UPDATE t SET v = v || '' WHERE typeof(v) = 'text'", "DELETE FROM u"});
}

TEST_CASE("capture: UTF-16 databases, unpaired surrogates and byte order marks survive") {
  for (const std::string encoding : {"UTF-16le", "UTF-16be"}) {
    CAPTURE(encoding);
    test::RowPair pair("PRAGMA encoding = '" + encoding +
                       "'; CREATE TABLE t(a TEXT, b); "
                       "CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID");
    const std::string order = encoding == "UTF-16le" ? "00d8" : "d800";
    const Bytes bytes = check_write(
        pair, {"INSERT INTO t VALUES (CAST(x'" + order + "' AS TEXT), 'plain')",
               "INSERT INTO t VALUES (char(65279) || 'x', char(65534, 97))",
               "INSERT INTO w VALUES (CAST(x'" + order + "' AS TEXT), 1), (char(65279), 'é')"});
    CHECK(std::holds_alternative<Text16>(*row_at(test::decode(bytes), 0).new_values[0]));
    CHECK(pair.replica.query_text("SELECT hex(CAST(a AS BLOB)) FROM t") ==
          (encoding == "UTF-16le" ? "00D8" : "D800"));
    check_write(pair, {"UPDATE t SET b = a, a = b", "UPDATE w SET v = k", "DELETE FROM w",
                       "UPDATE t SET rowid = rowid + 10"});
  }
}

TEST_CASE("capture: incremental blob write, the write is refused") {
  const Database db(":memory:", Database::Mode::kCreate);
  db.exec("CREATE TABLE t(b); INSERT INTO t VALUES (zeroblob(10))");
  Capture capture(db, {1000, 1000, "/tmp"});
  db.exec("BEGIN");
  capture.begin();
  sqlite3_blob* blob = nullptr;
  REQUIRE(sqlite3_blob_open(db.handle(), "main", "t", "b", 1, 1, &blob) == SQLITE_OK);
  CHECK(sqlite3_blob_write(blob, "abc", 3, 0) == SQLITE_OK);
  sqlite3_blob_close(blob);
  const Status status = capture.status();
  REQUIRE(!status.has_value());
  CHECK(status.error().what.find("blob") != std::string::npos);
  capture.discard();
  db.exec("ROLLBACK");
}

TEST_CASE("capture: settings of a full-text table, the replica has them and ranks by them") {
  test::RowPair pair(
      "CREATE VIRTUAL TABLE page USING fts5(title, body);"
      "INSERT INTO page VALUES ('word', 'other'), ('other', 'word word word')");
  // On a copy: a connection keeps in memory what it has read of an index.
  const auto best = [&pair] {
    const Database copy(":memory:", Database::Mode::kCreate);
    test::backup(pair.replica, copy);
    return copy.query_int("SELECT rowid FROM page WHERE page MATCH 'word' ORDER BY rank LIMIT 1");
  };
  REQUIRE(best() == 2);
  check_write(pair, {"INSERT INTO page (page, rank) VALUES ('rank', 'bm25(100.0, 1.0)')"});
  CHECK(best() == 1);
  // In one write with others of the same index.
  const Bytes both = check_write(
      pair, {"INSERT INTO page VALUES ('third', 'word')",
             "INSERT INTO page (page, rank) VALUES ('pgsz', 64)",
             "INSERT INTO page (page, rank) VALUES ('rank', 'bm25(1.0, 100.0)')",
             "INSERT INTO page VALUES ('fourth', 'word')", "DELETE FROM page WHERE rowid = 1"});
  CHECK(best() == 2);
  CHECK(pair.undo(both).has_value());
  CHECK(best() == 1);
}

TEST_CASE("capture: more bytes than allowed, the write is refused and the next one works") {
  const Database db(":memory:", Database::Mode::kCreate);
  db.exec("CREATE TABLE t(b)");
  Capture capture(db, {1000, 100, "/tmp"});
  db.exec("BEGIN");
  capture.begin();
  db.exec("INSERT INTO t VALUES (zeroblob(2000))");
  const Status status = capture.status();
  REQUIRE(!status.has_value());
  CHECK(status.error().code == Errc::kRejected);
  capture.discard();
  db.exec("ROLLBACK; BEGIN");
  capture.begin();
  db.exec("INSERT INTO t VALUES (1)");
  CHECK(capture.status().has_value());
  CHECK(capture.finish().size() > 0);
  db.exec("COMMIT");
}

TEST_CASE("capture: sqlite_sequence, failed and ignored inserts and a user's own change carried") {
  test::RowPair pair(
      "CREATE TABLE s(i INTEGER PRIMARY KEY AUTOINCREMENT, u UNIQUE);"
      "CREATE TABLE q(i INTEGER PRIMARY KEY AUTOINCREMENT)");
  check_write(pair, {"INSERT INTO s(u) VALUES (1), (2)", "DELETE FROM s WHERE i = 2"});
  check_write(pair, {"INSERT OR IGNORE INTO s(u) VALUES (1)"});
  check_write(pair, {"UPDATE s SET i = 100 WHERE i = 1"});
  check_write(pair, {"INSERT INTO s(i, u) VALUES (50, 50)"});
  check_write(pair, {"UPDATE sqlite_sequence SET seq = 7 WHERE name = 's'"});
  check_write(pair, {"INSERT INTO sqlite_sequence(name, seq) VALUES ('q', 1000)"});
  check_write(pair, {"INSERT INTO q DEFAULT VALUES"});
  check_write(pair, {"DELETE FROM sqlite_sequence"});
  CHECK(!pair.write({"INSERT INTO s(u) VALUES (9)", "INSERT INTO nowhere VALUES (1)"}));
  check_write(pair, {"INSERT INTO s(u) VALUES (9)"});
}

TEST_CASE("capture: views, TEMP tables, attached databases and csa's own tables are left out") {
  test::RowPair pair(
      "CREATE TABLE t(a); CREATE TABLE csa_log(a); CREATE TABLE csa_private(a);"
      "CREATE TABLE csa_rule(a)");
  pair.master.exec("ATTACH ':memory:' AS other; CREATE TABLE other.t(a)");
  pair.master.exec("CREATE TEMP TABLE mine(a)");
  const auto bytes = pair.write({"INSERT INTO other.t VALUES (1)", "INSERT INTO mine VALUES (1)",
                                 "INSERT INTO csa_log VALUES (1)",
                                 "INSERT INTO csa_private VALUES (1)", "ANALYZE"});
  REQUIRE(bytes.has_value());
  CHECK(bytes->empty());
  const auto rule = pair.write({"INSERT INTO csa_rule VALUES (1)"});
  REQUIRE(rule.has_value());
  CHECK(test::decode(*rule).changes.size() == 1);
}

TEST_CASE("capture: schema statements take their place between rows") {
  test::RowPair pair(
      "CREATE TABLE t(a); INSERT INTO t VALUES (1);"
      "CREATE TABLE s(i INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO s VALUES (5)");
  check_applied(pair, pair.migrate("ALTER TABLE t ADD COLUMN b DEFAULT 7"));
  check_write(pair, {"UPDATE t SET b = 8", "INSERT INTO t VALUES (2, NULL)"});
  check_applied(pair, pair.migrate("ALTER TABLE t RENAME COLUMN b TO c"));
  check_write(pair, {"UPDATE t SET c = 9"});
  check_applied(pair, pair.migrate("ALTER TABLE s RENAME TO s2"));
  check_write(pair, {"INSERT INTO s2 DEFAULT VALUES"});
  check_applied(pair, pair.migrate("CREATE VIRTUAL TABLE f USING fts5(x)"));
  check_write(pair, {"INSERT INTO f VALUES ('some words')"});
  check_applied(pair, pair.migrate("DROP TABLE s2"));
  check_applied(pair, pair.migrate("CREATE TABLE n(i INTEGER PRIMARY KEY AUTOINCREMENT)"));
  check_write(pair, {"INSERT INTO n DEFAULT VALUES"});
}

TEST_CASE("capture: DROP TABLE of a parent, its foreign key actions come before it") {
  test::RowPair pair(
      "CREATE TABLE p(i INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p ON DELETE SET NULL);"
      "INSERT INTO p VALUES (1); INSERT INTO c VALUES (1)");
  check_applied(pair, pair.migrate("DROP TABLE p", true));
  CHECK(pair.replica.query_int("SELECT count(*) FROM c WHERE p IS NULL") == 1);
}

TEST_CASE("capture: whole table after CREATE TABLE AS, every row an insert") {
  const Database master(":memory:", Database::Mode::kCreate);
  const Database replica(":memory:", Database::Mode::kCreate);
  for (const Database* const db : {&master, &replica}) {
    db->exec("CREATE TABLE t(a REAL, b); INSERT INTO t VALUES (1, 'x'), (2.5, NULL)");
  }
  Capture capture(master, {100000, 1000, "/tmp"});
  master.exec("BEGIN");
  capture.begin();
  capture.begin_statement();
  master.exec("CREATE TABLE n AS SELECT a, b, a + 1 AS c FROM t");
  const auto sql = master.query_text("SELECT sql FROM sqlite_schema WHERE name = 'n'");
  capture.schema_statement(*sql, false);
  capture.capture_whole_table("n");
  master.exec("INSERT INTO n VALUES (9, 9, 9)");
  const Spill& body = capture.finish();
  REQUIRE(capture.status().has_value());
  const Bytes bytes = body.read(0, static_cast<std::size_t>(body.size()));
  master.exec("COMMIT");
  Applier applier(replica);
  const Status status = test::RowPair::apply(replica, applier, bytes, 1000);
  REQUIRE_MESSAGE(status.has_value(), (status ? "" : status.error().what));
  CHECK(test::difference(master, replica) == "");
}

TEST_CASE("capture: an authorizer that denies PRAGMA knows by at_work() what is capture's own") {
  const Database db(":memory:", Database::Mode::kCreate);
  db.exec("CREATE TABLE t(a, b DEFAULT 3)");
  Capture capture(db, {100000, 1000, "/tmp"});
  db.exec("BEGIN");
  const auto authorizer = [](void* context, int action, const char*, const char*, const char*,
                             const char*) {
    if (static_cast<const Capture*>(context)->at_work()) return SQLITE_OK;
    return action == SQLITE_PRAGMA ? SQLITE_DENY : SQLITE_OK;
  };
  sqlite3_set_authorizer(db.handle(), authorizer, &capture);
  capture.begin();
  CHECK_THROWS_AS(db.exec("PRAGMA user_version"), SqliteError);
  db.exec("INSERT INTO t VALUES (1, NULL)");
  db.exec("UPDATE t SET b = 4");
  CHECK(capture.finish().size() > 0);
  CHECK(capture.status().has_value());
  CHECK(!capture.at_work());
  sqlite3_set_authorizer(db.handle(), nullptr, nullptr);
  db.exec("COMMIT");
}

TEST_CASE("capture: odd tables, big integer keys that SQLite shows rounded are refused by name") {
  test::RowPair pair("CREATE TABLE t(r REAL, k INTEGER PRIMARY KEY) WITHOUT ROWID");
  check_write(pair, {"INSERT INTO t VALUES (1, 5), (2, 9007199254740993)"});
  check_write(pair, {"UPDATE t SET r = 3 WHERE k = 5", "UPDATE t SET k = 6 WHERE k = 5"});
  CHECK(!pair.write({"DELETE FROM t WHERE k > 100"}));
  CHECK(pair.last_error().find("key") != std::string::npos);
  CHECK(pair.difference() == "");
}

TEST_CASE("capture: a widely used sample database, every table rewritten") {
  const char* const given = std::getenv("CSA_TEST_DB");
  const std::string path =
      given != nullptr ? given : std::string(CSA_SOURCE_DIR) + "/../shared/data/chinook.sqlite";
  if (!std::filesystem::exists(path)) {
    MESSAGE("skipped: set CSA_TEST_DB to a database");
    return;
  }
  test::RowPair pair("");
  const Database source(path, Database::Mode::kReadOnly);
  for (const Database* const target : {&pair.master, &pair.replica}) {
    sqlite3_backup* const backup =
        sqlite3_backup_init(target->handle(), "main", source.handle(), "main");
    REQUIRE(backup != nullptr);
    sqlite3_backup_step(backup, -1);
    REQUIRE(sqlite3_backup_finish(backup) == SQLITE_OK);
  }
  pair.master.exec("PRAGMA foreign_keys = OFF");
  for (const std::string& table : shared_tables(pair.master)) {
    CAPTURE(table);
    const std::optional<TableInfo> info = table_info(pair.master, table);
    const std::string last = quote(info->columns.back().name);
    check_write(pair, {"UPDATE OR IGNORE " + quote(table) + " SET " + last + " = " + last +
                           " || '!' WHERE rowid % 3 = 0",
                       "DELETE FROM " + quote(table) + " WHERE rowid % 5 = 0"});
  }
  for (const std::string& table : shared_tables(pair.master)) {
    check_write(pair, {"DELETE FROM " + quote(table)});
  }
}

}  // namespace csa::capture_test
