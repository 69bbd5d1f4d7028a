// Peers that send anything at any time: the Hub stays within its bounds, and every job that it
// gives out may be answered in any order. Seeds make each run repeatable.
#include <doctest/doctest.h>

#include <random>

#include "tests/unit/hub_stores.h"

namespace csa::hub_hostile_test {
namespace {

using namespace hub_bench;

// Any message with small numbers, so that they meet each other.
Message any_message(std::mt19937_64& random) {
  const auto n = [&](std::uint64_t below) { return random() % below; };
  const auto some = [&] { return static_cast<std::uint8_t>(n(4)); };
  const TxId tx{node(some()), n(5)};
  switch (n(18)) {
    case 0:
    case 1:
    case 2: {
      Hello greeting = hello(some(), static_cast<Role>(1 + n(3)));
      greeting.incarnation = id(some());
      if (n(10) == 0) greeting.group = "other";
      if (n(10) == 0) greeting.generation_seen = n(4);
      greeting.confirmed = n(10);
      return greeting;
    }
    case 3:
      return Goodbye{};
    case 4:
      return Ping{n(9), static_cast<NodeState>(1 + n(8)), at(n(20)), n(9), n(30)};
    case 5:
    case 6:
    case 7:
      return Write{tx, std::string(n(1000), 's'), {}, {}};
    case 8:
      return Migrate{tx, "ALTER", {}};
    case 9:
      return OutcomeGet{tx};
    case 10:
      return LogGet{n(9), at(n(20)), n(9), static_cast<std::uint32_t>(random())};
    case 11:
      return SnapshotGet{};
    case 12:
      return SnapshotGet{id(some()), n(40), static_cast<std::uint32_t>(n(40))};
    case 13:
      return LayoutGet{n(3)};
    case 14:
      return Admin{n(3), static_cast<AdminVerb>(1 + n(2))};
    case 15:
      return Pong{};
    case 16:
      return Welcome{};
    default:
      return Update{};
  }
}

}  // namespace

TEST_CASE("hub: peers that send anything at any time keep it within its bounds") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    Bench bench;
    Stores stores;
    for (int step = 0; step < 1500; ++step) {
      const PeerKey from(1, static_cast<char>('a' + random() % 8));
      switch (random() % 12) {
        case 0:
          bench.hub.on_unreachable(from, bench.now);
          break;
        case 1:
          bench.hub.on_malformed(from, Error{Errc::kUnknownType, "type 99"}, Origin{}, bench.now);
          break;
        case 2:
          bench.hub.on_subscribed("n" + std::string(16, static_cast<char>(50 + random() % 4)),
                                  bench.now);
          break;
        default:
          bench.say(from, any_message(random), random() % 2 == 0);
          break;
      }
      answer_some(bench, stores, [&] { return random(); });
      bench.take();
      carry_out(bench, stores);
      if (random() % 3 == 0) {
        bench.pass(std::chrono::milliseconds(random() % 3000));
        CHECK(bench.hub.deadline() > bench.now);
      }
      carry_out(bench, stores);
    }
    bench.hub.stop("end", bench.now);
    bench.take();
    carry_out(bench, stores);
    if (!stores.commits.empty()) bench.commit(bench.result_of(stores.commits[0]));
    CHECK(bench.hub.deadline() == TimePoint::max());
  }
}

}  // namespace csa::hub_hostile_test
