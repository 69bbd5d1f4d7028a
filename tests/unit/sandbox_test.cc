#include "common/sandbox.h"

#include <doctest/doctest.h>

#include <chrono>

#include "common/call_runner.h"
#include "common/capture.h"
#include "tests/support/ledger_bench.h"
#include "tests/support/scratch_folder.h"

namespace csa::test::sandbox_test {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT);"
    "CREATE VIRTUAL TABLE search USING fts5(body);"
    "CREATE TRIGGER sneaky AFTER DELETE ON part BEGIN DELETE FROM csa_log; END;";

}  // namespace

TEST_CASE("sandbox: what a shared write must not do, refused with a sentence") {
  LedgerBench bench(kSchema);
  bench.write("INSERT INTO part VALUES (1, 'a')");
  for (const std::string& sql : std::vector<std::string>{
           "ATTACH ':memory:' AS other",
           "DETACH main",
           "VACUUM",
           "/* x */ -- y\n vacuum into '/dev/null'",
           "BEGIN",
           "COMMIT",
           "ROLLBACK",
           "SAVEPOINT j",
           "RELEASE j",
           "ROLLBACK TO w",
           "ANALYZE",
           "REINDEX",
           "PRAGMA foreign_keys=OFF",
           "PRAGMA writable_schema=ON",
           "PRAGMA journal_mode=DELETE",
           "PRAGMA user_version=3",
           "PRAGMA wal_checkpoint",
           "PRAGMA defer_foreign_keys=ON",
           "PRAGMA optimize",
           "SELECT count(*) FROM pragma_optimize",
           "SELECT load_extension('x')",
           "SELECT fts3_tokenizer('simple')",
           "SELECT * FROM csa_private",
           "SELECT count(*) FROM CSA_Log",
           "DELETE FROM csa_outcome",
           "INSERT INTO csa_meta VALUES ('seq', 1)",
           "DELETE FROM part",
           "CREATE TEMP TABLE part (a)",
           "CREATE TEMP TRIGGER t AFTER INSERT ON part BEGIN SELECT 1; END",
           "CREATE TEMP VIEW v AS SELECT 1",
           "CREATE TABLE x (a)",
           "CREATE TABLE x AS SELECT 1",
           "CREATE INDEX x ON part (name)",
           "CREATE VIEW x AS SELECT 1",
           "CREATE VIRTUAL TABLE x USING fts5(a)",
           "CREATE TRIGGER x AFTER INSERT ON part BEGIN SELECT 1; END",
           "ALTER TABLE part ADD COLUMN x",
           "ALTER TABLE part RENAME TO x",
           "DROP TABLE part",
           "DROP TABLE search",
           "DROP TRIGGER sneaky",
       }) {
    CAPTURE(sql);
    const Nack nack = bench.refused(sql);
    CHECK(nack.code == NackCode::kForbidden);
    CHECK(nack.message.size() > 20);
  }
  CHECK(bench.refused("UPDATE sqlite_schema SET sql = ''").code == NackCode::kSql);
  // SQLite's own guard: shadow tables are not written by hand.
  CHECK(bench.refused("DELETE FROM search_data").code == NackCode::kSql);
  CHECK(bench.refused("CREATE TABLE x (a)").message.find("csa-admin migrate") != std::string::npos);
  CHECK(bench.count("SELECT count(*) FROM part") == 1);
  CHECK(bench.count("SELECT count(*) FROM csa_log") == 1);
  bench.write("INSERT INTO part VALUES (2, 'b')");
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("sandbox: what only reads, or writes rows, is allowed") {
  LedgerBench bench(kSchema);
  for (const std::string& sql : std::vector<std::string>{
           "PRAGMA user_version",
           "PRAGMA table_info(part)",
           "SELECT name FROM pragma_table_info('part')",
           "SELECT name FROM sqlite_schema",
           "SELECT last_insert_rowid(), changes(), random(), datetime('now')",
           "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3)"
           " INSERT INTO part SELECT i, 'n' FROM n",
           "REPLACE INTO part VALUES (1, 'x')",
           "INSERT INTO part VALUES (1, 'y') ON CONFLICT DO UPDATE SET name = excluded.name",
           "INSERT INTO search VALUES ('one'); DELETE FROM search",
           "SELECT json('[1]'), 'ATTACH'",
       }) {
    CAPTURE(sql);
    bench.write(sql);
  }
  CHECK(bench.count("SELECT count(*) FROM part WHERE name = 'y'") == 1);
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("sandbox: last_insert_rowid of a former call, not seen by the next") {
  LedgerBench bench(kSchema);
  bench.write("INSERT INTO part VALUES (41, 'a')");
  const Ack ack = bench.write("SELECT last_insert_rowid()");
  REQUIRE(ack.rows.size() == 1);
  CHECK(ack.rows[0] == Row{std::int64_t{0}});
  CHECK(!ack.last_insert_rowid.has_value());
}

TEST_CASE("sandbox: a statement beyond --max-changes is stopped while it runs, in words") {
  LedgerBench bench("CREATE TABLE big (id INTEGER PRIMARY KEY, body)");
  bench.options.max_changes = 10000;
  bench.open();
  // Each look at the clock is about 2000 steps of a statement.
  bench.tick = std::chrono::milliseconds(1);
  const std::string rows =
      " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT i, i"
      " FROM n";
  const WriteJob runaway = bench.job("INSERT INTO big" + rows);
  const WriteJob before = bench.job("INSERT INTO big VALUES (-1, 'before')");
  const WriteJob after = bench.job("INSERT INTO big VALUES (-2, 'after')");
  const TimePoint begun = bench.now;
  const CommitResult result = bench.ledger->commit({before, runaway, after});
  CHECK(bench.now - begun < std::chrono::milliseconds(100));
  CHECK(std::holds_alternative<Ack>(result.outcomes[0].answer));
  CHECK(std::holds_alternative<Ack>(result.outcomes[2].answer));
  REQUIRE(std::holds_alternative<Nack>(result.outcomes[1].answer));
  const Nack nack = std::get<Nack>(result.outcomes[1].answer);
  CHECK(nack.code == NackCode::kLimit);
  CHECK(nack.message.find("more than 10000 bytes") != std::string::npos);
  CHECK(nack.message.find("--max-changes") != std::string::npos);
  CHECK(bench.count("SELECT count(*) FROM big") == 2);
  // It is the write's outcome, not run a second time.
  CHECK(bench.count("SELECT count(*) FROM csa_outcome WHERE code <> 0") == 1);
  const TimePoint again = bench.now;
  const Nack migrated = bench.nack(bench.migration("CREATE TABLE t (a, b); INSERT INTO t" + rows));
  CHECK(bench.now - again < std::chrono::milliseconds(100));
  CHECK(migrated.message.find("--max-changes") != std::string::npos);
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("call: what ended a statement is told of the computer that it ran on") {
  const ScratchFolder folder;
  const Database db(folder.file("part.db"), Database::Mode::kCreate);
  db.exec("CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT)");
  Sandbox sandbox(db, [] { return TimePoint{std::chrono::hours{2}}; });
  for (const Place place : {Place::kBroker, Place::kThisComputer}) {
    CAPTURE(static_cast<int>(place));
    Capture capture(db, {1000, 1000, folder.path()});
    const auto message_of = [&](const std::string& sql) {
      db.exec("BEGIN");
      capture.begin();
      const Write write{{}, sql, {}, {}, 0};
      const auto done = CallRunner(db, sandbox, capture, {1000, 1000, place}).run(write);
      // A statement that was interrupted while it wrote has done so.
      if (sqlite3_get_autocommit(db.handle()) == 0) db.exec("ROLLBACK");
      capture.discard();
      const auto* const rejection = std::get_if<Rejection>(&done);
      return rejection == nullptr ? std::string() : rejection->message;
    };
    sandbox.set_deadline(TimePoint{std::chrono::hours{1}});
    const std::string endless = message_of(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
        " INSERT INTO part SELECT i, '' FROM n");
    sandbox.set_deadline(std::nullopt);
    const std::string large = message_of("INSERT INTO part VALUES (1, hex(zeroblob(2000)))");
    CHECK(endless.starts_with("the write took "));
    CHECK(large.starts_with("the write changes more than 1000 bytes"));
    for (const std::string& message : {endless, large}) {
      CHECK_MESSAGE((message.find("broker") != std::string::npos) == (place == Place::kBroker),
                    message);
    }
  }
}

}  // namespace csa::test::sandbox_test
