// Computers that are not as they should be: clocks that are set, replicas that were copied.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "tests/faults/injected.h"
#include "tests/system/load.h"

namespace csa::fault_test::machine_test {
namespace {

using system_test::eventually;
using system_test::Finished;
using system_test::kLoadSchema;
using system_test::kPatience;
using system_test::Load;
using system_test::run;

constexpr const char* kFaketime = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

bool can_fake_time() {
  const bool can = std::filesystem::exists(kFaketime);
  if (!can) MESSAGE("skipped: the package faketime is missing");
  return can;
}

// A wall clock that somebody sets; the time since the computer's start is true.
class WallClock {
 public:
  WallClock(const Place& place, const std::string& name) : file_(place.file(name)) { set("+0"); }
  // From the true one, as in "-5h".
  void set(const std::string& offset) const {
    std::ofstream(file_ + ".new") << offset << "\n";
    std::filesystem::rename(file_ + ".new", file_);
  }
  [[nodiscard]] Launch on(Launch launch) const {
    launch.environment["LD_PRELOAD"] = kFaketime;
    launch.environment["FAKETIME_TIMESTAMP_FILE"] = file_;
    launch.environment["FAKETIME_NO_CACHE"] = "1";
    launch.environment["DONT_FAKE_MONOTONIC"] = "1";
    launch.environment["FAKETIME_DONT_FAKE_MONOTONIC"] = "1";
    return launch;
  }

 private:
  std::string file_;
};

Program serve_on(const WallClock& clock, const Place& place, Ready& ready) {
  if (ready.port.empty()) (void)place.serve(ready);
  Program broker(
      clock.on(place.broker({"serve", "--port", ready.port, "--pub-port", ready.pub_port})));
  REQUIRE(broker.line_with("csa-broker: ready"));
  return broker;
}

void journal(const WallClock& clock, const Place& place, const std::string& replica,
             const std::string& name) {
  const Finished done =
      run(clock.on(place.node(replica, {"exec", "--json", "--discovery-timeout", "100ms",
                                        "UPDATE part SET name = '" + name + "' WHERE id = 1"})));
  CHECK_MESSAGE(done.out.find("journaled") != std::string::npos, done.out << done.err);
}

void come_back(const WallClock& clock, const Place& place, const std::string& replica) {
  Program node(clock.on(place.node(replica, {"run"})));
  CHECK(node.line_with("state=live"));
  node.signal(SIGTERM);
  CHECK(node.exit_code() == 0);
}

}  // namespace

TEST_CASE("fault: clocks set by hours and days at broker and nodes, the later edit wins") {
  if (!can_fake_time()) return;
  for (const bool later_first : {true, false}) {
    CAPTURE(later_first);
    const Place place;
    place.create(
        "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT);"
        "INSERT INTO part VALUES (1, 'at first')");
    Ready ready;
    const WallClock office(place, "office.clock");
    const WallClock fast(place, "fast.clock");
    const WallClock slow(place, "slow.clock");
    {
      const Program broker = serve_on(office, place, ready);
      come_back(fast, place, "fast.db");
      come_back(slow, place, "slow.db");
    }
    fast.set("+5h");
    journal(fast, place, "fast.db", "earlier, on a clock that is fast");
    slow.set("-5h");
    journal(slow, place, "slow.db", "later, on a clock that is slow");
    office.set("+3d");
    const Program broker = serve_on(office, place, ready);
    if (later_first) come_back(slow, place, "slow.db");
    come_back(fast, place, "fast.db");
    if (!later_first) come_back(slow, place, "slow.db");
    CHECK(system_test::count_of(place.master(),
                                "SELECT count(*) FROM part WHERE name LIKE 'later%'") == 1);
    const Program node = place.live_node("fast.db");
    check_copies(place, {"fast.db"});
  }
}

TEST_CASE("fault: the broker's wall clock is set forth and back under load, nobody notices") {
  if (!can_fake_time()) return;
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const WallClock clock(place, "office.clock");
  const Program broker = serve_on(clock, place, ready);
  const std::unique_ptr<Client> one = place.client("one.db");
  const std::unique_ptr<Client> two = place.client("two.db");
  REQUIRE(one->wait_for(ClientState::kLive, kPatience));
  REQUIRE(two->wait_for(ClientState::kLive, kPatience));
  Load load({one.get(), two.get()});
  for (const char* const offset : {"+5h", "-3h", "+400d", "-400d", "+0"}) {
    clock.set(offset);
    REQUIRE(load.wait_for_more(40));
  }
  load.stop();
  CHECK(load.journaled() == 0);
  CHECK(load.rejected() == 0);
  REQUIRE(is_calm(*one));
  REQUIRE(is_calm(*two));
  load.check_account(place);
  check_copies(place, {"one.db", "two.db"});
}

TEST_CASE("fault: a replica with offline changes is copied, both come back, each change once") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const auto write = [&](const std::string& replica, int writer) {
    const Finished done = run(place.node(replica, {"exec", "--json", "--discovery-timeout", "100ms",
                                                   "INSERT INTO entry (writer, number) VALUES (" +
                                                       std::to_string(writer) + ", 0)"}));
    CHECK_MESSAGE(done.out.find("journaled") != std::string::npos, done.out << done.err);
  };
  {
    const Program broker = place.serve(ready);
    (void)place.live_node("till.db");
  }
  write("till.db", 1);
  system_test::run_sql(place.file("till.db"), "VACUUM INTO '" + place.file("copy.db") + "'");
  write("till.db", 2);
  write("copy.db", 3);
  const Program broker = place.serve(ready);
  const Program till = place.live_node("till.db");
  {
    // Nobody knows which of both is the true one, so a person says it.
    Program refused(place.node("copy.db", {"run"}));
    CHECK(refused.line_with("state=refused"));
    CHECK(eventually(
        [&] { return refused.errors().find("csa-node identity --new") != std::string::npos; }));
  }
  CHECK(run(place.node("copy.db", {"identity", "--new"})).code == 0);
  const Program copy = place.live_node("copy.db");
  check_copies(place, {"till.db", "copy.db"});
  for (const int writer : {1, 2, 3}) {
    CAPTURE(writer);
    CHECK(system_test::count_of(place.master(), "SELECT count(*) FROM entry WHERE writer = " +
                                                    std::to_string(writer)) == 1);
  }
}

}  // namespace csa::fault_test::machine_test
