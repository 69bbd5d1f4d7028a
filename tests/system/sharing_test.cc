// Two brokers for one group, several programs on one replica, no broker at all, and the end.
#include <doctest/doctest.h>

#include <fstream>
#include <utility>

#include "common/system_clock.h"
#include "tests/system/load.h"
#include "tests/system/place.h"

namespace csa::system_test::sharing_test {
namespace {

constexpr const char* kInsert = "INSERT INTO entry (writer, number) VALUES (1, 1)";
constexpr const char* kCount = "SELECT count(*) FROM entry";
// Until the broker ends it.
constexpr const char* kEndless =
    "INSERT INTO entry (writer, number) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 "
    "FROM n) SELECT 7, count(*) FROM n";

}  // namespace

TEST_CASE("brokers: second one for a group refuses to start and names the first") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program first = place.serve(ready);
  Launch other = place.broker({"create", "--schema", place.file("schema.sql")});
  other.environment["CSA_DB"] = place.file("second.db");
  REQUIRE(run(other).code == 0);
  other.command = {CSA_BROKER_PROGRAM, "serve", "--port", "0"};
  const Finished second = run(other);
  CHECK(second.code == 4);
  CHECK_MESSAGE(second.err.find(":" + ready.port) != std::string::npos, second.err);
  // And on the very same file.
  const Finished same = run(place.broker({"serve", "--port", "0"}));
  CHECK(same.code == 4);
  CHECK_MESSAGE(same.err.find(place.master()) != std::string::npos, same.err);
  CHECK(place.exec("node.db", kInsert)["status"] == "committed");
}

TEST_CASE("write: another's takes longer than it may wait, it is told busy and has not run") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  Program broker = place.serve(ready);
  const std::unique_ptr<Client> slow = place.client("slow.db");
  const std::unique_ptr<Client> quick = place.client("quick.db");
  REQUIRE(slow->wait_for(ClientState::kLive, kPatience));
  REQUIRE(quick->wait_for(ClientState::kLive, kPatience));
  slow->exec_async(kEndless, {}, {}, [](const WriteResult&) {});
  // Some may come before it; one may have run in the same group before it, and is not durable yet.
  std::int64_t before = 0;
  bool together = false;
  WriteResult result;
  CHECK(eventually([&] {
    result = quick->exec(kInsert, {}, {{}, milliseconds{1000}});
    if (result.status == WriteResult::Status::kCommitted) {
      ++before;
      return false;
    }
    return result.status != WriteResult::Status::kUnknown || std::exchange(together, true);
  }));
  CHECK_MESSAGE(result.status == WriteResult::Status::kRejected, result.message);
  CHECK(result.code == "busy");
  CHECK_MESSAGE(result.message.find("was not begun") != std::string::npos, result.message);
  slow->leave();
  broker.kill();
  CHECK(count_of(place.master(), kCount) == before);
}

TEST_CASE("replica: second program works through its owner, and without it after a kill") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  Program owner = place.live_node("node.db");
  CHECK(place.exec("node.db", kInsert)["status"] == "committed");
  const Finished asked = run(place.node("node.db", {"query", "--format", "csv", kCount}));
  CHECK(asked.code == 0);
  CHECK(asked.out.find("\n1") != std::string::npos);
  CHECK(place.ask_admin("nodes").size() == 1);
  owner.kill();
  CHECK(place.exec("node.db", kInsert)["status"] == "committed");
  CHECK(place.difference_of("node.db") == "");
}

TEST_CASE("replica: shell whose owner is killed goes on by itself, nothing twice") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  Program owner = place.live_node("node.db");
  Launch launch = place.node("node.db", {"shell", "--json"});
  constexpr int kWrites = 300;
  for (int i = 0; i < kWrites; ++i) launch.input += std::string(kInsert) + ";\n";
  Program shell(launch);
  int committed = 0;
  for (int i = 0; i < kWrites; ++i) {
    const std::optional<std::string> line = shell.line();
    REQUIRE_MESSAGE(line, shell.errors());
    const auto answer = nlohmann::json::parse(*line, nullptr, false);
    REQUIRE_MESSAGE(answer.is_object(), *line);
    if (answer["status"] == "committed") ++committed;
    if (i == 20) owner.kill();
  }
  CHECK(committed == kWrites);
  CHECK(count_of(place.master(), kCount) == kWrites);
  CHECK(shell.exit_code() == 0);
  CHECK(place.difference_of("node.db") == "");
}

TEST_CASE("replica: several programs at once without an owner take turns") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  CHECK(place.exec("node.db", kInsert)["status"] == "committed");
  std::vector<Program> crowd;
  for (int i = 0; i < 6; ++i) {
    crowd.emplace_back(place.node("node.db", {"exec", "--json", kInsert}));
  }
  for (Program& one : crowd) {
    CHECK(one.exit_code().value_or(-1) == 0);
    CHECK_MESSAGE(one.output().find("\"committed\"") != std::string::npos, one.errors());
  }
  CHECK(count_of(place.master(), kCount) == 7);
  CHECK(place.difference_of("node.db") == "");
}

TEST_CASE("node: neither broker nor replica is exit 3 and says how to name a broker") {
  const Place place;
  for (const Words& words :
       {Words{"query", "SELECT 1"}, Words{"exec", kInsert}, Words{"status"}, Words{"shell"}}) {
    CAPTURE(words[0]);
    Launch launch = place.node("none.db", words);
    launch.command.insert(launch.command.end(), {"--discovery-timeout", "300ms"});
    const Finished done = run(launch);
    CHECK(done.code == 3);
    CHECK_MESSAGE(done.err.find("--broker") != std::string::npos, done.err);
  }
}

TEST_CASE("node: replica without a broker is read and written, and goes live with the broker") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  {
    Program broker = place.serve(ready);
    CHECK(place.exec("node.db", kInsert)["status"] == "committed");
    broker.signal(SIGTERM);
    CHECK(broker.exit_code() == 0);
  }
  const Words quickly = {"--discovery-timeout", "300ms"};
  Launch query = place.node("node.db", {"query", "--format", "csv", kCount});
  query.command.insert(query.command.end(), quickly.begin(), quickly.end());
  const Finished asked = run(query);
  CHECK(asked.code == 0);
  CHECK(asked.out.find("\n1") != std::string::npos);
  CHECK_MESSAGE(asked.err.find("STANDALONE: not connected") != std::string::npos, asked.err);

  Launch exec = place.node("node.db", {"exec", "--json", kInsert});
  exec.command.insert(exec.command.end(), quickly.begin(), quickly.end());
  const Finished kept = run(exec);
  CHECK(kept.code == 0);
  CHECK_MESSAGE(kept.err.find("(1 waiting)") != std::string::npos, kept.err);
  const auto answer = nlohmann::json::parse(kept.out, nullptr, false);
  REQUIRE_MESSAGE(answer.is_object(), kept.out);
  CHECK(answer["status"] == "journaled");
  CHECK(answer["pending"] == 1);

  Launch launch = place.node("node.db", {"run"});
  launch.command.insert(launch.command.end(), quickly.begin(), quickly.end());
  Program node(launch);
  CHECK(node.line_with("state=standalone"));
  ready = {};
  const Program broker = place.serve(ready);
  const auto live = node.line_with("state=live");
  REQUIRE(live);
  CHECK(live->find(":" + ready.port) != std::string::npos);
  CHECK(place.exec("node.db", kInsert)["status"] == "committed");
  CHECK(place.difference_of("node.db") == "");
  CHECK(count_of(place.master(), kCount) == 3);
}

TEST_CASE("node: asked to stop on a lost link, exits 8") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  Program broker = place.serve(ready);
  Program node = place.live_node("node.db", {"--on-disconnect", "shutdown"});
  broker.kill();
  CHECK(node.exit_code() == 8);
}

TEST_CASE("programs: SIGTERM ends each with exit 0 and soon") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  Program broker = place.serve(ready);
  Program node = place.live_node("node.db");
  Launch follow = place.admin({"--json", "--since", "start"});
  follow.command[0] = CSA_SUB_PROGRAM;
  Program sub(follow);
  CHECK(place.exec("node.db", kInsert)["status"] == "committed");
  CHECK(sub.line_with("\"insert\""));
  const auto ends_soon = [](Program& program) {
    const TimePoint start = monotonic_now();
    program.signal(SIGTERM);
    CHECK(program.exit_code() == 0);
    CHECK(monotonic_now() - start < milliseconds{2000});
  };
  ends_soon(sub);
  ends_soon(node);
  CHECK(eventually([&] { return place.ask_admin("nodes").empty(); }));
  ends_soon(broker);
  // The log next to the database is gone: it was checkpointed.
  CHECK_FALSE(std::filesystem::exists(place.master() + "-wal"));
}

}  // namespace csa::system_test::sharing_test
