// From WRITE to ACK and UPDATE: who may write, in which order, and what leaves when.
#include <doctest/doctest.h>

#include "hub_bench.h"

namespace csa::hub_writes_test {
namespace {

using namespace hub_bench;

NackCode nacked(Bench& bench, const PeerKey& from, Message message, bool local = false) {
  bench.out.clear();
  bench.say(from, std::move(message), local);
  const auto nacks = bench.sent<Nack>(from);
  REQUIRE(nacks.size() == 1);
  CHECK(bench.jobs<CommitJob>().empty());
  return nacks[0].code;
}

TxId tx_of(const WriteJob& job) { return tx_of(job.request); }

}  // namespace

TEST_CASE("hub: a write is answered and published only after its commit") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", write(1, 8));
  const auto jobs = bench.jobs<CommitJob>();
  REQUIRE(jobs.size() == 1);
  REQUIRE(jobs[0].jobs.size() == 1);
  CHECK(jobs[0].jobs[0].hostname == "host-1");
  CHECK(bench.sent<Ack>("a").empty());
  CHECK(bench.published<Update>().empty());
  bench.out.clear();
  bench.commit(bench.result_of(jobs[0]));
  CHECK(bench.hub.head() == at(11));
  REQUIRE(bench.out.size() == 2);
  const auto updates = bench.published<Update>();
  REQUIRE(updates.size() == 1);
  CHECK(updates[0].head == at(11));
  CHECK(std::holds_alternative<Publish>(bench.out[0]));  // before the answer
  REQUIRE(bench.sent<Ack>("a").size() == 1);
  CHECK(bench.sent<Ack>("a")[0].seq == Seq{11});
}

TEST_CASE("hub: one commit is out at a time, what waits is the next group") {
  Bench bench;
  bench.join("a", 1);
  bench.join("b", 2);
  bench.say("a", write(1, 1));
  auto jobs = bench.jobs<CommitJob>();
  REQUIRE(jobs.size() == 1);
  bench.out.clear();
  for (std::uint64_t i = 2; i <= 4; ++i) bench.say("a", write(1, i));
  bench.say("b", write(2, 1));
  CHECK(bench.jobs<CommitJob>().empty());
  bench.commit(bench.result_of(jobs[0]));
  jobs = bench.jobs<CommitJob>();
  REQUIRE(jobs.size() == 1);
  REQUIRE(jobs[0].jobs.size() == 4);
  // Taking turns, and in order within a node.
  CHECK(tx_of(jobs[0].jobs[0]) == TxId{node(1), 2});
  CHECK(tx_of(jobs[0].jobs[1]) == TxId{node(2), 1});
  CHECK(tx_of(jobs[0].jobs[2]) == TxId{node(1), 3});
  CHECK(tx_of(jobs[0].jobs[3]) == TxId{node(1), 4});
}

TEST_CASE("hub: writes of one turn are one group") {
  Bench bench;
  bench.join("a", 1);
  for (std::uint64_t i = 1; i <= 3; ++i) {
    bench.hub.on_message("a", write(1, i), Origin{}, bench.now);
  }
  bench.take();
  REQUIRE(bench.jobs<CommitJob>().size() == 1);
  CHECK(bench.jobs<CommitJob>()[0].jobs.size() == 3);
}

TEST_CASE("hub: a schema change is a group of its own") {
  Bench bench;
  bench.join("a", 1);
  bench.hub.on_message("a", write(1, 1), Origin{}, bench.now);
  bench.hub.on_message("a", Migrate{TxId{node(1), 2}, "ALTER", {}}, Origin{}, bench.now);
  bench.hub.on_message("a", write(1, 3), Origin{}, bench.now);
  bench.take();
  for (std::uint64_t counter = 1; counter <= 3; ++counter) {
    const auto jobs = bench.jobs<CommitJob>();
    REQUIRE(jobs.size() == 1);
    REQUIRE(jobs[0].jobs.size() == 1);
    CHECK(tx_of(jobs[0].jobs[0]).counter == counter);
    bench.out.clear();
    bench.commit(bench.result_of(jobs[0]));
  }
}

TEST_CASE("hub: a node with thousands of writes leaves room and turns to another") {
  Bench bench;
  bench.join("a", 1);
  bench.join("b", 2);
  std::uint64_t taken = 0;
  bench.say("a", write(1, 1));
  const auto first = bench.jobs<CommitJob>();
  for (std::uint64_t i = 2; i < limits::kWaitingWritesMax; ++i) {
    bench.hub.on_message("a", write(1, i), Origin{}, bench.now);
  }
  bench.take();
  const auto busy = bench.sent<Nack>("a");
  REQUIRE_FALSE(busy.empty());
  CHECK(busy[0].code == NackCode::kBusy);
  taken = busy[0].tx.counter - 2;
  CHECK(taken == limits::kWaitingWritesMax / 2);
  bench.out.clear();
  bench.say("b", write(2, 1));
  CHECK(bench.sent<Nack>("b").empty());
  bench.commit(bench.result_of(first[0]));
  const auto group = bench.jobs<CommitJob>();
  REQUIRE(group.size() == 1);
  CHECK(group[0].jobs.size() == limits::kGroupMax);
  CHECK(tx_of(group[0].jobs[1]) == TxId{node(2), 1});
}

TEST_CASE("hub: waiting writes and groups are bounded in bytes") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", write(1, 1));
  const auto first = bench.jobs<CommitJob>();
  const std::string big(limits::kWriteMax - 10, 'x');
  for (std::uint64_t i = 2; i < 40; ++i) bench.say("a", write(1, i, big));
  const auto busy = bench.sent<Nack>("a");
  REQUIRE_FALSE(busy.empty());
  CHECK(busy[0].code == NackCode::kBusy);
  CHECK((busy[0].tx.counter - 2) * limits::kWriteMax <= limits::kWaitingBytesMax);
  bench.out.clear();
  bench.commit(bench.result_of(first[0]));
  CHECK(bench.jobs<CommitJob>()[0].jobs.size() == limits::kGroupBytesMax / limits::kWriteMax);
}

TEST_CASE("hub: who may not write is told so") {
  Bench bench;
  bench.join("n", 1);
  bench.join("m", 2, Role::kMonitor);
  bench.join("d", 3, Role::kAdmin);
  CHECK(nacked(bench, "n", write(2, 1)) == NackCode::kForbidden);
  CHECK(nacked(bench, "n", write(1, 0)) == NackCode::kForbidden);
  CHECK(nacked(bench, "m", write(2, 1)) == NackCode::kForbidden);
  CHECK(nacked(bench, "d", write(1, 1)) == NackCode::kForbidden);
  CHECK(nacked(bench, "n", OutcomeGet{TxId{node(2), 1}}) == NackCode::kForbidden);
  CHECK(nacked(bench, "d", Migrate{TxId{node(3), 1}, "ALTER", {}}) == NackCode::kForbidden);
  CHECK(bench.sent<Nack>("d")[0].message.find("srv") != std::string::npos);
}

TEST_CASE("hub: an admin on the broker's host may change the schema") {
  Bench bench;
  bench.join("d", 3, Role::kAdmin, true);
  bench.say("d", Migrate{TxId{node(3), 1}, "ALTER", {}}, true);
  CHECK(bench.jobs<CommitJob>().size() == 1);
}

TEST_CASE("hub: a TxId on its way is not queued twice, the newest who asks is answered") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", write(1, 1));
  const auto jobs = bench.jobs<CommitJob>();
  bench.say("a", write(1, 2));  // waits
  bench.join("b", 1);           // the same process, reconnected
  bench.say("b", write(1, 1));
  bench.say("b", OutcomeGet{TxId{node(1), 2}});
  CHECK(bench.jobs<OutcomeJob>().empty());
  CHECK(nacked(bench, "b", write(1, 1, "DELETE")) == NackCode::kMismatch);
  bench.commit(bench.result_of(jobs[0]));
  CHECK(bench.sent<Ack>("b").size() == 1);
  const auto next = bench.jobs<CommitJob>();
  REQUIRE(next.size() == 1);
  CHECK(next[0].jobs.size() == 1);
  bench.commit(bench.result_of(next[0]));
  CHECK(bench.sent<Ack>("b").size() == 2);
  CHECK(bench.sent<Ack>("a").empty());
}

TEST_CASE("hub: what a commit answers goes out unchanged and raises the last counter") {
  Bench bench;
  bench.join("a", 1);
  bench.hub.on_message("a", write(1, 20), Origin{}, bench.now);
  bench.hub.on_message("a", write(1, 21), Origin{}, bench.now);
  bench.take();
  CommitResult result = bench.result_of(bench.jobs<CommitJob>()[0]);
  result.outcomes[0].answer = Nack{TxId{node(1), 20}, NackCode::kConstraint, "UNIQUE", 0};
  result.outcomes[1].answer = Nack{TxId{node(1), 21}, NackCode::kBusy, "again", 0};
  result.pieces.clear();
  result.head = at(10);
  bench.out.clear();
  bench.commit(result);
  CHECK(bench.published<Update>().empty());
  CHECK(bench.sent<Nack>("a").size() == 2);
  bench.out.clear();
  bench.say("a", hello(1));
  CHECK(bench.sent<Welcome>("a")[0].last_counter == 20);  // BUSY is no outcome
}

TEST_CASE("hub: a large commit is several UPDATEs, each within its bounds and with its own head") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", write(1, 1));
  const CommitJob job = bench.jobs<CommitJob>()[0];
  CommitResult result = bench.result_of(job);
  result.pieces.clear();
  SUBCASE("by bytes") {
    for (std::uint64_t seq = 11; seq <= 60; ++seq) {
      LogPiece piece;
      piece.header.seq = Seq{seq};
      piece.header.size = limits::kInlineBodyMax;
      piece.bytes.resize(limits::kInlineBodyMax);
      piece.chain = at(seq).chain;
      result.pieces.push_back(piece);
    }
  }
  SUBCASE("by long host names") {
    for (std::uint64_t seq = 11; seq <= 5000; ++seq) {
      LogPiece piece;
      piece.header.seq = Seq{seq};
      piece.header.hostname = std::string(limits::kTextMax, 'h');
      piece.chain = at(seq).chain;
      result.pieces.push_back(piece);
    }
  }
  result.head = {at(0).epoch, result.pieces.back().header.seq, result.pieces.back().chain};
  bench.commit(result);
  const auto updates = bench.published<Update>();
  REQUIRE(updates.size() > 1);
  std::uint64_t next = 11;
  for (const Update& update : updates) {
    std::size_t bytes = 0;
    for (const LogPiece& piece : update.pieces) {
      CHECK(piece.header.seq.value == next++);
      bytes += piece.bytes.size() + piece.header.hostname.size();
    }
    CHECK(bytes <= limits::kUpdateMax);
    CHECK(update.pieces.size() <= limits::kPiecesMax);
    CHECK(update.head.seq == update.pieces.back().header.seq);
    CHECK(update.head.chain == update.pieces.back().chain);
  }
  CHECK(updates.back().head == result.head);
}

TEST_CASE("hub: a new history is told at once and loudly") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", write(1, 1));
  CommitResult result = bench.result_of(bench.jobs<CommitJob>()[0]);
  result.pieces.clear();
  result.new_epoch = true;
  result.head.epoch = Epoch{2, id(0xE2)};
  bench.out.clear();
  bench.lines.clear();
  bench.commit(result);
  REQUIRE(bench.published<Head>().size() == 1);
  CHECK(bench.published<Head>()[0].head == result.head);
  REQUIRE_FALSE(bench.lines.empty());
  CHECK(bench.lines[0].find("another program wrote") != std::string::npos);
}

TEST_CASE("hub: confirmed outcomes go to the ledger when they rise, never beyond what is known") {
  using Counters = std::map<NodeId, std::uint64_t>;
  Bench bench;  // knows counter 7 of node 1
  Hello greeting = hello(1);
  greeting.confirmed = 3;
  bench.say("a", greeting);
  REQUIRE(bench.jobs<ConfirmJob>().size() == 1);
  CHECK(bench.jobs<ConfirmJob>()[0].counters == Counters{{node(1), 3}});
  bench.hub.on_confirmed();
  bench.out.clear();
  Ping ping;
  ping.confirmed = 3;
  bench.say("a", ping);
  CHECK(bench.jobs<ConfirmJob>().empty());
  ping.confirmed = 1000;
  bench.say("a", ping);
  bench.say("a", ping);
  REQUIRE(bench.jobs<ConfirmJob>().size() == 1);
  CHECK(bench.jobs<ConfirmJob>()[0].counters == Counters{{node(1), 7}});
}

TEST_CASE(
    "hub: a flood of confirmations while the ledger is busy, one job is out, the newest next") {
  Bench bench;  // knows counter 7 of node 1
  bench.join("a", 1);
  bench.join("b", 2);
  bench.say("b", write(2, 3000));
  bench.commit(bench.result_of(bench.jobs<CommitJob>().at(0)));
  bench.out.clear();
  Ping ping;
  for (ping.confirmed = 1; ping.confirmed <= 3000; ++ping.confirmed) {
    bench.say("b", ping);
    bench.say("a", ping);
  }
  REQUIRE(bench.jobs<ConfirmJob>().size() == 1);
  bench.say("a", write(1, 8));
  CHECK(bench.jobs<CommitJob>().size() == 1);
  // One that is connected anew, with what it knew before.
  Hello again = hello(2);
  again.confirmed = 5;
  bench.say("b", Goodbye{});
  bench.say("b", again);
  bench.out.clear();
  bench.hub.on_confirmed();
  bench.take();
  REQUIRE(bench.jobs<ConfirmJob>().size() == 1);
  const std::map<NodeId, std::uint64_t> newest{{node(1), 7}, {node(2), 3000}};
  CHECK(bench.jobs<ConfirmJob>()[0].counters == newest);
  bench.out.clear();
  bench.hub.on_confirmed();
  bench.take();
  CHECK(bench.jobs<ConfirmJob>().empty());
}

TEST_CASE("hub: a write that cannot begin in its time is told busy, and does not run") {
  Bench bench;
  bench.join("a", 1);
  bench.join("b", 2);
  bench.say("a", write(1, 1));
  auto jobs = bench.jobs<CommitJob>();
  REQUIRE(jobs.size() == 1);
  const auto timed = [](std::uint64_t counter, std::uint32_t wait_ms) {
    Write one = write(2, counter);
    one.wait_ms = wait_ms;
    return one;
  };
  bench.say("b", timed(1, 29000));
  bench.say("b", timed(2, 0));
  bench.say("b", timed(3, 40000));
  bench.pass(28999ms);
  CHECK(bench.sent<Nack>("b").empty());
  bench.pass(200ms);
  REQUIRE(bench.sent<Nack>("b").size() == 1);
  CHECK(bench.sent<Nack>("b")[0].tx == TxId{node(2), 1});
  CHECK(bench.sent<Nack>("b")[0].code == NackCode::kBusy);
  CHECK(bench.sent<Nack>("b")[0].message.find("29 s") != std::string::npos);
  bench.out.clear();
  bench.commit(bench.result_of(jobs[0]));
  jobs = bench.jobs<CommitJob>();
  REQUIRE(jobs.size() == 1);
  REQUIRE(jobs[0].jobs.size() == 2);
  CHECK(tx_of(jobs[0].jobs[0]) == TxId{node(2), 2});
  CHECK(tx_of(jobs[0].jobs[1]) == TxId{node(2), 3});
  // Once the ledger has begun it, its outcome comes, however late.
  bench.hub.on_ledger_progress(bench.now, jobs[0].jobs[1].ticket);
  bench.say("b", Ping{});
  bench.pass(20s);
  CHECK(bench.sent<Nack>("b").empty());
  // It was no outcome: the same one may come again.
  bench.say("b", timed(1, 29000));
  bench.out.clear();
  bench.commit(bench.result_of(jobs[0]));
  CHECK(bench.sent<Ack>("b").size() == 2);
  REQUIRE(bench.jobs<CommitJob>().size() == 1);
  CHECK(tx_of(bench.jobs<CommitJob>()[0].jobs[0]) == TxId{node(2), 1});
}

TEST_CASE("hub: a write behind a long one of its own group is told busy at its time, once") {
  Bench bench;
  bench.join("a", 1);
  bench.join("b", 2);
  bench.hub.on_message("a", write(1, 1), Origin{}, bench.now);
  Write timed = write(2, 1);
  timed.wait_ms = 1000;
  bench.say("b", timed);
  const auto jobs = bench.jobs<CommitJob>();
  REQUIRE(jobs.size() == 1);
  REQUIRE(jobs[0].jobs.size() == 2);
  const std::uint64_t last = jobs[0].jobs[1].ticket;
  CHECK(jobs[0].jobs[0].begin_by == TimePoint::max());
  CHECK(jobs[0].jobs[1].begin_by == bench.now + 1s);
  bench.hub.on_ledger_progress(bench.now, jobs[0].jobs[0].ticket);
  bench.pass(900ms);
  CHECK(bench.sent<Nack>("b").empty());
  bench.pass(200ms);
  REQUIRE(bench.sent<Nack>("b").size() == 1);
  CHECK(bench.sent<Nack>("b")[0].code == NackCode::kBusy);
  bench.pass(1s);
  CHECK(bench.sent<Nack>("b").size() == 1);

  auto refused = bench.result_of(jobs[0]);
  refused.outcomes[1] = {last, Nack{timed.tx, NackCode::kBusy, "not begun", 0}};
  SUBCASE("the ledger's own refusal is not told a second time") {
    bench.out.clear();
    bench.commit(refused);
    CHECK(bench.sent<Nack>("b").empty());
    CHECK(bench.sent<Ack>("a").size() == 1);
  }
  SUBCASE("sent again meanwhile it is told again") {
    bench.say("b", timed);
    CHECK(bench.jobs<CommitJob>().size() == 1);
    bench.out.clear();
    bench.commit(refused);
    CHECK(bench.sent<Nack>("b").size() == 1);
  }
}

}  // namespace csa::hub_writes_test
