// A node whose disk is full: it asks for room often, and the broker seldom.
#include <doctest/doctest.h>

#include <filesystem>

#include "node/disk_probe.h"
#include "session_bench.h"
#include "tests/support/scratch_folder.h"

namespace csa::session_disk_test {
namespace {

using namespace session_bench;

constexpr std::uint64_t kFull = 0;
constexpr std::uint64_t kPlenty = 1024 * limits::kMiB;

void fail_store(Bench& bench) {
  bench.session.on_store_failed(Error{Errc::kFailed, "its disk is full"}, true, bench.now);
  bench.collect();
}

// A live node that is told of entry 6 and cannot store it.
void fail_apply(Bench& bench) {
  bench.tell(Update{at(6), {piece(6)}});
  const auto job = bench.session.take_job();
  REQUIRE(job.has_value());
  REQUIRE(std::holds_alternative<ApplyPieces>(*job));
  fail_store(bench);
  bench.forget();
}

// The broker answers the node's question, and the store fails again; how often it was asked.
int fail_for(Bench& bench, int seconds) {
  int asked = 0;
  for (int i = 0; i < 4 * seconds; ++i) {
    bench.advance_connected(milliseconds{250}, 6);
    if (const LogGet* const get = bench.last<LogGet>()) {
      ++asked;
      bench.tell(LogSlice{get->request, at(6), Seq{1}, {piece(6)}});
      bench.messages.clear();
      const auto job = bench.session.take_job();
      REQUIRE(job.has_value());
      REQUIRE(std::holds_alternative<ApplyPieces>(*job));
      fail_store(bench);
    }
    bench.work_all();
  }
  return asked;
}

// Until the node asks the broker's log again.
milliseconds until_asked(Bench& bench, seconds most) {
  const TimePoint begun = bench.now;
  bench.messages.clear();
  while (bench.now - begun < most && bench.last<LogGet>() == nullptr) {
    bench.advance_connected(milliseconds{250}, 6);
    bench.work_all();
  }
  return std::chrono::duration_cast<milliseconds>(bench.now - begun);
}

// The next try by time alone is most of a minute away.
void just_asked(Bench& bench) {
  while (fail_for(bench, 1) == 0) {
  }
  REQUIRE(fail_for(bench, 12) == 0);
}

}  // namespace

TEST_CASE("session: a full disk that has room again is noticed within 5 s, however long it was") {
  Bench bench(5);
  bench.make_live(5);
  bench.disk_room = kFull;
  fail_apply(bench);
  // Ever less often: the broker reads its log for each try.
  const int asked = fail_for(bench, 600);
  CHECK(asked >= 8);
  CHECK(asked < 25);
  CHECK(bench.jobs_of<ProbeDisk>() > 100);
  CHECK(bench.jobs_of<ProbeDisk>() < 320);
  just_asked(bench);
  bench.disk_room = kPlenty;
  CHECK(until_asked(bench, seconds{100}) <= seconds{5});
  bench.answer_log(6);
  CHECK(bench.state() == NodeState::kLive);
}

TEST_CASE("session: some room, which is not enough, the size asked for grows; then it is noticed") {
  Bench bench(5);
  bench.make_live(5);
  bench.disk_room = 5 * limits::kMiB;
  fail_apply(bench);
  const int asked = fail_for(bench, 600);
  CHECK(asked < 25);
  just_asked(bench);
  bench.disk_room = kPlenty;
  CHECK(until_asked(bench, seconds{100}) <= seconds{5});
}

TEST_CASE("session: a disk that has room and fails all the same is not tried more often") {
  Bench bench(5);
  bench.make_live(5);
  bench.disk_room = kPlenty;
  fail_apply(bench);
  CHECK(fail_for(bench, 600) < 25);
}

TEST_CASE("session: the disk is full on the way back, writes are refused; with room it goes on") {
  Bench bench(5);
  bench.make_live(5);
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  bench.write(1);
  bench.write(2);
  REQUIRE(bench.replica.journal.waiting == 2);
  bench.messages.clear();
  REQUIRE(bench.next_hello(seconds{20}));
  bench.connect(bench.welcome(7));
  bench.work_all();
  bench.disk_room = kFull;
  const std::vector<Replay> replays = bench.all<Replay>();
  REQUIRE(replays.size() == 2);
  const LogGet get = *bench.last<LogGet>();
  bench.tell(LogSlice{get.request, at(7), Seq{1}, {piece(6), piece(7)}});
  const auto job = bench.session.take_job();
  REQUIRE(job.has_value());
  REQUIRE(std::holds_alternative<SpoolPieces>(*job));
  fail_store(bench);
  CHECK(bench.session.view().stalled);
  CHECK(bench.state() == NodeState::kReplaying);
  CHECK(has(bench.why(), "its disk is full"));
  CHECK(has(bench.why(), "2 offline changes wait"));
  bench.events.clear();
  bench.write(3);
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kRejected);
  CHECK(bench.told<WriteDone>()[0].nack.code == NackCode::kLimit);
  CHECK(has(bench.told<WriteDone>()[0].nack.message, "disk is full"));
  // With room the journal goes on by itself, and once.
  bench.disk_room = kPlenty;
  CHECK(until_asked(bench, seconds{100}) <= seconds{5});
  bench.answer_log(7);
  CHECK_FALSE(bench.session.view().stalled);
  CHECK(bench.why() == "2 offline changes are handed over to the broker");
  for (const Replay& replay : replays) {
    bench.tell(Replayed{replay.header.tx, ReplayResult::kApplied, 4, Seq{7}, {}, {}});
  }
  bench.work_all();
  CHECK(bench.jobs_of<TakeOver>() == 1);
  CHECK(bench.replica.journal.entries == 0);
  CHECK(bench.replica.position == at(7));
}

TEST_CASE("session: the disk is full, a committed write is told at once as not to be seen here") {
  Bench bench(5);
  bench.make_live(5);
  bench.write(1);
  REQUIRE(bench.last<Write>() != nullptr);
  Ack ack;
  ack.tx = bench.last<Write>()->tx;
  ack.seq = Seq{6};
  bench.tell(ack);
  CHECK(bench.told<WriteDone>().empty());
  bench.tell(Update{at(6), {piece(6)}});
  REQUIRE(std::holds_alternative<ApplyPieces>(*bench.session.take_job()));
  fail_store(bench);
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kCommitted);
  CHECK_FALSE(bench.told<WriteDone>()[0].visible);
}

TEST_CASE("session: a full disk has no room for a copy, it is not fetched again at once") {
  Bench bench(std::nullopt);
  bench.start();
  bench.connect(bench.welcome(5));
  bench.tell(SnapshotChunk{kSnapshot, 1000, 0, {}});
  bench.work_all();
  bench.tell(SnapshotChunk{kSnapshot, 1000, 0, Bytes(1000, 1)});
  bench.work_all();
  bench.tell(SnapshotEnd{kSnapshot, 1000, {}, at(5)});
  REQUIRE(std::holds_alternative<InstallCopy>(*bench.session.take_job()));
  bench.messages.clear();
  fail_store(bench);
  CHECK(bench.session.view().stalled);
  CHECK(bench.state() == NodeState::kCatchingUp);
  CHECK(has(bench.why(), "its disk is full"));
  bench.advance_connected(milliseconds{500}, 5);
  CHECK(bench.last<SnapshotGet>() == nullptr);
  bench.advance_connected(seconds{3}, 5);
  CHECK(bench.last<SnapshotGet>() != nullptr);
}

TEST_CASE("session: a copy that arrives damaged behind a journal is fetched anew") {
  Bench bench(5);
  bench.make_live(5);
  bench.session.on_disconnected("reset", bench.now);
  bench.write(1);
  REQUIRE(bench.next_hello(seconds{20}));
  bench.forget();
  bench.connect(bench.welcome(50));
  bench.work_all();
  bench.tell(LogGone{bench.last<LogGet>()->request, at(50), Seq{40}, "too old"});
  const Replay replay = *bench.last<Replay>();
  bench.tell(
      Replayed{replay.header.tx, ReplayResult::kApplied, replay.header.size, Seq{52}, {}, {}});
  bench.work_all();
  const Id128 snapshot{{7}};
  bench.tell(SnapshotChunk{snapshot, 0, 0, {}});
  CHECK(bench.work());  // begins
  bench.tell(SnapshotEnd{snapshot, 0, {}, at(52)});
  REQUIRE(std::holds_alternative<InstallCopy>(*bench.session.take_job()));
  bench.session.on_applied(Error{Errc::kDamaged, "the hash is wrong"}, bench.now);
  bench.forget();
  for (int i = 0; i < 20 && bench.all<SnapshotGet>().empty(); ++i) {
    bench.advance_connected(milliseconds{500}, 52);
  }
  REQUIRE_FALSE(bench.all<SnapshotGet>().empty());
  CHECK(bench.last<SnapshotGet>()->at_least == Seq{52});
}

TEST_CASE("disk_probe: room is told, and nothing stays") {
  const ScratchFolder folder;
  CHECK(disk_has_room(folder.file("node.db"), 100000));
  CHECK_FALSE(disk_has_room(folder.file("node.db"), std::uint64_t{1} << 60));
  CHECK_FALSE(disk_has_room(folder.file("no/folder/node.db"), 1));
  CHECK(std::filesystem::is_empty(folder.path()));
}

}  // namespace csa::session_disk_test
