// A node whose disk is full: it asks for room often, and the broker seldom.
#include <doctest/doctest.h>

#include <filesystem>

#include "node/disk_probe.h"
#include "session_bench.h"
#include "tests/support/scratch_folder.h"

namespace csa {
namespace {

using namespace session_bench;

constexpr std::uint64_t kFull = 0;
constexpr std::uint64_t kPlenty = 1024 * limits::kMiB;

// A live node that is told of entry 6 and cannot store it.
void fail_apply(Bench& bench) {
  bench.tell(Update{at(6), {piece(6)}});
  const auto job = bench.session.take_job();
  REQUIRE(job.has_value());
  REQUIRE(std::holds_alternative<ApplyPieces>(*job));
  bench.session.on_store_failed(Error{Errc::kFailed, "disk full"}, bench.now);
  bench.collect();
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
      bench.session.on_store_failed(Error{Errc::kFailed, "disk full"}, bench.now);
      bench.collect();
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

TEST_CASE("disk_probe: room is told, and nothing stays") {
  const ScratchFolder folder;
  CHECK(disk_has_room(folder.file("node.db"), 100000));
  CHECK_FALSE(disk_has_room(folder.file("node.db"), std::uint64_t{1} << 60));
  CHECK_FALSE(disk_has_room(folder.file("no/folder/node.db"), 1));
  CHECK(std::filesystem::is_empty(folder.path()));
}

}  // namespace csa
