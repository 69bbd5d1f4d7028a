#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "common/schema.h"
#include "tests/support/scratch_folder.h"

namespace csa::shareable_test {
namespace {

int reverse_order(void*, int left_size, const void* left, int right_size, const void* right) {
  static_cast<void>(left);
  static_cast<void>(right);
  return right_size - left_size;
}

void twice(sqlite3_context* context, int, sqlite3_value** values) {
  sqlite3_result_int64(context, 2 * sqlite3_value_int64(values[0]));
}

// Makes a database with an own collation and function, then opens it without them.
std::vector<Unshareable> findings(const std::string& sql, Probe probe = Probe::kSchemaAndPages) {
  const ScratchFolder folder;
  {
    const Database db(folder.file("db"), Database::Mode::kCreate);
    sqlite3_create_collation(db.handle(), "mine", SQLITE_UTF8, nullptr, reverse_order);
    sqlite3_create_function(db.handle(), "twice", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, nullptr,
                            twice, nullptr, nullptr);
    db.exec(sql);
  }
  return find_unshareable(Database(folder.file("db"), Database::Mode::kReadOnly), probe);
}

bool names(const std::vector<Unshareable>& found, const std::string& object,
           const std::string& reason) {
  for (const Unshareable& one : found) {
    CHECK(!one.way_out.empty());
    if (one.object.find(object) != std::string::npos &&
        one.reason.find(reason) != std::string::npos) {
      return true;
    }
  }
  return false;
}

}  // namespace

TEST_CASE("shareable: ordinary schemas of every kind, nothing to say") {
  CHECK(findings("CREATE TABLE t(a, b AS (a + 1), c TEXT COLLATE NOCASE CHECK(length(c) < 9));"
                 "CREATE INDEX i ON t(lower(c)) WHERE a > 1;"
                 "CREATE VIEW v AS SELECT * FROM t; CREATE VIEW broken AS SELECT * FROM gone;"
                 "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t WHERE a IS NULL; END;"
                 "CREATE VIRTUAL TABLE f USING fts5(x); CREATE VIRTUAL TABLE r USING rtree(i,a,b);"
                 "CREATE TABLE w(k PRIMARY KEY) WITHOUT ROWID; INSERT INTO t(a) VALUES (1);"
                 "CREATE TABLE s(i INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO s VALUES (4)")
            .empty());
}

TEST_CASE("shareable: collations and functions of the application, named wherever they stand") {
  CHECK(names(findings("CREATE TABLE t(a COLLATE mine)"), "table t", "mine"));
  CHECK(
      names(findings("CREATE TABLE t(a); CREATE INDEX i ON t(a COLLATE mine)"), "table t", "mine"));
  CHECK(names(findings("CREATE TABLE t(a, b AS (twice(a)))"), "table t", "twice"));
  CHECK(names(findings("CREATE TABLE t(a CHECK(twice(a) > 2))"), "table t", "twice"));
  CHECK(names(findings("CREATE TABLE t(a); CREATE INDEX i ON t(twice(a))"), "table t", "twice"));
  CHECK(names(findings("CREATE TABLE t(a); CREATE TRIGGER g AFTER DELETE ON t BEGIN "
                       "INSERT INTO t VALUES (twice(old.a)); END"),
              "table t", "twice"));
  CHECK(names(findings("CREATE VIEW v AS SELECT twice(1)"), "view v", "twice"));
  CHECK(names(findings("CREATE TABLE t(a); CREATE VIEW v AS SELECT a FROM t; CREATE TRIGGER g "
                       "INSTEAD OF INSERT ON v BEGIN INSERT INTO t VALUES (twice(new.a)); END"),
              "view v", "twice"));
}

TEST_CASE("shareable: module that is not there, rowid without a name, csa's names") {
  CHECK(names(findings("CREATE TABLE t(a); PRAGMA writable_schema = ON; INSERT INTO sqlite_schema "
                       "VALUES ('table', 'f', 'f', 0, 'CREATE VIRTUAL TABLE f USING nowhere(x)')"),
              "table f", "nowhere"));
  CHECK(names(findings("CREATE TABLE t(rowid, oid, _rowid_)"), "table t", "rowid"));
  CHECK(names(findings("CREATE TABLE csa_mine(a)"), "csa_mine", "csa"));
  CHECK(names(findings("CREATE TABLE t(a); CREATE VIEW CSA_view AS SELECT 1"), "CSA_view", "csa"));
  CHECK(findings("CREATE TABLE csa_log(a)").empty());
  CHECK(names(findings("CREATE TABLE JSON_Each(a)"), "JSON_Each", "csa_conflicts"));
  CHECK(names(findings("CREATE TABLE s(i INTEGER PRIMARY KEY AUTOINCREMENT);"
                       "INSERT INTO sqlite_sequence VALUES ('s', 1), ('s', 2)"),
              "sqlite_sequence", "more than one"));
}

TEST_CASE("shareable: schema that does not parse and pages that are damaged, one finding each") {
  CHECK(names(findings("CREATE TABLE t(a); PRAGMA writable_schema = ON;"
                       "UPDATE sqlite_schema SET sql = 'CREATE TABLE t(a,,' "),
              "database", "schema"));
  // An index entry without its row.
  const std::string damaged =
      "CREATE TABLE t(a); CREATE INDEX i ON t(a); INSERT INTO t VALUES (1), (2);"
      "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 999 WHERE name = 't'";
  CHECK(!findings(damaged).empty());
}

TEST_CASE("shareable: a widely used sample database, nothing to say") {
  const char* const given = std::getenv("CSA_TEST_DB");
  const std::string path =
      given != nullptr ? given : std::string(CSA_SOURCE_DIR) + "/../shared/data/chinook.sqlite";
  if (!std::filesystem::exists(path)) {
    MESSAGE("skipped: set CSA_TEST_DB to a database");
    return;
  }
  CHECK(find_unshareable(Database(path, Database::Mode::kReadOnly)).empty());
}

}  // namespace csa::shareable_test
