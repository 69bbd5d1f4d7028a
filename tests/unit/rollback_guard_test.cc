#include "common/rollback_guard.h"

#include <doctest/doctest.h>

#include <string>

#include "common/sqlite.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/scratch_folder.h"

namespace csa::test::rollback_guard_test {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT);"
    "CREATE VIRTUAL TABLE search USING fts5(body);"
    "INSERT INTO note VALUES (1, 'here')";

// The transaction ends inside, as an error of the disk ends it, and nobody is told.
void end_silently(const Database& db) {
  Statement twice = db.prepare("INSERT OR ROLLBACK INTO note VALUES (1, 'again')");
  CHECK((twice.try_step() & 0xFF) == SQLITE_CONSTRAINT);
  twice.reset();
  REQUIRE(!db.in_transaction());
}

int thrown_by(const Database& db, const std::string& sql) {
  try {
    db.exec(sql);
  } catch (const SqliteError& error) {
    return error.code();
  }
  return SQLITE_OK;
}

}  // namespace

TEST_CASE("transaction: SQLite has rolled it back, what is written after that is not committed") {
  const ScratchFolder folder;
  const std::string path = folder.file("a.db");
  const Database db(path, Database::Mode::kCreate);
  db.exec(kSchema);
  {
    Transaction transaction(db);
    db.exec("INSERT INTO note VALUES (2, 'before')");
    end_silently(db);
    CHECK(thrown_by(db, "INSERT INTO note VALUES (3, 'after')") == SQLITE_ABORT_ROLLBACK);
    CHECK(thrown_by(db, "SAVEPOINT one; DELETE FROM note; RELEASE one") == SQLITE_ABORT_ROLLBACK);
    CHECK_THROWS_AS(transaction.commit(), SqliteError);
  }
  CHECK(db.query_text("SELECT group_concat(body) FROM note") == "here");
  Transaction next(db);
  db.exec("INSERT INTO note VALUES (4, 'next')");
  next.commit();
  CHECK(db.query_text("SELECT group_concat(body) FROM note") == "here,next");
  db.exec("INSERT INTO note VALUES (5, 'alone')");
  CHECK(db.query_int("SELECT count(*) FROM note") == 3);
}

TEST_CASE("transaction: a read fails where a pragma hides it, nothing of it is committed") {
  const ScratchFolder folder;
  const std::string path = folder.file("a.db");
  Database(path, Database::Mode::kCreate).exec(kSchema);
  int hidden = 0;
  for (int good = 0, end = 1; good < end; ++good) {
    CAPTURE(good);
    FaultyDisk disk;
    const Database db(path, Database::Mode::kReadWrite);
    (void)db.query_int("SELECT count(*) FROM note");
    Transaction transaction(db);
    db.exec("UPDATE note SET body = 'torn'");
    disk.fail_one_read(SQLITE_IOERR_READ, good);
    bool told = false;
    try {
      (void)db.query_int("SELECT count(*) FROM pragma_table_list");
    } catch (const SqliteError&) {
      told = true;
    }
    if (disk.has_failed()) {
      end = good + 2;
      if (!told && !db.in_transaction()) ++hidden;
    }
    disk.mend();
    if (db.in_transaction()) continue;
    CHECK_THROWS_AS(db.exec("INSERT INTO note VALUES (2, 'torn')"), SqliteError);
  }
  CHECK(hidden > 0);
  CHECK(Database(path, Database::Mode::kReadOnly).query_text("SELECT body FROM note") == "here");
}

}  // namespace csa::test::rollback_guard_test
