// Broker's time in the master's file, and what the inbox tells of it.
#include <doctest/doctest.h>

#include "common/store_meta.h"
#include "tests/support/merge_bench.h"
#include "tests/support/opening_place.h"

namespace csa::ledger_time_test {
namespace {

using test::MergeBench;

constexpr const char* kSchema =
    "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT);"
    "INSERT INTO part VALUES (1, 'bolt');";
constexpr std::int64_t kHour = 3'600'000;
constexpr std::int64_t kWall = 1'700'000'000'000;

struct TimeBench : MergeBench {
  LocalTime local{WallTime{kWall}, 7, 10'000};

  TimeBench() : MergeBench(kSchema, 1) {
    const Database db(master.path, Database::Mode::kReadWrite);
    db.exec("DELETE FROM csa_private WHERE key = 'clock'");
    master.options.local_now = [this] { return local; };
    master.open();
  }
  void pass(std::int64_t ms) {
    local.wall.ms += ms;
    local.boot_ms += ms;
  }
  void reboot(std::int64_t down) {
    local = {WallTime{local.wall.ms + down}, local.boot + 1, 500};
    master.open();
  }
  WallTime now() { return master.ledger->time().at(local); }
  TimeScale scale() { return master.ledger->time().scale(); }
  void rename(const std::string& name) {
    (void)master.run(master.job("UPDATE part SET name = '" + name + "' WHERE id = 1"));
  }
  WallTime committed() {
    const Database db(master.path, Database::Mode::kReadOnly);
    return LogTable(db).entry(master.ledger->meta().position.seq)->header.edited;
  }
};

}  // namespace

TEST_CASE("ledger: its wall clock is set by hours, broker's time and the log go on") {
  TimeBench b;
  b.rename("a");
  const WallTime first = b.committed();
  b.pass(60'000);
  b.local.wall.ms -= 3 * kHour;
  b.rename("b");
  CHECK(b.committed().ms == first.ms + 60'000);
  const TimeScale scale = b.scale();
  b.pass(60'000);
  b.master.open();  // the broker starts again
  CHECK(b.now().ms == first.ms + 120'000);
  CHECK(b.scale() == scale);
}

TEST_CASE("ledger: a bit of its last entry's header is wrong, broker's time goes on as it was") {
  TimeBench b;
  b.rename("a");
  b.rename("b");
  const WallTime now = b.now();
  const TimeScale scale = b.scale();
  const Seq last = b.master.ledger->meta().position.seq;
  const Bytes header = b.master.header_of(last);
  // Some of every byte's.
  for (std::size_t bit = 0; bit < header.size() * 8; bit += 7) {
    CAPTURE(bit);
    Bytes wrong = header;
    wrong[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    b.master.ledger.reset();
    b.master.set_header(last, wrong);
    REQUIRE_NOTHROW(b.master.open());
    CHECK(b.now() == now);
    CHECK(b.scale() == scale);
  }
}

TEST_CASE("ledger: a boot of its computer begins a scale that follows the one before") {
  TimeBench b;
  b.rename("a");
  const TimeScale first = b.scale();
  // Known before the first commit, for nodes measure at once.
  b.reboot(5 * 60'000);
  const TimeScale second = b.scale();
  CHECK(second.before == first.id);
  CHECK(second.since.ms == kWall + 5 * 60'000);
  b.pass(1000);
  b.master.open();
  CHECK(b.scale() == second);
  // An empty battery: not before what was committed.
  b.rename("b");
  const WallTime last = b.committed();
  b.reboot(-300 * kHour);
  CHECK(b.now() > last);
  CHECK(b.scale().before == second.id);
}

TEST_CASE("ledger: the wall clock is set while nobody writes, a boot does not take it for time") {
  TimeBench b;
  b.rename("a");
  b.pass(5000);
  b.local.wall.ms += 3 * kHour;
  (void)b.master.ledger->housekeeping();
  const WallTime before = b.now();
  b.reboot(60'000);
  CHECK(b.now().ms == before.ms + 60'000);
}

TEST_CASE("inbox: times are told by the broker's wall clock as it is, whatever its time is") {
  TimeBench b;
  b.local.wall.ms += 3 * kHour;
  b.edit(b.nodes[0], "UPDATE part SET name = 'n' WHERE id = 1", 0);
  b.rename("m");
  b.hand_over(b.nodes[0]);
  CHECK(b.text("SELECT time FROM csa_conflicts") == to_string(b.local.wall));
  CHECK(b.text("SELECT broker_time FROM csa_conflicts") == to_string(b.local.wall));
}

TEST_CASE("inbox: where nothing is known of an edit's time, what it wins or loses is flagged") {
  MergeBench b(kSchema, 1);
  b.edit(b.nodes[0], "UPDATE part SET name = 'n1' WHERE id = 1", 0);
  b.edit(b.nodes[0], "UPDATE part SET name = 'n2' WHERE id = 1", 10);
  (void)b.master.run(b.master.job("UPDATE part SET name = 'm' WHERE id = 1"));
  std::vector<Replay> parts = b.nodes[0].replica->read_journal(0, 0, limits::kMiB).value();
  REQUIRE(parts.size() == 2);
  // The first is sure; of the second, which takes its place in the inbox, nothing is known.
  parts[1].error_ms = UINT32_MAX;
  for (Replay& part : parts) {
    CHECK(b.text("SELECT max(close) FROM csa_conflicts") != "1");
    (void)b.master.run(WriteJob{std::move(part), "node", 1});
  }
  CHECK(b.text("SELECT count(*) FROM csa_conflicts") == "1");
  CHECK(b.text("SELECT close FROM csa_conflicts") == "1");
}

TEST_CASE("restore: broker's time of a backup goes on in the next history") {
  const opening::Place place;
  (void)place.created();
  LocalTime local{WallTime{kWall}, 7, 10'000};
  const ClockAnchor kept{local, WallTime{5 * kWall}, 0, {31, 30, WallTime{4}}};
  {
    const Database db(place.path, Database::Mode::kReadWrite);
    write_private(db, kClockKey, to_text(kept));
  }
  local.boot_ms += 500;
  const Randomness from{[] { return random_id(); }, [&local] { return local; }};
  REQUIRE(restore(place.name, place.path, from).has_value());
  const Database db(place.path, Database::Mode::kReadOnly);
  const ClockAnchor on{local, WallTime{5 * kWall + 500}, 0, kept.scale};
  CHECK(read_private(db, kClockKey) == to_text(on));
  const std::vector<EpochRecord> epochs = read_epochs(db);
  REQUIRE(epochs.size() == 2);
  CHECK(epochs[1].started == on.broker);
}

}  // namespace csa::ledger_time_test
