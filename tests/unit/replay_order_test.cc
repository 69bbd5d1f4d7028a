#include "tests/support/faulty_disk.h"
#include "tests/support/merge_bench.h"

namespace csa::replay_order_test {
namespace {

using test::MergeBench;

// Three offline entries, of which the second was sent as a write before, and arrived.
struct Bench : MergeBench {
  Bench() : MergeBench("CREATE TABLE note (text TEXT);", 1) {
    edit(nodes[0], "INSERT INTO note VALUES ('first')", 1);
    Write write;
    write.tx = {nodes[0].replica->state().node, ++nodes[0].counter};
    write.sql = "INSERT INTO note VALUES ('second')";
    OfflineWrite offline;
    offline.write = write;
    offline.request_hash = request_hash(write);
    (void)nodes[0].replica->write_offline(offline).value();
    edit(nodes[0], "INSERT INTO note VALUES ('third')", 3);
    entries = nodes[0].replica->read_journal(0, 0, limits::kMiB).value();
    REQUIRE(entries.size() == 3);
    (void)master.ack({std::move(write), "node", ++ticket_});
  }
  ReplayResult give(std::size_t which) { return std::get<Replayed>(master.run(job(which))).result; }
  WriteJob job(std::size_t which) { return {entries.at(which), "node", ++ticket_}; }
  std::vector<Replay> entries;

 private:
  std::uint64_t ticket_ = 1000;
};

}  // namespace

TEST_CASE("replay: what follows an entry that was a write too waits for those before it") {
  Bench b;
  CHECK(b.give(2) == ReplayResult::kAgain);
  CHECK(b.give(1) == ReplayResult::kAgain);
  CHECK(b.text("SELECT count(*) FROM note") == "1");
  CHECK(b.give(0) == ReplayResult::kApplied);
  CHECK(b.give(2) == ReplayResult::kAgain);
  CHECK(b.give(1) == ReplayResult::kStood);
  CHECK(b.give(2) == ReplayResult::kApplied);
  CHECK(b.give(1) == ReplayResult::kStood);
  CHECK(b.text("SELECT group_concat(text) FROM note") == "second,first,third");
}

TEST_CASE(
    "replay: the broker begins anew behind a write's outcome, the journal is asked for again") {
  Bench b;
  CHECK(b.give(0) == ReplayResult::kApplied);
  CHECK(b.give(1) == ReplayResult::kStood);
  b.master.open();
  CHECK(b.give(2) == ReplayResult::kAgain);
  CHECK(b.give(0) == ReplayResult::kApplied);
  CHECK(b.give(1) == ReplayResult::kStood);
  CHECK(b.give(2) == ReplayResult::kApplied);
  CHECK(b.text("SELECT count(*) FROM note") == "3");
}

TEST_CASE("replay: the disk is full over a group with a write's outcome, what follows waits") {
  test::FaultyDisk disk;
  Bench b;
  CHECK(b.give(0) == ReplayResult::kApplied);
  disk.fail_writes(SQLITE_FULL);
  for (const WriteOutcome& refused : b.master.ledger->commit({b.job(1), b.job(2)}).outcomes) {
    CHECK(!is_outcome(std::get<Replayed>(refused.answer).result));
  }
  REQUIRE(disk.has_failed());
  disk.mend();
  CHECK(b.give(2) == ReplayResult::kAgain);
  CHECK(b.give(1) == ReplayResult::kStood);
  CHECK(b.give(2) == ReplayResult::kApplied);
}

}  // namespace csa::replay_order_test
