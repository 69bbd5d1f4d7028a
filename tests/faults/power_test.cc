// A power cut must be seen where a sync is missing: programs with such a bug lose what they have
// answered, and lose nothing by kill -9 alone; the same without the bug loses nothing.
#include "tests/faults/power.h"

#include <doctest/doctest.h>

#include <fstream>
#include <functional>

#include "common/planted.h"
#include "common/sqlite.h"
#include "tests/faults/crash_stories.h"
#include "tests/system/load.h"

namespace csa::fault_test::power_test {
namespace {

using system_test::kLoadSchema;
using system_test::kPatience;
using Computer = Power::Computer;

constexpr std::uint64_t kSeeds = 4;

Launch shell(const Place& place, const Power& power, const std::string& script) {
  return power.on(Computer::kOther, {{"sh", "-c", script, place.folder()}, {}, {}});
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Of a cut that forgets all it may.
std::uint64_t forgetful_seed() {
  std::uint64_t seed = 1;
  while (!test::Forgetter(seed).everything()) ++seed;
  return seed;
}

// What the script's files are after a cut that forgets all it may.
void cut_after(const std::string& script, const std::function<void(const Place&)>& check) {
  Place place;
  Power power(place, {Computer::kOther});
  std::ofstream(place.file("old")) << "old";
  const system_test::Finished done = run(shell(place, power, script));
  REQUIRE_MESSAGE(done.code == 0, done.err);
  (void)power.cut(Computer::kOther, forgetful_seed());
  check(place);
}

#ifdef CSA_PLANTED
std::size_t entries(const std::string& database) {
  try {
    return static_cast<std::size_t>(system_test::count_of(database, "SELECT count(*) FROM entry"));
  } catch (const SqliteError&) {
    return 0;  // damaged
  }
}

// How many writes a broker has lost after it had answered them.
std::size_t lost_by_broker(const std::string& bug, std::uint64_t seed) {
  Place place;
  Power power(place, {Computer::kBroker});
  place.create(kLoadSchema);
  Launch launch = place.broker({"serve", "--port", "0"});
  launch.environment["CSA_PLANT_BUG"] = bug;
  Program broker(launch);
  REQUIRE(broker.line_with("csa-broker: ready"));
  const std::unique_ptr<Client> client = place.client("one.db");
  REQUIRE(client->wait_for(ClientState::kLive, kPatience));
  constexpr std::size_t kWrites = 20;
  for (std::size_t i = 0; i < kWrites; ++i) {
    const WriteResult answer = client->exec("INSERT INTO entry (writer, number) VALUES (1, ?)",
                                            {static_cast<std::int64_t>(i)});
    REQUIRE(answer.status == WriteResult::Status::kCommitted);
  }
  broker.kill();
  CHECK(entries(place.master()) == kWrites);
  (void)power.cut(Computer::kBroker, seed);
  return kWrites - entries(place.master());
}

// The same of a node that writes offline.
std::size_t lost_by_node(const std::string& bug, std::uint64_t seed) {
  Place place;
  Power power(place, {Computer::kNode});
  place.create(kLoadSchema);
  {
    Ready ready;
    const Program broker = place.serve(ready);
    CHECK(place.exec("till.db", "INSERT INTO entry (writer, number) VALUES (1, 0)")["status"] ==
          "committed");
  }
  Launch launch = place.node("till.db", {"shell", "--json", "--discovery-timeout", "100ms"});
  launch.environment["CSA_PLANT_BUG"] = bug;
  for (int i = 1; i < 20; ++i) {
    launch.input += "INSERT INTO entry (writer, number) VALUES (1, " + std::to_string(i) + ");\n";
  }
  Program typing(crashing(launch, "replica: journaled:15"));
  std::size_t answered = 1;
  while (const std::optional<std::string> line = typing.line()) {
    CHECK(line->find("\"journaled\"") != std::string::npos);
    ++answered;
  }
  CHECK(typing.exit_code() == kKilled);
  CHECK(answered == 15);
  CHECK(entries(place.file("till.db")) >= answered);
  (void)power.cut(Computer::kNode, seed);
  return answered - std::min(answered, entries(place.file("till.db")));
}

using Lost = std::size_t(const std::string& bug, std::uint64_t seed);

std::size_t lost_in_all(Lost* lost, const std::string& bug) {
  std::size_t all = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) all += lost(bug, seed);
  return all;
}
#endif

}  // namespace

TEST_CASE("fault: power cut, what was not synced is forgotten and what was stays") {
  cut_after(
      "dd if=/dev/zero of=$0/kept bs=1000 count=3 conv=fsync && sync $0 && echo more >>$0/old &&"
      " echo new >$0/new && rm $0/kept",
      [](const Place& place) {
        CHECK(text_of(place.file("old")) == "old");
        CHECK(text_of(place.file("kept")) == std::string(3000, '\0'));
        CHECK(!std::filesystem::exists(place.file("new")));
      });
  cut_after("mv $0/old $0/moved && sync $0 && mv $0/moved $0/again", [](const Place& place) {
    CHECK(text_of(place.file("moved")) == "old");
    CHECK(!std::filesystem::exists(place.file("old")));
    CHECK(!std::filesystem::exists(place.file("again")));
  });
}

TEST_CASE("fault: power cut after a backup is reported done, it is there") {
  Place place;
  Power power(place, {Computer::kOther});
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  const std::string copy = place.file("copy.db");
  const system_test::Finished done = run(place.admin({"backup", copy}));
  REQUIRE_MESSAGE(done.code == 0, done.err);
  (void)power.cut(Computer::kOther, forgetful_seed());
  REQUIRE(std::filesystem::exists(copy));
  CHECK(Database(copy, Database::Mode::kReadOnly).query_text("PRAGMA integrity_check") == "ok");
}

#ifdef CSA_PLANTED
TEST_CASE("fault: power cut at a broker that answers before its sync, answered writes are lost") {
  CHECK(lost_in_all(lost_by_broker, "answer before sync") > 0);
  CHECK(lost_in_all(lost_by_broker, "") == 0);
}

TEST_CASE("fault: power cut at a node that answers before its sync, journaled writes are lost") {
  CHECK(lost_in_all(lost_by_node, "answer before the journal is synced") > 0);
  CHECK(lost_in_all(lost_by_node, "") == 0);
}
#endif

}  // namespace csa::fault_test::power_test
