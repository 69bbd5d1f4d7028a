// The broker answers heartbeat and status at once whatever the database is doing.
#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "common/system_clock.h"
#include "tests/shown/measure.h"

namespace csa::shown_test::awake_test {
namespace {

using std::chrono::seconds;
using system_test::Place;
using system_test::Program;
using system_test::Ready;

// 8000 rows of 64 KiB, 524 MB.
constexpr const char* kBigDatabase =
    "CREATE TABLE big (id INTEGER PRIMARY KEY, body BLOB NOT NULL);"
    "CREATE TABLE sum (id INTEGER PRIMARY KEY, n INTEGER);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000)"
    " INSERT INTO big SELECT i, randomblob(65536) FROM n;";
constexpr std::int64_t kTrial = 4'000'000;

std::string counting(std::int64_t steps) {
  return "INSERT INTO sum (n) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE"
         " i < " +
         std::to_string(steps) + ") SELECT count(*) FROM n";
}

double seconds_since(TimePoint start) {
  return std::chrono::duration<double>(monotonic_now() - start).count();
}

struct Busy {
  Asker::Samples samples;
  double statement_s = 0;
  double copies_s = 0;
  bool committed = false;
  bool copied = true;
};

// The statement in a thread, three fresh replicas in programs; until the first of both ends.
Busy keep_busy(const Place& place, Client& writer, Asker& asker, std::int64_t steps) {
  Busy busy;
  std::atomic<bool> ended{false};
  (void)asker.take();
  const TimePoint start = monotonic_now();
  std::thread statement([&] {
    const WriteResult result = writer.exec(counting(steps), {}, {std::nullopt, seconds{90}});
    busy.committed = result.status == WriteResult::Status::kCommitted;
    busy.statement_s = seconds_since(start);
    ended = true;
  });
  std::vector<Program> copies;
  for (const char* const name : {"copy-1.db", "copy-2.db", "copy-3.db"}) {
    copies.emplace_back(place.node(name, {"run"}));
  }
  bool taken = false;
  for (Program& copy : copies) {
    std::optional<std::string> line;
    const auto end = system_test::after(seconds{120});
    while (!line && !system_test::is_past(end)) {
      line = copy.line_with("state=live", std::chrono::milliseconds{20});
      if (ended && !taken) {
        busy.samples = asker.take();
        taken = true;
      }
    }
    busy.copied = busy.copied && line.has_value();
  }
  busy.copies_s = seconds_since(start);
  if (!taken) busy.samples = asker.take();
  statement.join();
  return busy;
}

}  // namespace

TEST_CASE("shown: awake: heartbeat and status are answered while the database works") {
  const Place place;
  system_test::run_sql(place.master(), kBigDatabase);
  const system_test::Finished adopted = system_test::run(place.broker({"adopt"}), seconds{120});
  REQUIRE_MESSAGE(adopted.code == 0, adopted.err);
  Ready ready;
  Program broker = place.serve(ready, {"--statement-timeout", "60s"});
  const std::unique_ptr<Client> writer = place.client("writer.db");
  REQUIRE(writer->wait_for(ClientState::kLive, seconds{120}));

  // How fast this computer counts, for a statement of about ten seconds.
  TimePoint start = monotonic_now();
  REQUIRE(writer->exec(counting(kTrial)).status == WriteResult::Status::kCommitted);
  const double speed = static_cast<double>(kTrial) / seconds_since(start);

  Asker asker(place, ready);
  (void)asker.take();
  start = monotonic_now();
  REQUIRE(system_test::eventually([&] { return seconds_since(start) >= 10; }));
  const Asker::Samples idle = asker.take();
  const Busy busy = keep_busy(place, *writer, asker, static_cast<std::int64_t>(speed * 10));
  CHECK(busy.committed);
  CHECK(busy.copied);
  show("awake: master of " + std::to_string(std::filesystem::file_size(place.master()) >> 20U) +
       " MiB; statement " + decimal(busy.statement_s) + " s, three full copies " +
       decimal(busy.copies_s) + " s");
  const auto compare = [](const char* what, const std::vector<double>& quiet,
                          const std::vector<double>& loaded) {
    const Figures before = figures_of(quiet);
    const Figures during = figures_of(loaded);
    show(std::string("awake: ") + what + " idle: " + to_string(before));
    show(std::string("awake: ") + what + " busy: " + to_string(during));
    CHECK(before.count > 300);
    CHECK(during.count > 50);
    CHECK(during.p99 <= 2 * before.p99 + 20);
  };
  compare("heartbeat", idle.ping_ms, busy.samples.ping_ms);
  compare("status", idle.status_ms, busy.samples.status_ms);
  CHECK(busy.samples.unanswered == 0);
  CHECK(busy.samples.lost == 0);
}

}  // namespace csa::shown_test::awake_test
