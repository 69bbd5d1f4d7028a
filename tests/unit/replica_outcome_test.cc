// Outcomes that a replica keeps beside its log, for the day on which it becomes the master; and how
// a node asks the master for one.
#include <doctest/doctest.h>

#include "common/codec.h"
#include "common/limits.h"
#include "common/store_meta.h"
#include "node/known_outcome.h"
#include "node/results.h"
#include "tests/support/merge_bench.h"

namespace csa::replica_outcome_test {
namespace {

using test::MergeBench;

TEST_CASE("replica: outcomes that their node has confirmed are forgotten there too") {
  MergeBench b("CREATE TABLE part (id INTEGER PRIMARY KEY, stock INTEGER)", 1);
  MergeBench::Node& node = b.nodes[0];
  constexpr std::uint64_t kWrites = 200;
  constexpr std::uint64_t kOpen = 3;  // that the writer may still ask for
  for (std::uint64_t i = 0; i < kWrites; ++i) {
    b.master.write("INSERT INTO part (stock) VALUES (1)");
    if (b.master.counter > kOpen) b.master.ledger->confirm(b.master.node, b.master.counter - kOpen);
  }
  REQUIRE(b.catch_up(node) == "");
  const Database replica(node.path, Database::Mode::kReadOnly);
  CHECK(replica.query_int("SELECT count(*) FROM csa_outcome") <= 2 * kOpen);
  OutcomeTable outcomes(replica);
  const std::uint64_t last = b.master.counter;
  CHECK(outcomes.floor(b.master.node) >= last - kOpen - 1);
  CHECK(outcomes.floor(b.master.node) < last);
  for (std::uint64_t counter = last - kOpen + 1; counter <= last; ++counter) {
    CHECK(outcomes.find({b.master.node, counter}).has_value());
  }
}

TEST_CASE("outcome: an offline row that got another key, the replica and the event tell which") {
  MergeBench b("CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT)", 1);
  MergeBench::Node& node = b.nodes[0];
  b.edit(node, "INSERT INTO part (name) VALUES ('mine')", 1);
  b.master.write("INSERT INTO part (name) VALUES ('theirs')");
  const std::vector<Replayed> replayed = b.hand_over(node);
  REQUIRE(replayed.size() == 1);
  const std::vector<ChangedKey> changed{{"part", 1, 2}};
  const std::optional<WriteResult> known = known_outcome(node.path, replayed[0].tx);
  REQUIRE(known.has_value());
  CHECK(known->status == WriteResult::Status::kCommitted);
  CHECK(known->outcome == "applied");
  CHECK(known->keys == changed);
  const std::optional<ClientEvent> event = to_event(OutcomeTold{replayed[0]});
  REQUIRE(event.has_value());
  CHECK(event->keys == changed);
}

TEST_CASE("outcome: of an offline write, by the TxId that it had before its replica was renamed") {
  MergeBench b("CREATE TABLE part (id INTEGER PRIMARY KEY, name UNIQUE)", 1);
  MergeBench::Node& node = b.nodes[0];
  std::vector<TxId> were;
  for (const std::string name : {"bolt", "nut", "rod"}) {
    b.edit(node, "INSERT INTO part (name) VALUES ('" + name + "')", 1);
    were.push_back({node.replica->state().node, node.counter});
  }
  const auto told = [&](std::size_t which) {
    const std::optional<WriteResult> known = known_outcome(node.path, were[which]);
    REQUIRE(known.has_value());
    CHECK(known->tx == to_string(were[which]));
    return *known;
  };
  node.replica->renew_identity();
  for (const std::size_t which : {0U, 1U, 2U}) {
    CHECK(told(which).status == WriteResult::Status::kJournaled);
    CHECK(told(which).pending == 3);
  }
  // Nobody's that this replica knows, whatever has its counter.
  CHECK_FALSE(known_outcome(node.path, {NodeId{random_id()}, were[0].counter}).has_value());
  b.master.write("INSERT INTO part (id, name) VALUES (7, 'nut')");
  REQUIRE(b.hand_over(node).size() == 3);
  for (const bool after : {false, true}) {
    CAPTURE(after);
    if (after) REQUIRE(b.catch_up(node) == "");
    CHECK(told(0).status == WriteResult::Status::kCommitted);
    CHECK(told(0).outcome == "applied");
    CHECK(told(1).status == WriteResult::Status::kRejected);
    CHECK(told(1).outcome == "parked");
    CHECK(told(2).status == WriteResult::Status::kCommitted);
  }
  REQUIRE(node.replica->state().journal.entries == 0);
}

TEST_CASE("outcome: of a write that was sent and changes nothing here, only the master tells") {
  MergeBench b("CREATE TABLE part (id INTEGER PRIMARY KEY, printed INTEGER NOT NULL)", 1);
  MergeBench::Node& node = b.nodes[0];
  const std::string sql = "UPDATE part SET printed = 1 WHERE printed = 0";
  b.master.write("INSERT INTO part (printed) VALUES (0)");
  b.edit_online(node, sql);
  OfflineWrite sent;
  sent.write.tx = {node.replica->state().node, node.counter};
  sent.write.sql = sql;
  sent.request_hash = request_hash(sent.write);
  for (const bool again : {false, true}) {
    CAPTURE(again);
    const Result<OfflineDone> done = node.replica->write_offline(sent);
    REQUIRE_FALSE(done.has_value());
    CHECK(done.error().what ==
          "it was sent and may have run at the broker, and is not made here (nothing changes in"
          " this replica): ask for its outcome when there is a broker again");
    CHECK_FALSE(known_outcome(node.path, sent.write.tx).has_value());
  }
  REQUIRE(b.catch_up(node) == "");
  const std::optional<WriteResult> known = known_outcome(node.path, sent.write.tx);
  REQUIRE(known.has_value());
  CHECK(known->status == WriteResult::Status::kCommitted);
  CHECK(known->seq == b.master.ledger->meta().position.seq.value);
  CHECK(known->changes == 1);
}

TEST_CASE("outcome: a question for one is a byte of the entry, of which the master keeps nothing") {
  MergeBench b("CREATE TABLE note (text TEXT);", 1);
  auto& node = b.nodes[0];
  b.edit(node, "INSERT INTO note VALUES (hex(zeroblob(200000)))", 1);
  b.edit(node, "INSERT INTO note VALUES ('short')", 2);
  const std::vector<Replay> asked = node.replica->read_journal(0, 0, 0).value();
  const std::vector<Replay> whole = node.replica->read_journal(0, 0, limits::kMiB).value();
  REQUIRE(asked.size() == 2);
  REQUIRE(whole.size() == 3);
  CHECK(asked[0].bytes == Bytes{whole[0].bytes[1]});
  CHECK(asked[1].header == whole[2].header);
  CHECK(asked[1].previous == whole[2].previous);
  CHECK(node.replica->read_journal(1, 0, 0).value().size() == 1);
  std::uint64_t ticket = 1;
  const auto ask = [&](std::size_t which) {
    const WriteJob job{asked[which], "node", ++ticket};
    return std::get<Replayed>(b.master.run(job));
  };
  // Nothing of it is kept: what comes whole later is taken as ever.
  CHECK(ask(0).result == ReplayResult::kAgain);
  const std::vector<Replayed> outcomes = b.hand_over(node);
  REQUIRE(outcomes.size() == 2);
  CHECK(ask(0) == outcomes[0]);
  CHECK(ask(1) == outcomes[1]);
  CHECK(b.text("SELECT count(*) FROM note") == "2");
}

}  // namespace
}  // namespace csa::replica_outcome_test
