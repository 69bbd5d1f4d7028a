// Session: when broker's time is measured, and kept.
#include <doctest/doctest.h>

#include "node/session.h"
#include "tests/unit/session_bench.h"

namespace csa::session_time_test {

using namespace session_bench;

TEST_CASE("session: a journal is handed over only when this link has told broker's time") {
  Bench bench(5);
  bench.make_live(5);
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  bench.write(1);
  REQUIRE(bench.replica.journal.waiting == 1);
  bench.messages.clear();
  REQUIRE(bench.next_hello(seconds{20}));
  bench.forget();
  bench.tell(bench.welcome(5));
  bench.tell(Proof{bench.nonce, at(5)});
  bench.work_all();
  CHECK(bench.state() == NodeState::kReplaying);
  CHECK(bench.last<Replay>() == nullptr);
  // An answer to an older PING tells nothing of how long it took.
  bench.tell(Pong{bench.last<Ping>()->number - 1, at(5), WallTime{5}, 0});
  CHECK(bench.last<Replay>() == nullptr);
  bench.tell_time(at(5));
  CHECK(bench.last<Replay>() != nullptr);
}

TEST_CASE("session: what a lost history held keeps its time, of which nothing is known") {
  Bench bench(5);
  bench.make_live(5);
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  bench.write(1);
  bench.lost = true;
  bench.messages.clear();
  REQUIRE(bench.next_hello(seconds{20}));
  bench.forget();
  bench.tell(bench.welcome(5));
  bench.tell(Proof{bench.nonce, at(5)});
  bench.work_all();
  bench.tell_time(at(5));
  const Replay* const offer = bench.last<Replay>();
  REQUIRE(offer != nullptr);
  CHECK(offer->correction_ms == 0);
  CHECK(offer->error_ms == kUnknownErrorMs);
}

TEST_CASE("session: the next scale of broker's time is written down at once") {
  Bench bench(5);
  bench.make_live(5);
  bench.work_all();
  const int before = bench.jobs_of<RememberClock>();
  CHECK(before > 0);
  const std::uint64_t number = bench.last<Ping>() != nullptr ? bench.last<Ping>()->number : 0;
  bench.advance_connected(seconds{11}, 5);
  REQUIRE(bench.last<Ping>() != nullptr);
  REQUIRE(bench.last<Ping>()->number != number);
  bench.tell(Pong{bench.last<Ping>()->number, at(5), WallTime{77}, 0, {4, 3, WallTime{70}}});
  bench.work_all();
  CHECK(bench.jobs_of<RememberClock>() == before + 1);
}

}  // namespace csa::session_time_test
