// One transaction of a million rows: nobody's memory grows with it, nobody's heart stops.
#include <doctest/doctest.h>

#include <fstream>

#include "common/system_clock.h"
#include "tests/shown/measure.h"

namespace csa::shown_test::million_test {
namespace {

using std::chrono::seconds;
using system_test::Place;
using system_test::Program;
using system_test::Ready;

constexpr std::int64_t kRows = 1'000'000;
constexpr std::uint64_t kMemoryMax = 200U << 20U;
constexpr double kAnswerMax_ms = 1000;  // a heartbeat is due every 10 s, and a node lost after 30

constexpr const char* kInsert =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)"
    " INSERT INTO item SELECT i, i % 1000, 'item number ' || i FROM n";
constexpr const char* kUpdate = "UPDATE item SET qty = qty + 1";

std::int64_t lines_of(const std::string& file) {
  std::ifstream text(file);
  std::int64_t count = 0;
  for (std::string line; std::getline(text, line);) ++count;
  return count;
}

void write_all(const Place& place, const char* what, const char* sql) {
  const TimePoint start = monotonic_now();
  const system_test::Finished done = system_test::run(
      place.node("first.db", {"exec", "--json", "--timeout", "120s", sql}), seconds{150});
  REQUIRE_MESSAGE(done.code == 0, done.err << done.out);
  const auto answer = nlohmann::json::parse(done.out);
  CHECK(answer["status"] == "committed");
  CHECK(answer["changes"] == kRows);
  show(std::string("million: ") + what + " committed and visible in the writer's replica after " +
       decimal(std::chrono::duration<double>(monotonic_now() - start).count()) + " s");
}

void check_memory(const char* who, const Program& program) {
  const std::uint64_t peak = peak_memory_of(program.pid());
  show(std::string("million: peak memory of ") + who + ": " + std::to_string(peak >> 20U) + " MiB");
  CHECK(peak > 0);
  CHECK(peak < kMemoryMax);
}

// A node that was dropped says so by going back to its search.
void check_stayed(const char* who, Program& node) {
  node.signal(SIGTERM);
  REQUIRE(node.exit_code() == 0);
  CAPTURE(who);
  CAPTURE(node.output());
  for (const char* const state : {"searching", "greeting", "standalone", "refused"}) {
    CHECK(node.output().find(std::string("state=") + state) == std::string::npos);
  }
}

}  // namespace

TEST_CASE("shown: million: a transaction of a million rows leaves memory and hearts alone") {
  const Place place;
  place.create("CREATE TABLE item (id INTEGER PRIMARY KEY, qty INTEGER NOT NULL, name TEXT);");
  Ready ready;
  Program broker = place.serve(ready);
  Program first = place.live_node("first.db");
  Program second = place.live_node("second.db");
  system_test::Launch launch = place.node({}, {});
  launch.command = {"sh",
                    "-c",
                    "exec \"$0\" --json --since start --count $1 > \"$2\"",
                    CSA_SUB_PROGRAM,
                    std::to_string(2 * kRows + 1),
                    place.file("sub.json")};
  Program sub(launch);
  Asker asker(place, ready);

  write_all(place, "insert of 1,000,000 rows", kInsert);
  write_all(place, "update of them all", kUpdate);
  CHECK(place.difference_of("first.db").empty());
  CHECK(place.difference_of("second.db").empty());
  CHECK(system_test::eventually([&] { return lines_of(place.file("sub.json")) >= 2 * kRows; },
                                seconds{120}));
  CHECK(lines_of(place.file("sub.json")) == 2 * kRows);

  check_memory("csa-broker", broker);
  check_memory("csa-node that wrote", first);
  check_memory("csa-node that followed", second);
  check_memory("csa-sub", sub);
  const Asker::Samples samples = asker.take();
  const Figures heartbeat = figures_of(samples.ping_ms);
  show("million: heartbeat answered after " + to_string(heartbeat));
  CHECK(heartbeat.count > 100);
  CHECK(heartbeat.max < kAnswerMax_ms);
  CHECK(samples.unanswered == 0);
  CHECK(samples.lost == 0);
  CHECK(place.ask_admin("nodes").size() >= 2);
  CHECK_MESSAGE(sub.errors().empty(), sub.errors());
  check_stayed("the node that wrote", first);
  check_stayed("the node that followed", second);
}

TEST_CASE("shown: journal-million: a million offline rows in one transaction, handed over") {
  const Place place;
  place.create("CREATE TABLE item (id INTEGER PRIMARY KEY, qty INTEGER NOT NULL, name TEXT);");
  Ready ready;
  Program before = place.serve(ready);
  Program node = place.live_node("away.db");
  before.signal(SIGTERM);
  REQUIRE(before.exit_code() == 0);
  TimePoint start = monotonic_now();
  const auto took = [&] {
    return decimal(std::chrono::duration<double>(monotonic_now() - start).count()) + " s";
  };
  const system_test::Finished done = system_test::run(
      place.node("away.db", {"exec", "--json", "--timeout", "120s", kInsert}), seconds{150});
  REQUIRE_MESSAGE(done.code == 0, done.err << done.out);
  CHECK(nlohmann::json::parse(done.out)["status"] == "journaled");
  show("journal-million: journaled after " + took());
  check_memory("csa-node that wrote offline", node);

  Program broker = place.serve(ready);
  const Program other = place.live_node("other.db");
  Asker asker(place, ready);
  start = monotonic_now();
  REQUIRE(system_test::eventually(
      [&] { return system_test::count_of(place.master(), "SELECT count(*) FROM item") == kRows; },
      seconds{120}));
  show("journal-million: merged after " + took());
  CHECK(place.difference_of("away.db", seconds{120}) == "");
  CHECK(place.difference_of("other.db", seconds{120}) == "");
  show("journal-million: all equal after " + took());
  check_memory("csa-broker that merged it", broker);
  check_memory("csa-node that handed it over", node);
  check_memory("csa-node that followed the merge", other);
  const Asker::Samples samples = asker.take();
  show("journal-million: heartbeat answered after " + to_string(figures_of(samples.ping_ms)));
  CHECK(samples.unanswered == 0);
  CHECK(samples.lost == 0);
}

}  // namespace csa::shown_test::million_test
