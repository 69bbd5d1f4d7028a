// Copies of which a part is here already: a replica takes what differs.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "common/page_map.h"
#include "common/random.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::replica_copy_test {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); CREATE INDEX t_v ON t(v);";
constexpr const char* kRows =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
    "INSERT INTO t SELECT i, printf('value %d of a row that takes some room', i * 7919 % 20000) "
    "FROM n";

Bytes map_of(const HandMaster::Copy& copy) {
  Bytes map;
  append_page_hashes(copy.bytes, page_size_of(copy.bytes), map);
  return map;
}

std::string content_of(const std::string& path) {
  return csa::content_of(Database(path, Database::Mode::kReadOnly));
}

HandMaster::Copy with_pages_of(int size, HandMaster::Copy copy, const std::string& file) {
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(copy.bytes.data()),
             static_cast<std::streamsize>(copy.bytes.size()));
  {
    const Database db(file, Database::Mode::kReadWrite);
    db.exec("PRAGMA journal_mode=DELETE");
    db.exec("PRAGMA page_size=" + std::to_string(size) + "; VACUUM");
    db.exec("PRAGMA journal_mode=WAL");
  }
  std::ifstream in(file, std::ios::binary);
  copy.bytes.assign(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  copy.end.snapshot = random_id();
  copy.end.total = copy.bytes.size();
  copy.end.hash = hash128(copy.bytes);
  return copy;
}

// Takes the copy as a session does; bytes that were missing.
struct Taken {
  std::uint64_t here = 0;
  std::uint64_t fetched = 0;
  bool mapped = false;
  bool installed = false;
};
Taken take(Replica& replica, const HandMaster::Copy& copy, const Bytes& map) {
  Taken taken;
  const std::uint32_t page_size = page_size_of(copy.bytes);
  taken.mapped = replica.begin_download(copy.end.snapshot, copy.end.total, page_size);
  std::vector<CopyRange> missing = {{0, copy.bytes.size()}};
  if (taken.mapped) {
    missing.clear();
    const std::size_t piece = 10 * kPageHash;
    for (std::size_t at = 0; at < map.size(); at += piece) {
      const ByteView hashes = ByteView(map).subspan(at, std::min(piece, map.size() - at));
      const CopyPlan plan = replica.plan_copy(at / kPageHash, hashes);
      taken.here += plan.here;
      missing.insert(missing.end(), plan.missing.begin(), plan.missing.end());
    }
  }
  for (const CopyRange& range : missing) {
    taken.fetched += range.length;
    replica.write_chunk(range.offset, ByteView(copy.bytes).subspan(range.offset, range.length));
  }
  CHECK(taken.here + taken.fetched == copy.bytes.size());
  taken.installed = replica.install(copy.end).has_value();
  return taken;
}

struct Fixture {
  ScratchFolder folder;
  HandMaster master{folder.path(), kSchema};
  std::string path = folder.file("r.db");
  std::unique_ptr<Replica> replica = open_replica(path);

  Fixture() {
    master.exec(kRows);
    const HandMaster::Copy copy = master.copy();
    const Taken first = take(*replica, copy, map_of(copy));
    REQUIRE(first.installed);
    CHECK_FALSE(first.mapped);
  }
  void check_equal() {
    CHECK(content_of(path) == csa::content_of(master.db()));
    const Database db(path, Database::Mode::kReadOnly);
    CHECK(db.query_text("PRAGMA integrity_check") == "ok");
  }
};

}  // namespace

TEST_CASE("copy: the replica lacks little, only the pages that differ are missing") {
  Fixture f;
  f.master.exec("UPDATE t SET v = 'another' WHERE id % 4000 = 7; DELETE FROM t WHERE id = 9999");
  const HandMaster::Copy copy = f.master.copy();
  REQUIRE(copy.bytes.size() > 1'000'000);
  const Taken taken = take(*f.replica, copy, map_of(copy));
  CHECK(taken.installed);
  CHECK(taken.mapped);
  CHECK(taken.fetched < 40 * 4096);
  f.check_equal();
}

TEST_CASE("copy: pages that lie elsewhere in the replica's file are known again") {
  Fixture f;
  const std::size_t before = f.master.copy().bytes.size();
  // Frees pages at the front, and fills them with others: VACUUM moves the rest.
  f.master.exec("DELETE FROM t WHERE id < 4000");
  f.master.db().exec("VACUUM");
  const HandMaster::Copy copy = f.master.copy();
  REQUIRE(copy.bytes.size() < before);
  const Taken taken = take(*f.replica, copy, map_of(copy));
  CHECK(taken.installed);
  CHECK(taken.fetched < copy.bytes.size());
  f.check_equal();
}

TEST_CASE("copy: a page of the replica was damaged at rest, it alone is missing") {
  Fixture f;
  f.replica.reset();
  {
    std::fstream file(f.path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(100 * 4096 + 2000);
    file.write("damage", 6);
  }
  f.replica = open_replica(f.path);
  const HandMaster::Copy copy = f.master.copy();
  const Taken taken = take(*f.replica, copy, map_of(copy));
  CHECK(taken.installed);
  // The first page counts commits, and csa's own tables tell of this replica.
  CHECK(taken.fetched >= 4096);
  CHECK(taken.fetched <= 10 * 4096);
  f.check_equal();
}

TEST_CASE("copy: what an earlier download left is not fetched again, whatever copy it was of") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  master.exec(kRows);
  const std::string path = folder.file("r.db");
  const HandMaster::Copy first = master.copy();
  {
    const auto replica = open_replica(path);
    CHECK_FALSE(replica->begin_download(first.end.snapshot, first.end.total, 4096));
    replica->write_chunk(0, ByteView(first.bytes).first(100 * 4096));
    // Behind a hole, and the end of it torn.
    replica->write_chunk(200 * 4096, ByteView(first.bytes).subspan(200 * 4096, 50 * 4096 + 100));
  }
  master.exec("UPDATE t SET v = 'another' WHERE id = 1");
  const HandMaster::Copy second = master.copy();
  const auto replica = open_replica(path);
  const Taken taken = take(*replica, second, map_of(second));
  CHECK(taken.installed);
  CHECK(taken.mapped);
  CHECK(taken.here >= 140 * 4096);
  CHECK(content_of(path) == csa::content_of(master.db()));
}

TEST_CASE("copy: one bit wrong on the way, only its page is fetched again") {
  Fixture f;
  f.master.exec("UPDATE t SET v = 'another' WHERE id > 10000");
  const HandMaster::Copy copy = f.master.copy();
  HandMaster::Copy flipped = copy;
  // Without a map, as the first copy of a node comes.
  REQUIRE_FALSE(f.replica->begin_download(copy.end.snapshot, copy.end.total, 0));
  flipped.bytes[50 * 4096 + 10] ^= 4;
  f.replica->write_chunk(0, flipped.bytes);
  const Result<Applied> wrong = f.replica->install(copy.end);
  REQUIRE(!wrong);
  CHECK(wrong.error().code == Errc::kDamaged);
  const Taken taken = take(*f.replica, copy, map_of(copy));
  CHECK(taken.installed);
  CHECK(taken.fetched <= 4096);
  f.check_equal();
}

TEST_CASE("copy: a map that is wrong, the copy is refused, and the next one is taken without it") {
  Fixture f;
  f.master.exec("UPDATE t SET v = 'another' WHERE id = 5");
  const HandMaster::Copy copy = f.master.copy();
  // It promises what the replica has at the place of a page that has changed.
  const Bytes wrong = [&] {
    Bytes map = map_of(copy);
    std::fill_n(map.begin() + 3 * kPageHash, kPageHash, std::uint8_t{0});
    std::copy_n(map.begin() + 40 * kPageHash, kPageHash, map.begin() + 30 * kPageHash);
    return map;
  }();
  CHECK_FALSE(take(*f.replica, copy, wrong).installed);
  const Taken taken = take(*f.replica, copy, wrong);
  CHECK(taken.installed);
  CHECK_FALSE(taken.mapped);
  f.check_equal();
  f.master.exec("UPDATE t SET v = 'another' WHERE id = 6");
  const HandMaster::Copy next = f.master.copy();
  CHECK(take(*f.replica, next, map_of(next)).mapped);
}

TEST_CASE("copy: the replica's file is not open, an earlier download is still compared") {
  Fixture f;
  const HandMaster::Copy copy = f.master.copy();
  CHECK(f.replica->begin_download(copy.end.snapshot, copy.end.total, 4096));
  f.replica->write_chunk(0, ByteView(copy.bytes).first(10 * 4096));
  f.replica->close();  // as after a read that failed
  CHECK(f.replica->begin_download(copy.end.snapshot, copy.end.total, 4096));
  const CopyPlan plan = f.replica->plan_copy(0, ByteView(map_of(copy)).first(20 * kPageHash));
  CHECK(plan.here == 10 * 4096);
  CHECK(plan.missing == std::vector<CopyRange>{{10 * 4096, 10 * 4096}});
}

TEST_CASE("copy: the replica has pages of another size, all is fetched") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  master.exec(kRows);
  const std::string path = folder.file("r.db");
  const auto replica = open_replica(path);
  const HandMaster::Copy copy = master.copy();
  REQUIRE(take(*replica, copy, map_of(copy)).installed);
  const HandMaster::Copy other = with_pages_of(8192, copy, folder.file("other"));
  REQUIRE(page_size_of(other.bytes) == 8192);
  const Taken taken = take(*replica, other, map_of(other));
  CHECK(taken.installed);
  CHECK(taken.here == 0);
  CHECK(content_of(path) == csa::content_of(master.db()));
}

}  // namespace csa::replica_copy_test
