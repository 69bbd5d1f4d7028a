// A node that has found a difference from the master: what follows, and that it is not forgotten.
#include <doctest/doctest.h>

#include "session_bench.h"

namespace csa::session_check_test {
namespace {

using namespace session_bench;

Checked differing() {
  Checked checked;
  checked.differences = {{"part", 3, {}, {}}};
  return checked;
}

void find_difference(Bench& bench) {
  bench.session.on_check(differing(), {}, bench.now);
  bench.collect();
}

void fail_store(Bench& bench) {
  bench.session.on_store_failed(Error{Errc::kFailed, "its disk is full"}, true, bench.now);
  bench.collect();
}

// The broker has a copy, and the disk no room for its first piece.
void fail_copy(Bench& bench) {
  bench.tell(SnapshotChunk{kSnapshot, 1000, 0, {}});
  bench.work_all();
  bench.tell(SnapshotChunk{kSnapshot, 1000, 0, Bytes(1000, 1)});
  const auto job = bench.session.take_job();
  REQUIRE(job.has_value());
  REQUIRE(std::holds_alternative<WriteChunk>(*job));
  fail_store(bench);
  bench.messages.clear();
}

// Until it asks for a copy again.
milliseconds until_asked(Bench& bench) {
  const TimePoint begun = bench.now;
  while (bench.last<SnapshotGet>() == nullptr) {
    bench.advance_connected(milliseconds{250}, 5);
    bench.work_all();
    REQUIRE(bench.now - begun <= seconds{61});
    REQUIRE(bench.last<LogGet>() == nullptr);
    REQUIRE(bench.state() == NodeState::kCatchingUp);
  }
  return std::chrono::duration_cast<milliseconds>(bench.now - begun);
}

void finish_copy(Bench& bench, std::uint64_t head) {
  bench.tell(SnapshotChunk{kSnapshot, 1000, 0, {}});
  bench.work_all();
  bench.tell(SnapshotChunk{kSnapshot, 1000, 0, Bytes(1000, 1)});
  bench.work_all();
  bench.tell(SnapshotEnd{kSnapshot, 1000, {}, at(head)});
  bench.work_all();
}

}  // namespace

TEST_CASE(
    "session: the copy for a difference finds no room, it says so and tries again by itself") {
  Bench bench(5);
  bench.make_live(5);
  find_difference(bench);
  REQUIRE(bench.last<SnapshotGet>() != nullptr);
  milliseconds first{0};
  milliseconds last{0};
  for (int i = 0; i < 9; ++i) {
    fail_copy(bench);
    CHECK(has(bench.why(), "differed from the master in part (3 rows)"));
    CHECK(has(bench.why(), "its disk is full"));
    last = until_asked(bench);
    if (i == 0) first = last;
  }
  CHECK(first <= seconds{2});
  CHECK(last >= seconds{30});
  CHECK(has(bench.why(), "differed from the master in part (3 rows)"));
  finish_copy(bench, 5);
  bench.answer_log(5);
  CHECK(bench.state() == NodeState::kLive);
}

TEST_CASE("session: a difference is found as the link breaks, the copy is taken when it is back") {
  Bench bench(5);
  bench.make_live(5);
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  find_difference(bench);
  REQUIRE(bench.next_hello(seconds{20}));
  bench.forget();
  bench.connect(bench.welcome(5));
  bench.work_all();
  CHECK(bench.last<SnapshotGet>() != nullptr);
  CHECK(bench.last<LogGet>() == nullptr);
  CHECK(has(bench.why(), "differed from the master in part (3 rows)"));
}

TEST_CASE("session: a difference is found where offline changes wait, they go before the copy") {
  Bench bench(5);
  bench.make_live(5);
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  bench.write(1);
  find_difference(bench);
  REQUIRE(bench.next_hello(seconds{20}));
  bench.forget();
  bench.connect(bench.welcome(5));
  bench.work_all();
  CHECK(bench.last<SnapshotGet>() == nullptr);
  REQUIRE(bench.last<Replay>() != nullptr);
  const Replay replay = *bench.last<Replay>();
  bench.tell(
      Replayed{replay.header.tx, ReplayResult::kApplied, replay.header.size, Seq{6}, {}, {}});
  bench.work_all();
  REQUIRE(bench.last<SnapshotGet>() != nullptr);
  CHECK(bench.last<SnapshotGet>()->at_least == Seq{6});
}

TEST_CASE("session: rows that differ could not be kept, no copy replaces them, until they are") {
  Bench bench(5);
  bench.make_live(5);
  bench.session.on_check(differing(), {{}, "no space left"}, bench.now);
  bench.collect();
  bench.advance_connected(milliseconds{1500}, 5);
  CHECK(bench.last<SnapshotGet>() == nullptr);
  CHECK(bench.state() == NodeState::kLive);
  CHECK_FALSE(has(bench.why(), "full copy"));
  bench.session.on_check(differing(), {"differing.sql", {}}, bench.now);
  bench.collect();
  CHECK(bench.last<SnapshotGet>() != nullptr);
}

TEST_CASE("session: differences that come back after two copies are only told, until it is equal") {
  Bench bench(5);
  bench.make_live(5);
  int copies = 0;
  for (int i = 0; i < 4; ++i) {
    if (i == 3) bench.session.on_check(Checked{}, {}, bench.now);
    bench.forget();
    find_difference(bench);
    bench.advance_connected(milliseconds{1500}, 5);
    if (bench.last<SnapshotGet>() == nullptr) continue;
    ++copies;
    finish_copy(bench, 5);
    bench.answer_log(5);
  }
  CHECK(copies == 3);
}

}  // namespace csa::session_check_test
