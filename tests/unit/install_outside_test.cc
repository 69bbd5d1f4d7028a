// Another program writes to the replica while a full copy is put in its place: what it has
// committed is kept aside, whenever it comes.
#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <string>
#include <thread>
#include <utility>

#include "common/planted.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::install_outside_test {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'one')";
constexpr const char* kOutside = "INSERT INTO t VALUES (7, 'from outside')";

struct Place {
  ScratchFolder folder;
  HandMaster master{folder.path(), kSchema};
  std::string path = folder.file("r.db");
  std::unique_ptr<Replica> replica;

  Place() {
    replica = open_replica(path);
    REQUIRE(take_copy(*replica, master.copy()));
    master.exec("INSERT INTO t VALUES (2, 'two')");
  }
  [[nodiscard]] HandMaster::Copy copy_of_larger_pages() {
    HandMaster::Copy copy = master.copy();
    const std::string larger = folder.file("larger.db");
    std::ofstream(larger, std::ios::binary)
        .write(reinterpret_cast<const char*>(copy.bytes.data()),
               static_cast<std::streamsize>(copy.bytes.size()));
    Database(larger, Database::Mode::kReadWrite)
        .exec("PRAGMA journal_mode=DELETE; PRAGMA page_size=8192; VACUUM");
    std::ifstream in(larger, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    copy.bytes.assign(bytes.begin(), bytes.end());
    copy.end.total = copy.bytes.size();
    copy.end.hash = hash128(copy.bytes);
    return copy;
  }
  [[nodiscard]] std::int64_t kept_rows() const {
    std::int64_t rows = 0;
    for (const std::string& aside : asides_of(folder.path())) {
      const Database db(aside, Database::Mode::kReadOnly);
      rows += db.query_int("SELECT count(*) FROM t WHERE v = 'from outside'").value_or(0);
    }
    return rows;
  }
};

// Has a row written and not committed, until it is destroyed or a while later, on its own.
class SlowWriter {
 public:
  explicit SlowWriter(const std::string& path) : db_(path, Database::Mode::kReadWrite) {
    db_.exec("BEGIN IMMEDIATE");
    db_.exec(kOutside);
    thread_ = std::thread([this] {
      std::promise<void>().get_future().wait_for(std::chrono::milliseconds{400});
      db_.exec("COMMIT");
    });
  }
  ~SlowWriter() { thread_.join(); }
  SlowWriter(const SlowWriter&) = delete;
  SlowWriter& operator=(const SlowWriter&) = delete;

 private:
  Database db_;
  std::thread thread_;
};

#ifdef CSA_PLANTED
// What another program does at one of csa's crash points, once.
class At {
 public:
  template <class Act>
  At(std::string_view label, Act act) {
    on_crash_point([label, act, done = false](std::string_view at) mutable {
      if (at != label || std::exchange(done, true)) return;
      act();
    });
  }
  ~At() { on_crash_point({}); }
  At(const At&) = delete;
  At& operator=(const At&) = delete;
};
#endif

}  // namespace

TEST_CASE("install: another program commits while the write lock is waited for, it is kept aside") {
  Place place;
  const HandMaster::Copy copy = place.master.copy();
  fetch(*place.replica, copy);
  Result<Applied> done = Error{};
  {
    const SlowWriter other(place.path);
    done = place.replica->install(copy.end);
  }
  REQUIRE(done);
  CHECK(!done->kept_as.empty());
  CHECK(done->kept_why == "another program has written to it");
  CHECK(place.kept_rows() == 1);
  CHECK(content_of(place.path) == content_of(place.master.db()));
  place.master.exec("INSERT INTO t VALUES (3, 'three')");
  CHECK(follow(*place.replica, place.master));
}

TEST_CASE("install: the file is replaced as another program commits, it is kept aside") {
  Place place;
  const HandMaster::Copy copy = place.copy_of_larger_pages();
  fetch(*place.replica, copy);
  Result<Applied> done = Error{};
  {
    const SlowWriter other(place.path);
    done = place.replica->install(copy.end);
  }
  REQUIRE(done);
  CHECK(!done->kept_as.empty());
  CHECK(place.kept_rows() == 1);
  CHECK(Database(place.path, Database::Mode::kReadOnly).query_int("PRAGMA page_size") == 8192);
  CHECK(content_of(place.path) == content_of(place.master.db()));
}

TEST_CASE("install: the replica's file was emptied, its -wal stays the one of all connections") {
  Place place;
  REQUIRE(follow(*place.replica, place.master));
  std::filesystem::resize_file(place.path, 0);
  REQUIRE(take_copy(*place.replica, place.master.copy()));
  place.master.exec("INSERT INTO t VALUES (3, 'three')");
  REQUIRE(follow(*place.replica, place.master));
  CHECK(content_of(place.path) == content_of(place.master.db()));
}

TEST_CASE("install: the program works in another folder than it opened the replica in, no matter") {
  ScratchFolder folder;
  HandMaster master{folder.path(), kSchema};
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::create_directory(folder.file("other"));
  std::filesystem::current_path(folder.path());
  const auto replica = open_replica("r.db");
  std::filesystem::current_path(folder.file("other"));
  CHECK(take_copy(*replica, master.copy()));
  std::filesystem::current_path(before);
  CHECK(content_of(folder.file("r.db")) == content_of(master.db()));
}

#ifdef CSA_PLANTED
TEST_CASE("install: the file is replaced and nobody holds the old one, its name is never away") {
  Place place;
  const HandMaster::Copy copy = place.copy_of_larger_pages();
  REQUIRE(follow(*place.replica, place.master));
  fetch(*place.replica, copy);
  bool away = false;
  on_crash_point([&](std::string_view) { away = away || !std::filesystem::exists(place.path); });
  REQUIRE(place.replica->install(copy.end));
  on_crash_point({});
  CHECK(!away);
  CHECK(!std::filesystem::exists(place.path + "-csa-old"));
}

TEST_CASE("install: another program commits right behind the copy, it is seen and kept aside") {
  Place place;
  {
    const At copied("install: copied", [&] { run_sql(place.path, kOutside); });
    REQUIRE(take_copy(*place.replica, place.master.copy()));
  }
  place.master.exec("INSERT INTO t VALUES (3, 'three')");
  const Result<Applied> next = follow(*place.replica, place.master);
  REQUIRE(!next);
  CHECK(next.error().what.find("another program has written") != std::string::npos);
  REQUIRE(take_copy(*place.replica, place.master.copy()));
  CHECK(place.kept_rows() == 1);
  CHECK(content_of(place.path) == content_of(place.master.db()));
}

TEST_CASE("install: no space to keep another program's commit, the next install keeps it") {
  test::FaultyDisk disk;
  Place place;
  const HandMaster::Copy copy = place.master.copy();
  fetch(*place.replica, copy);
  {
    // Behind the look that the step began with.
    const At prepared("install: copy prepared", [&] {
      run_sql(place.path, kOutside);
      disk.fail_writes(SQLITE_FULL);
    });
    CHECK_THROWS_AS((void)place.replica->install(copy.end), SqliteError);
    CHECK(disk.has_failed());
    disk.mend();
  }
  CHECK(asides_of(place.folder.path()).empty());
  const Result<Applied> again = take_copy(*place.replica, copy);
  REQUIRE(again);
  CHECK(again->kept_why == "another program has written to it");
  CHECK(place.kept_rows() == 1);
}
#endif

}  // namespace csa::install_outside_test
