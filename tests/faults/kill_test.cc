// kill -9 of the broker at the N-th call of the system, under load, and power cuts there:
// what was answered is there once, and every copy is equal.
#include <doctest/doctest.h>

#include "tests/faults/injected.h"
#include "tests/faults/kill_plan.h"
#include "tests/faults/power.h"
#include "tests/system/load.h"

namespace csa::fault_test::kill_test {
namespace {

using system_test::eventually;
using system_test::kLoadSchema;
using system_test::kPatience;
using system_test::Load;
using system_test::milliseconds;

constexpr const char* kFromStart = "from its start";
constexpr const char* kFromLoad = "from the midst of the load";

// Two writing nodes, whose broker is killed again and again.
class Writers {
 public:
  explicit Writers(std::optional<std::uint64_t> power)
      : outage_(place_, power, {Power::Computer::kBroker}) {
    place_.create(kLoadSchema);
    Program first = place_.serve(ready_);
    for (const char* const replica : {"one.db", "two.db"}) {
      clients_.push_back(place_.client(replica));
      REQUIRE(clients_.back()->wait_for(ClientState::kLive, kPatience));
    }
  }
  // Online writes up to the kill, offline ones after it and before the next start, which the way
  // back meets. kStart: calls of the start and of the way back are counted too.
  void kill_broker(const std::string& call, int n, From from, KillTable& table) {
    const std::string rule = kill_at(call, n);
    CAPTURE(rule);
    Load load({clients_[0].get(), clients_[1].get()}, first_);
    first_ += 2;
    REQUIRE(eventually([&] { return load.journaled() > 5; }));
    Killed row{.place = call, .n = n, .when = from == From::kStart ? kFromStart : kFromLoad};
    if (from == From::kStart) {
      Program broker(injected_broker(place_, ready_, rule));
      row.reached = broker.exit_code(3 * kPatience) == kKilled;
    } else {
      Program broker = place_.serve(ready_);
      REQUIRE(load.wait_for_more(10));
      const Program tracer = attach(broker, rule);
      row.reached = broker.exit_code(3 * kPatience) == kKilled;
    }
    row.before = load.committed() + load.journaled();
    outage_.cut(Power::Computer::kBroker, row, place_.master());
    const std::size_t journaled = load.journaled();
    REQUIRE(eventually([&] { return load.journaled() > journaled + 5; }));
    const std::string epoch = epoch_of(ready_.position);
    const Program back = place_.serve(ready_);
    CHECK(epoch_of(ready_.position) == epoch);
    load.stop();
    for (const auto& client : clients_) REQUIRE(is_calm(*client));
    check_rejections(load);
    load.check_account(place_);
    check_copies(place_, {"one.db", "two.db"});
    row.found = rows_of(place_, "writer >= " + std::to_string(first_ - 2));
    row.acknowledged = load.committed() + load.journaled();
    CHECK(row.found >= row.acknowledged);
    table.add(row);
  }

 private:
  Place place_;
  Outage outage_;
  Ready ready_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::int64_t first_ = 0;
};

void kill_broker_at_calls(const Plan& plan) {
  if (!can_kill(plan)) return;
  for (const std::string& call : plan.calls) {
    Writers writers(plan.power);
    KillTable table;
    for (const int n : plan.numbers) {
      for (const From from : plan.froms) writers.kill_broker(call, n, from, table);
    }
    CHECK_MESSAGE(table.reached() == plan.each(), call);
    check_cuts(plan, table);
    MESSAGE("broker killed\n" << table.text());
  }
}

}  // namespace

TEST_CASE("fault: broker killed at a sync, a write and a send, nothing answered is lost") {
  kill_broker_at_calls({.froms = {From::kLoad}, .numbers = {7}});
}

TEST_CASE("fault: broker's power is cut at a sync, a write and a send, nothing answered is lost") {
  kill_broker_at_calls({.froms = {From::kLoad}, .numbers = {7}, .power = 1});
}

TEST_CASE("shown: fault: broker killed at the N-th fdatasync, pwrite64, sendto, N = 1..20") {
  kill_broker_at_calls({.numbers = promised_numbers(), .shown = true});
}

TEST_CASE("shown: fault: broker's power is cut at the N-th fdatasync, N = 1..20") {
  kill_broker_at_calls(
      {.calls = {"fdatasync"}, .numbers = promised_numbers(), .power = 100, .shown = true});
}

TEST_CASE("shown: fault: broker's power is cut at the N-th pwrite64, N = 1..20") {
  kill_broker_at_calls(
      {.calls = {"pwrite64"}, .numbers = promised_numbers(), .power = 1100, .shown = true});
}

TEST_CASE("shown: fault: broker's power is cut at the N-th sendto, N = 1..20") {
  kill_broker_at_calls(
      {.calls = {"sendto"}, .numbers = promised_numbers(), .power = 2100, .shown = true});
}

TEST_CASE("long: fault: broker killed at later calls") {
  kill_broker_at_calls({.calls = {"pwrite64", "sendto"}, .numbers = {30, 60, 100}});
}

}  // namespace csa::fault_test::kill_test
