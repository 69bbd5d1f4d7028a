// Long runs: a node that stands still under load, and an hour of load with faults. For shorter
// ones: CSA_FAULT_MINUTES and CSA_FAULT_RATE (writes a second).
#include <doctest/doctest.h>

#include <cmath>
#include <iomanip>
#include <sstream>

#include "tests/faults/injected.h"
#include "tests/faults/pace.h"

namespace csa::fault_test::steady_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using system_test::kPatience;

// A table that stays as large as it is.
constexpr const char* kRing =
    "CREATE TABLE ring (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, body TEXT)";
constexpr const char* kTurn =
    "INSERT OR REPLACE INTO ring SELECT ?1 % 2000, ?1, hex(randomblob(100))";

milliseconds minutes_of_run(double usual) {
  return milliseconds{std::lround(60000 * setting("CSA_FAULT_MINUTES", usual))};
}

std::string decimals(double number) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << number;
  return text.str();
}

std::string figures(const std::vector<double>& ms) {
  return "p50 " + decimals(percentile(ms, 0.5)) + " ms, p99 " + decimals(percentile(ms, 0.99)) +
         " ms";
}

// What broker, node and their files hold.
struct Holdings {
  Held broker;
  Held node;
  std::size_t master = 0;
  std::size_t master_wal = 0;
  std::size_t replica = 0;
  std::size_t replica_wal = 0;
  std::size_t log = 0;
};

Holdings holdings_of(const Place& place, pid_t broker, pid_t node, const std::string& replica) {
  Holdings now;
  now.broker = held_by(broker);
  now.node = held_by(node);
  now.master = bytes_of(place.master());
  now.master_wal = bytes_of(place.master() + "-wal");
  now.replica = bytes_of(place.file(replica));
  now.replica_wal = bytes_of(place.file(replica) + "-wal");
  now.log = static_cast<std::size_t>(
      system_test::count_of(place.master(), "SELECT coalesce(sum(length(body)), 0) FROM csa_log"));
  return now;
}

std::string words_of(const Holdings& now) {
  const auto kib = [](std::size_t bytes) { return std::to_string(bytes / 1024) + " KiB"; };
  return "broker " + std::to_string(now.broker.memory_kib) + " KiB, " +
         std::to_string(now.broker.files) + " files; node " + std::to_string(now.node.memory_kib) +
         " KiB, " + std::to_string(now.node.files) + " files; master " + kib(now.master) +
         " (-wal " + kib(now.master_wal) + ", log " + kib(now.log) + "); replica " +
         kib(now.replica) + " (-wal " + kib(now.replica_wal) + ")";
}

}  // namespace

TEST_CASE("shown: fault: a node stands still for ten minutes at 500 writes a second") {
  const milliseconds stopped = minutes_of_run(10);
  const double rate = setting("CSA_FAULT_RATE", 500);
  const Place place;
  place.create(kRing);
  Ready ready;
  const Program broker = place.serve(ready);
  const Program quiet = place.live_node("quiet.db");
  const Program frozen = place.live_node("frozen.db");
  const std::unique_ptr<Client> writer = place.client("writer.db");
  REQUIRE(writer->wait_for(ClientState::kLive, kPatience));
  std::optional<Pace> pace(std::in_place, *writer, kTurn, rate);
  pace->go_on(seconds{3});
  (void)pace->take();
  pace->go_on(stopped / 4);
  const std::vector<double> before = pace->take();
  const std::size_t held = held_by(broker.pid()).memory_kib;
  frozen.signal(SIGSTOP);
  std::size_t most = 0;
  const auto end = system_test::after(stopped);
  while (!system_test::is_past(end)) {
    pace->go_on(seconds{1});
    most = std::max(most, held_by(broker.pid()).memory_kib);
  }
  const std::vector<double> during = pace->take();
  frozen.signal(SIGCONT);
  REQUIRE(before.size() > 100);
  REQUIRE(during.size() > 100);
  CHECK(percentile(during, 0.5) <= 1.5 * percentile(before, 0.5));
  CHECK(percentile(during, 0.99) <= 1.5 * percentile(before, 0.99) + 2);
  CHECK(most < held + 64 * 1024);
  CHECK(pace->refused() == 0);
  pace->go_on(seconds{2});  // it catches up while others go on
  pace.reset();
  for (const char* const replica : {"quiet.db", "frozen.db", "writer.db"}) {
    CHECK(place.difference_of(replica, 3 * kPatience) == "");
  }
  MESSAGE("before: " << figures(before) << " (" << before.size() << " writes); a node stopped for "
                     << stopped.count() / 1000 << " s: " << figures(during) << " (" << during.size()
                     << " writes); broker " << held << " KiB before, at most " << most << " KiB");
}

TEST_CASE("shown: fault: an hour at half load with faults leaves memory, files and logs steady") {
  const milliseconds duration = minutes_of_run(60);
  const Place place;
  place.create(kRing);
  Ready ready;
  const Program broker = place.serve(ready, {"--log-keep", "8MiB"});
  const Program steady = place.live_node("steady.db");
  std::optional<Program> shaken(place.live_node("shaken.db"));
  const std::unique_ptr<Client> writer = place.client("writer.db");
  REQUIRE(writer->wait_for(ClientState::kLive, kPatience));
  std::optional<Holdings> first;
  Holdings last;
  int faults = 0;
  {
    Pace pace(*writer, kTurn, setting("CSA_FAULT_RATE", 250));
    const auto warm = system_test::after(duration / 3);
    const auto end = system_test::after(duration);
    for (; !system_test::is_past(end); ++faults) {
      if (faults % 2 == 0) {
        shaken->kill();
        pace.go_on(seconds{2});
        shaken.emplace(place.node("shaken.db", {"run"}));
        REQUIRE(shaken->line_with("state=live"));
      } else {
        shaken->signal(SIGSTOP);
        pace.go_on(seconds{8});
        shaken->signal(SIGCONT);
      }
      pace.go_on(seconds{5});
      last = holdings_of(place, broker.pid(), steady.pid(), "steady.db");
      if (!first && system_test::is_past(warm)) first = last;
    }
    CHECK(pace.refused() == 0);
  }
  REQUIRE(first);
  CHECK(place.difference_of("steady.db") == "");
  CHECK(place.difference_of("shaken.db") == "");
  MESSAGE(std::to_string(duration.count() / 1000)
          << " s, " << faults << " faults\nafter a third: " << words_of(*first)
          << "\nat the end:    " << words_of(last));
  CHECK(last.broker.memory_kib <= first->broker.memory_kib + 8 * 1024);
  CHECK(last.node.memory_kib <= first->node.memory_kib + 8 * 1024);
  CHECK(last.broker.files <= first->broker.files + 8);
  CHECK(last.node.files <= first->node.files + 8);
  CHECK(last.master_wal < 128U * 1024 * 1024);
  CHECK(last.replica_wal < 128U * 1024 * 1024);
  CHECK(last.log <= 16U * 1024 * 1024);
  CHECK(last.master <= first->master + 16U * 1024 * 1024);  // the log may still grow to its bound
}

}  // namespace csa::fault_test::steady_test
