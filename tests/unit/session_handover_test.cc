// Session: writes of others than the owner of the replica, whose caller must know the TxId before
// the write is sent, and go on with it when the owner has ended.
#include <doctest/doctest.h>

#include "node/session.h"
#include "tests/unit/session_bench.h"

namespace csa::session_handover_test {

using namespace session_bench;

namespace {

Write part_write(const TxId& tx = {}) { return {tx, "UPDATE part SET qty = 1", {}, {}}; }

void write_told(Bench& bench, std::uint64_t call, milliseconds timeout = seconds{30}) {
  bench.session.write({call, part_write(), bench.now + timeout, true}, bench.now);
  bench.collect();
  bench.work_all();
}

void resume(Bench& bench, std::uint64_t call, const TxId& tx, milliseconds timeout = seconds{30}) {
  bench.session.write({call, part_write(tx), bench.now + timeout, true}, bench.now);
  bench.collect();
  bench.work_all();
}

void release(Bench& bench, const TxId& tx) {
  bench.session.release(tx, bench.now);
  bench.collect();
}

Ack ack_for(const TxId& tx, std::uint64_t seq) {
  Ack ack;
  ack.tx = tx;
  ack.seq = Seq{seq};
  ack.repeated = true;
  return ack;
}

}  // namespace

TEST_CASE("session: a write whose caller must know the TxId is sent after it knows, not before") {
  Bench bench(5);
  bench.make_live(5);
  write_told(bench, 1);
  REQUIRE(bench.told<TxGiven>().size() == 1);
  const TxId tx = bench.told<TxGiven>()[0].tx;
  CHECK(bench.told<TxGiven>()[0].call == 1);
  CHECK(bench.last<Write>() == nullptr);
  bench.advance_connected(seconds{3}, 5);
  CHECK(bench.last<Write>() == nullptr);
  release(bench, {kNode, 999});  // nobody's
  CHECK(bench.last<Write>() == nullptr);
  release(bench, tx);
  REQUIRE(bench.last<Write>() != nullptr);
  CHECK(bench.last<Write>()->tx == tx);
  bench.messages.clear();
  release(bench, tx);  // said twice, sent once
  CHECK(bench.last<Write>() == nullptr);
}

TEST_CASE("session: a write never released ends as not sent, also after a lost link") {
  Bench bench(5);
  bench.make_live(5);
  write_told(bench, 1, seconds{4});
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  REQUIRE(bench.next_hello(seconds{2}));
  bench.connect(bench.welcome(5));
  CHECK(bench.last<Write>() == nullptr);
  bench.advance(seconds{5});
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kNoBroker);
}

TEST_CASE("session: a write that may have run is sent under the TxId that it had") {
  Bench bench(5);
  const TxId tx{kNode, 77};  // of an earlier owner's counters
  bench.start();
  resume(bench, 1, tx);
  bench.connect(bench.welcome(5));
  bench.answer_log(5);
  REQUIRE(bench.last<Write>() != nullptr);
  CHECK(bench.last<Write>()->tx == tx);
  CHECK(bench.told<TxGiven>().empty());
  bench.tell(ack_for(tx, 4));
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kCommitted);
  CHECK(bench.told<WriteDone>()[0].tx == tx);
}

TEST_CASE("session: a write that may have run is journaled standalone under its TxId and hash") {
  Bench bench(5);
  bench.start();
  bench.advance(seconds{3});
  REQUIRE(bench.state() == NodeState::kStandalone);
  const TxId tx{kNode, 77};
  resume(bench, 1, tx, seconds{4});
  bench.work_all();
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kJournaled);
  CHECK(bench.told<WriteDone>()[0].tx == tx);
  REQUIRE(bench.made_offline.size() == 1);
  CHECK(bench.made_offline[0].write.tx == tx);
  CHECK_FALSE(bench.made_offline[0].request_hash.is_zero());
}

TEST_CASE("session: with no copy, a write that may have run ends as unknown") {
  Bench bench(std::nullopt);
  bench.start();
  bench.advance(seconds{3});
  REQUIRE(bench.state() == NodeState::kStandalone);
  const TxId tx{kNode, 77};
  resume(bench, 1, tx, seconds{4});
  CHECK(bench.told<WriteDone>().empty());
  bench.advance(seconds{5});
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kUnknown);
  CHECK(bench.told<WriteDone>()[0].tx == tx);
}

TEST_CASE("session: under a NodeId that is not this replica's, only the outcome is asked for") {
  Bench bench(5);
  bench.make_live(5);
  const TxId tx{NodeId{Id128{{8}}}, 77};
  resume(bench, 1, tx);
  CHECK(bench.last<Write>() == nullptr);
  REQUIRE(bench.last<OutcomeGet>() != nullptr);
  CHECK(bench.last<OutcomeGet>()->tx == tx);
}

TEST_CASE("session: what the broker does not tell of a write under another NodeId stays unknown") {
  Bench bench(5);
  bench.make_live(5);
  const TxId tx{NodeId{Id128{{8}}}, 77};
  SUBCASE("it is gone on with") { resume(bench, 1, tx); }
  SUBCASE("it is asked for") {
    bench.session.write({1, OutcomeGet{tx}, bench.now + seconds{5}}, bench.now);
    bench.collect();
  }
  REQUIRE(bench.last<OutcomeGet>() != nullptr);
  bench.tell(Nack{tx, NackCode::kForbidden, "This TxId belongs to another node.", 0});
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kUnknown);
  CHECK(bench.told<WriteDone>()[0].message.find("another node") != std::string::npos);
}

TEST_CASE("session: a write of its own that is forbidden is rejected") {
  Bench bench(5);
  bench.make_live(5);
  bench.write(1);
  REQUIRE(bench.last<Write>() != nullptr);
  bench.tell(Nack{bench.last<Write>()->tx, NackCode::kForbidden, "no", 0});
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kRejected);
}

TEST_CASE("session: a new identity gives a waiting write another TxId, which is told anew") {
  Bench bench(5);
  bench.make_live(5);
  write_told(bench, 1);
  const TxId before = bench.told<TxGiven>().at(0).tx;
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  REQUIRE(bench.next_hello(seconds{2}));
  Welcome knows_more = bench.welcome(5);
  knows_more.last_counter = 1000000;
  bench.forget();
  bench.connect(knows_more);
  bench.work_all();
  if (bench.last<Hello>() == nullptr) REQUIRE(bench.next_hello(seconds{2}));
  bench.connect(bench.welcome(5));
  bench.work_all();
  REQUIRE(bench.told<TxGiven>().size() == 1);
  const TxId after = bench.told<TxGiven>()[0].tx;
  CHECK(after.node != before.node);
  release(bench, before);
  CHECK(bench.last<Write>() == nullptr);
  release(bench, after);
  REQUIRE(bench.last<Write>() != nullptr);
  CHECK(bench.last<Write>()->tx == after);
}

}  // namespace csa::session_handover_test
