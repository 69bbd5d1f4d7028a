// The disk fails under the replica. A bound on file sizes stands in for a full disk; it holds for a
// whole process, so each case runs in a child.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "common/codec.h"
#include "node/replica.h"
#include "node/store_jobs.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::replica_disk_test {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);"
    "INSERT INTO t VALUES (1, 'one')";
constexpr const char* kManyRows =
    "INSERT INTO t SELECT i, hex(zeroblob(500)) FROM (WITH RECURSIVE n(i) AS "
    "(SELECT 10 UNION ALL SELECT i + 1 FROM n LIMIT 2000) SELECT i FROM n)";

void bound_files(rlim_t bytes) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = bytes;
  ::setrlimit(RLIMIT_FSIZE, &limit);
}

template <class Step>
bool throws(Step step) {
  try {
    (void)step();
    return false;
  } catch (const SqliteError&) {
    return true;
  }
}

// Number of the first step that went wrong, 0 for none.
template <class Steps>
int in_child(Steps steps) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(steps());
  int status = -1;
  if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

struct OnFaultyDisk {
  ScratchFolder folder;
  HandMaster master{folder.path(), kSchema};
  HandMaster::Copy copy = master.copy();
  test::FaultyDisk disk;
  std::unique_ptr<Replica> replica = open_replica(folder.file("r.db"));

  OnFaultyDisk() { REQUIRE(take_copy(*replica, copy).has_value()); }
};

}  // namespace

TEST_CASE("replica: no space for entries, the old state stays; they are taken when there is some") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  const HandMaster::Copy copy = master.copy();
  master.exec(kManyRows);
  const std::vector<LogPiece> pieces = master.after(Seq{0});
  const std::string path = folder.file("r.db");
  const int failed = in_child([&] {
    const auto replica = open_replica(path);
    if (!take_copy(*replica, copy)) return 1;
    bound_files(200'000);
    for (int i = 0; i < 2; ++i) {
      if (!throws([&] { return replica->apply(pieces).has_value(); })) return 2;
      if (replica->state().position != copy.end.position) return 3;
      if (content_of(path).find("zero") != std::string::npos) return 4;
    }
    bound_files(RLIM_INFINITY);
    const Result<Applied> applied = replica->apply(pieces);
    if (!applied) return applied.error().what.find("another program") != std::string::npos ? 5 : 6;
    return 0;
  });
  CHECK(failed == 0);
  CHECK(content_of(path) == content_of(master.db()));
}

TEST_CASE("replica: no space to install a copy, the old state stays and entries go on") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  const HandMaster::Copy small = master.copy();
  master.exec("UPDATE t SET v = 'two'");
  const std::vector<LogPiece> update = master.after(Seq{0});
  master.exec(kManyRows);
  const HandMaster::Copy large = master.copy();
  const std::string path = folder.file("r.db");
  const int failed = in_child([&] {
    const auto replica = open_replica(path);
    if (!take_copy(*replica, small)) return 1;
    fetch(*replica, large);
    // The copy is there; its way through the WAL needs more than its own size.
    bound_files(large.end.total + 1000);
    if (!throws([&] { return replica->install(large.end).has_value(); })) return 2;
    if (replica->state().position != small.end.position) return 3;
    if (std::filesystem::exists(path + "-csa-copy")) return 4;
    if (!replica->apply(update)) return 5;
    bound_files(50'000);
    if (!throws([&] {
          fetch(*replica, large);
          return true;
        }))
      return 6;
    return 0;
  });
  CHECK(failed == 0);
  const Database db(path, Database::Mode::kReadOnly);
  CHECK(db.query_text("SELECT v FROM t") == "two");
  CHECK(db.query_text("PRAGMA integrity_check") == "ok");
}

TEST_CASE("replica: its disk fails to be read, that is not taken for another program's writing") {
  for (const bool others_write : {false, true}) {
    CAPTURE(others_write);
    const ScratchFolder folder;
    HandMaster master(folder.path(), kSchema);
    test::FaultyDisk disk;
    const std::string path = folder.file("r.db");
    const auto replica = open_replica(path);
    REQUIRE(take_copy(*replica, master.copy()));
    master.exec("UPDATE t SET v = 'two'");
    REQUIRE(follow(*replica, master).has_value());
    master.exec("UPDATE t SET v = 'three'");
    // A checkpoint, after which the pages are read anew; nothing is written.
    Database(path, Database::Mode::kReadWrite).exec("PRAGMA wal_checkpoint(TRUNCATE)");
    if (others_write) run_sql(path, "UPDATE t SET v = 'by others'");
    disk.fail_reads(SQLITE_IOERR_READ);
    CHECK(throws([&] { return follow(*replica, master).has_value(); }));
    disk.mend();
    // Whoever wrote: what does not fit is found all the same.
    CHECK(follow(*replica, master).has_value() == !others_write);
  }
}

TEST_CASE("replica: no space for a new identity's counters, none is given twice") {
  const ScratchFolder folder;
  const std::string path = folder.file("r.db");
  const int failed = in_child([&] {
    const auto replica = open_replica(path);
    const std::uint64_t first = replica->reserve_counters();
    bound_files(100);
    if (!throws([&] { return replica->reserve_counters(); })) return 1;
    bound_files(RLIM_INFINITY);
    if (replica->reserve_counters() <= first) return 2;
    return 0;
  });
  CHECK(failed == 0);
}

TEST_CASE("replica: a reader that stops checkpoints is told of when the WAL is large and doubles") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), "CREATE TABLE big (id INTEGER PRIMARY KEY, body)");
  const std::string path = folder.file("r.db");
  std::string lines;
  const Log log(LogLevel::kInfo, [&](LogLevel, std::string_view line) { lines += line; });
  const auto replica = Replica::open(path, "csa", "shop", log).value();
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  const Database reader(path, Database::Mode::kReadOnly);
  reader.exec("BEGIN; SELECT count(*) FROM big");
  const auto told = [&] {
    std::size_t count = 0;
    for (std::size_t at = 0; (at = lines.find("pages wait", at)) != std::string::npos; ++at)
      ++count;
    return count;
  };
  const auto grow = [&](int bytes) {
    master.exec("INSERT INTO big (body) VALUES (zeroblob(" + std::to_string(bytes) + "))");
    REQUIRE(replica->apply(master.after(replica->state().position->seq)).has_value());
    replica->housekeeping();
  };
  CHECK(told() == 0);
  for (int i = 0; i < 5 && told() == 0; ++i) grow(36'000'000);
  CHECK(told() == 1);
  grow(10);
  CHECK(told() == 1);
  for (int i = 0; i < 5 && told() == 1; ++i) grow(36'000'000);
  CHECK(told() == 2);
  reader.exec("COMMIT");
  replica->housekeeping();
  lines.clear();
  grow(10);
  CHECK(told() == 0);
}

// Large entries: what they free is more than the page cache holds.
TEST_CASE("replica: the disk is full as the log is trimmed, no other program is blamed for it") {
  OnFaultyDisk on;
  for (int i = 0; i < 20; ++i) {
    on.master.exec("UPDATE t SET v = zeroblob(1000000 + " + std::to_string(i) + ")");
  }
  REQUIRE(follow(*on.replica, on.master).has_value());
  on.disk.fail_writes(SQLITE_FULL);
  on.replica->trim(Seq{10});
  CHECK(throws([&] { return on.replica->housekeeping(), 0; }));
  on.disk.mend();
  on.master.exec("UPDATE t SET v = 'new'");
  CHECK(follow(*on.replica, on.master).has_value());
  CHECK_FALSE(throws([&] { return on.replica->housekeeping(), 0; }));
}

TEST_CASE("replica: the disk fails behind a commit, what changed is told all the same") {
  OnFaultyDisk on;
  for (int i = 0; i < 20; ++i) on.master.exec("UPDATE t SET v = v || 'x'");
  const auto pieces = on.master.after(on.replica->state().position->seq);
  for (int writes = 0; writes < 400; ++writes) {
    on.disk.fail_writes(SQLITE_FULL, writes);
    StoreAnswer answer;
    const bool failed = throws([&] {
      answer = run_store_job(ApplyPieces{pieces, Seq{10}}, *on.replica);
      return 0;
    });
    on.disk.mend();
    const bool there = on.replica->state().position->seq == pieces.back().header.seq;
    CHECK(failed != there);
    if (there) return;
  }
  FAIL("never applied");
}

// The frames are there and synced when it is known that the index has no room for them.
TEST_CASE("replica: the disk is full behind an offline commit, it is not told as one not made") {
  OnFaultyDisk on;
  const Database reader(on.replica->path(), Database::Mode::kReadOnly);
  reader.exec("BEGIN; SELECT count(*) FROM t");
  on.disk.fail_growth(SQLITE_IOERR_SHMSIZE);
  std::int64_t made = 0;
  bool not_made = false;
  for (std::uint64_t n = 1; n < 1000; ++n) {
    OfflineWrite write;
    write.write.tx = {on.replica->state().node, n};
    write.write.sql = "INSERT INTO t (v) VALUES (hex(zeroblob(16000)))";
    try {
      const Result<OfflineDone> done = on.replica->write_offline(write);
      not_made = done && std::holds_alternative<Nack>(done->answer);
      if (!done || not_made) break;
      ++made;
    } catch (const SqliteError& error) {
      CHECK(error.code() == SQLITE_IOERR_SHMSIZE);
      break;
    }
  }
  REQUIRE(made > 100);
  REQUIRE(made < 900);
  const std::string found = on.folder.file("found.db");
  for (const char* const end : {"", "-wal"}) {
    std::filesystem::copy_file(on.replica->path() + end, found + end);
  }
  on.disk.mend();
  const Database db(found, Database::Mode::kReadWrite);
  const std::int64_t entries = db.query_int("SELECT count(*) FROM csa_journal").value_or(-1);
  CHECK(entries == made + 1);
  CHECK_FALSE(not_made);
}

TEST_CASE("replica: found with a -wal that may not be synced, it is before an entry is told of") {
  OnFaultyDisk on;
  OfflineWrite write;
  write.write.tx = {on.replica->state().node, 1};
  write.write.sql = "UPDATE t SET v = 'mine'";
  REQUIRE(std::holds_alternative<Journaled>(on.replica->write_offline(write)->answer));
  // The program that made it was killed in the midst of the sync.
  const std::string found = on.folder.file("found.db");
  for (const char* const end : {"", "-wal"}) {
    std::filesystem::copy_file(on.replica->path() + end, found + end);
  }
  const int before = on.disk.syncs();
  const std::unique_ptr<Replica> taken = open_replica(found);
  write.request_hash = request_hash(write.write);
  REQUIRE(std::holds_alternative<Journaled>(taken->write_offline(write)->answer));
  CHECK(on.disk.syncs() > before);
}

}  // namespace csa::replica_disk_test
