// Reader jobs: the log, outcomes, layouts, full copies.
#include <doctest/doctest.h>

#include "hub_bench.h"

namespace csa::hub_copies_test {
namespace {

using namespace hub_bench;

SnapshotInfo copy(std::uint8_t n, std::uint64_t seq) {
  return {id(n), 10 * limits::kChunkMax + 7, id(0xAA), at(seq)};
}

void cut(Bench& bench, const SnapshotInfo& info) {
  bench.hub.on_cut(info, bench.now);
  bench.take();
}

// A bench with nodes 1 and 2 and a copy at Seq 10, offered to "a".
void with_copy(Bench& bench) {
  bench.join("a", 1);
  bench.join("b", 2);
  bench.say("a", SnapshotGet{});
  cut(bench, copy(0xC1, 10));
  bench.out.clear();
}

}  // namespace

TEST_CASE("hub: LOG_GET is read up to the told head and answered with it") {
  Bench bench;
  bench.join("a", 1);
  LogGet get;
  get.request = 5;
  get.after = at(4);
  get.max_bytes = UINT32_MAX;
  bench.say("a", get);
  const auto jobs = bench.jobs<LogJob>();
  REQUIRE(jobs.size() == 1);
  CHECK(jobs[0].through == at(10));
  CHECK(jobs[0].request.after == at(4));
  CHECK(jobs[0].request.max_bytes == limits::kUpdateMax);
  LogSlice slice;
  slice.request = 5;
  slice.head = at(12);  // the archive saw a commit that nobody was told of
  bench.hub.on_log("a", slice, bench.now);
  bench.take();
  REQUIRE(bench.sent<LogSlice>("a").size() == 1);
  CHECK(bench.sent<LogSlice>("a")[0].head == at(10));
}

TEST_CASE("hub: what was read before the history ended is not sent, only the new head") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", LogGet{});
  bench.say("a", write(1, 8));
  CommitResult result = bench.result_of(bench.jobs<CommitJob>()[0]);
  result.new_epoch = true;
  result.head.epoch = Epoch{2, id(0xE2)};
  bench.commit(result);
  LogSlice slice;
  slice.head = at(10);
  slice.pieces.resize(1);
  bench.hub.on_log("a", slice, bench.now);
  bench.take();
  REQUIRE(bench.sent<LogSlice>("a").size() == 1);
  CHECK(bench.sent<LogSlice>("a")[0].pieces.empty());
  CHECK(bench.sent<LogSlice>("a")[0].head == result.head);
}

TEST_CASE("hub: reader jobs of a peer are bounded, also over goodbye and hello") {
  Bench bench;
  bench.join("a", 1);
  for (std::size_t i = 0; i < 2 * limits::kPeerJobsMax; ++i) bench.say("a", LogGet{});
  CHECK(bench.jobs<LogJob>().size() == limits::kPeerJobsMax);
  bench.say("a", Goodbye{});
  bench.say("a", hello(1));
  bench.say("a", LogGet{});
  CHECK(bench.jobs<LogJob>().size() == limits::kPeerJobsMax);
  bench.say("a", OutcomeGet{TxId{node(1), 1}});
  REQUIRE(bench.sent<Nack>("a").size() == 1);
  CHECK(bench.sent<Nack>("a")[0].code == NackCode::kBusy);
  for (std::size_t i = 0; i < limits::kPeerJobsMax; ++i) {
    bench.hub.on_log("a", LogSlice{}, bench.now);
  }
  bench.say("a", LogGet{});
  CHECK(bench.jobs<LogJob>().size() == limits::kPeerJobsMax + 1);
}

TEST_CASE("hub: outcomes and layouts are asked of the archive; an answer to nobody is dropped") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", OutcomeGet{TxId{node(1), 4}});
  bench.say("a", LayoutGet{1});
  CHECK(bench.jobs<OutcomeJob>().size() == 1);
  CHECK(bench.jobs<LayoutJob>().size() == 1);
  bench.hub.on_reply("a", LayoutReply{1, "{}"}, bench.now);
  bench.take();
  CHECK(bench.sent<LayoutReply>("a").size() == 1);
  bench.say("a", Goodbye{});
  bench.hub.on_reply("a", Ack{}, bench.now);
  bench.take();
  CHECK(bench.sent<Ack>("a").empty());
}

TEST_CASE("hub: all who ask for a copy share one cut") {
  Bench bench;
  bench.join("a", 1);
  bench.join("b", 2);
  bench.say("a", SnapshotGet{});
  bench.say("b", SnapshotGet{});
  bench.say("a", SnapshotGet{});  // repeated
  CHECK(bench.jobs<CutJob>().size() == 1);
  CHECK(bench.sent<SnapshotChunk>("a").empty());
  cut(bench, copy(0xC1, 10));
  for (const PeerKey key : {"a", "b"}) {
    const auto chunks = bench.sent<SnapshotChunk>(key);
    REQUIRE(chunks.size() == 1);
    CHECK(chunks[0].snapshot == id(0xC1));
    CHECK(chunks[0].total == copy(0xC1, 10).total);
    CHECK(chunks[0].bytes.empty());
  }
  bench.out.clear();
  bench.pass(10s);
  bench.say("a", SnapshotGet{});
  CHECK(bench.jobs<CutJob>().empty());
  CHECK(bench.sent<SnapshotChunk>("a").size() == 1);
}

TEST_CASE("hub: a connection that was replaced waits for no copy") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", SnapshotGet{});
  bench.join("b", 1);
  cut(bench, copy(0xC1, 10));
  CHECK(bench.sent<SnapshotChunk>("a").empty());
  bench.say("b", SnapshotGet{});
  CHECK(bench.sent<SnapshotChunk>("b").size() == 1);
}

TEST_CASE("hub: a copy ahead of the told head is held back until the head is told") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", write(1, 8));
  bench.say("a", SnapshotGet{});
  const auto jobs = bench.jobs<CommitJob>();
  cut(bench, copy(0xC1, 11));
  CHECK(bench.sent<SnapshotChunk>("a").empty());
  bench.commit(bench.result_of(jobs[0]));
  CHECK(bench.sent<SnapshotChunk>("a").size() == 1);
}

TEST_CASE("hub: a copy of a history that has ended is cut anew") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", write(1, 8));
  bench.say("a", SnapshotGet{});
  CommitResult result = bench.result_of(bench.jobs<CommitJob>()[0]);
  result.new_epoch = true;
  result.head.epoch = Epoch{2, id(0xE2)};
  bench.commit(result);
  bench.out.clear();
  cut(bench, copy(0xC1, 10));
  CHECK(bench.jobs<DropJob>().size() == 1);
  CHECK(bench.jobs<CutJob>().size() == 1);
  SnapshotInfo next = copy(0xC2, 10);
  next.position = result.head;
  cut(bench, next);
  CHECK(bench.sent<SnapshotChunk>("a").size() == 1);
}

TEST_CASE("hub: a cut that fails is told to all who wait") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", SnapshotGet{});
  bench.hub.on_cut(Error{Errc::kFailed, "the disk is full"}, bench.now);
  bench.take();
  REQUIRE(bench.sent<SnapshotGone>("a").size() == 1);
  CHECK(bench.sent<SnapshotGone>("a")[0].text == "the disk is full");
  bench.say("a", SnapshotGet{});
  CHECK(bench.jobs<CutJob>().size() == 2);
}

TEST_CASE("hub: chunks are read on credit, the end only when asked for") {
  Bench bench;
  with_copy(bench);
  const SnapshotInfo info = copy(0xC1, 10);
  bench.say("a", SnapshotGet{info.id, 0, UINT32_MAX});
  bench.say("a", SnapshotGet{info.id, 0, UINT32_MAX});  // asked twice: read once
  bench.say("a", SnapshotGet{info.id, info.total - 7, UINT32_MAX});
  const auto jobs = bench.jobs<ChunkJob>();
  REQUIRE(jobs.size() == 2);
  CHECK(jobs[0].length == limits::kChunkMax);
  CHECK(jobs[1].length == 7);
  bench.hub.on_chunk("a", SnapshotChunk{info.id, 0, 0, Bytes(limits::kChunkMax)}, true, bench.now);
  bench.take();
  REQUIRE(bench.sent<SnapshotChunk>("a").size() == 1);
  CHECK(bench.sent<SnapshotChunk>("a")[0].total == info.total);
  CHECK(bench.sent<SnapshotEnd>("a").empty());
  bench.say("a", SnapshotGet{info.id, info.total, 0});
  REQUIRE(bench.sent<SnapshotEnd>("a").size() == 1);
  CHECK(bench.sent<SnapshotEnd>("a")[0].position == at(10));
  CHECK(bench.sent<SnapshotEnd>("a")[0].hash == info.hash);
  bench.say("a", SnapshotGet{info.id, info.total + 1, 1});
  bench.say("a", SnapshotGet{id(0x99), 0, 1});
  CHECK(bench.sent<SnapshotGone>("a").size() == 2);
}

TEST_CASE("hub: the page map of a copy is handed out beside it, by ranges of its own") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", SnapshotGet{});
  SnapshotInfo info = copy(0xC1, 10);
  info.page_size = 4096;
  info.total = 1000 * 4096;
  bench.hub.on_cut(info, bench.now);
  bench.take();
  REQUIRE(bench.sent<SnapshotChunk>("a").size() == 1);
  CHECK(bench.sent<SnapshotChunk>("a")[0].page_size == 4096);
  bench.out.clear();
  bench.say("a", SnapshotGet{info.id, 0, UINT32_MAX, {}, true});
  bench.say("a", SnapshotGet{info.id, 0, 4096});  // the same place of the copy itself
  const auto jobs = bench.jobs<ChunkJob>();
  REQUIRE(jobs.size() == 2);
  CHECK(jobs[0].map);
  CHECK(jobs[0].length == 8000);
  CHECK_FALSE(jobs[1].map);
  bench.hub.on_chunk("a", SnapshotChunk{info.id, 0, 0, Bytes(8000), 0, true}, true, bench.now);
  bench.take();
  REQUIRE(bench.sent<SnapshotChunk>("a").size() == 1);
  CHECK(bench.sent<SnapshotChunk>("a")[0].total == 8000);
  CHECK(bench.sent<SnapshotChunk>("a")[0].map);
  // Its end is no end of the copy, and nothing lies behind it.
  bench.say("a", SnapshotGet{info.id, 8000, 1, {}, true});
  bench.say("a", SnapshotGet{info.id, ~std::uint64_t{0}, 1, {}, true});
  CHECK(bench.sent<SnapshotEnd>("a").empty());
  CHECK(bench.sent<SnapshotGone>("a").size() == 2);
}

TEST_CASE("hub: more than the window is not read") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", SnapshotGet{});
  SnapshotInfo info = copy(0xC1, 10);
  info.total = 100 * limits::kChunkMax;
  cut(bench, info);
  for (std::uint64_t i = 0; i < 100; ++i) {
    bench.say("a", SnapshotGet{info.id, i * limits::kChunkMax, UINT32_MAX});
  }
  CHECK(bench.jobs<ChunkJob>().size() == limits::kSnapshotWindow / limits::kChunkMax);
}

TEST_CASE("hub: a copy nobody reads is dropped after its life, one that is read stays") {
  Bench bench;
  with_copy(bench);
  bench.pass(limits::kSnapshotLife - 1s);
  CHECK(bench.jobs<DropJob>().empty());
  bench.join("a", 1);
  bench.say("a", SnapshotGet{id(0xC1), copy(0xC1, 10).total, 0});
  bench.out.clear();
  bench.pass(2s);
  CHECK(bench.jobs<DropJob>().empty());
  bench.pass(limits::kSnapshotLife);
  REQUIRE(bench.jobs<DropJob>().size() == 1);
  CHECK(bench.jobs<DropJob>()[0].snapshot == id(0xC1));
}

TEST_CASE("hub: a copy behind the floor is not offered, and copies kept are bounded") {
  Bench bench;
  with_copy(bench);
  for (std::uint8_t i = 0; i < 5; ++i) {
    bench.say("a", write(1, 10U + i));
    const auto group = bench.jobs<CommitJob>();
    CommitResult result = bench.result_of(group.back());
    result.floor = Seq{result.head.seq.value + 1};
    bench.commit(result);
    bench.out.clear();
    bench.say("b", SnapshotGet{});
    REQUIRE(bench.jobs<CutJob>().size() == 1);
    CHECK(bench.jobs<DropJob>().size() == (i == 0 ? 0 : 1));
    cut(bench, copy(static_cast<std::uint8_t>(0xD0 + i), result.head.seq.value));
    CHECK(bench.sent<SnapshotChunk>("b").size() == 1);
    bench.out.clear();
    bench.now += 1s;
  }
}

TEST_CASE("hub: the log was trimmed since the last commit, no copy behind its floor is offered") {
  Bench bench;
  with_copy(bench);
  bench.say("b", LogGet{1, at(10), 0, 1000});
  bench.hub.on_log("b", LogGone{1, at(10), Seq{12}, "trimmed"}, bench.now);
  bench.take();
  bench.out.clear();
  bench.say("b", SnapshotGet{});
  CHECK(bench.sent<SnapshotChunk>("b").empty());
  CHECK(bench.jobs<CutJob>().size() == 1);
}

TEST_CASE("hub: a new history ends the copies of the old one") {
  Bench bench;
  with_copy(bench);
  bench.say("a", write(1, 8));
  CommitResult result = bench.result_of(bench.jobs<CommitJob>()[0]);
  result.new_epoch = true;
  result.head.epoch = Epoch{2, id(0xE2)};
  bench.commit(result);
  CHECK(bench.jobs<DropJob>().size() == 1);
  bench.say("a", SnapshotGet{id(0xC1), 0, 100});
  CHECK(bench.sent<SnapshotGone>("a").size() == 1);
}

TEST_CASE("hub: a copy that the archive lost is gone for all") {
  Bench bench;
  with_copy(bench);
  bench.say("a", SnapshotGet{id(0xC1), 0, 100});
  bench.hub.on_chunk("a", SnapshotChunk{id(0xC1), 0, 0, {}}, false, bench.now);
  bench.take();
  CHECK(bench.sent<SnapshotGone>("a").size() == 1);
  bench.say("b", SnapshotGet{id(0xC1), 0, 100});
  CHECK(bench.sent<SnapshotGone>("b").size() == 1);
}

}  // namespace csa::hub_copies_test
