// Restore where the disk keeps a -wal wrongly: of the file it is made from, and of the one that it
// is put in the place of.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "common/planted.h"
#include "common/wal_base.h"
#include "tests/support/opening_place.h"
#include "tests/support/replica_steps.h"

namespace csa::opening::restore_wal_test {
namespace {

constexpr int kCommits = 10;

void copy_pair(const std::string& from, const std::string& to) {
  for (const char* const ending : {"", "-wal"}) {
    fs::copy_file(from + ending, to + ending, fs::copy_options::overwrite_existing);
  }
}

// Of a page of the third frame.
void turn_bits(const std::string& path, int bits) {
  std::string wal = bytes_of(path + "-wal");
  constexpr std::size_t kPage = 32 + 2 * (24 + 4096) + 24;
  REQUIRE(wal.size() > kPage + 4096);
  for (int i = 0; i < bits; ++i) {
    char& byte = wal[kPage + 100 + static_cast<std::size_t>(i) * 500];
    byte = static_cast<char>(static_cast<unsigned char>(byte) ^ 1U);
  }
  opening::write_file(path + "-wal", wal);
}

// A master as a kill -9 leaves it, with commits in its -wal.
void killed_master(const DatabaseName& name) {
  const ScratchFolder folder;
  const DatabaseName running{folder.file("running.db"), name.app, name.group};
  REQUIRE(create(running, {kPartSchema}, real()).has_value());
  const Database db(running.path, Database::Mode::kReadWrite);
  for (int i = 0; i < kCommits; ++i) db.exec("INSERT INTO part (name) VALUES ('answered')");
  copy_pair(running.path, name.path);
}

// A node's replica with what it took from the master in its -wal, after a power cut that has
// forgotten one write of them.
void torn_replica(const std::string& path) {
  const ScratchFolder folder;
  HandMaster master(folder.path(), "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT)");
  const std::unique_ptr<Replica> replica = open_replica(folder.file("running.db"));
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  std::size_t second = 0;
  for (int i = 0; i < kCommits; ++i) {
    master.exec("INSERT INTO part (name) VALUES ('answered')");
    REQUIRE(follow(*replica, master).has_value());
    if (i == 1) second = fs::file_size(folder.file("running.db-wal"));
  }
  copy_pair(folder.file("running.db"), path);
  std::string wal = bytes_of(path + "-wal");
  REQUIRE(wal.size() > second + 4096);
  std::fill_n(wal.begin() + static_cast<std::ptrdiff_t>(second) + 24, 4096, '\0');
  opening::write_file(path + "-wal", wal);
}

// A node's replica, with offline changes in its -wal.
void killed_replica(const std::string& path) {
  const ScratchFolder folder;
  HandMaster master(folder.path(), "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT)");
  const std::unique_ptr<Replica> replica = open_replica(folder.file("running.db"));
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  for (std::uint64_t i = 1; i <= kCommits; ++i) {
    OfflineWrite write;
    write.write.tx = {replica->state().node, i};
    write.write.sql = "INSERT INTO part (name) VALUES ('journaled')";
    const Result<OfflineDone> done = replica->write_offline(write);
    REQUIRE(done.has_value());
    REQUIRE(std::holds_alternative<Journaled>(done->answer));
  }
  copy_pair(folder.file("running.db"), path);
}

std::int64_t rows_of(const std::string& path) {
  const Database db(path, Database::Mode::kReadOnly);
  return db.query_int("SELECT count(*) FROM part WHERE name IN ('answered', 'journaled')")
      .value_or(-1);
}

std::string remark_of(const Restoration& done) {
  REQUIRE(done.remarks.size() == 1);
  return done.remarks.front();
}

Restoration must(const Result<Restoration>& done) {
  REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
  return *done;
}

// An older copy of a master under the -wal of a newer one.
void mixed_master(const DatabaseName& name) {
  const ScratchFolder folder;
  const DatabaseName running{folder.file("running.db"), name.app, name.group};
  REQUIRE(create(running, {kPartSchema}, real()).has_value());
  fs::copy_file(running.path, name.path);
  const Database db(running.path, Database::Mode::kReadWrite);
  CommitCount count(db);
  for (const int commits : {kCommits, 2}) {
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    for (int i = 0; i < commits; ++i) {
      CountedTransaction transaction(db, count);
      db.exec("INSERT INTO part (name) VALUES ('answered')");
      transaction.commit();
    }
  }
  fs::copy_file(running.path + "-wal", name.path + "-wal");
}

// restore() over a file that is refused, killed at the `nth` name that is given; false: there are
// fewer.
bool killed_at_name(const DatabaseName& name, const std::string& from, DamagedJournal damaged,
                    int nth) {
  struct Killed {};
  on_crash_point([&nth](std::string_view label) {
    const bool named = label == "opening: named" || label == "opening: between two names" ||
                       label == "opening: swapped";
    if (named && --nth == 0) throw Killed{};
  });
  bool killed = false;
  try {
    (void)must(restore(name, from, real(), damaged));
  } catch (const Killed&) {
    killed = true;
  }
  on_crash_point({});
  return killed;
}

void kill_either(bool replica, const DatabaseName& name) {
  if (replica) {
    killed_replica(name.path);
  } else {
    killed_master(name);
  }
}

}  // namespace

TEST_CASE("restore: one bit of the source's -wal is wrong, all its commits come, and it is told") {
  for (const bool replica : {false, true}) {
    CAPTURE(replica);
    const Place place;
    const std::string from = place.folder.file("killed.db");
    kill_either(replica, {from, "csa", "shop"});
    turn_bits(from, 1);
    const std::string before = bytes_of(from + "-wal");
    const Restoration done = must(restore(place.name, from, real()));
    CHECK(rows_of(place.path) == kCommits);
    CHECK(done.journaled == (replica ? kCommits : 0));
    CHECK(remark_of(done).find("1 bit of " + from + "-wal wrongly") != std::string::npos);
    CHECK((bytes_of(from + "-wal") == before));
    CHECK(place.found(true) == Finding::kSound);
    CHECK_FALSE(fs::exists(place.path + ".csa-new-wal"));
  }
}

TEST_CASE("restore: commits in the source's -wal cannot be read, refused, or left out as is") {
  for (const bool replica : {false, true}) {
    CAPTURE(replica);
    const Place place;
    const std::string from = place.folder.file("killed.db");
    kill_either(replica, {from, "csa", "shop"});
    turn_bits(from, 2);
    const auto refused = restore(place.name, from, real());
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Errc::kDamaged);
    const std::string& what = refused.error().what;
    CHECK(what.find(from + " is damaged") != std::string::npos);
    CHECK_MESSAGE(what.find("commits at its end") != std::string::npos, what);
    CHECK(what.find("--from " + from + " --as-is") != std::string::npos);
    for (const char* const ending : {"", ".csa-new", ".csa-new-wal"}) {
      CHECK_FALSE(fs::exists(place.path + ending));
    }
    const auto as_is = must(restore(place.name, from, real(), DamagedJournal::kAsIs));
    CHECK(rows_of(place.path) < kCommits);
    CHECK(remark_of(as_is).find("left out") != std::string::npos);
    CHECK(place.found(true) == Finding::kSound);
  }
}

TEST_CASE("restore: from a replica that a power cut has torn, it is told so, and left out as is") {
  const Place place;
  const std::string from = place.folder.file("torn.db");
  torn_replica(from);
  const auto refused = restore(place.name, from, real());
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Errc::kDamaged);
  const std::string& what = refused.error().what;
  CHECK_MESSAGE(what.find("by a power cut or by its disk") != std::string::npos, what);
  CHECK(what.find("--from " + from + " --as-is") != std::string::npos);
  const auto as_is = must(restore(place.name, from, real(), DamagedJournal::kAsIs));
  CHECK(rows_of(place.path) == 2);
  CHECK(remark_of(as_is).find("after a power cut or by the disk's fault") != std::string::npos);
  CHECK(place.found(true) == Finding::kSound);
}

TEST_CASE("restore: from the file itself with a wrong bit, the new and the kept one have all") {
  const Place place;
  killed_master(place.name);
  turn_bits(place.path, 1);
  const Restoration done = must(restore(place.name, place.path, real()));
  CHECK(remark_of(done).find("put right") != std::string::npos);
  CHECK(rows_of(place.path) == kCommits);
  CHECK_FALSE(fs::exists(done.kept_as + "-wal"));
  CHECK(rows_of(done.kept_as) == kCommits);
}

TEST_CASE("restore: over a file with commits that cannot be read, they are kept beside it") {
  for (const bool itself : {false, true}) {
    CAPTURE(itself);
    const Place place;
    const std::string backup = place.folder.file("backup.db");
    REQUIRE(create({backup, "csa", "shop"}, {kPartSchema}, real()).has_value());
    killed_master(place.name);
    turn_bits(place.path, 2);
    const std::string before = bytes_of(place.path + "-wal");
    std::unique_ptr<Database> held;
    const Result<std::string> served = put_wal_right(place.name, held);
    REQUIRE_FALSE(served.has_value());
    const std::string way = "--from " + place.path + " --as-is";
    CHECK(served.error().what.find(way) != std::string::npos);
    held.reset();
    const Restoration done = must(restore(place.name, itself ? place.path : backup, real(),
                                          itself ? DamagedJournal::kAsIs : DamagedJournal::kNo));
    CHECK((bytes_of(done.kept_as + "-wal") == before));
    CHECK_FALSE(fs::exists(place.path + "-wal"));
    CHECK(place.found(true) == Finding::kSound);
  }
}

TEST_CASE("restore: killed over a file that is refused, what is left is refused and restorable") {
  for (const bool mixture : {false, true}) {
    for (const bool itself : {false, true}) {
      if (mixture && itself) continue;
      bool killed = true;
      int killings = 0;
      for (int nth = 1; killed; ++nth) {
        CAPTURE(mixture);
        CAPTURE(itself);
        CAPTURE(nth);
        const Place place;
        const std::string backup = place.folder.file("backup.db");
        REQUIRE(create({backup, "csa", "shop"}, {kPartSchema}, real()).has_value());
        if (mixture) {
          mixed_master(place.name);
          REQUIRE(place.found() == Finding::kDamaged);
        } else {
          killed_master(place.name);
          turn_bits(place.path, 2);
        }
        const std::string file = bytes_of(place.path);
        const std::string wal = bytes_of(place.path + "-wal");
        killed = killed_at_name(place.name, itself ? place.path : backup,
                                itself ? DamagedJournal::kAsIs : DamagedJournal::kNo, nth);
        if (killed) {
          ++killings;
          std::unique_ptr<Database> held;
          const bool restored = place.kept().size() == 2 && !fs::exists(place.path + "-wal") &&
                                place.found() == Finding::kSound;
          const bool refused =
              !put_wal_right(place.name, held).has_value() || place.found() != Finding::kSound;
          held.reset();
          CHECK((refused || restored));
          if (!restored) {
            const bool there = fs::exists(place.path);
            const Report report = inspect(place.name, false);
            if (!there) {
              REQUIRE(report.finding == Finding::kMissing);
              CHECK(report.sentence.find(place.path + ".kept-") != std::string::npos);
              CHECK(report.ways_out.back().file.find(".kept-") != std::string::npos);
            }
            (void)must(restore(place.name, backup, real()));
          }
        }
        CHECK(place.found(true) == Finding::kSound);
        bool kept = false;
        for (const std::string& name : place.kept()) {
          const std::string path = place.folder.file(name);
          if (path.ends_with("-wal") || !fs::exists(path + "-wal")) continue;
          kept = kept || (bytes_of(path) == file && bytes_of(path + "-wal") == wal);
        }
        CHECK(kept);
      }
      CHECK(killings > 0);
    }
  }
}

}  // namespace csa::opening::restore_wal_test
