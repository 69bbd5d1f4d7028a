// A broker that is killed comes back soon, however large the -wal is that it left behind.
// CSA_WAL_MIB: how large.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "common/sqlite.h"
#include "common/system_clock.h"
#include "tests/faults/injected.h"
#include "tests/faults/pace.h"

namespace csa::fault_test::restart_test {
namespace {

using system_test::kPatience;

constexpr std::size_t kMiB = 1024U * 1024;

// What the program has read so far, from files and the kernel's memory of them.
std::size_t bytes_read(const Program& program) {
  std::ifstream io("/proc/" + std::to_string(program.pid()) + "/io");
  std::string word;
  std::size_t bytes = 0;
  io >> word >> bytes;
  REQUIRE(word == "rchar:");
  return bytes;
}

double seconds_since(TimePoint start) {
  return std::chrono::duration<double>(monotonic_now() - start).count();
}

// Kills a broker whose -wal nobody could write back; its size.
std::size_t leave_wal(const Place& place, Ready& ready, std::size_t mib) {
  Program broker = place.serve(ready);
  const std::unique_ptr<Client> writer = place.client("writer.db");
  REQUIRE(writer->wait_for(ClientState::kLive, kPatience));
  const Database reader(place.master(), Database::Mode::kReadOnly);
  reader.exec("BEGIN");
  CHECK(reader.query_int("SELECT count(*) FROM pad") == 0);
  while (bytes_of(place.master() + "-wal") < mib * kMiB) {
    const WriteResult result =
        writer->exec("INSERT INTO pad SELECT NULL, randomblob(1000000) FROM (VALUES (1), (2))");
    REQUIRE(result.status == WriteResult::Status::kCommitted);
  }
  broker.kill();
  return bytes_of(place.master() + "-wal");
}

void restart(std::size_t mib) {
  const Place place;
  place.create("CREATE TABLE pad (id INTEGER PRIMARY KEY, body BLOB)");
  Ready ready;
  auto start = monotonic_now();
  (void)place.serve(ready);
  const double empty = seconds_since(start);
  const std::size_t wal = leave_wal(place, ready, mib);
  start = monotonic_now();
  const std::int64_t rows = system_test::count_of(place.master(), "SELECT count(*) FROM pad");
  const double read_once = seconds_since(start);
  start = monotonic_now();
  const Program broker = place.serve(ready);
  const double back = seconds_since(start);
  const std::size_t read = bytes_read(broker);
  MESSAGE("ready after " << empty << " s; after kill -9 with a -wal of " << wal / kMiB
                         << " MiB after " << back << " s, in which it read " << read / kMiB
                         << " MiB; SQLite alone reads the -wal in " << read_once << " s");
  // Once for SQLite; that -wal and file belong together is proved by the frames' heads.
  CHECK(read < wal * 3 / 2);
  // The search for other brokers goes on meanwhile.
  CHECK(back < std::max(empty, 2.5 * read_once) + 0.5);
  const Database master(place.master(), Database::Mode::kReadOnly);
  CHECK(master.query_int("SELECT count(*) FROM pad") == rows);
  CHECK(master.query_text("PRAGMA integrity_check") == "ok");
}

}  // namespace

TEST_CASE(
    "fault: a killed broker that left a large -wal reads it once, and looks round meanwhile") {
  restart(64);
}

TEST_CASE("fault: a broker whose database opens slowly finds another that has started meanwhile") {
  if (!can_inject()) return;
  const Place place;
  place.create("CREATE TABLE pad (id INTEGER PRIMARY KEY)");
  const Place elsewhere(place.group());
  elsewhere.create("CREATE TABLE pad (id INTEGER PRIMARY KEY)");
  Launch launch = place.broker({"serve", "--port", "0"});
  launch.environment["CSA_DB"] = elsewhere.master();
  // It takes five seconds; the other begins when a search alone would have ended.
  Program slow(injected(launch, "pread64:delay_exit=500000:when=1..10"));
  Ready ready;
  CHECK(!slow.exit_code(std::chrono::milliseconds{1500}));
  const Program quick = place.serve(ready);
  CHECK(slow.exit_code() == 4);
  CHECK_MESSAGE(slow.errors().find("is already served") != std::string::npos, slow.errors());
}

TEST_CASE("shown: fault: a killed broker that left 852 MiB of -wal comes back soon") {
  restart(static_cast<std::size_t>(setting("CSA_WAL_MIB", 852)));
}

}  // namespace csa::fault_test::restart_test
