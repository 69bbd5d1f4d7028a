// Pages that a disk keeps wrongly while the replica runs, met once they have left SQLite's cache.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "node/replica.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::replica_rot_test {
namespace {

constexpr off_t kPage = 4096;

// Under pressure a page that nobody uses gives its place to the next.
class NoCache {
 public:
  NoCache() : before_(sqlite3_soft_heap_limit64(1)) {}
  ~NoCache() { sqlite3_soft_heap_limit64(before_); }
  NoCache(const NoCache&) = delete;
  NoCache& operator=(const NoCache&) = delete;

 private:
  sqlite3_int64 before_;
};

void overwrite(int file, off_t at) {
  std::array<std::uint8_t, kPage> garbage{};
  garbage.fill(0xA5);
  REQUIRE(::pwrite(file, garbage.data(), garbage.size(), at) == kPage);
}

// Wherever its next reader finds it: in the file, or in a frame of the -wal
// (https://sqlite.org/fileformat2.html#walformat).
void lose_page(const std::string& path, std::uint32_t number) {
  constexpr off_t kHeader = 32;
  constexpr off_t kFrameHeader = 24;
  const int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const int wal = ::open((path + "-wal").c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(file >= 0);
  REQUIRE(wal >= 0);
  overwrite(file, (static_cast<off_t>(number) - 1) * kPage);
  std::array<std::uint8_t, 4> of{};
  for (off_t frame = kHeader; ::pread(wal, of.data(), of.size(), frame) == 4;
       frame += kFrameHeader + kPage) {
    const std::uint32_t page = std::uint32_t{of[0]} << 24U | std::uint32_t{of[1]} << 16U |
                               std::uint32_t{of[2]} << 8U | std::uint32_t{of[3]};
    if (page == number) overwrite(wal, frame + kFrameHeader);
  }
  REQUIRE(::close(wal) == 0);
  REQUIRE(::close(file) == 0);
}

// What its caller gets to know of an error either way.
template <class Step>
bool succeeds(Step step, std::string& why) {
  try {
    const auto result = step();
    if (!result) why = result.error().what;
    return result.has_value();
  } catch (const SqliteError& error) {
    why = error.what();
    return false;
  }
}

}  // namespace

TEST_CASE("replica: any page lost on its disk while it runs, one full copy heals it") {
  const NoCache no_cache;
  const ScratchFolder folder;
  HandMaster master(folder.path(),
                    "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);"
                    "CREATE INDEX by_v ON t (v);"
                    "INSERT INTO t VALUES (1, 'one')");
  for (int i = 2; i < 60; ++i) {
    master.exec("INSERT INTO t VALUES (" + std::to_string(i) + ", hex(randomblob(100)))");
  }
  const HandMaster::Copy first = master.copy();
  master.exec("UPDATE t SET v = 'uno' WHERE id = 1");
  master.exec("DELETE FROM t WHERE id = 30");
  const std::string whole = folder.file("whole.db");
  { REQUIRE(take_copy(*open_replica(whole), first).has_value()); }
  const auto pages = static_cast<std::uint32_t>(std::filesystem::file_size(whole) / kPage);
  REQUIRE(pages > 10);
  for (std::uint32_t page = 1; page <= pages; ++page) {
    CAPTURE(page);
    const std::string path = folder.file(std::to_string(page) + ".db");
    std::filesystem::copy_file(whole, path);
    const auto replica = open_replica(path);
    REQUIRE(follow(*replica, master).has_value());
    lose_page(path, page);
    master.exec("UPDATE t SET v = v || '.' WHERE id > 50");
    std::string why;
    (void)succeeds([&] { return follow(*replica, master); }, why);
    const HandMaster::Copy copy = master.copy();
    const bool healed = succeeds([&] { return take_copy(*replica, copy); }, why);
    CHECK_MESSAGE(healed, why);
    if (healed) CHECK(content_of(path) == content_of(master.db()));
  }
}

}  // namespace csa::replica_rot_test
