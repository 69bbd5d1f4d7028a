#include "tests/support/merge_bench.h"

namespace csa::replay_order_test {
namespace {

using test::MergeBench;

// Three offline entries, of which the second was sent as a write before, and arrived.
struct Bench : MergeBench {
  Bench() : MergeBench("CREATE TABLE note (text TEXT);", 1) {
    edit(nodes[0], "INSERT INTO note VALUES ('first')", 1);
    edit(nodes[0], "INSERT INTO note VALUES ('second')", 2);
    edit(nodes[0], "INSERT INTO note VALUES ('third')", 3);
    entries = nodes[0].replica->read_journal(0, 0, limits::kMiB).value();
    REQUIRE(entries.size() == 3);
    Write write;
    write.tx = entries[1].header.tx;
    write.sql = "INSERT INTO note VALUES ('second')";
    (void)master.ack({std::move(write), "node", ++ticket});
  }
  ReplayResult give(std::size_t which) {
    return std::get<Replayed>(master.run({entries.at(which), "node", ++ticket})).result;
  }
  std::vector<Replay> entries;
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

}  // namespace csa::replay_order_test
