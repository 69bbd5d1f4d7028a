// Another program writes to the replica while a full copy is put in its place: what it has
// committed is kept aside, whenever it comes.
#include <doctest/doctest.h>

#include <string>
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
  [[nodiscard]] std::int64_t kept_rows() const {
    std::int64_t rows = 0;
    for (const std::string& aside : asides_of(folder.path())) {
      const Database db(aside, Database::Mode::kReadOnly);
      rows += db.query_int("SELECT count(*) FROM t WHERE v = 'from outside'").value_or(0);
    }
    return rows;
  }
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

#ifdef CSA_PLANTED
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
