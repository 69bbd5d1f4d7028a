// The broker's computer is gone: README's commands, as they stand there, on a node that has changes
// which were never sent.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/sqlite.h"
#include "tests/system/place.h"

namespace csa::system_test::lost_broker_test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kShop = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT NOT NULL, stock INTEGER);
  CREATE TABLE movement (id INTEGER PRIMARY KEY, part INTEGER REFERENCES part (id), who TEXT);
  INSERT INTO part VALUES (1, 'bolt', 10), (2, 'nut', 5), (3, 'rod', 7);
)";

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// The lines of the first code block behind `heading` in README.md.
std::vector<std::string> readme_commands(const std::string& heading) {
  const std::string readme = content(std::string(CSA_SOURCE_DIR) + "/README.md");
  const std::size_t at = readme.find(heading);
  REQUIRE(at != std::string::npos);
  const std::size_t begin = readme.find("```\n", at) + 4;
  std::istringstream block(readme.substr(begin, readme.find("```", begin) - begin));
  std::vector<std::string> lines;
  for (std::string line; std::getline(block, line);) lines.push_back(line);
  return lines;
}

// What a person types in a terminal in the home folder.
Launch typed(const Place& place, const std::string& command) {
  Launch launch = place.broker({});
  launch.command = {"sh", "-c", "cd && exec " + command};
  launch.environment["CSA_DB"] = "";
  launch.environment["CSA_PORT"] = "0";
  launch.environment["CSA_PUB_PORT"] = "0";
  launch.environment["XDG_DATA_HOME"] = "";
  launch.environment["PATH"] =
      fs::path(CSA_BROKER_PROGRAM).parent_path().string() + ":" + std::getenv("PATH");
  return launch;
}

bool all_handed_over(Client& client) {
  return eventually([&] {
    const ClientStatus status = client.status();
    return status.state == ClientState::kLive && status.pending == 0;
  });
}

void must_journal(Client& client, const std::string& sql) {
  const WriteResult result = client.exec(sql);
  REQUIRE_MESSAGE(result.status == WriteResult::Status::kJournaled, sql << ": " << result.message);
}

}  // namespace

TEST_CASE("shown: the broker's computer is lost; README's commands on a node with unsent changes") {
  Place place("default");  // the commands name no group; the beacon's port is the test's own
  fs::create_directory(place.file("office"));
  place.set_master(place.file("office/master.db"));
  const std::string replica = ".local/share/csa/default/replica.db";
  fs::create_directories(place.file(replica).substr(0, place.file(replica).rfind('/')));
  place.create(kShop);
  run_sql(place.master(), "INSERT INTO csa_rule VALUES ('part', 'stock', 'sum')");
  Ready ready;
  std::optional<Program> broker(place.serve(ready));
  const std::unique_ptr<Client> till = place.client(replica);
  const std::unique_ptr<Client> laptop = place.client("laptop.db");
  REQUIRE(till->wait_for(ClientState::kLive, kPatience));
  REQUIRE(laptop->wait_for(ClientState::kLive, kPatience));
  CHECK(till->exec("UPDATE part SET name = 'sent' WHERE id = 3").status ==
        WriteResult::Status::kCommitted);
  CHECK(place.difference_of("laptop.db") == "");
  broker->kill();
  broker.reset();
  fs::rename(place.file("office"), place.file("elsewhere"));
  REQUIRE(till->wait_for(ClientState::kStandalone, kPatience));
  REQUIRE(laptop->wait_for(ClientState::kStandalone, kPatience));
  must_journal(*till, "UPDATE part SET stock = stock - 3 WHERE id = 1");
  must_journal(*till, "INSERT INTO part (name, stock) VALUES ('of the till', 1)");
  must_journal(*till, "INSERT INTO movement (part, who) VALUES (4, 'till')");
  must_journal(*laptop, "UPDATE part SET stock = stock - 2 WHERE id = 1");
  must_journal(*laptop, "INSERT INTO part (name, stock) VALUES ('of the laptop', 1)");
  must_journal(*laptop, "INSERT INTO movement (part, who) VALUES (4, 'laptop')");

  const std::vector<std::string> commands = readme_commands("**The broker's computer is lost.**");
  REQUIRE(commands.size() == 2);
  const Finished restored = run(typed(place, commands[0]));
  REQUIRE_MESSAGE(restored.code == 0, restored.err << restored.out);
  CHECK(restored.err.find("3 unsent changes") != std::string::npos);
  Program again(typed(place, commands[1]));
  REQUIRE_MESSAGE(again.line_with("csa-broker: ready"), again.errors());
  place.set_master(place.file("csa-master.db"));
  REQUIRE(all_handed_over(*till));
  REQUIRE(all_handed_over(*laptop));
  CHECK(count_of(place.master(), "SELECT stock FROM part WHERE id = 1") == 5);
  for (const std::string who : {"till", "laptop"}) {
    CAPTURE(who);
    CHECK(count_of(place.master(),
                   "SELECT count(*) FROM part JOIN movement ON part.id ="
                   " movement.part WHERE name = 'of the " +
                       who + "' AND who = '" + who + "'") == 1);
  }
  CHECK(count_of(place.master(), "SELECT count(*) FROM part") == 5);
  CHECK(count_of(place.master(), "SELECT count(*) FROM movement") == 2);
  CHECK(till->exec("UPDATE part SET name = 'on we go' WHERE id = 2").status ==
        WriteResult::Status::kCommitted);
  CHECK(place.difference_of(replica) == "");
  CHECK(place.difference_of("laptop.db") == "");

  // The old computer is switched on again.
  Launch old = place.broker({"serve", "--port", "0"});
  old.environment["CSA_DB"] = place.file("elsewhere/master.db");
  const std::string before = content(old.environment["CSA_DB"]);
  const std::string log_before = content(old.environment["CSA_DB"] + "-wal");
  const std::int64_t rows = count_of(place.master(), "SELECT count(*) FROM part");
  const Finished refused = run(old);
  CHECK(refused.code == 4);
  CHECK_MESSAGE(refused.err.find("generation 1 of this database") != std::string::npos,
                refused.err);
  CHECK(refused.err.find("serves generation 2") != std::string::npos);
  CHECK(content(old.environment["CSA_DB"]) == before);
  CHECK(content(old.environment["CSA_DB"] + "-wal") == log_before);
  // Where it cannot hear the new one, the nodes refuse it: they have seen the later generation.
  Launch deaf = place.broker({"serve", "--no-beacon", "--port", "0"});
  deaf.environment["CSA_DB"] = old.environment["CSA_DB"];
  Program alone(deaf);
  const std::optional<std::string> line = alone.line_with("csa-broker: ready");
  REQUIRE_MESSAGE(line, alone.errors());
  const std::size_t port = line->find(" port=") + 6;
  const std::string at = "127.0.0.1:" + line->substr(port, line->find(' ', port) - port);
  // An own file: the laptop's is in use. A copy of a replica that has followed generation 2.
  run_sql(place.file("laptop.db"), "VACUUM INTO '" + place.file("other.db") + "'");
  const Finished status = run(place.node("other.db", {"status", "--broker", at}));
  CHECK_MESSAGE((status.out + status.err).find("has followed generation 2") != std::string::npos,
                status.out << status.err);
  CHECK(count_of(place.master(), "SELECT count(*) FROM part") == rows);
  CHECK(count_of(place.file("other.db"), "SELECT count(*) FROM part") == rows);
  MESSAGE("2 commands; 6 unsent transactions of 2 nodes are in, once each; the old broker refused");
}

TEST_CASE("restore: killed at any moment, the old database is there or the new one") {
  const Place place;
  place.create(kShop);
  Ready ready;
  constexpr int kWrites = 300;
  {
    std::optional<Program> broker(place.serve(ready));
    const std::unique_ptr<Client> till = place.client("till.db");
    REQUIRE(till->wait_for(ClientState::kLive, kPatience));
    broker->kill();
    broker.reset();
    REQUIRE(till->wait_for(ClientState::kStandalone, kPatience));
    for (int i = 0; i < kWrites; ++i)
      must_journal(*till, "INSERT INTO movement (who) VALUES ('x')");
  }
  const std::string site = place.master() + ".csa-new";
  const std::string replica_before = content(place.file("till.db"));
  std::int64_t generation = 1;
  int cut = 0;
  for (int round = 0; round < 20; ++round) {
    CAPTURE(round);
    std::optional<Program> restoring(place.broker({"restore", "--from", place.file("till.db")}));
    CHECK(eventually([&] { return fs::exists(site) || restoring->exit_code(milliseconds{0}); }));
    for (int i = 0; i < round; ++i) breathe();
    restoring->kill();
    restoring.reset();
    const Finished check = run(place.broker({"check"}));
    REQUIRE_MESSAGE(check.code == 0, check.out << check.err);
    const std::int64_t now = count_of(place.master(), "SELECT max(generation) FROM csa_epoch");
    REQUIRE((now == generation || now == generation + 1));
    if (now == generation) ++cut;
    generation = now;
    const std::int64_t rows = count_of(place.master(), "SELECT count(*) FROM movement");
    CHECK(rows == (generation == 1 ? 0 : kWrites));
  }
  CHECK(cut > 0);
  const Finished done = run(place.broker({"restore", "--from", place.file("till.db")}));
  REQUIRE_MESSAGE(done.code == 0, done.err);
  CHECK(count_of(place.master(), "SELECT count(*) FROM movement") == kWrites);
  CHECK(content(place.file("till.db")) == replica_before);
  MESSAGE("killed 20 times, " << cut << " of them before the new database was in place");
}

}  // namespace csa::system_test::lost_broker_test
