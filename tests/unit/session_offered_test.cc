// Session: a full copy that takes the place of a history which the master has lost, and what of
// that is offered to it.
#include <doctest/doctest.h>

#include "node/session.h"
#include "tests/unit/session_bench.h"

namespace csa::session_offered_test {

using namespace session_bench;

namespace {

constexpr std::size_t kTotal = 1000;

OfflineWrite as_lost(std::uint64_t counter) {
  OfflineWrite lost;
  lost.write.tx = {kNode, counter};
  return lost;
}

// All pieces of the copy that are asked for, and its end.
void serve_copy(Bench& bench) {
  for (const SnapshotGet& piece : bench.all<SnapshotGet>()) {
    if (piece.snapshot.is_zero() || piece.offset >= kTotal) continue;
    bench.tell(SnapshotChunk{kSnapshot, kTotal, piece.offset, Bytes(piece.length, 1)});
  }
  bench.work_all();
  bench.messages.clear();
  bench.tell(SnapshotEnd{kSnapshot, kTotal, {}, at(50)});
  bench.work_all();
}

}  // namespace

TEST_CASE("session: written as a copy went on over a new link, what it offers is handed over") {
  Bench bench(5);
  bench.start();
  bench.connect(bench.welcome(50));
  const LogGet* const get = bench.last<LogGet>();
  REQUIRE(get != nullptr);
  bench.tell(LogGone{get->request, at(50), Seq{40}, "the log begins at entry 40"});
  bench.tell(SnapshotChunk{kSnapshot, kTotal, 0, {}});
  bench.work_all();
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  REQUIRE(bench.state() == NodeState::kStandalone);
  // It is made on the replica while the link comes up, and is done only then.
  bench.slow_offline = true;
  bench.write(1);
  REQUIRE(bench.slow);
  REQUIRE(bench.next_hello(seconds{20}));
  bench.connect(bench.welcome(50));
  bench.journal(*bench.slow);
  bench.collect();
  bench.work_all();
  const Replay* const own = bench.last<Replay>();
  REQUIRE(own != nullptr);
  bench.offered = as_lost(own->header.tx.counter + 1);
  bench.tell(Replayed{own->header.tx, ReplayResult::kApplied, 4, Seq{45}, {}, {}});
  bench.work_all();
  serve_copy(bench);
  REQUIRE(bench.jobs_of<InstallCopy>() == 1);
  const Replay* const offer = bench.last<Replay>();
  REQUIRE(offer != nullptr);
  CHECK(offer->header.tx == bench.offered->write.tx);
}

TEST_CASE("session: a late answer names an older copy than what is here, another one is taken") {
  Bench bench(60);
  bench.start();
  bench.connect(bench.welcome(90));
  const LogGet* const get = bench.last<LogGet>();
  REQUIRE(get != nullptr);
  bench.tell(LogGone{get->request, at(90), Seq{70}, "the log begins at entry 70"});
  bench.tell(SnapshotChunk{kSnapshot, kTotal, 0, {}});
  bench.work_all();
  serve_copy(bench);
  CHECK(bench.jobs_of<InstallCopy>() == 0);
  bench.advance_connected(seconds{70}, 90);
  REQUIRE(bench.last<SnapshotGet>() != nullptr);
  CHECK(bench.last<SnapshotGet>()->snapshot.is_zero());
  CHECK(bench.last<SnapshotGet>()->at_least == Seq{60});
}

}  // namespace csa::session_offered_test
