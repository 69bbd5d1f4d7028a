// Networks that are slow, one-way, cut in the midst of a message, or a broker that stands still:
// nodes work on, come back, and nothing acknowledged is lost or doubled.
#include <doctest/doctest.h>

#include <optional>

#include "common/system_clock.h"
#include "tests/faults/injected.h"
#include "tests/faults/pace.h"
#include "tests/faults/proxy.h"
#include "tests/system/load.h"

namespace csa::fault_test::network_test {
namespace {

using std::chrono::milliseconds;
using system_test::eventually;
using system_test::kLoadSchema;
using system_test::kPatience;
using system_test::Load;

// A node that knows the broker through a proxy alone, and one beside the broker.
struct Office {
  Place place;
  Ready ready;
  std::optional<Program> broker;
  std::optional<Proxy> proxy;
  std::unique_ptr<Client> far;
  std::unique_ptr<Client> near;

  Office() {
    place.create(kLoadSchema);
    broker.emplace(place.serve(ready, {"--listen", "127.0.0.1"}));
    proxy.emplace(ready);
    OpenedClient opened = Client::open(proxy->through(place.client_options("far.db")));
    REQUIRE_MESSAGE(opened.client, opened.failure.text);
    far = std::move(opened.client);
    near = place.client("near.db");
    REQUIRE(far->wait_for(ClientState::kLive, kPatience));
    REQUIRE(near->wait_for(ClientState::kLive, kPatience));
  }
  void check(Load& load) {
    load.stop();
    REQUIRE(is_calm(*far));
    REQUIRE(is_calm(*near));
    load.check_account(place);
    check_copies(place, {"far.db", "near.db"});
  }
};

}  // namespace

TEST_CASE(
    "fault: one direction of the network is a black hole, writes are journaled, then merged") {
  Office office;
  std::int64_t first = 0;
  for (const Proxy::Way way : {Proxy::kUp, Proxy::kDown}) {
    CAPTURE(way);
    Load load({office.far.get(), office.near.get()}, first);
    first += 2;
    REQUIRE(load.wait_for_more(20));
    const auto start = monotonic_now();
    office.proxy->set(way, {.black_hole = true});
    REQUIRE(eventually([&] { return load.journaled() > 5; }, 3 * kPatience));
    const std::chrono::duration<double> standalone = monotonic_now() - start;
    REQUIRE(load.wait_for_more(20));  // the other node is not disturbed
    office.proxy->set(way, {});
    REQUIRE(office.far->wait_for(ClientState::kLive, 3 * kPatience));
    office.check(load);
    const std::string direction = way == Proxy::kUp ? "to the broker: " : "to the node: ";
    MESSAGE(direction << "standalone after " << standalone.count() << " s; " << load.summary());
  }
}

TEST_CASE("fault: a network that is late, and one of single bytes, nobody leaves") {
  Office office;
  std::int64_t first = 0;
  const auto with = [&](const Proxy::Manner& manner) {
    office.proxy->set(Proxy::kUp, manner);
    office.proxy->set(Proxy::kDown, manner);
    Load load({office.far.get(), office.near.get()}, first);
    first += 2;
    REQUIRE(load.wait_for_more(60));
    office.check(load);
    CHECK(load.journaled() == 0);
    CHECK(load.rejected() == 0);
  };
  with({.delay = milliseconds{150}});
  with({.by_bytes = true});
}

TEST_CASE("fault: a network loses pieces and sends them again, each write is there once") {
  Office office;
  for (const Proxy::Way way : {Proxy::kUp, Proxy::kDown}) {
    office.proxy->set(way, {.delay = milliseconds{10}, .stall_each = 20});
  }
  Load load({office.far.get(), office.near.get()});
  REQUIRE(eventually([&] { return office.proxy->stalled() >= 40; }, 3 * kPatience));
  const std::size_t stalled = office.proxy->stalled();
  office.check(load);
  MESSAGE(stalled << " pieces came late; " << load.summary());
}

TEST_CASE("fault: connections end in the midst of a message, each write is there once") {
  Office office;
  Load load({office.far.get(), office.near.get()});
  REQUIRE(load.wait_for_more(20));
  for (const Proxy::Way way : {Proxy::kUp, Proxy::kDown}) {
    for (const std::size_t bytes : {1U, 70U, 333U, 900U, 2000U, 5001U}) {
      CAPTURE(bytes);
      const std::size_t before = office.proxy->cut_short();
      office.proxy->set(way, {.cut_after = bytes});
      REQUIRE(eventually([&] { return office.proxy->cut_short() > before + 1; }, 3 * kPatience));
      office.proxy->set(way, {});
    }
  }
  REQUIRE(office.far->wait_for(ClientState::kLive, kPatience));
  office.check(load);
  MESSAGE(office.proxy->cut_short() << " connections cut in a message; " << load.summary());
}

TEST_CASE("fault: the broker stands still for 40 seconds, nodes say so, write on, and come back") {
  const milliseconds still{static_cast<int>(1000 * setting("CSA_BROKER_STILL_SECONDS", 40))};
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  Program till = place.live_node("till.db");
  const std::unique_ptr<Client> writer = place.client("writer.db");
  REQUIRE(writer->wait_for(ClientState::kLive, kPatience));
  Load load({writer.get()});
  REQUIRE(load.wait_for_more(20));
  broker.signal(SIGSTOP);
  const auto end = system_test::after(still);
  CHECK(till.line_with("state=standalone", 2 * kPatience));
  CHECK(eventually([&] { return load.journaled() > 20; }, 2 * kPatience));
  (void)eventually([] { return false; }, system_test::left(end));
  broker.signal(SIGCONT);
  CHECK(till.line_with("state=live", 3 * kPatience));
  REQUIRE(load.wait_for_more(20));
  load.stop();
  REQUIRE(is_calm(*writer));
  load.check_account(place);
  check_copies(place, {"till.db", "writer.db"});
  MESSAGE("the broker stood still for " << still.count() / 1000 << " s: " << load.summary());
}

}  // namespace csa::fault_test::network_test
