// Discovery as users meet it: computers on LANs, no default route, no flags.
#include <doctest/doctest.h>

#include "common/system_clock.h"
#include "tests/system/lan.h"
#include "tests/system/place.h"

namespace csa::system_test::network_test {
namespace {

constexpr const char* kSchema = "CREATE TABLE part (id INTEGER PRIMARY KEY, qty INTEGER);";

std::string ready_line(Program& broker) {
  const std::optional<std::string> line = broker.line_with("csa-broker: ready");
  REQUIRE_MESSAGE(line, broker.errors());
  return *line;
}

milliseconds time_to_live(Program& node, TimePoint started) {
  const bool live = node.line_with("state=live").has_value();
  REQUIRE_MESSAGE(live, node.errors());
  return std::chrono::duration_cast<milliseconds>(monotonic_now() - started);
}

void three_computers(Lans& lans) {
  lans.add_lan("lan");
  int number = 1;
  for (const char* const computer : {"office", "till", "bench"}) {
    lans.add_computer(computer);
    lans.plug(computer, "lan", "10.77.0." + std::to_string(number++) + "/24");
  }
}

}  // namespace

TEST_CASE("shown: on a LAN without routes, nodes without flags are live within a second") {
  REQUIRE(is_root());
  const Place place("default");
  Lans lans;
  three_computers(lans);
  place.create(kSchema);
  Program broker(lans.on("office", place.broker({"serve"})));
  const std::string line = ready_line(broker);
  CHECK(line.find(" port=5775 pub-port=5776 ") != std::string::npos);
  for (const char* const computer : {"till", "bench"}) {
    const TimePoint start = monotonic_now();
    Program node(lans.on(computer, place.node(std::string(computer) + ".db", {"run"})));
    const milliseconds took = time_to_live(node, start);
    MESSAGE(std::string(computer) << ": live after " << took.count() << " ms");
    CHECK(took < milliseconds{1000});
    // A second time: the last address is known.
    node.signal(SIGTERM);
    CHECK(node.exit_code() == 0);
    const TimePoint again = monotonic_now();
    Program warm(lans.on(computer, place.node(std::string(computer) + ".db", {"run"})));
    const milliseconds warm_took = time_to_live(warm, again);
    MESSAGE(std::string(computer) << ": live again after " << warm_took.count() << " ms");
    CHECK(warm_took < milliseconds{1000});
  }
}

TEST_CASE("network: node without flags finds the broker of its LAN and writes through it") {
  if (skipped_without_root()) return;
  const Place place("default");
  Lans lans;
  three_computers(lans);
  place.create(kSchema);
  Program broker(lans.on("office", place.broker({"serve"})));
  (void)ready_line(broker);
  const TimePoint start = monotonic_now();
  Program till(lans.on("till", place.node("till.db", {"run"})));
  CHECK(time_to_live(till, start) < milliseconds{1000});
  Program bench(lans.on("bench", place.node("bench.db", {"run"})));
  (void)time_to_live(bench, start);
  const Finished wrote =
      run(lans.on("till", place.node("till.db", {"exec", "INSERT INTO part(qty) VALUES (10)"})));
  CHECK_MESSAGE(wrote.code == 0, wrote.err);
  CHECK(place.difference_of("till.db") == "");
  CHECK(place.difference_of("bench.db") == "");
  CHECK(count_of(place.file("bench.db"), "SELECT count(*) FROM part") == 1);

  const Finished doctor = run(lans.on("bench", place.node("", {"discover", "--json"})));
  CHECK(doctor.code == 0);
  const auto seen = nlohmann::json::parse(doctor.out);
  REQUIRE(seen["brokers"].size() == 1);
  CHECK(seen["brokers"][0]["address"] == "10.77.0.1:5775");
  CHECK(seen["brokers"][0]["usable"] == true);
  bool heard = false;
  for (const auto& card : seen["interfaces"]) {
    if (card["name"] != "lan0") continue;
    CHECK(card["address"] == "10.77.0.3");
    CHECK(card["sent"].get<int>() > 0);
    heard = card["heard"].get<int>() > 0;
  }
  CHECK(heard);
}

TEST_CASE("network: two applications on one LAN never see each other") {
  if (skipped_without_root()) return;
  const Place place("default");
  Lans lans;
  three_computers(lans);
  place.create(kSchema);
  run_sql(place.file("other.db"), "CREATE TABLE secret (id INTEGER PRIMARY KEY)");
  const Launch other_broker = place.broker({"--app", "other", "--db", place.file("other.db")});
  Launch adopt = other_broker;
  adopt.command.insert(adopt.command.begin() + 1, "adopt");
  REQUIRE(run(adopt).code == 0);
  Program first(lans.on("office", place.broker({"serve"})));
  (void)ready_line(first);
  Program second(lans.on("bench", other_broker));
  (void)ready_line(second);

  Program till(lans.on("till", place.node("till.db", {"run"})));
  const auto till_line = till.line_with("state=live");
  REQUIRE(till_line);
  CHECK(till_line->find("broker=10.77.0.1:5775") != std::string::npos);
  Program other(lans.on("till", place.node("other-till.db", {"run", "--app", "other"})));
  const auto other_line = other.line_with("state=live");
  REQUIRE(other_line);
  CHECK(other_line->find("broker=10.77.0.3:5775") != std::string::npos);
  CHECK(count_of(place.file("till.db"), "SELECT count(*) FROM sqlite_schema WHERE name='part'") ==
        1);
  CHECK(count_of(place.file("other-till.db"),
                 "SELECT count(*) FROM sqlite_schema WHERE name = 'part'") == 0);
  // A third application finds nobody, though two brokers answer everybody.
  const Finished third =
      run(lans.on("till", place.node("third.db", {"query", "--app", "third", "SELECT 1",
                                                  "--discovery-timeout", "600ms"})));
  CHECK(third.code == 3);
  CHECK(third.err.find("no broker") != std::string::npos);
}

TEST_CASE("network: broker in two LANs serves both") {
  if (skipped_without_root()) return;
  const Place place("default");
  Lans lans;
  lans.add_lan("red");
  lans.add_lan("blue");
  for (const char* const computer : {"office", "till", "bench"}) lans.add_computer(computer);
  lans.plug("office", "red", "10.78.0.1/24");
  lans.plug("office", "blue", "192.168.78.1/25");
  lans.plug("till", "red", "10.78.0.2/24");
  lans.plug("bench", "blue", "192.168.78.2/25");
  place.create(kSchema);
  Program broker(lans.on("office", place.broker({"serve"})));
  (void)ready_line(broker);
  Program till(lans.on("till", place.node("till.db", {"run"})));
  const auto till_line = till.line_with("state=live");
  REQUIRE_MESSAGE(till_line, till.errors());
  CHECK(till_line->find("broker=10.78.0.1:5775") != std::string::npos);
  Program bench(lans.on("bench", place.node("bench.db", {"run"})));
  const auto bench_line = bench.line_with("state=live");
  REQUIRE_MESSAGE(bench_line, bench.errors());
  CHECK(bench_line->find("broker=192.168.78.1:5775") != std::string::npos);
  const Finished wrote =
      run(lans.on("bench", place.node("bench.db", {"exec", "INSERT INTO part(qty) VALUES (1)"})));
  CHECK_MESSAGE(wrote.code == 0, wrote.err);
  CHECK(place.difference_of("till.db") == "");
  CHECK(count_of(place.file("till.db"), "SELECT count(*) FROM part") == 1);
}

TEST_CASE("network: broker comes back with another address, nodes find it there") {
  if (skipped_without_root()) return;
  const Place place("default");
  Lans lans;
  three_computers(lans);
  place.create(kSchema);
  Program till = [&] {
    Program broker(lans.on("office", place.broker({"serve"})));
    (void)ready_line(broker);
    Program node(lans.on("till", place.node("till.db", {"run"})));
    REQUIRE_MESSAGE(node.line_with("state=live"), node.errors());
    broker.signal(SIGTERM);
    CHECK(broker.exit_code() == 0);
    return node;
  }();
  lans.readdress("office", "lan", "10.77.0.99/24");
  Program broker(lans.on("office", place.broker({"serve"})));
  (void)ready_line(broker);
  const auto line = till.line_with("state=live");
  REQUIRE_MESSAGE(line, till.errors());
  CHECK(line->find("broker=10.77.0.99:5775") != std::string::npos);
  // A node that starts now and remembers the old address.
  till.signal(SIGTERM);
  CHECK(till.exit_code() == 0);
  const Finished wrote =
      run(lans.on("till", place.node("till.db", {"exec", "INSERT INTO part(qty) VALUES (2)"})));
  CHECK_MESSAGE(wrote.code == 0, wrote.err);
}

TEST_CASE("network: doctor on a LAN without a broker says so and exits 3") {
  if (skipped_without_root()) return;
  const Place place("default");
  Lans lans;
  three_computers(lans);
  const Finished doctor = run(lans.on("till", place.node("", {"discover"})));
  CHECK(doctor.code == 3);
  CHECK(doctor.out.find("lan0  10.77.0.2") != std::string::npos);
  CHECK(doctor.out.find("none heard") != std::string::npos);
}

}  // namespace csa::system_test::network_test
