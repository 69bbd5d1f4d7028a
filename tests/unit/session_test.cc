#include "node/session.h"

#include <doctest/doctest.h>

#include "tests/unit/session_bench.h"

namespace csa::session_test {

using namespace session_bench;
using States = std::vector<NodeState>;

TEST_CASE("session: with a replica it catches up from the log and is live when all is applied") {
  Bench bench(5);
  bench.start();
  CHECK(bench.states() == States{NodeState::kSearching, NodeState::kGreeting});
  CHECK(bench.last<LogGet>() == nullptr);
  bench.connect(bench.welcome(7));
  REQUIRE(bench.last<LogGet>() != nullptr);
  CHECK(bench.last<LogGet>()->after == at(5));
  CHECK(bench.state() == NodeState::kCatchingUp);
  const std::uint64_t request = bench.last<LogGet>()->request;
  bench.tell(LogSlice{request, at(7), Seq{1}, {piece(6), piece(7)}});
  CHECK(bench.state() == NodeState::kCatchingUp);  // not yet in the replica
  bench.work_all();
  CHECK(bench.state() == NodeState::kLive);
  CHECK(bench.session.view().position == at(7));
  CHECK(bench.session.view().head == Seq{7});
  CHECK(bench.session.view().broker_hostname == "office");
  REQUIRE(bench.told<TablesChanged>().size() == 1);
  CHECK(bench.told<TablesChanged>()[0].position == at(7));
  CHECK(bench.jobs_of<RememberEndpoint>() == 1);
  REQUIRE(bench.last<Ping>() != nullptr);  // the broker hears of it at once
  CHECK(bench.last<Ping>()->state == NodeState::kLive);
  CHECK(bench.last<Ping>()->position == at(7));
}

TEST_CASE("session: updates are applied as they come, one job at a time") {
  Bench bench(5);
  bench.make_live(5);
  bench.tell(Update{at(6), {piece(6)}});
  bench.tell(Update{at(7), {piece(7)}});
  const auto job = bench.session.take_job();
  REQUIRE(job.has_value());
  CHECK(std::get<ApplyPieces>(*job).pieces.size() == 2);
  bench.tell(Update{at(8), {piece(8)}});
  CHECK_FALSE(bench.session.take_job().has_value());
  bench.replica.position = at(7);
  bench.session.on_applied(Applied{bench.replica, {}, false}, bench.now);
  bench.work_all();
  CHECK(bench.replica.position == at(8));
  CHECK(bench.state() == NodeState::kLive);
}

TEST_CASE("session: no broker within the discovery timeout, standalone, and the search goes on") {
  Bench bench(5);
  bench.start();
  bench.advance(milliseconds{1999});
  CHECK(bench.state() != NodeState::kStandalone);
  bench.advance(milliseconds{1});
  CHECK(bench.state() == NodeState::kStandalone);
  CHECK(has(bench.why(), "a:5775"));
  bench.forget();
  REQUIRE(bench.next_hello(seconds{20}));
  CHECK(bench.states().empty());  // attempts are no news
  bench.connect(bench.welcome(5));
  bench.answer_log(5);
  CHECK(bench.states() == States{NodeState::kCatchingUp, NodeState::kLive});
}

TEST_CASE("session: link lost, standalone at once, live again") {
  Bench bench(5);
  bench.make_live(5);
  bench.session.on_disconnected("connection reset", bench.now);
  bench.collect();
  REQUIRE_FALSE(bench.states().empty());
  CHECK(bench.states()[0] == NodeState::kStandalone);
  CHECK(has(bench.told<StateChanged>()[0].why, "connection reset"));
  bench.advance(seconds{2});
  CHECK(bench.state() == NodeState::kStandalone);
  REQUIRE(bench.next_hello(seconds{20}));
  CHECK(bench.last<Hello>()->position == at(5));
  bench.connect(bench.welcome(6));
  bench.answer_log(6);
  CHECK(bench.state() == NodeState::kLive);
}

TEST_CASE("session: the apply under way when the link died is waited for before the log is asked") {
  Bench bench(5);
  bench.make_live(5);
  bench.tell(Update{at(6), {piece(6)}});
  REQUIRE(bench.session.take_job().has_value());
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  if (bench.last<Hello>() == nullptr) REQUIRE(bench.next_hello(seconds{2}));
  bench.connect(bench.welcome(7));
  CHECK(bench.last<LogGet>() == nullptr);
  bench.replica.position = at(6);
  bench.session.on_applied(Applied{bench.replica, {}, false}, bench.now);
  bench.collect();
  REQUIRE(bench.last<LogGet>() != nullptr);
  CHECK(bench.last<LogGet>()->after == at(6));
  bench.answer_log(7);
  CHECK(bench.state() == NodeState::kLive);
}

TEST_CASE("session: stop on disconnect ends it with exit code 8, but only after live") {
  Bench bench(5, true);
  bench.start();
  bench.connect(bench.welcome(5));
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  CHECK(bench.told<Stopped>().empty());
  REQUIRE(bench.next_hello(seconds{5}));
  bench.connect(bench.welcome(5));
  bench.answer_log(5);
  REQUIRE(bench.state() == NodeState::kLive);
  bench.write(1);
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  REQUIRE(bench.told<Stopped>().size() == 1);
  CHECK(bench.told<Stopped>()[0].exit_code == 8);
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kUnknown);
  CHECK(bench.session.deadline() == TimePoint::max());
}

TEST_CASE("session: leave says GOODBYE, answers every write, stops with 0") {
  Bench bench(5);
  bench.make_live(5);
  bench.write(1);
  bench.write(2);
  const auto sent = bench.all<Write>();
  REQUIRE(sent.size() == 2);
  Ack ack;
  ack.tx = sent[0].tx;
  ack.seq = Seq{6};
  bench.tell(ack);
  bench.session.leave("the program ends", bench.now);
  bench.collect();
  CHECK(bench.last<Goodbye>() != nullptr);
  const auto done = bench.told<WriteDone>();
  REQUIRE(done.size() == 2);
  CHECK(done[0].status == WriteStatus::kCommitted);
  CHECK_FALSE(done[0].visible);
  CHECK(done[1].status == WriteStatus::kUnknown);
  REQUIRE(bench.told<Stopped>().size() == 1);
  CHECK(bench.told<Stopped>()[0].exit_code == 0);
  CHECK(bench.state() == NodeState::kLeaving);
  bench.forget();
  bench.write(3);
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kNoBroker);
  bench.tell(Update{at(6), {piece(6)}});
  CHECK_FALSE(bench.session.take_job().has_value());
}

TEST_CASE("session: REFUSED is a state with the broker's words, writes get them too") {
  Bench bench(5);
  bench.start();
  bench.tell(Refused{RefusalCode::kAppVersion, "this group runs version 2"});
  CHECK(bench.state() == NodeState::kRefused);
  CHECK(has(bench.why(), "this group runs version 2"));
  bench.write(1);
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kNoBroker);
  CHECK(has(bench.told<WriteDone>()[0].message, "this group runs version 2"));
  bench.forget();
  REQUIRE(bench.next_hello(seconds{11}));
  CHECK(bench.states().empty());
  bench.connect(bench.welcome(5));
  bench.answer_log(5);
  CHECK(bench.state() == NodeState::kLive);
}

TEST_CASE("session: a broker of another database is refused here, both are named") {
  Bench bench(5);
  bench.start();
  Welcome other = bench.welcome(5);
  other.db = DbId{Id128{{77}}};
  bench.forget();
  bench.connect(other);
  CHECK(bench.states() == States{NodeState::kRefused});
  CHECK(has(bench.why(), to_string(kDb)));
  CHECK(has(bench.why(), to_string(other.db)));
  CHECK(has(bench.why(), "--replica"));
  CHECK(bench.last<LogGet>() == nullptr);
  CHECK(bench.last<SnapshotGet>() == nullptr);
}

TEST_CASE("session: a lower generation than the replica has followed is never followed") {
  Bench bench(5);
  bench.start();
  Welcome later = bench.welcome(5);
  later.head.epoch = {4, Id128{{44}}};
  bench.connect(later);
  bench.replica.position = later.head;
  bench.replica.generation_seen = 4;
  const LogGet* get = bench.last<LogGet>();
  REQUIRE(get != nullptr);
  bench.tell(LogGone{get->request, later.head, Seq{1}, "another history"});
  bench.tell(SnapshotChunk{kSnapshot, 0, 0, {}});
  bench.work_all();
  bench.tell(SnapshotEnd{kSnapshot, 0, {}, later.head});
  bench.work_all();
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  REQUIRE(bench.next_hello(seconds{5}));
  CHECK(bench.last<Hello>()->generation_seen == 4);
  CHECK(bench.last<Hello>()->followed_at == "a:5775");
  bench.connect(bench.welcome(5));
  CHECK(bench.state() == NodeState::kStandalone);
  CHECK(has(bench.why(), "old"));
}

TEST_CASE("session: refused by an old broker, works on standalone and finds the newer one") {
  const Refused old{RefusalCode::kGeneration, "An old broker"};
  Bench bench(5, false, {{"a", 5775}, {"b", 5775}});
  bench.start();
  bench.tell(old);
  CHECK(bench.all<Hello>().size() == 2);  // to the other one, at once
  bench.forget();
  bench.session.on_disconnected("nobody there", bench.now);
  // One call waits for the end of the search, the next is made at once.
  bench.write(1);
  for (int i = 0; i < 100 && bench.state() != NodeState::kStandalone; ++i) {
    bench.advance(milliseconds{50});
    if (bench.last<Hello>() != nullptr) bench.tell(old);
    bench.messages.clear();
  }
  REQUIRE(bench.state() == NodeState::kStandalone);
  CHECK(has(bench.why(), "An old broker"));
  bench.work_all();
  bench.write(2);
  REQUIRE(bench.told<WriteDone>().size() == 2);
  for (const WriteDone& done : bench.told<WriteDone>()) {
    CHECK(done.status == WriteStatus::kJournaled);
  }
  // Told once, however often it is met.
  bench.forget();
  for (int i = 0; i < 20; ++i) {
    REQUIRE(bench.next_hello(seconds{10}));
    bench.tell(old);
  }
  CHECK(bench.told<StateChanged>().size() <= 1);
  CHECK(bench.states() == std::vector(bench.states().size(), NodeState::kStandalone));
  REQUIRE(bench.next_hello(seconds{10}));
  bench.connect(bench.welcome(5));
  CHECK(bench.state() == NodeState::kReplaying);
  bench.work_all();
  CHECK(bench.all<Replay>().size() == 2);
}

}  // namespace csa::session_test
