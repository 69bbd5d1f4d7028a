#include "common/wal_mend.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/support/scratch_folder.h"

namespace csa::wal_mend_test {
namespace {

namespace fs = std::filesystem;

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// A database with some commits in its -wal, as a killed program leaves it.
struct Place {
  ScratchFolder folder;
  std::string path = folder.file("a.db");
  std::string file, wal;

  explicit Place(int page_size = 1024) {
    const std::string begun = folder.file("begun.db");
    const Database db(begun, Database::Mode::kCreate);
    db.exec("PRAGMA page_size=" + std::to_string(page_size) +
            "; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;"
            "CREATE TABLE t (v); PRAGMA wal_checkpoint(TRUNCATE)");
    for (int i = 0; i < 8; ++i) db.exec("INSERT INTO t VALUES (randomblob(700))");
    file = content_of(begun);
    wal = content_of(begun + "-wal");
    put_back();
  }
  void put_back() const {
    fs::remove(path + "-shm");
    write_file(path, file);
    write_file(path + "-wal", wal);
  }
  void turn(std::size_t byte, unsigned bit) const {
    std::string bytes = content_of(path + "-wal");
    bytes[byte] = static_cast<char>(static_cast<unsigned char>(bytes[byte]) ^ (1U << bit));
    write_file(path + "-wal", bytes);
  }
  // What SQLite finds, and whether csa sees that it is not all.
  struct Found {
    std::int64_t rows = 0;
    bool more = false;
  };
  [[nodiscard]] Found look() const {
    const Database db(path, Database::Mode::kReadOnly);
    sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    Found found;
    found.rows = db.query_int("SELECT count(*) FROM t").value_or(-1);
    found.more = wal_holds_more(db, path);
    return found;
  }
};

}  // namespace

TEST_CASE("wal_mend: any one bit of a -wal is wrong, it is noticed and mostly put right") {
  for (const int page_size : {1024, 4096}) {
    const Place place(page_size);
    CHECK(place.look().rows == 8);
    CHECK_FALSE(place.look().more);
    std::mt19937 random(3);
    int noticed = 0;
    int put_right = 0;
    for (int i = 0; i < 400; ++i) {
      place.put_back();
      const std::size_t step = 24 + static_cast<std::size_t>(page_size);
      const std::size_t frame = 32 + random() % 8 * step;
      const std::size_t at = i % 4 == 0   ? random() % 32
                             : i % 4 == 1 ? frame + random() % 24
                                          : random() % place.wal.size();
      const unsigned bit = random() % 8;
      CAPTURE(at);
      CAPTURE(bit);
      place.turn(at, bit);
      const Place::Found found = place.look();
      CHECK(found.rows < 8);
      CHECK(found.more);
      noticed += found.more ? 1 : 0;
      fs::remove(place.path + "-shm");
      const MendedWal mended = mend_wal(place.path);
      put_right += mended.bits;
      if (mended.bits == 1) {
        CHECK(content_of(place.path + "-wal") == place.wal);
        CHECK(mended.behind == 0);
        CHECK(place.look().rows == 8);
      } else {
        CHECK(mended.bits == 0);
        CHECK(mended.certain);
        CHECK(mended.behind > 0);
      }
    }
    CHECK(noticed == 400);
    CHECK(put_right > 250);
  }
}

TEST_CASE("wal_mend: a torn tail, or one of no commit, is left as it is") {
  const Place place;
  std::mt19937 random(4);
  for (int i = 0; i < 100; ++i) {
    place.put_back();
    std::string torn = place.wal.substr(0, random() % place.wal.size());
    if (i % 2 == 0) torn.resize(place.wal.size(), '\0');
    write_file(place.path + "-wal", torn);
    const MendedWal mended = mend_wal(place.path);
    CHECK(mended.bits == 0);
    CHECK(mended.behind == 0);
    CHECK(content_of(place.path + "-wal") == torn);
  }
}

TEST_CASE("wal_mend: more bits of a frame are wrong, the commits behind it are counted") {
  const Place place;
  const std::size_t frames = (place.wal.size() - 32) / 1048;
  REQUIRE(frames >= 8);
  place.turn(32 + 1048 + 100, 1);
  place.turn(32 + 1048 + 700, 5);
  CHECK(place.look().more);
  fs::remove(place.path + "-shm");
  const MendedWal mended = mend_wal(place.path);
  CHECK(mended.bits == 0);
  CHECK(mended.behind >= 6);
}

TEST_CASE("wal_mend: more bits of the header are wrong, the commits behind it are counted") {
  const Place place;
  std::mt19937 random(5);
  for (int i = 0; i < 60; ++i) {
    place.put_back();
    const std::size_t first = random() % 256;
    const std::size_t second = (first + 1 + random() % 255) % 256;
    CAPTURE(first);
    CAPTURE(second);
    for (const std::size_t bit : {first, second}) place.turn(bit / 8, bit % 8);
    const std::string before = content_of(place.path + "-wal");
    CHECK(place.look().rows == 0);
    CHECK(place.look().more);
    fs::remove(place.path + "-shm");
    const MendedWal mended = mend_wal(place.path);
    CHECK(mended.bits == 0);
    CHECK(mended.certain);
    CHECK(mended.behind >= 7);
    CHECK(content_of(place.path + "-wal") == before);
  }
  // One commit of one frame goes on from what the header has for its sum.
  place.put_back();
  write_file(place.path + "-wal", place.wal.substr(0, 32 + 1048));
  place.turn(17, 3);
  place.turn(20, 6);
  CHECK(mend_wal(place.path).certain);
}

TEST_CASE(
    "wal_mend: a header torn where the file has all that its frames lead to, nothing is lost") {
  const Place place;
  {
    const Database db(place.path, Database::Mode::kReadWrite);
    sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    db.exec("PRAGMA wal_checkpoint(FULL)");
  }
  const std::string whole = content_of(place.path + "-wal");
  REQUIRE(whole == place.wal);
  std::mt19937 random(6);
  for (int i = 0; i < 60; ++i) {
    std::string torn = whole;
    for (std::size_t at = 12 + random() % 20; at < 32; ++at) torn[at] = static_cast<char>(random());
    write_file(place.path + "-wal", torn);
    fs::remove(place.path + "-shm");
    const MendedWal mended = mend_wal(place.path);
    CHECK(mended.behind == 0);
    CHECK_FALSE(mended.certain);
    CHECK(place.look().rows == 8);
  }
}

}  // namespace csa::wal_mend_test
