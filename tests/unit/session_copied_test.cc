// Session: TxIds that a copy of the replica has used, an older state of its file, or its journal.
#include <doctest/doctest.h>

#include "node/session.h"
#include "tests/unit/session_bench.h"

namespace csa::session_copied_test {

using namespace session_bench;

TEST_CASE("session: the broker knows higher counters, a new NodeId, then a new greeting") {
  Bench bench(5);
  bench.start();
  Welcome copied = bench.welcome(5);
  copied.last_counter = 101;
  bench.connect(copied);
  CHECK(bench.last<LogGet>() == nullptr);
  bench.forget();
  bench.work_all();
  CHECK(bench.jobs_of<RenewIdentity>() == 1);
  CHECK(bench.replica.counter == 101);  // whoever is new begins above what the broker has forgotten
  if (bench.last<Hello>() == nullptr) REQUIRE(bench.next_hello(seconds{2}));
  CHECK(bench.last<Hello>()->node == bench.replica.node);
  CHECK(bench.last<Hello>()->node != kNode);
  bench.connect(bench.welcome(5));
  bench.answer_log(5);
  CHECK(bench.state() == NodeState::kLive);

  // A broker that says so always is refused, not obeyed in a loop.
  bench.forget();
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  if (bench.last<Hello>() == nullptr) REQUIRE(bench.next_hello(seconds{2}));
  copied.last_counter = 5000;
  bench.connect(copied);
  bench.work_all();
  CHECK(bench.jobs_of<RenewIdentity>() == 1);
  CHECK(bench.state() == NodeState::kRefused);
}

TEST_CASE("session: set back, journaled, then the broker knows more than is given: a new NodeId") {
  Bench bench(5);
  bench.start();
  bench.advance(seconds{3});
  bench.write(1);
  REQUIRE(bench.made_offline.size() == 1);
  const std::uint64_t given = bench.made_offline[0].write.tx.counter;
  REQUIRE(bench.replica.counter > given + 5);  // as many are reserved
  bench.messages.clear();
  REQUIRE(bench.next_hello(seconds{20}));
  bench.forget();
  Welcome welcome = bench.welcome(5);
  SUBCASE("its own writes") {
    welcome.last_counter = given;
    bench.connect(welcome);
    bench.work_all();
    CHECK(bench.jobs_of<RenewIdentity>() == 0);
    CHECK(bench.all<Replay>().size() == 1);
  }
  SUBCASE("those of its first life") {
    welcome.last_counter = given + 5;
    bench.connect(welcome);
    bench.write(2);
    bench.work_all();
    CHECK(bench.jobs_of<RenewIdentity>() == 1);
    CHECK(bench.all<Write>().empty());  // it would be answered with another's outcome
  }
}

TEST_CASE("session: a TxId that another write has used is taken back, the write gets another one") {
  Bench bench(5);
  bench.make_live(5);
  bench.write(1);
  const TxId used = bench.last<Write>()->tx;
  bench.messages.clear();
  bench.tell(Nack{used, NackCode::kMismatch, "another write", 0});
  CHECK(bench.told<WriteDone>().empty());
  bench.work_all();
  const std::uint64_t fresh = bench.replica.counter - limits::kCounterBlock + 1;
  CHECK(bench.jobs_of<ReserveCounters>() == 2);  // the next ones may be used too
  CHECK(fresh > used.counter + 1);
  SUBCASE("online") {
    bench.advance_connected(seconds{1}, 5);
    REQUIRE(bench.all<Write>().size() == 1);
    CHECK(bench.last<Write>()->tx == TxId{kNode, fresh});
  }
  SUBCASE("the link is lost") {
    bench.session.on_disconnected("reset", bench.now);
    bench.collect();
    bench.work_all();
    REQUIRE(bench.made_offline.size() == 1);
    CHECK(bench.made_offline[0].write.tx == TxId{kNode, fresh});
    CHECK(bench.made_offline[0].request_hash.is_zero());
  }
}

TEST_CASE("session: a TxId that is EXPIRED at its first sending leads to a new identity") {
  Bench bench(5);
  bench.make_live(5);
  bench.write(1);
  const TxId before = bench.last<Write>()->tx;
  bench.messages.clear();
  bench.tell(Nack{before, NackCode::kExpired, "below the floor", 0});
  CHECK(bench.told<WriteDone>().empty());
  bench.work_all();
  CHECK(bench.jobs_of<RenewIdentity>() == 1);
  // The link ended with the old identity, so the write is made here meanwhile.
  REQUIRE(bench.made_offline.size() == 1);
  CHECK(bench.made_offline[0].write.tx.node == bench.replica.node);
  CHECK(bench.made_offline[0].write.tx.node != before.node);
  CHECK(bench.made_offline[0].request_hash.is_zero());
}

TEST_CASE("session: sent before, then MISMATCH, unknown: it may be there by the journal") {
  Bench bench(5);
  bench.make_live(5);
  SUBCASE("by a program that has ended") {
    bench.session.write(
        {1, Write{{kNode, 90}, "UPDATE part SET qty = 1", {}, {}}, bench.now + seconds{30}},
        bench.now);
  }
  SUBCASE("over an earlier link") {
    bench.write(1);
    bench.session.on_disconnected("reset", bench.now);
    bench.collect();
    if (bench.last<Hello>() == nullptr) REQUIRE(bench.next_hello(seconds{2}));
    bench.messages.clear();
    bench.connect(bench.welcome(5));
    bench.answer_log(5);
  }
  bench.collect();
  bench.work_all();
  REQUIRE(bench.last<Write>() != nullptr);
  const TxId tx = bench.last<Write>()->tx;
  bench.tell(Nack{tx, NackCode::kMismatch, "another write", 0});
  REQUIRE(bench.told<WriteDone>().size() == 1);
  const WriteDone done = bench.told<WriteDone>()[0];
  CHECK(done.status == WriteStatus::kUnknown);
  CHECK(done.tx == tx);
  CHECK(done.message.find("csa-node outcome " + to_string(tx)) != std::string::npos);
}

}  // namespace csa::session_copied_test
