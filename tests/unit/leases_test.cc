// Who catches up holds the log: the rule itself, what the hub makes of it, what the ledger keeps.
#include "broker/leases.h"

#include <doctest/doctest.h>

#include "hub_bench.h"
#include "tests/support/ledger_bench.h"

namespace csa::leases_test {
namespace {

using namespace hub_bench;
using Stage = LeasePlace::Stage;

constexpr TimePoint kStart{1000s};

LogGet get_after(std::uint64_t seq, std::uint64_t offset = 0) {
  LogGet get;
  get.after = at(seq);
  get.offset = offset;
  get.max_bytes = 1000;
  return get;
}

// What the ledger was told last; nothing: nothing since the last look.
std::optional<Seq> told(Bench& bench) {
  const std::vector<RetainJob> jobs = bench.jobs<RetainJob>();
  bench.out.clear();
  if (jobs.empty()) return std::nullopt;
  return jobs.back().from;
}

// The archive's answer, so that the next question is taken.
void answer(Bench& bench, const PeerKey& peer) {
  LogSlice slice;
  slice.head = at(10);
  bench.hub.on_log(peer, slice, bench.now);
  bench.take();
  bench.out.clear();
}

// Time goes by, and the peer lives.
void live(Bench& bench, const PeerKey& peer, int seconds) {
  for (int i = 0; i < seconds; i += 10) {
    bench.pass(10s);
    bench.say(peer, Pong{});
  }
}

Ping ping_at(std::uint64_t seq, NodeState state) {
  Ping ping;
  ping.state = state;
  ping.position = at(seq);
  return ping;
}

}  // namespace

TEST_CASE("leases: the lowest place of all, each for its time since progress") {
  Leases leases(10);
  CHECK(!leases.lowest(kStart));
  leases.hold("a", {Seq{7}, Stage::kLog, 0}, kStart, kStart + 60s);
  leases.hold("b", {Seq{5}, Stage::kLog, 0}, kStart + 10s, kStart + 70s);
  CHECK(leases.lowest(kStart + 10s) == Seq{5});
  // In the midst of an entry is further than at its begin; the entry is still needed.
  leases.hold("b", {Seq{5}, Stage::kLog, 100}, kStart + 50s, kStart + 110s);
  CHECK(leases.lowest(kStart + 65s) == Seq{5});
  CHECK(leases.lowest(kStart + 110s) == std::nullopt);
}

TEST_CASE("leases: the same place again, no longer lease; nor going to and fro") {
  Leases leases(10);
  leases.hold("a", {Seq{7}, Stage::kLog, 50}, kStart, kStart + 60s);
  leases.hold("a", {Seq{7}, Stage::kLog, 50}, kStart + 30s, kStart + 90s);
  leases.hold("a", {Seq{7}, Stage::kLog, 0}, kStart + 40s, kStart + 100s);
  CHECK(leases.lowest(kStart + 59s) == Seq{7});
  CHECK(!leases.lowest(kStart + 60s));
  leases.hold("a", {Seq{4}, Stage::kLog, 0}, kStart + 70s, kStart + 130s);
  CHECK(!leases.lowest(kStart + 70s));
  leases.hold("a", {Seq{5}, Stage::kLog, 0}, kStart + 80s, kStart + 140s);
  CHECK(leases.lowest(kStart + 139s) == Seq{5});
}

TEST_CASE("leases: bytes of a copy, its end and the log behind it follow each other") {
  Leases leases(10);
  leases.hold("a", {Seq{7}, Stage::kCopy, 0}, kStart, kStart + 10s);
  leases.hold("a", {Seq{7}, Stage::kCopy, 4096}, kStart + 5s, kStart + 15s);
  leases.hold("a", {Seq{7}, Stage::kCopied, 9000}, kStart + 14s, kStart + 100s);
  CHECK(leases.lowest(kStart + 99s) == Seq{7});
  leases.hold("a", {Seq{7}, Stage::kLog, 0}, kStart + 99s, kStart + 120s);
  CHECK(leases.lowest(kStart + 119s) == Seq{7});
  leases.advance("a", Seq{9});
  CHECK(leases.lowest(kStart + 119s) == Seq{9});
  leases.advance("a", Seq{8});
  CHECK(leases.lowest(kStart + 119s) == Seq{9});
}

TEST_CASE("leases: bounded, and who stood still makes room") {
  Leases leases(2);
  leases.hold("a", {Seq{3}, Stage::kLog, 0}, kStart, kStart + 10s);
  leases.hold("b", {Seq{4}, Stage::kLog, 0}, kStart, kStart + 60s);
  leases.hold("c", {Seq{2}, Stage::kLog, 0}, kStart, kStart + 60s);
  CHECK(leases.lowest(kStart) == Seq{3});
  leases.hold("c", {Seq{2}, Stage::kLog, 0}, kStart + 20s, kStart + 60s);
  CHECK(leases.size() == 2);
  CHECK(leases.lowest(kStart + 20s) == Seq{2});
}

TEST_CASE("hub: a log tail being fetched is leased until it is caught up or stands still") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", get_after(4));
  CHECK(told(bench) == Seq{4});
  answer(bench, "a");
  live(bench, "a", 50);
  bench.say("a", get_after(6));
  CHECK(told(bench) == Seq{6});
  answer(bench, "a");
  bench.say("a", ping_at(8, NodeState::kCatchingUp));
  CHECK(told(bench) == Seq{8});
  bench.say("a", ping_at(10, NodeState::kLive));
  CHECK(told(bench) == RetainJob::kNobody);
  // Asked again and again from one place, it ends though the peer lives.
  for (int i = 0; i < 10; ++i) {
    bench.say("a", get_after(5));
    answer(bench, "a");
    bench.pass(5s);
  }
  bench.out.clear();
  for (int i = 0; i < 4; ++i) {
    bench.say("a", get_after(5));
    bench.hub.on_log("a", LogSlice{}, bench.now);
    bench.pass(5s);
  }
  CHECK(told(bench) == RetainJob::kNobody);
}

TEST_CASE("hub: at head, below the floor or of another history nothing is leased") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", get_after(10));
  answer(bench, "a");
  bench.say("a", get_after(1));
  answer(bench, "a");
  LogGet other = get_after(5);
  other.after.epoch = Epoch{7, id(9)};
  bench.say("a", other);
  CHECK(!told(bench));
}

TEST_CASE("hub: a copy leases the log from the cut on, over a lost link, up to its installing") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", SnapshotGet{});
  CHECK(told(bench) == Seq{10});  // while it is cut: from the head on
  bench.say("a", write(1, 8));
  bench.commit(bench.result_of(bench.jobs<CommitJob>().at(0)));
  const SnapshotInfo copy{id(0xC1), 2 * limits::kChunkMax, id(0xAA), at(11)};
  bench.hub.on_cut(copy, bench.now);
  bench.take();
  CHECK(told(bench) == Seq{11});
  bench.pass(20s);
  bench.join("b", 1);  // the same replica over a new connection
  bench.say("b", SnapshotGet{copy.id, limits::kChunkMax, 1000});
  bench.hub.on_chunk("b", SnapshotChunk{copy.id, 0, limits::kChunkMax, Bytes(1000)}, true,
                     bench.now);
  bench.take();
  CHECK(!told(bench));
  // Its first lease is over by now; the bytes it asked for were progress.
  live(bench, "b", 50);
  CHECK(!told(bench));
  bench.say("b", SnapshotGet{copy.id, copy.total, 1000});
  live(bench, "b", 200);
  CHECK(!told(bench));
  bench.say("b", Goodbye{"done"});
  CHECK(told(bench) == RetainJob::kNobody);
}

TEST_CASE("hub: a new history ends all leases") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", get_after(4));
  CHECK(told(bench) == Seq{4});
  bench.say("a", write(1, 8));
  CommitResult result = bench.result_of(bench.jobs<CommitJob>().at(0));
  result.new_epoch = true;
  result.head.epoch = Epoch{2, id(0xE2)};
  bench.commit(result);
  CHECK(told(bench) == RetainJob::kNobody);
}

TEST_CASE("ledger: a leased part of the log stays, up to four times the bound") {
  test::LedgerBench bench("CREATE TABLE note (id INTEGER PRIMARY KEY, body)");
  bench.write("INSERT INTO note (body) VALUES (zeroblob(10))");
  bench.options.log_keep = 20000;
  bench.open();
  const auto write = [&](int times) {
    for (int i = 0; i < times; ++i) bench.write("INSERT INTO note (body) VALUES (zeroblob(1000))");
  };
  bench.ledger->retain(Seq{3});
  write(40);
  // What nobody reads is gone, what is leased is not.
  CHECK(bench.ledger->meta().floor == Seq{3});
  CHECK(bench.ledger->log_bytes() > 2 * bench.options.log_keep);
  write(60);
  CHECK(bench.ledger->meta().floor > Seq{3});
  CHECK(bench.ledger->log_bytes() <= 4 * bench.options.log_keep);
  CHECK(bench.ledger->log_bytes() > 3 * bench.options.log_keep);
  bench.ledger->retain(RetainJob::kNobody);
  while (bench.ledger->housekeeping()) {
  }
  CHECK(bench.ledger->log_bytes() <= bench.options.log_keep);
}

}  // namespace csa::leases_test
