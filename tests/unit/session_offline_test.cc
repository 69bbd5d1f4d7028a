// Session: work without a broker, and the way back.
#include <doctest/doctest.h>

#include "common/codec.h"
#include "node/session.h"
#include "tests/unit/session_bench.h"

namespace csa::session_offline_test {

using namespace session_bench;

namespace {

// Live at `seq`, then the link is lost and `writes` calls are made.
void go_offline(Bench& bench, int writes, std::uint64_t seq = 5) {
  bench.make_live(seq);
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  for (int i = 0; i < writes; ++i) bench.write(static_cast<std::uint64_t>(i) + 1);
  REQUIRE(bench.replica.journal.waiting == static_cast<std::uint64_t>(writes));
}

void come_back(Bench& bench, std::uint64_t head) {
  bench.messages.clear();
  REQUIRE(bench.next_hello(seconds{20}));
  bench.forget();
  bench.connect(bench.welcome(head));
  bench.work_all();
}

// Answers every REPLAY that came out with an outcome at `seq`.
void answer_replays(Bench& bench, std::uint64_t seq, ReplayResult result = ReplayResult::kApplied) {
  const auto replays = bench.all<Replay>();
  bench.messages.clear();
  for (const Replay& replay : replays) {
    bench.tell(Replayed{replay.header.tx, result, replay.header.size, Seq{seq}, {}, {}});
  }
  bench.work_all();
}

}  // namespace

TEST_CASE("session: on return the journal goes first, then one step to the log, then live") {
  Bench bench(5);
  go_offline(bench, 3);
  come_back(bench, 7);
  CHECK(bench.state() == NodeState::kReplaying);
  REQUIRE(bench.all<Replay>().size() == 3);
  CHECK(bench.all<Replay>()[2].previous == bench.all<Replay>()[1].header.tx.counter);
  const LogGet get = *bench.last<LogGet>();
  CHECK(get.after == at(5));
  answer_replays(bench, 10);
  CHECK(bench.jobs_of<TakeOver>() == 0);  // the log is not here yet
  LogSlice slice{get.request, at(10), Seq{1}, {}};
  for (std::uint64_t seq = 6; seq <= 10; ++seq) slice.pieces.push_back(piece(seq));
  bench.tell(std::move(slice));
  bench.work_all();
  CHECK(bench.jobs_of<SpoolPieces>() > 0);
  CHECK(bench.jobs_of<ApplyPieces>() == 0);
  CHECK(bench.jobs_of<TakeOver>() == 1);
  CHECK(bench.replica.position == at(10));
  bench.answer_log(10);
  CHECK(bench.state() == NodeState::kLive);
  CHECK(bench.told<OutcomeTold>().size() == 3);
}

TEST_CASE("session: outcomes that the broker likely has are fetched before anything else") {
  Bench bench(5);
  bench.start();
  bench.advance(seconds{3});
  for (std::uint64_t call = 1; call <= 3; ++call) bench.write(call);
  bench.messages.clear();
  REQUIRE(bench.next_hello(seconds{20}));
  bench.forget();
  bench.jobs.clear();
  Welcome knows = bench.welcome(8);
  knows.last_counter = bench.replica.journal.last;
  bench.connect(knows);
  bench.work_all();
  CHECK(bench.all<Replay>().size() == 3);
  CHECK(bench.last<LogGet>() == nullptr);
  CHECK(bench.jobs_of<RememberEndpoint>() == 0);
  CHECK(bench.jobs_of<RememberClock>() == 0);
  CHECK(bench.jobs_of<HandOverAnew>() == 0);  // nothing was answered before
  answer_replays(bench, 8);
  CHECK(bench.replica.journal.waiting == 0);
  CHECK(bench.jobs_of<RememberEndpoint>() == 1);
  CHECK(bench.last<LogGet>() != nullptr);
  bench.answer_log(8);
  CHECK(bench.jobs_of<TakeOver>() == 1);
}

TEST_CASE("session: a master with another history gets the whole journal, answered or not") {
  Bench bench(5);
  go_offline(bench, 2);
  come_back(bench, 90);
  const auto sent = bench.all<Replay>();
  REQUIRE(sent.size() == 2);
  bench.messages.clear();
  bench.tell(Replayed{sent[0].header.tx, ReplayResult::kApplied, 4, Seq{95}, {}, {}});
  bench.work_all();
  REQUIRE(bench.replica.journal.waiting == 1);
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  // What answered is gone; a broker that was restored from elsewhere stands at a lower Seq.
  bench.messages.clear();
  REQUIRE(bench.next_hello(seconds{20}));
  bench.forget();
  Welcome restored = bench.welcome(7);
  restored.head.epoch = Epoch{restored.head.epoch.generation + 1, Id128{{42}}};
  bench.connect(restored);
  bench.work_all();
  CHECK(bench.all<Replay>().size() == 2);
  CHECK(bench.replica.journal.answered_to == Seq{});
  answer_replays(bench, 9);
  CHECK(bench.replica.journal.waiting == 0);
  CHECK(bench.replica.journal.answered_to == Seq{9});
}

TEST_CASE("session: the step is not taken before the log has reached the replay's last Seq") {
  Bench bench(5);
  go_offline(bench, 1);
  come_back(bench, 7);
  bench.answer_log(7);
  answer_replays(bench, 8);
  CHECK(bench.jobs_of<TakeOver>() == 0);
  bench.tell(Update{at(8), {piece(8)}});
  bench.work_all();
  CHECK(bench.jobs_of<TakeOver>() == 1);
}

TEST_CASE("session: handed over, the log is asked for what it has of it without a wait") {
  Bench bench(5);
  go_offline(bench, 1);
  come_back(bench, 5);
  bench.answer_log(5);
  answer_replays(bench, 6);
  REQUIRE(bench.last<LogGet>() != nullptr);
  CHECK(bench.last<LogGet>()->after == at(5));
  bench.answer_log(6);
  CHECK(bench.jobs_of<TakeOver>() == 1);
}

TEST_CASE("session: a write made while the last entries are handed over goes to the broker") {
  Bench bench(5);
  go_offline(bench, 1);
  come_back(bench, 5);
  bench.write(9);
  CHECK(bench.made_offline.size() == 1);
  CHECK(bench.last<Write>() == nullptr);  // held: it must not overtake the journal
  answer_replays(bench, 6);
  CHECK(bench.last<Write>() != nullptr);
}

TEST_CASE("session: committed but not here yet, link lost, it is made here before what follows") {
  Bench bench(5);
  bench.make_live(5);
  bench.write(1);
  const Write sent = *bench.last<Write>();
  Ack ack;
  ack.tx = sent.tx;
  ack.seq = Seq{6};
  bench.tell(ack);
  CHECK(bench.told<WriteDone>().empty());
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  bench.write(2);
  REQUIRE(bench.made_offline.size() == 2);
  CHECK(bench.made_offline[0].write.tx == sent.tx);
  CHECK(bench.made_offline[0].request_hash == request_hash(sent));
  const auto done = bench.told<WriteDone>();
  REQUIRE(done.size() == 2);
  CHECK(done[0].status == WriteStatus::kCommitted);
  CHECK(done[0].visible);
  CHECK(done[0].ack.seq == Seq{6});
  CHECK(done[1].status == WriteStatus::kJournaled);
}

TEST_CASE("session: while much is handed over, writes are journaled behind") {
  Bench bench(5);
  go_offline(bench, 100);
  come_back(bench, 5);
  bench.write(900);
  CHECK(bench.made_offline.size() == 101);
  CHECK(bench.last<Write>() == nullptr);
  for (std::uint64_t seq = 6; bench.replica.journal.waiting > 0 && seq < 300; ++seq) {
    answer_replays(bench, 6);
  }
  CHECK(bench.replica.journal.waiting == 0);
  CHECK(bench.answered.size() == 101);
}

TEST_CASE("session: link lost during the replay, it begins again with the last answered entry") {
  Bench bench(5);
  go_offline(bench, 3);
  come_back(bench, 5);
  const auto replays = bench.all<Replay>();
  REQUIRE(replays.size() == 3);
  bench.tell(Replayed{replays[0].header.tx, ReplayResult::kApplied, 4, Seq{6}, {}, {}});
  bench.work_all();
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  CHECK(bench.state() == NodeState::kStandalone);
  come_back(bench, 6);
  const auto again = bench.all<Replay>();
  REQUIRE(again.size() == 3);
  CHECK(again[0].header.tx == replays[0].header.tx);
  bench.tell(Replayed{replays[0].header.tx, ReplayResult::kApplied, 4, Seq{6}, {}, {}});
  bench.tell(Replayed{replays[1].header.tx, ReplayResult::kApplied, 4, Seq{7}, {}, {}});
  bench.work_all();
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  come_back(bench, 7);
  REQUIRE(bench.all<Replay>().size() == 2);
  CHECK(bench.all<Replay>()[0].header.tx == replays[1].header.tx);
}

TEST_CASE("session: an older state of the master took the answers back, nothing is given up") {
  Bench bench(5);
  go_offline(bench, 3);
  come_back(bench, 5);
  answer_replays(bench, 8);
  REQUIRE(bench.replica.journal.waiting == 0);
  REQUIRE(bench.jobs_of<TakeOver>() == 0);  // the log did not come
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  // The same history, but 6 to 8 are others' there.
  come_back(bench, 9);
  bench.answer_log(9);
  CHECK(bench.jobs_of<TakeOver>() == 0);
  for (int time = 0; time < 2; ++time) {
    const std::vector<Replay> probe = bench.all<Replay>();
    REQUIRE(probe.size() == 1);
    bench.messages.clear();
    bench.tell(Replayed{probe[0].header.tx, ReplayResult::kAgain, 0, {}, {}, {}});
    bench.advance(milliseconds{100});
    bench.work_all();
    bench.advance(milliseconds{100});
  }
  CHECK(bench.all<Replay>().size() == 3);
  CHECK(bench.jobs_of<TakeOver>() == 0);
  answer_replays(bench, 12);
  CHECK(bench.replica.journal.waiting == 0);
  CHECK(bench.replica.journal.answered_to == Seq{12});
  CHECK(bench.jobs_of<TakeOver>() == 0);
}

TEST_CASE("session: the log does not reach back, the copy waits for the journal's outcomes") {
  Bench bench(5);
  go_offline(bench, 2);
  come_back(bench, 50);
  bench.tell(LogGone{bench.last<LogGet>()->request, at(50), Seq{40}, "too old"});
  bench.work_all();
  CHECK(bench.last<SnapshotGet>() == nullptr);
  answer_replays(bench, 52);
  REQUIRE(bench.last<SnapshotGet>() != nullptr);
  CHECK(bench.last<SnapshotGet>()->at_least == Seq{52});
}

TEST_CASE("session: keys were changed, calls that were held look again") {
  Bench bench(5);
  go_offline(bench, 1);
  come_back(bench, 5);
  bench.write(9);
  bench.events.clear();
  const Replay replay = *bench.last<Replay>();
  bench.tell(Replayed{replay.header.tx, ReplayResult::kApplied, 4, Seq{6}, {}, {{"part", 4, 5}}});
  bench.work_all();
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].call == 9);
  CHECK(bench.told<WriteDone>()[0].nack.code == NackCode::kBusy);
}

TEST_CASE("session: a journal that is left from before is handed over at the first link") {
  Bench bench(5);
  OfflineWrite made;
  made.write.tx = {kNode, 50};
  bench.made_offline.push_back(made);
  bench.replica.journal = {1, 1, 50, 50, {}, false};
  Session session(Bench::config(false, {{"a", 5775}}), bench.replica, bench.log);
  session.start(bench.now);
  CHECK(session.view().pending == 1);
}

TEST_CASE("session: outcomes of journaled writes are not confirmed before they are handed over") {
  Bench bench(5);
  go_offline(bench, 1);
  REQUIRE(bench.next_hello(seconds{20}));
  CHECK(bench.last<Hello>()->confirmed < bench.replica.journal.first);
}

TEST_CASE("session: of two that know their TxIds the later one is faster, both are journaled") {
  Bench bench(5);
  bench.make_live(5);
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  for (const std::uint64_t call : {1U, 2U}) {
    bench.session.write(
        {call, Write{{}, "UPDATE part SET qty = 1", {}, {}}, bench.now + seconds{30}, true},
        bench.now);
  }
  bench.work_all();
  bench.collect();
  REQUIRE(bench.told<TxGiven>().size() == 2);
  const TxId first = bench.told<TxGiven>()[0].tx;
  bench.session.release(bench.told<TxGiven>()[1].tx, bench.now);
  bench.work_all();
  bench.session.release(first, bench.now);
  bench.work_all();
  bench.collect();
  REQUIRE(bench.told<TxGiven>().size() == 3);
  CHECK(bench.told<TxGiven>()[2].call == 1);
  bench.session.release(bench.told<TxGiven>()[2].tx, bench.now);
  bench.work_all();
  REQUIRE(bench.made_offline.size() == 2);
  CHECK(bench.made_offline[0].write.tx.counter < bench.made_offline[1].write.tx.counter);
  bench.collect();
  REQUIRE(bench.told<WriteDone>().size() == 2);
  CHECK(bench.told<WriteDone>()[1].call == 1);
  CHECK(bench.told<WriteDone>()[1].status == WriteStatus::kJournaled);
  CHECK(bench.told<WriteDone>()[1].tx != first);
}

TEST_CASE("session: the replica shows that the TxId is used, the write is made under another one") {
  Bench bench(5);
  bench.make_live(5);
  bench.session.on_disconnected("reset", bench.now);
  bench.session.write({1, Write{{}, "UPDATE part SET qty = 1", {}, {}}, bench.now + seconds{30}},
                      bench.now);
  while (true) {
    const std::optional<StoreJob> job = bench.session.take_job();
    REQUIRE(job.has_value());
    if (std::holds_alternative<ReserveCounters>(*job)) {
      bench.session.on_counters(bench.replica.counter += limits::kCounterBlock, bench.now);
      continue;
    }
    if (!std::holds_alternative<JournalWrite>(*job)) continue;
    OfflineDone done;
    done.state = bench.replica;
    done.answer = Nack{std::get<JournalWrite>(*job).write.write.tx, NackCode::kMismatch,
                       "another write has this TxId", 0};
    bench.session.on_journaled(std::move(done), bench.now);
    bench.collect();
    break;
  }
  CHECK(bench.told<WriteDone>().empty());
  bench.work_all();
  REQUIRE(bench.made_offline.size() == 1);
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].status == WriteStatus::kJournaled);
  CHECK(bench.jobs_of<ReserveCounters>() == 1);
}

TEST_CASE("session: an outcome at a Seq that cannot be is not marked, the entry goes again") {
  Bench bench(5);
  go_offline(bench, 1);
  come_back(bench, 7);
  bench.answer_log(7);
  answer_replays(bench, std::uint64_t{1} << 60U);
  CHECK(bench.replica.journal.waiting == 1);
  CHECK(bench.told<OutcomeTold>().empty());
  CHECK(has(bench.why(), "tried again"));
  bench.advance_connected(seconds{10}, 7);
  bench.work_all();
  bench.advance_connected(seconds{1}, 7);
  REQUIRE_FALSE(bench.all<Replay>().empty());
  answer_replays(bench, 7);
  CHECK(bench.jobs_of<TakeOver>() == 1);
}

TEST_CASE("session: the outcome cannot be marked in a damaged journal, a person decides") {
  Bench bench(5);
  go_offline(bench, 1);
  come_back(bench, 5);
  const Replay sent = bench.all<Replay>().at(0);
  bench.session.on_message(
      Replayed{sent.header.tx, ReplayResult::kApplied, sent.header.size, Seq{6}, {}, {}},
      bench.now);
  const std::optional<StoreJob> job = bench.session.take_job();
  REQUIRE(job.has_value());
  REQUIRE(std::holds_alternative<MarkAnswered>(*job));
  bench.session.on_store_failed(Error{Errc::kDamaged, "its page is damaged"}, false, bench.now);
  bench.collect();
  CHECK(bench.state() == NodeState::kRefused);
  CHECK(has(bench.why(), "its page is damaged"));
}

}  // namespace csa::session_offline_test
