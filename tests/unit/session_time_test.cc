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

TEST_CASE("session: a process that begins anew stamps no edit before the journal's last one") {
  Bench bench(5);
  bench.replica.edited = WallTime{9'000'000};
  Session session(Bench::config(false, {{"a", 5775}}), bench.replica, bench.log);
  session.set_local_time({WallTime{1000}, 7, 1000});  // set back by hours
  session.start(bench.now);
  for (int i = 0; i < 20; ++i) session.on_deadline(bench.now += seconds{1});
  session.write({1, Write{{}, "UPDATE part SET qty = 1", {}, {}}, bench.now + seconds{30}},
                bench.now);
  std::optional<OfflineWrite> made;
  for (int i = 0; i < 5 && !made; ++i) {
    const std::optional<StoreJob> job = session.take_job();
    if (!job) break;
    if (std::holds_alternative<ReserveCounters>(*job)) session.on_counters(200, bench.now);
    if (const auto* const write = std::get_if<JournalWrite>(&*job)) made = write->write;
  }
  REQUIRE(made.has_value());
  CHECK(made->edited >= WallTime{9'000'000});
  CHECK(made->may_take > seconds{29});
  CHECK(made->may_take <= seconds{30});
}

}  // namespace csa::session_time_test
