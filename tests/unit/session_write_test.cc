// Session: the application's writes.
#include <doctest/doctest.h>

#include <set>

#include "node/session.h"
#include "tests/unit/session_bench.h"

namespace csa::session_write_test {

using namespace session_bench;

namespace {

Ack ack_for(const TxId& tx, std::uint64_t seq) {
  Ack ack;
  ack.tx = tx;
  ack.seq = Seq{seq};
  ack.changes = 1;
  return ack;
}

void reconnect(Bench& bench, std::uint64_t head) {
  bench.messages.clear();
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  if (bench.last<Hello>() == nullptr) REQUIRE(bench.next_hello(seconds{2}));
  bench.messages.clear();
  bench.connect(bench.welcome(head));
}

}  // namespace

TEST_CASE("session: counters are reserved before the first write, and again when used up") {
  Bench bench(5);
  bench.make_live(5);
  CHECK(bench.jobs_of<ReserveCounters>() == 0);
  bench.write(1);
  CHECK(bench.jobs_of<ReserveCounters>() == 1);
  REQUIRE(bench.last<Write>() != nullptr);
  CHECK(bench.last<Write>()->tx == TxId{kNode, 101});
  std::set<TxId> used{bench.last<Write>()->tx};
  for (std::uint64_t call = 2; call <= 1500; ++call) {
    bench.messages.clear();
    bench.write(call);
    REQUIRE(bench.last<Write>() != nullptr);
    CHECK(used.insert(bench.last<Write>()->tx).second);
    CHECK(bench.last<Write>()->tx.counter <= bench.replica.counter);
  }
  CHECK(bench.jobs_of<ReserveCounters>() == 2);
}

TEST_CASE("session: a write is done when it is acknowledged and visible here") {
  Bench bench(5);
  bench.make_live(5);
  bench.write(1);
  const TxId tx = bench.last<Write>()->tx;
  bench.tell(ack_for(tx, 6));
  CHECK(bench.told<WriteDone>().empty());
  bench.tell(Update{at(6), {piece(6)}});
  CHECK(bench.told<WriteDone>().empty());
  bench.work_all();
  REQUIRE(bench.told<WriteDone>().size() == 1);
  const WriteDone done = bench.told<WriteDone>()[0];
  CHECK(done.status == WriteStatus::kCommitted);
  CHECK(done.visible);
  CHECK(done.tx == tx);
  CHECK(done.ack.changes == 1);
  bench.forget();
  bench.write(2);  // nothing changed: visible at the present head
  bench.tell(ack_for(bench.last<Write>()->tx, 6));
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].visible);
}

TEST_CASE("session: acknowledged but not visible by the deadline, committed all the same") {
  Bench bench(5);
  bench.make_live(5);
  bench.write(1, seconds{3});
  bench.tell(ack_for(bench.last<Write>()->tx, 6));
  bench.advance_connected(seconds{3}, 5);
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kCommitted);
  CHECK_FALSE(bench.told<WriteDone>()[0].visible);
}

TEST_CASE("session: a rejection is an outcome, BUSY is none and is sent again") {
  Bench bench(5);
  bench.make_live(5);
  bench.write(1);
  bench.tell(Nack{bench.last<Write>()->tx, NackCode::kConstraint, "UNIQUE part.name", 2});
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kRejected);
  CHECK(bench.told<WriteDone>()[0].nack.message == "UNIQUE part.name");
  bench.forget();
  bench.write(2, seconds{3});
  const TxId tx = bench.last<Write>()->tx;
  bench.messages.clear();
  bench.tell(Nack{tx, NackCode::kBusy, "too many writes wait", 0});
  CHECK(bench.told<WriteDone>().empty());
  CHECK(bench.all<Write>().empty());
  bench.advance_connected(milliseconds{500}, 5);
  REQUIRE(bench.all<Write>().size() == 1);
  CHECK(bench.last<Write>()->tx == tx);
  bench.tell(Nack{tx, NackCode::kBusy, "too many writes wait", 0});
  bench.tell(Nack{tx, NackCode::kBusy, "too many writes wait", 0});  // twice changes nothing
  while (bench.told<WriteDone>().empty()) {
    bench.advance_connected(milliseconds{100}, 5);
    if (!bench.all<Write>().empty())
      bench.tell(Nack{tx, NackCode::kBusy, "too many writes wait", 0});
    REQUIRE(bench.now < kStart + seconds{10});
  }
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kRejected);
  CHECK(bench.told<WriteDone>()[0].nack.code == NackCode::kBusy);
}

TEST_CASE(
    "session: a write has one nonce however often it is sent, none where no broker takes it") {
  for (const bool taken : {true, false}) {
    CAPTURE(taken);
    Bench bench(5);
    Welcome welcome = bench.welcome(5);
    welcome.nonces = taken;
    bench.start();
    bench.connect(welcome);
    bench.answer_log(5);
    bench.write(1);
    const std::uint64_t first = bench.last<Write>()->nonce;
    CHECK((first != 0) == taken);
    bench.write(2);
    CHECK((bench.last<Write>()->nonce != first) == taken);
    // By then it has a hash.
    welcome = bench.welcome(5);
    welcome.nonces = !taken;
    bench.messages.clear();
    bench.session.on_disconnected("reset", bench.now);
    bench.collect();
    if (bench.last<Hello>() == nullptr) REQUIRE(bench.next_hello(seconds{2}));
    bench.messages.clear();
    bench.connect(welcome);
    REQUIRE(!bench.all<Write>().empty());
    CHECK(bench.all<Write>()[0].nonce == first);
  }
}

TEST_CASE("session: a write tells how long it may wait, and ends as busy, not as unknown") {
  Bench bench(5);
  bench.make_live(5);
  bench.write(1, seconds{30});
  CHECK(bench.last<Write>()->wait_ms == 29000);
  bench.write(2, milliseconds{500});
  CHECK(bench.last<Write>()->wait_ms == 250);
  const TxId tx = bench.last<Write>()->tx;
  bench.messages.clear();
  bench.advance_connected(milliseconds{350}, 5);
  bench.tell(Nack{tx, NackCode::kBusy, "at work", 0});
  bench.advance_connected(milliseconds{200}, 5);
  CHECK(bench.all<Write>().empty());
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kRejected);
  CHECK(bench.told<WriteDone>()[0].nack.code == NackCode::kBusy);
}

TEST_CASE("session: it may have run before, so that BUSY at the deadline is no rejection") {
  Bench bench(5);
  bench.make_live(5);
  const TxId tx{kNode, 77};  // another process has sent it
  bench.session.write({1, Write{tx, "UPDATE part SET qty = 1", {}, {}}, bench.now + seconds{2}},
                      bench.now);
  bench.collect();
  bench.work_all();
  REQUIRE(bench.last<Write>() != nullptr);
  CHECK(bench.last<Write>()->tx == tx);
  bench.advance_connected(milliseconds{1800}, 5);
  bench.tell(Nack{tx, NackCode::kBusy, "at work", 0});
  bench.advance_connected(milliseconds{300}, 5);
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kUnknown);
}

TEST_CASE("session: without an answer it is sent again under the same TxId after a reconnect") {
  Bench bench(5);
  bench.make_live(5);
  bench.write(1);
  bench.write(2);
  const auto first = bench.all<Write>();
  reconnect(bench, 6);
  const auto again = bench.all<Write>();
  REQUIRE(again.size() == 2);
  CHECK(again[0].tx == first[0].tx);
  CHECK(again[1].tx == first[1].tx);
  CHECK(again[0].sql == first[0].sql);
  bench.answer_log(6);
  Ack ack = ack_for(first[0].tx, 6);
  ack.repeated = true;
  bench.tell(ack);
  bench.tell(ack);
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].call == 1);
  CHECK(bench.told<WriteDone>()[0].ack.repeated);
}

TEST_CASE("session: a write that waits after BUSY is sent once after a reconnect") {
  Bench bench(5);
  bench.make_live(5);
  bench.write(1);
  for (int i = 0; i < 6; ++i) {  // the wait grows beyond the reconnect
    bench.tell(Nack{bench.last<Write>()->tx, NackCode::kBusy, "full", 0});
    bench.messages.clear();
    while (bench.all<Write>().empty()) bench.advance_connected(milliseconds{100}, 5);
  }
  bench.tell(Nack{bench.last<Write>()->tx, NackCode::kBusy, "full", 0});
  reconnect(bench, 5);
  bench.answer_log(5);
  bench.advance_connected(seconds{6}, 5);
  CHECK(bench.all<Write>().size() == 1);
}

TEST_CASE("session: link lost, writes in flight and new ones are journaled in their order") {
  Bench bench(5);
  bench.make_live(5);
  bench.write(1, seconds{4});
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  bench.write(2, seconds{1});
  REQUIRE(bench.told<WriteDone>().size() == 2);
  CHECK(bench.told<WriteDone>()[0].call == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kJournaled);
  CHECK(bench.told<WriteDone>()[0].tx.counter == 101);
  CHECK(bench.told<WriteDone>()[1].call == 2);
  CHECK(bench.told<WriteDone>()[1].pending == 2);
  REQUIRE(bench.made_offline.size() == 2);
  CHECK_FALSE(bench.made_offline[0].request_hash.is_zero());  // it was sent
  CHECK(bench.made_offline[1].request_hash.is_zero());
}

TEST_CASE("session: the broker's disk is full for a write that was sent before, unknown") {
  Bench bench(5);
  bench.make_live(5);
  const TxId tx{kNode, 77};  // another process has sent it
  bench.session.write({1, Write{tx, "UPDATE part SET qty = 1", {}, {}}, bench.now + seconds{9}},
                      bench.now);
  bench.write(2, seconds{9});
  bench.work_all();
  const TxId fresh = bench.last<Write>()->tx;
  REQUIRE(fresh != tx);
  bench.tell(Nack{tx, NackCode::kLimit, "its disk is full", 0});
  bench.tell(Nack{fresh, NackCode::kLimit, "its disk is full", 0});
  REQUIRE(bench.told<WriteDone>().size() == 2);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kUnknown);
  CHECK(bench.told<WriteDone>()[1].status == WriteStatus::kRejected);
}

TEST_CASE("session: sent and no answer by the deadline, unknown") {
  Bench bench(5);
  bench.make_live(5);
  bench.write(1, seconds{2});
  bench.advance(seconds{3});
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kUnknown);
  CHECK(bench.told<WriteDone>()[0].tx.counter == 101);
}

TEST_CASE("session: during the first search a write waits for its outcome") {
  Bench bench(5);
  bench.start();
  bench.write(1);
  CHECK(bench.told<WriteDone>().empty());
  SUBCASE("a broker is found") {
    bench.connect(bench.welcome(5));
    bench.work_all();
    REQUIRE(bench.last<Write>() != nullptr);  // catching up is enough
    CHECK(bench.state() == NodeState::kCatchingUp);
  }
  SUBCASE("none is found") {
    bench.advance(seconds{2});
    bench.work_all();
    REQUIRE(bench.told<WriteDone>().size() == 1);
    CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kJournaled);
    bench.forget();
    bench.write(2);  // standalone: at once
    REQUIRE(bench.told<WriteDone>().size() == 1);
    CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kJournaled);
  }
}

TEST_CASE("session: with neither broker nor copy, a write says that it needs a broker") {
  Bench bench(std::nullopt);
  bench.start();
  bench.write(1);
  bench.advance(seconds{2});
  REQUIRE(bench.told<WriteDone>().size() == 1);
  const WriteDone done = bench.told<WriteDone>()[0];
  CHECK(done.status == WriteStatus::kNoBroker);
  CHECK(has(done.message, "a write needs a broker"));
  CHECK(has(done.message, "a:5775"));
  bench.forget();
  bench.write(2);  // standalone: at once
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kNoBroker);
}

TEST_CASE("session: a broker whose database does not answer takes no new writes") {
  Bench bench(5);
  bench.make_live(5);
  bench.write(1);
  bench.tell(Bench::beat(5, 35000));
  bench.write(2);
  CHECK(bench.told<WriteDone>().empty());
  bench.tell(Bench::beat(5, 35001));
  bench.write(3);
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].call == 3);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kNoBroker);
  CHECK(has(bench.told<WriteDone>()[0].message, "database"));
  bench.tell(Pong{1, at(5), {}, 20});
  bench.write(4);
  CHECK(bench.told<WriteDone>().size() == 1);
}

TEST_CASE("session: too many or too large writes are rejected here") {
  Bench bench(5);
  bench.start();
  for (std::uint64_t call = 1; call <= limits::kNodeWritesMax; ++call)
    bench.session.write({call, Write{{}, "x", {}, {}}, bench.now + seconds{30}}, bench.now);
  bench.collect();
  CHECK(bench.told<WriteDone>().empty());
  bench.write(20000);
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kRejected);
  CHECK(bench.told<WriteDone>()[0].nack.code == NackCode::kBusy);
  bench.forget();
  bench.session.write(
      {20001, Write{{}, std::string(limits::kWriteMax + 1, 'x'), {}, {}}, bench.now + seconds{30}},
      bench.now);
  bench.collect();
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].nack.code == NackCode::kLimit);
  bench.forget();
  bench.advance(seconds{2});
  bench.work_all();
  CHECK(bench.told<WriteDone>().size() == limits::kNodeWritesMax);  // each one is answered
}

TEST_CASE("session: confirmed follows the outcomes, and keeps those that may be asked for") {
  Bench bench(5);
  bench.make_live(5);
  const std::uint64_t kept = 8 * limits::kCounterBlock;
  for (std::uint64_t call = 1; call <= kept + 50; ++call) {
    bench.messages.clear();
    bench.write(call);
    if (call == kept + 30) continue;  // the outcome of this one stays open
    bench.tell(ack_for(bench.last<Write>()->tx, 5));
  }
  CHECK(bench.told<WriteDone>().size() == kept + 49);
  bench.messages.clear();
  bench.advance_connected(seconds{10}, 5);
  REQUIRE(bench.last<Ping>() != nullptr);
  CHECK(bench.last<Ping>()->confirmed == 100 + 29);
}

TEST_CASE("session: an outcome is asked for, also of a write that nobody here knows") {
  Bench bench(5);
  bench.make_live(5);
  const TxId tx{kNode, 7};
  for (std::uint64_t call = 1; call <= 2; ++call)
    bench.session.write({call, OutcomeGet{tx}, bench.now + seconds{5}}, bench.now);
  bench.collect();
  CHECK(bench.all<OutcomeGet>().size() == 2);
  CHECK(bench.jobs_of<ReserveCounters>() == 0);
  SUBCASE("the master has it") {
    bench.tell(ack_for(tx, 3));
    REQUIRE(bench.told<WriteDone>().size() == 2);
    CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kCommitted);
    CHECK(bench.told<WriteDone>()[0].visible);
  }
  SUBCASE("the master has none") {
    bench.tell(Nack{tx, NackCode::kUnknown, "no outcome", 0});
    REQUIRE(bench.told<WriteDone>().size() == 2);
    CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kUnknown);
    CHECK(bench.told<WriteDone>()[0].message == "no outcome");
  }
}

}  // namespace csa::session_write_test
