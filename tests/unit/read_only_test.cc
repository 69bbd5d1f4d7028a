#include "node/read_only.h"

#include <doctest/doctest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "node/replica.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::read_only_test {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'one')";

std::string first_value(sqlite3* db, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(db, sql, -1, &statement, nullptr) != SQLITE_OK) return sqlite3_errmsg(db);
  std::string value = "no row";
  if (sqlite3_step(statement) == SQLITE_ROW) {
    value = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
  }
  sqlite3_finalize(statement);
  return value;
}

}  // namespace

TEST_CASE("read only: beside an owner, follows its commits and cannot write") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  const std::string path = folder.file("r.db");
  const auto replica = open_replica(path);
  const Reader early = open_read_only(path);
  REQUIRE(early.db);
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  CHECK(first_value(early.db.get(), "SELECT v FROM t") == "one");
  master.exec("UPDATE t SET v = 'two'");
  REQUIRE(follow(*replica, master).has_value());
  const Reader reader = open_read_only(path);
  REQUIRE(reader.db);
  CHECK(first_value(reader.db.get(), "SELECT v FROM t") == "two");
  CHECK(first_value(early.db.get(), "SELECT v FROM t") == "two");
  CHECK(sqlite3_exec(reader.db.get(), "DELETE FROM t", nullptr, nullptr, nullptr) ==
        SQLITE_READONLY);
}

TEST_CASE("read only: no owner, clean end or not, the last state is there") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  const std::string path = folder.file("r.db");
  const HandMaster::Copy copy = master.copy();
  // The owner dies without closing anything; its WAL holds the last commits.
  const pid_t owner = ::fork();
  REQUIRE(owner >= 0);
  if (owner == 0) {
    const auto replica = open_replica(path);
    const bool taken = take_copy(*replica, copy).has_value();
    replica->remember_endpoint("10.0.0.1:1");
    ::_exit(taken ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(owner, &status, 0) == owner);
  REQUIRE(status == 0);
  CHECK(std::filesystem::file_size(path + "-wal") > 0);
  {
    const Reader reader = open_read_only(path);
    REQUIRE(reader.db);
    CHECK(first_value(reader.db.get(), "SELECT v FROM t") == "one");
  }
  CHECK(std::filesystem::file_size(path + "-wal") > 0);
  open_replica(path)->close();
  CHECK(!std::filesystem::exists(path + "-wal"));
  const Reader reader = open_read_only(path);
  REQUIRE(reader.db);
  CHECK(first_value(reader.db.get(), "SELECT v FROM t") == "one");
}

TEST_CASE("read only: a glance, says what the replica is with and without a copy") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  const std::string path = folder.file("r.db");
  const auto replica = open_replica(path);
  const Result<ReplicaGlance> empty = glance_at_replica(path);
  REQUIRE(empty.has_value());
  CHECK(empty.value().node == replica->state().node);
  CHECK(empty.value().group == "shop");
  CHECK(!empty.value().db.has_value());
  CHECK(!empty.value().position.has_value());

  master.exec("UPDATE t SET v = 'two'");
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  const Result<ReplicaGlance> glance = glance_at_replica(path);
  REQUIRE(glance.has_value());
  CHECK(glance.value().app == "csa");
  CHECK(glance.value().db == master.meta().db);
  CHECK(glance.value().position == master.meta().position);
  CHECK(glance.value().generation_seen == 3);
  CHECK(glance.value().schema_version == 1);
  CHECK(glance.value().pending == 0);
}

TEST_CASE("read only: missing, foreign and damaged files, each fails with its own code") {
  const ScratchFolder folder;
  const Reader missing = open_read_only(folder.file("r.db"));
  CHECK(!missing.db);
  CHECK(missing.failure.exit_code == 3);
  CHECK(missing.failure.text.find(folder.file("r.db")) != std::string::npos);
  CHECK(!std::filesystem::exists(folder.file("r.db")));

  run_sql(folder.file("own.db"), "CREATE TABLE mine (x)");
  const Reader own = open_read_only(folder.file("own.db"));
  CHECK(!own.db);
  CHECK(own.failure.exit_code == 4);

  write_file(folder.file("text.db"), std::string(5000, 'x'));
  const Reader text = open_read_only(folder.file("text.db"));
  CHECK(!text.db);
  CHECK(text.failure.exit_code == 7);

  write_file(folder.file("empty.db"), "");
  CHECK(open_read_only(folder.file("empty.db")).failure.exit_code == 3);
  CHECK(open_read_only(folder.path()).failure.exit_code == 1);
}

}  // namespace csa::read_only_test
