#include <doctest/doctest.h>

#include "tests/support/ledger_bench.h"

namespace csa::test::ledger_migrate_test {
namespace {

constexpr const char* kSchema = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, qty INTEGER);
  CREATE TABLE tag (word TEXT, part INTEGER REFERENCES part ON DELETE CASCADE,
                    PRIMARY KEY (word, part)) WITHOUT ROWID;
  CREATE VIRTUAL TABLE search USING fts5(body);
  INSERT INTO part (name, qty) VALUES ('bolt', 4), ('nut', 5);
  INSERT INTO tag VALUES ('steel', 1), ('small', 2);
)";

}  // namespace

TEST_CASE("migration: every form of schema change, repeated exactly from the log") {
  LedgerBench bench(kSchema);
  bench.write("INSERT INTO search VALUES ('before')");
  for (const std::string& sql : std::vector<std::string>{
           "CREATE TABLE extra (a, b REAL DEFAULT 1); INSERT INTO extra (a) VALUES (1), (2)",
           "ALTER TABLE part ADD COLUMN color TEXT DEFAULT 'grey'; UPDATE part SET color = 'red'"
           " WHERE id = 1",
           "ALTER TABLE part RENAME COLUMN qty TO quantity; ALTER TABLE extra RENAME TO more",
           "ALTER TABLE part DROP COLUMN color",
           "CREATE TABLE counted AS SELECT name, count(*) AS n FROM part GROUP BY name",
           "CREATE INDEX by_n ON counted (n); CREATE VIEW names AS SELECT name FROM part;"
           "CREATE TRIGGER grown AFTER INSERT ON part BEGIN INSERT INTO more VALUES (new.id, 2);"
           " END; INSERT INTO part (name) VALUES ('screw')",
           "INSERT INTO search VALUES ('pending'); CREATE VIRTUAL TABLE place USING rtree(id, a, "
           "b);"
           "INSERT INTO place VALUES (1, 2, 3); INSERT INTO search VALUES ('again')",
           "CREATE VIRTUAL TABLE found USING fts5(x); INSERT INTO found VALUES ('y')",
           "PRAGMA user_version = 7; PRAGMA application_id = 12",
           "CREATE TABLE IF NOT EXISTS more (z); DROP INDEX by_n; DROP TABLE counted",
           "DROP TABLE found; DROP VIEW names; DROP TRIGGER grown; UPDATE part SET quantity = 1",
           "CREATE TABLE part2 (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT);"
           "INSERT INTO part2 SELECT id, name FROM part; DROP TABLE part;"
           "ALTER TABLE part2 RENAME TO part",
       }) {
    CAPTURE(sql);
    const std::uint64_t before = bench.ledger->meta().schema_version;
    CHECK(bench.ack(bench.migration(sql)).schema_version == before + 1);
    CHECK(bench.replay_difference() == "");
    bench.write("INSERT INTO part (name) VALUES (hex(randomblob(8)))");
  }
  CHECK(bench.count("SELECT count(*) FROM tag") == 2);
  CHECK(bench.count("PRAGMA user_version") == 7);
  CHECK(bench.replay_difference() == "");
  CHECK(bench.count("SELECT count(*) FROM csa_layout") == 13);
  const Database copy(bench.path, Database::Mode::kReadOnly);
  CHECK(bench.ledger->meta().fingerprint == schema_fingerprint(copy));
  // The last record proves the schema to those who repeat it.
  const Nack fk = bench.refused("INSERT INTO tag VALUES ('x', 999)");
  CHECK(fk.code == NackCode::kConstraint);
}

TEST_CASE("migration: the last record of its entry is the fingerprint") {
  LedgerBench bench(kSchema);
  const CommitResult result = bench.ledger->commit(
      {bench.migration("INSERT INTO part (name) VALUES ('a'); CREATE TABLE x (a)")});
  REQUIRE(result.pieces.size() == 1);
  CHECK(result.pieces[0].header.kind == EntryKind::kSchema);
  CHECK(result.pieces[0].header.schema_version == 1);
  ChangeReader reader;
  reader.feed(result.pieces[0].bytes);
  std::string last;
  while (true) {
    Result<std::optional<Change>> change = reader.next();
    REQUIRE(change.has_value());
    if (!*change) break;
    const auto* const schema = std::get_if<SchemaStatement>(&**change);
    last = schema == nullptr ? "" : schema->sql;
  }
  CHECK(last == std::string(kFingerprintRemark) + to_string(bench.ledger->meta().fingerprint));
}

TEST_CASE("migration: versions, the first one wins and gaps are refused") {
  LedgerBench bench(kSchema);
  CHECK(bench.nack(bench.migration("CREATE TABLE x (a)", 3)).code == NackCode::kSql);
  CHECK(bench.ack(bench.migration("CREATE TABLE x (a)", 2)).seq == Seq{1});
  const Ack again = bench.ack(bench.migration("CREATE TABLE y (a)", 2));
  CHECK(again.schema_version == 2);
  CHECK(bench.count("SELECT count(*) FROM sqlite_schema WHERE name = 'y'") == 0);
  const WriteJob third = bench.migration("CREATE TABLE y (a)");
  CHECK(bench.ack(third).schema_version == 3);
  CHECK(bench.ack(third).repeated);
}

TEST_CASE("migration: refused whole, with the statement and the reason") {
  LedgerBench bench(kSchema);
  struct Case {
    const char* sql;
    NackCode code;
    std::uint32_t statement;
  };
  for (const Case& one : {
           Case{"", NackCode::kSql, 0},
           Case{"CREATE TABLE ok (a); CREATE TABLE part (a)", NackCode::kSql, 1},
           Case{"CREATE TABLE ok (a); INSERT INTO ok VALUES (?)", NackCode::kSql, 1},
           Case{"CREATE TABLE ok (a); CREATE TABLE csa_mine (a)", NackCode::kForbidden, 1},
           Case{"CREATE TABLE ok (a); ALTER TABLE ok RENAME TO csa_ok", NackCode::kSql, 1},
           Case{"CREATE TABLE ok (a); CREATE VIEW JSON_each AS SELECT 1", NackCode::kForbidden, 1},
           Case{"CREATE TABLE ok (a); ALTER TABLE ok RENAME TO json_each", NackCode::kSql, 1},
           Case{"DROP TABLE csa_log", NackCode::kForbidden, 0},
           Case{"CREATE TEMP TABLE ok (a)", NackCode::kForbidden, 0},
           Case{"CREATE TABLE temp.ok (a)", NackCode::kForbidden, 0},
           Case{"BEGIN; CREATE TABLE ok (a); COMMIT", NackCode::kForbidden, 0},
           Case{"ATTACH ':memory:' AS other", NackCode::kForbidden, 0},
           Case{"ANALYZE", NackCode::kForbidden, 0},
           Case{"PRAGMA foreign_keys=ON", NackCode::kForbidden, 0},
           Case{"CREATE TABLE ok (rowid, _rowid_, oid)", NackCode::kSql, 0},
           Case{
               "CREATE TABLE ok (a); CREATE TRIGGER t AFTER INSERT ON ok BEGIN SELECT nope(1); END",
               NackCode::kSql, 1},
           Case{"CREATE VIRTUAL TABLE ok USING nope(a)", NackCode::kSql, 0},
           Case{"DELETE FROM part WHERE id = 1", NackCode::kConstraint, 0},
           Case{"DROP TABLE part", NackCode::kConstraint, 0},
           Case{"INSERT OR ROLLBACK INTO part (name) VALUES ('bolt')", NackCode::kConstraint, 0},
       }) {
    CAPTURE(std::string(one.sql));
    const Nack nack = bench.nack(bench.migration(one.sql));
    CHECK(nack.code == one.code);
    CHECK(nack.statement == one.statement);
    CHECK(!nack.message.empty());
    CAPTURE(nack.message);
    CHECK(bench.ledger->meta().schema_version == 1);
  }
  bench.write("INSERT INTO part (name) VALUES ('screw')");
  CHECK(bench.count("SELECT count(*) FROM sqlite_schema WHERE name IN ('ok', 'csa_ok')") == 0);
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("migration: in the middle of a group, the writes around it see its schema") {
  LedgerBench bench(kSchema);
  const CommitResult result = bench.ledger->commit(
      {bench.job("INSERT INTO more VALUES (1)"), bench.migration("CREATE TABLE more (a)"),
       bench.job("INSERT INTO more VALUES (2)"), bench.job("INSERT INTO tag VALUES ('x', 99)")});
  CHECK(std::get<Nack>(result.outcomes[0].answer).code == NackCode::kSql);
  CHECK(std::holds_alternative<Ack>(result.outcomes[1].answer));
  CHECK(std::get<Ack>(result.outcomes[2].answer).schema_version == 2);
  CHECK(std::get<Nack>(result.outcomes[3].answer).code == NackCode::kConstraint);
  CHECK(result.pieces.size() == 2);
  CHECK(bench.replay_difference() == "");
}

}  // namespace csa::test::ledger_migrate_test
