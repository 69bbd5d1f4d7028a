// Capture for a journal: names, whole rows, and which rowids SQLite chose.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "common/assigned_keys.h"
#include "common/capture.h"
#include "common/sandbox.h"
#include "common/system_clock.h"
#include "tests/support/cases.h"
#include "tests/support/compare.h"
#include "tests/support/random_schema.h"
#include "tests/support/row_pair.h"

namespace csa::capture_journal_test {
namespace {

class JournalBench {
 public:
  explicit JournalBench(std::string_view schema) : db(":memory:", Database::Mode::kCreate) {
    db.exec(schema);
    db.exec("PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON");
    keys_.emplace(db);
    capture_.emplace(db, Capture::Options{1U << 30U, 1U << 20U, folder_.path(), &*keys_});
  }
  // Nothing: a statement failed and all was rolled back.
  std::optional<Bytes> write(const std::vector<std::string>& statements) {
    keys_->refresh();
    keys_->clear();
    db.exec("BEGIN IMMEDIATE; SAVEPOINT w");
    capture_->begin();
    try {
      for (const std::string& sql : statements) db.exec(sql);
      int deferred = 0;
      int unused = 0;
      sqlite3_db_status(db.handle(), SQLITE_DBSTATUS_DEFERRED_FKS, &deferred, &unused, 0);
      if (deferred != 0) throw SqliteError(SQLITE_CONSTRAINT, "deferred foreign key");
      if (const Status status = capture_->status(); !status) {
        refusal = status.error().what;
        throw SqliteError(SQLITE_ABORT, "capture");
      }
      db.exec("RELEASE w; SAVEPOINT f");
      const Spill& body = capture_->finish();
      Bytes bytes = body.read(0, static_cast<std::size_t>(body.size()));
      db.exec("RELEASE f; COMMIT");
      return bytes;
    } catch (const SqliteError&) {
      if (db.in_transaction()) db.exec("ROLLBACK TO w; RELEASE w; ROLLBACK");
      capture_->discard();
      return std::nullopt;
    }
  }
  // "A1 I7 ...": inserts of `table` in their order.
  std::string inserts(const std::vector<std::string>& statements, const std::string& table = "t") {
    const auto bytes = write(statements);
    REQUIRE(bytes.has_value());
    const test::DecodedChanges decoded = test::decode(*bytes);
    std::string text;
    for (const Change& change : decoded.changes) {
      const auto* const row = std::get_if<RowChange>(&change);
      if (row == nullptr || row->op != RowOp::kInsert) continue;
      if (decoded.tables[row->table].name != table) continue;
      text += (text.empty() ? "" : " ") + std::string(row->assigned ? "A" : "I") +
              std::to_string(std::get<std::int64_t>(row->key.at(0)));
    }
    return text;
  }

 private:
  ScratchFolder folder_;

 public:
  Database db;
  std::string refusal;

 private:
  std::optional<AssignedKeys> keys_;
  std::optional<Capture> capture_;
};

void check_whole_rows(const test::DecodedChanges& decoded) {
  for (const Change& change : decoded.changes) {
    const auto* const row = std::get_if<RowChange>(&change);
    if (row == nullptr) continue;
    const ChangeTable& table = decoded.tables[row->table];
    REQUIRE(table.column_names.size() == table.column_count);
    if (row->op != RowOp::kUpdate) continue;
    for (std::uint32_t i = 0; i < table.column_count; ++i) {
      const bool key = std::count(table.key_columns.begin(), table.key_columns.end(), i) != 0;
      REQUIRE(row->old_values[i].has_value() != key);
      REQUIRE(row->new_values[i].has_value() != key);
    }
  }
}

}  // namespace

TEST_CASE("capture for a journal: an update, whole row and names") {
  JournalBench bench("CREATE TABLE t(k INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 2, 3)");
  const auto bytes = bench.write({"UPDATE t SET a = 4", "UPDATE t SET a = 4"});
  REQUIRE(bytes.has_value());
  const test::DecodedChanges decoded = test::decode(*bytes);
  REQUIRE(decoded.changes.size() == 1);
  CHECK(decoded.tables[0].column_names == std::vector<std::string>{"k", "a", "b"});
  check_whole_rows(decoded);
  CHECK(std::get<RowChange>(decoded.changes[0]).new_values[2] == Value(std::int64_t{3}));
}

TEST_CASE("capture for a journal: a virtual table's own tables say whose they are") {
  JournalBench bench(
      "CREATE VIRTUAL TABLE \"a using b\" USING fts5(title, body); CREATE TABLE t(a)");
  const auto bytes =
      bench.write({"INSERT INTO \"a using b\" VALUES ('x', 'y')", "INSERT INTO t VALUES (1)"});
  REQUIRE(bytes.has_value());
  for (const ChangeTable& table : test::decode(*bytes).tables) {
    CHECK(table.owner.has_value() == (table.name != "t"));
    const VirtualOwner owner{"a using b", "fts5(title, body)", {"title", "body"}};
    if (table.owner) CHECK(*table.owner == owner);
  }
}

TEST_CASE("capture for a journal: settings of a full-text table are refused, and it says why") {
  JournalBench bench("CREATE VIRTUAL TABLE page USING fts5(body)");
  CHECK_FALSE(bench.write({"INSERT INTO page (page, rank) VALUES ('pgsz', 64)"}).has_value());
  CHECK(bench.refusal.find("full-text table page") != std::string::npos);
  CHECK(bench.write({"INSERT INTO page VALUES ('x')"}).has_value());
}

TEST_CASE("capture for a journal: inserts, exactly the rowids that SQLite chose are marked") {
  JournalBench bench(
      "CREATE TABLE t(k INTEGER PRIMARY KEY, u UNIQUE); CREATE TABLE p(a);"
      "CREATE TABLE q(k INTEGER PRIMARY KEY AUTOINCREMENT, a);"
      "CREATE TABLE w(k PRIMARY KEY) WITHOUT ROWID; CREATE TABLE o(g AS (a + 1), a REAL);"
      "CREATE TRIGGER n AFTER INSERT ON p WHEN new.a > 0 BEGIN INSERT INTO p VALUES (new.a - 1);"
      " INSERT INTO p(rowid, a) VALUES (new.a * 100, -1); END");
  CHECK(bench.inserts({"INSERT INTO t VALUES (5, 'a'), (NULL, 'b'), (9, 'c')"}) == "I5 A6 I9");
  CHECK(bench.inserts({"INSERT INTO t(u) SELECT u || 'x' FROM t"}) == "A10 A11 A12");
  // Row 20 is ignored for its u; the next row gets 20's neighbour or whatever: its own note counts.
  CHECK(bench.inserts({"INSERT OR IGNORE INTO t VALUES (20, 'a'), (NULL, 'd'), (NULL, 'a'),"
                       " (21, 'e')"}) == "A13 I21");
  CHECK(bench.inserts({"REPLACE INTO t VALUES (5, 'z')", "REPLACE INTO t(u) VALUES ('z')"}) ==
        "I5 A22");
  CHECK(bench.inserts({"INSERT INTO t(u) VALUES ('z') ON CONFLICT(u) DO UPDATE SET u = 'y'",
                       "INSERT INTO t VALUES (40, 'q')"}) == "I40");
  CHECK(bench.inserts({"INSERT INTO p VALUES (2)"}, "p") == "A1 A2 A3 I100 I200");
  CHECK(bench.inserts({"INSERT INTO q VALUES (7, 1)", "INSERT INTO q(a) VALUES (1)"}, "q") ==
        "I7 A8");
  CHECK(bench.inserts({"INSERT INTO o(a) VALUES (1)", "INSERT INTO o(rowid, a) VALUES (9, 1)"},
                      "o") == "A1 I9");
  CHECK(bench.inserts({"INSERT INTO o(a) VALUES (2)", "DELETE FROM o WHERE a = 2",
                       "INSERT INTO o(rowid, a) VALUES (10, 3)"},
                      "o") == "A10 I10");
}

TEST_CASE("capture for a journal: rows of virtual tables, marked where SQLite numbered them") {
  JournalBench bench(
      "CREATE VIRTUAL TABLE f5 USING fts5(\"values\", b); CREATE VIRTUAL TABLE f4 USING fts4(a, b);"
      "CREATE VIRTUAL TABLE \"o'dd into\" USING fts5(a, b); CREATE TABLE t(id INTEGER PRIMARY KEY);"
      "CREATE VIRTUAL TABLE r USING rtree(id, x, y);"
      "CREATE VIRTUAL TABLE ra USING rtree(id, x, y, +a);"
      "CREATE TRIGGER n AFTER INSERT ON t BEGIN INSERT INTO f5 VALUES ('null', new.id);"
      " INSERT INTO f5(rowid, b) VALUES (new.id + 100, 'x'); END");
  for (const std::string table : {"f5", "f4", "o'dd into"}) {
    CAPTURE(table);
    const std::string into = " INTO \"" + table + "\"";
    const std::string shadow = table + "_content";
    CHECK(bench.inserts({"INSERT" + into + " VALUES ('a', 'b'), (NULL, NULL), ('NULL', 3)",
                         "INSERT" + into + " SELECT 'values (null', x'00' FROM (SELECT 1)"},
                        shadow) == "A1 A2 A3 A4");
    CHECK(bench.inserts({"INSERT" + into + "(rowid, b) VALUES (-7, 'c'), (NULL, 'c'), (9, NULL)",
                         "REPLACE" + into + "(rowid, b) VALUES (9, 'd')"},
                        shadow) == "I-7 A5 I9 I9");
    CHECK(bench.inserts({"UPDATE \"" + table + "\" SET b = 'e' WHERE rowid = 5"}, shadow) == "I5");
  }
  CHECK(bench.inserts({"INSERT INTO t VALUES (50), (40)"}, "f5_content") == "A10 I150 A151 I140");
  const auto places = [&](const std::string& tree) {
    return bench.inserts({"INSERT INTO " + tree + "(x, y) VALUES (1, 2), (3, 4)",
                          "INSERT INTO " + tree + "(id, x, y) VALUES (9, 1, 2), (NULL, 1, 2)"},
                         tree + "_rowid");
  };
  // The number first, then where the row is.
  CHECK(places("r") == "A1 I1 A2 I2 I9 A10 I10");
  CHECK(places("ra") == "A1 A2 I9 A10");
}

TEST_CASE("capture for a journal: many documents of one write, the index is written once") {
  JournalBench bench(
      "CREATE VIRTUAL TABLE f5 USING fts5(a); CREATE VIRTUAL TABLE f4 USING fts4(a)");
  const std::string rows =
      "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO ";
  for (const std::string table : {"f5", "f4"}) {
    CAPTURE(table);
    const auto bytes = bench.write({rows + table + "(a) SELECT 'word ' || i FROM n"});
    REQUIRE(bytes.has_value());
    const test::DecodedChanges decoded = test::decode(*bytes);
    const auto of_index = std::ranges::count_if(decoded.changes, [&](const Change& change) {
      const auto* const row = std::get_if<RowChange>(&change);
      if (row == nullptr) return false;
      const std::string& name = decoded.tables[row->table].name;
      return !name.ends_with("_content") && !name.ends_with("_docsize") && !name.ends_with("_stat");
    });
    CHECK(of_index < 20);
  }
}

TEST_CASE("capture for a journal: a rolled back write or a new table, inserts are marked again") {
  JournalBench bench("CREATE TABLE t(k INTEGER PRIMARY KEY, u NOT NULL)");
  CHECK_FALSE(bench.write({"INSERT INTO t(u) VALUES (NULL)"}).has_value());
  CHECK(bench.inserts({"INSERT INTO t(u) VALUES (1)"}) == "A1");
  bench.db.exec("CREATE TABLE v(a)");
  CHECK(bench.inserts({"INSERT INTO v VALUES (1)"}, "v") == "A1");
}

TEST_CASE("capture for a journal: a user's call of csa_note_key, refused; the triggers may") {
  JournalBench bench("CREATE TABLE t(k INTEGER PRIMARY KEY, u)");
  CHECK(bench.inserts({"INSERT INTO t(u) VALUES (1)"}) == "A1");
  Sandbox sandbox(bench.db, [] { return monotonic_now(); });
  std::string_view call = "INSERT INTO t(u) VALUES (csa_note_key('t', 4))";
  CHECK_THROWS_AS(static_cast<void>(sandbox.prepare(call, Sandbox::Mode::kWrite)), SqliteError);
  CHECK(sandbox.refusal().find("csa_note_key") != std::string::npos);
  std::string_view insert = "INSERT INTO t(u) VALUES (2)";
  CHECK_NOTHROW(static_cast<void>(sandbox.prepare(insert, Sandbox::Mode::kWrite)));
}

TEST_CASE("capture for a journal: random writes on random schemas, the inverse leads back") {
  int written = 0;
  for (std::uint64_t seed = 1; seed <= test::cases(40); ++seed) {
    test::RandomSchema schema(seed);
    INFO("seed ", seed, "\n", schema.sql());
    JournalBench bench(schema.sql());
    test::RowPair pair(schema.sql());  // its replica follows by apply and undo
    std::vector<Bytes> log;
    for (int i = 0; i < 25; ++i) {
      const auto bytes = bench.write(schema.write());
      if (!bytes) continue;
      ++written;
      check_whole_rows(test::decode(*bytes));
      const Status applied = pair.apply(*bytes);
      REQUIRE_MESSAGE(applied.has_value(), (applied ? "" : applied.error().what));
      REQUIRE(test::difference(bench.db, pair.replica) == "");
      log.push_back(*bytes);
    }
    for (auto bytes = log.rbegin(); bytes != log.rend(); ++bytes) {
      const Status undone = pair.undo(*bytes);
      REQUIRE_MESSAGE(undone.has_value(), (undone ? "" : undone.error().what));
    }
    REQUIRE(pair.difference() == "");
  }
  CHECK(written > 200 / test::kOneOf);
}

}  // namespace csa::capture_journal_test
