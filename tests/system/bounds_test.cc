// What others can make a broker hold stays within its bounds, and good nodes are served on.
#include <doctest/doctest.h>

#include "tests/system/load.h"
#include "tests/system/place.h"
#include "tests/system/stranger.h"

namespace csa::system_test::bounds_test {
namespace {

constexpr const char* kInsert = "INSERT INTO entry (writer, number) VALUES (1, 1)";
// Its changes need a temporary file of the broker.
constexpr const char* kLarge =
    "INSERT INTO entry (writer, number) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
    "FROM n LIMIT 300000) SELECT 2, i FROM n";

std::string word_after(const std::string& line, const std::string& word) {
  const std::size_t at = line.find(word) + word.size();
  return line.substr(at, line.find(' ', at) - at);
}

}  // namespace

TEST_CASE("bounds: strangers that take all connections; nodes are served, and files are left") {
  const Place place;
  place.create(kLoadSchema);
  Launch launch = place.broker({"serve", "--port", "0"});
  launch.command.insert(launch.command.begin(), {"prlimit", "--nofile=300"});
  Program broker(launch);
  const std::optional<std::string> line = broker.line_with("csa-broker: ready");
  REQUIRE_MESSAGE(line, broker.errors());
  const Program old = place.live_node("old.db");
  std::vector<Stranger> crowd;
  for (int i = 0; i < 150; ++i) {
    crowd.emplace_back(word_after(*line, " port="), zmtp_greeting("DEALER"));
    crowd.emplace_back(word_after(*line, "pub-port="), zmtp_greeting("SUB"));
  }
  CHECK(place.exec("old.db", kInsert)["status"] == "committed");
  CHECK(place.exec("old.db", kLarge)["status"] == "committed");
  // Whoever comes new is let in as soon as the strangers' connections are cut.
  CHECK(place.live_node("new.db").pid() > 0);
  CHECK(place.exec("new.db", kInsert)["status"] == "committed");
  CHECK(place.difference_of("old.db") == "");
  broker.signal(SIGTERM);
  CHECK(broker.exit_code() == 0);
  CHECK(broker.errors().find("connections were cut") != std::string::npos);
}

TEST_CASE("bounds: NodeIds were forgotten; a new node and csa-admin begin above their counters") {
  const Place place;
  place.create(kLoadSchema);
  run_sql(place.master(), "INSERT INTO csa_meta VALUES ('forgotten_counter', 70000)");
  Ready ready;
  const Program broker = place.serve(ready);
  const Program node = place.live_node("new.db");
  CHECK(place.exec("new.db", kInsert)["status"] == "committed");
  const Finished ruled = run(place.admin({"rule", "set", "entry", "merge"}));
  CHECK_MESSAGE(ruled.code == 0, ruled.err);
  CHECK(count_of(place.master(), "SELECT min(counter) FROM csa_outcome") > 70000);
  CHECK(place.difference_of("new.db") == "");
}

}  // namespace csa::system_test::bounds_test
