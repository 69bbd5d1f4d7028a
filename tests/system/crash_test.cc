// kill -9 and SIGSTOP under load, on real disks and sockets.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "tests/system/load.h"
#include "tests/system/place.h"

namespace csa::system_test::crash_test {
namespace {

// Kills the broker `times` times while four nodes write.
void kill_broker_under_load(int times) {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  std::optional<Program> broker(place.serve(ready));
  std::vector<std::unique_ptr<Client>> nodes;
  std::vector<Client*> writers;
  for (int i = 0; i < 4; ++i) {
    nodes.push_back(place.client("node-" + std::to_string(i) + ".db"));
    REQUIRE(nodes.back()->wait_for(ClientState::kLive, kPatience));
    writers.push_back(nodes.back().get());
  }
  Load load(writers);
  for (int round = 0; round < times; ++round) {
    CAPTURE(round);
    // Not always at the same moment of the writes.
    REQUIRE(load.wait_for_more(static_cast<std::size_t>(40 + 7 * round)));
    broker->kill();
    broker.reset();
    broker.emplace(place.serve(ready));
  }
  REQUIRE(load.wait_for_more(40));
  load.stop();
  for (const auto& node : nodes) REQUIRE(node->wait_for(ClientState::kLive, kPatience));
  load.check_account(place);
  for (int i = 0; i < 4; ++i) {
    CHECK(place.difference_of("node-" + std::to_string(i) + ".db") == "");
  }
  MESSAGE(times << " kills, " << load.summary() << "; all replicas equal to the master");
}

}  // namespace

TEST_CASE("cluster: broker killed under load from four nodes, every answered write is there once") {
  kill_broker_under_load(5);
}

TEST_CASE("shown: broker killed 20 times under load, every answered write is there once") {
  kill_broker_under_load(20);
}

TEST_CASE("cluster: node killed while it writes and follows, comes back equal") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  const std::unique_ptr<Client> other = place.client("other.db");
  REQUIRE(other->wait_for(ClientState::kLive, kPatience));
  Load load({other.get()});
  std::string typed;
  for (int i = 0; i < 4000; ++i) {
    typed += "INSERT INTO entry (writer, number) VALUES (99, " + std::to_string(i) + ");\n";
  }
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    Launch shell = place.node("till.db", {"shell", "--json"});
    shell.input = typed;
    Program till(shell);
    for (int line = 0; line < 20 + 15 * round; ++line) {
      const std::optional<std::string> answer = till.line();
      REQUIRE_MESSAGE(answer, till.errors());
      CHECK_MESSAGE(answer->find("\"committed\"") != std::string::npos, *answer);
    }
    till.kill();
    // Every answered one is there; what was on the way at the kill, at most once a round.
    for (int i = 0; i < 20 + 15 * round; ++i) {
      const std::string sql =
          "SELECT count(*) FROM entry WHERE writer = 99 AND number = " + std::to_string(i);
      const std::int64_t times = count_of(place.master(), sql);
      CHECK(times >= 1);
      CHECK(times <= round + 1);
    }
  }
  REQUIRE(load.wait_for_more(20));
  const Program back = place.live_node("till.db");
  load.stop();
  load.check_account(place);
  CHECK(place.difference_of("till.db") == "");
  CHECK(place.difference_of("other.db") == "");
}

TEST_CASE("crash: an older copy of the master under what kill -9 left of its -wal is refused") {
  const Place place;
  place.create(kLoadSchema);
  const std::unique_ptr<Client> writer = place.client("writer.db");
  Ready ready;
  const auto write = [&] {
    REQUIRE(writer->wait_for(ClientState::kLive, kPatience));
    const char* const sql = "INSERT INTO entry (writer, number, body) VALUES (1, 0, 'x')";
    REQUIRE(writer->exec(sql).status == WriteResult::Status::kCommitted);
  };
  for (const char* const kept : {"old.db", "newer.db"}) {
    Program broker = place.serve(ready);
    write();
    broker.signal(SIGTERM);
    CHECK(broker.exit_code() == 0);
    std::filesystem::copy_file(place.master(), place.file(kept));
    REQUIRE(writer->wait_for(ClientState::kStandalone, kPatience));
  }
  Program broker = place.serve(ready);
  write();
  broker.kill();
  constexpr auto kOver = std::filesystem::copy_options::overwrite_existing;
  std::filesystem::copy_file(place.file("old.db"), place.master(), kOver);
  const auto size = std::filesystem::file_size(place.master() + "-wal");
  Launch again = place.broker({"serve", "--port", "0"});
  const Finished refused = run(again);
  CHECK(refused.code == 7);
  CHECK_MESSAGE(refused.err.find("do not belong together") != std::string::npos, refused.err);
  CHECK(refused.err.find(place.master() + "-wal.old") != std::string::npos);
  CHECK(std::filesystem::file_size(place.master() + "-wal") == size);
  // With the file that it was begun over, all is there.
  std::filesystem::copy_file(place.file("newer.db"), place.master(), kOver);
  const Program back = place.serve(ready);
  write();
  CHECK(place.difference_of("writer.db") == "");
  CHECK(count_of(place.master(), "SELECT count(*) FROM entry") == 4);
}

TEST_CASE(
    "crash: the broker meets a broken page of its own tables as it starts, the way out is told") {
  const Place place;
  place.create(kLoadSchema);
  {
    Ready ready;
    Program broker = place.serve(ready);
    broker.signal(SIGTERM);
    CHECK(broker.exit_code() == 0);
  }
  std::filesystem::copy_file(place.master(), place.file("sound.db"));
  for (const std::string table : {"csa_private", "csa_outcome", "csa_log"}) {
    CAPTURE(table);
    std::filesystem::copy_file(place.file("sound.db"), place.master(),
                               std::filesystem::copy_options::overwrite_existing);
    const std::int64_t root =
        count_of(place.master(), "SELECT rootpage FROM sqlite_schema WHERE name = '" + table + "'");
    const std::int64_t page = count_of(place.master(), "PRAGMA page_size");
    REQUIRE(root > 1);
    std::fstream file(place.master(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp((root - 1) * page);
    file.put('\xff');
    file.close();
    const Finished refused = run(place.broker({"serve", "--port", "0"}));
    CHECK(refused.code == 7);
    CHECK_MESSAGE(refused.err.find("csa-broker restore") != std::string::npos, refused.err);
  }
}

TEST_CASE(
    "crash: a replica that was cut to nothing is told as damaged, one that never was is begun") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  std::ofstream(place.file("till.db")).close();
  const Launch status = place.node("till.db", {"status"});
  CHECK(run(status).code == 0);
  std::filesystem::resize_file(place.file("till.db"), 0);
  const Finished refused = run(status);
  CHECK(refused.code == 7);
  CHECK_MESSAGE(refused.err.find("it is empty") != std::string::npos, refused.err);
  CHECK(std::filesystem::file_size(place.file("till.db")) == 0);
  std::filesystem::rename(place.file("till.db"), place.file("till.db.damaged"));
  CHECK(run(status).code == 0);
}

TEST_CASE(
    "cluster: node stopped for longer than the timeout is dropped, others go on, it returns") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready, {"--heartbeat", "200ms", "--node-timeout", "600ms"});
  Program frozen = place.live_node("frozen.db");
  Program quiet = place.live_node("quiet.db");
  const std::unique_ptr<Client> writer = place.client("writer.db");
  REQUIRE(writer->wait_for(ClientState::kLive, kPatience));
  const Finished status = run(place.node("frozen.db", {"status", "--json"}));
  REQUIRE(status.code == 0);
  const std::string id = nlohmann::json::parse(status.out)["node"];
  const auto connected = [&](const std::string& node) {
    for (const auto& one : place.ask_admin("nodes")) {
      if (one["node"] == node) return true;
    }
    return false;
  };
  REQUIRE(connected(id));
  frozen.signal(SIGSTOP);
  Load load({writer.get()});
  CHECK(eventually([&] { return !connected(id); }));
  CHECK(connected(writer->status().node));
  CHECK(load.wait_for_more(50));
  frozen.signal(SIGCONT);
  CHECK(eventually([&] { return connected(id); }));
  CHECK(load.wait_for_more(20));
  load.stop();
  load.check_account(place);
  for (const char* const replica : {"frozen.db", "quiet.db", "writer.db"}) {
    CHECK(place.difference_of(replica) == "");
  }
  // Nobody else lost the broker meanwhile.
  CHECK_FALSE(quiet.line(milliseconds{0}));
  CHECK(writer->status().state == ClientState::kLive);
}

}  // namespace csa::system_test::crash_test
