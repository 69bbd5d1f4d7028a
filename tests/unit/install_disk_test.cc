// The disk fails at every write that putting a full copy in place makes. What the replica says of
// itself afterwards is what is there, and with room again it goes on.
#include <doctest/doctest.h>

#include <string>

#include "common/random.h"
#include "tests/support/cases.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::install_disk_test {
namespace {

constexpr const char* kSchema = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)";

// A replica whose master has lost its last transaction, and was restored.
struct Place {
  ScratchFolder folder;
  HandMaster master{folder.path(), kSchema};
  std::string path = folder.file("r.db");

  Place() {
    const auto replica = open_replica(path);
    REQUIRE(take_copy(*replica, master.copy()));
    master.exec("INSERT INTO t VALUES (1, 'both have it')");
    const Position parent = master.meta().position;
    master.exec("INSERT INTO t VALUES (2, 'lost')");
    REQUIRE(follow(*replica, master));
    const Position next{Epoch{9, random_id()}, parent.seq, Chain{random_id()}};
    master.meta().position = next;
    {
      const Database db(master.path(), Database::Mode::kReadWrite);
      db.exec("DELETE FROM t WHERE id = 2");
      db.exec("DELETE FROM csa_log WHERE part_id >> 20 > " + std::to_string(parent.seq.value));
      add_epoch(db, {next.epoch, parent, WallTime{1}});
    }
    master.exec("INSERT INTO t VALUES (3, 'new')");
  }
};

std::int64_t waiting_in(const std::string& path) {
  const Database db(path, Database::Mode::kReadOnly);
  return db.query_int("SELECT count(*) FROM csa_journal WHERE answered = 0").value_or(0);
}

}  // namespace

TEST_CASE("install: the disk fails at any write, the replica knows what it holds, and goes on") {
  for (const auto& [code, step] :
       {std::pair(SQLITE_FULL, int{test::kOneOf}), std::pair(SQLITE_IOERR_WRITE, 5)}) {
    int installed = 0;  // though the checkpoint behind it failed
    for (int k = 0, end = 1; k < end; k += step) {
      CAPTURE(code);
      CAPTURE(k);
      Place place;
      test::FaultyDisk disk;
      const auto replica = open_replica(place.path);
      const HandMaster::Copy copy = place.master.copy();
      fetch(*replica, copy);
      bool thrown = false;
      disk.fail_writes(code, k);
      try {
        const Result<Applied> done = replica->install(copy.end);
        thrown = !done;
      } catch (const SqliteError&) {
        thrown = true;
      }
      if (disk.has_failed()) {
        end = k + step + 1;
        if (!thrown) ++installed;
      }
      disk.mend();
      if (thrown) REQUIRE(take_copy(*replica, copy));
      CHECK(asides_of(place.folder.path()).size() == 1);
      CHECK(replica->state().position == copy.end.position);
      CHECK(content_of(place.path) == content_of(place.master.db()));
      // What was lost is offered, once.
      CHECK(replica->state().journal.waiting == 1);
      CHECK(waiting_in(place.path) == 1);
      // Another copy does not take it away.
      const Result<Applied> again = take_copy(*replica, copy);
      REQUIRE(again);
      CHECK(again->state.journal.waiting == 1);
    }
    if (step == 1) CHECK(installed > 0);
  }
}

}  // namespace csa::install_disk_test
