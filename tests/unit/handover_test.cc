#include <doctest/doctest.h>

#include "common/limits.h"
#include "node/session_handover.h"

namespace csa::handover_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const NodeId kNode{Id128{{1}}};

struct Bench {
  Handover handover{42};
  TimePoint now{seconds{1000}};

  Replay entry(std::uint64_t counter, std::uint64_t previous, std::uint64_t size = 10) const {
    Replay replay;
    replay.header.tx = {kNode, counter};
    replay.header.size = size;
    replay.first = 1;
    replay.previous = previous;
    replay.bytes.resize(size);
    return replay;
  }
  Replayed answer(std::uint64_t counter, ReplayResult result, std::uint64_t offset = 10) const {
    return {{kNode, counter}, result, offset, Seq{counter}, {}, {}};
  }
  // The journal's entries are read as the job asks for them.
  void read(std::vector<Replay> entries) {
    const std::optional<StoreJob> job = handover.take_job(now);
    REQUIRE(job);
    REQUIRE(std::holds_alternative<ReadJournal>(*job));
    handover.on_read(std::move(entries));
  }
  std::uint64_t asked_after() {
    const std::optional<StoreJob> job = handover.take_job(now);
    REQUIRE(job);
    REQUIRE(std::holds_alternative<ReadJournal>(*job));
    return std::get<ReadJournal>(*job).after;
  }
};

}  // namespace

TEST_CASE("handover: entries are sent in order, their outcomes are marked") {
  Bench b;
  b.handover.start(b.now);
  b.read({b.entry(1, 0), b.entry(2, 1)});
  const std::vector<Replay> sent = b.handover.take_requests(b.now);
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].header.tx.counter == 1);
  CHECK(sent[1].header.tx.counter == 2);
  b.handover.on_replayed(b.answer(1, ReplayResult::kApplied), b.now);
  b.handover.on_replayed(b.answer(2, ReplayResult::kParked), b.now);
  CHECK_FALSE(b.handover.all_marked());
  const std::optional<StoreJob> mark = b.handover.take_job(b.now);
  REQUIRE(mark);
  REQUIRE(std::holds_alternative<MarkAnswered>(*mark));
  CHECK(std::get<MarkAnswered>(*mark).answers.size() == 2);
  CHECK_FALSE(b.handover.all_marked());
  b.handover.on_marked();
  CHECK(b.handover.all_marked());
}

TEST_CASE("handover: never more than the window is without an answer") {
  Bench b;
  b.handover.start(b.now);
  std::vector<Replay> entries;
  for (std::uint64_t i = 1; i <= 10; ++i) entries.push_back(b.entry(i, i - 1, limits::kPieceMax));
  b.read(std::move(entries));
  std::size_t bytes = 0;
  for (const Replay& sent : b.handover.take_requests(b.now)) bytes += sent.bytes.size();
  CHECK(bytes == limits::kReplayWindow);
  CHECK(b.handover.take_requests(b.now).empty());
  b.handover.on_replayed(b.answer(1, ReplayResult::kApplied, limits::kPieceMax), b.now);
  CHECK(b.handover.take_requests(b.now).size() == 1);
}

TEST_CASE("handover: a busy broker gets the entry again after a while, nothing behind it before") {
  Bench b;
  b.handover.start(b.now);
  b.read({b.entry(1, 0), b.entry(2, 1), b.entry(3, 2)});
  CHECK(b.handover.take_requests(b.now).size() == 3);
  b.handover.on_replayed(b.answer(1, ReplayResult::kApplied), b.now);
  Replayed busy = b.answer(2, ReplayResult::kBusy);
  busy.text = "the disk is full";
  b.handover.on_replayed(busy, b.now);
  b.handover.on_replayed(b.answer(3, ReplayResult::kBusy), b.now);  // its own: not out any more
  CHECK(b.handover.trouble() == "the disk is full");
  CHECK(std::holds_alternative<MarkAnswered>(*b.handover.take_job(b.now)));
  b.handover.on_marked();
  CHECK_FALSE(b.handover.take_job(b.now));
  REQUIRE(b.handover.deadline());
  CHECK(*b.handover.deadline() > b.now);
  b.now = *b.handover.deadline();
  CHECK(b.asked_after() == 1);
  b.handover.on_read({b.entry(2, 1), b.entry(3, 2)});
  CHECK(b.handover.take_requests(b.now).size() == 2);
}

TEST_CASE("handover: an entry is refused before those ahead of it are answered, all go again") {
  Bench b;
  b.handover.start(b.now);
  b.read({b.entry(1, 0), b.entry(2, 1), b.entry(3, 2)});
  CHECK(b.handover.take_requests(b.now).size() == 3);
  // It is not queued at all, so its answer overtakes theirs.
  b.handover.on_replayed(b.answer(3, ReplayResult::kBusy), b.now);
  b.now += limits::kRetryMax;
  CHECK(b.asked_after() == 0);
  b.handover.on_read({b.entry(1, 0), b.entry(2, 1), b.entry(3, 2)});
  CHECK(b.handover.take_requests(b.now).size() == 3);
  for (std::uint64_t i = 1; i <= 3; ++i) {
    b.handover.on_replayed(b.answer(i, ReplayResult::kApplied), b.now);
  }
  const std::optional<StoreJob> mark = b.handover.take_job(b.now);
  REQUIRE(mark);
  REQUIRE(std::holds_alternative<MarkAnswered>(*mark));
  CHECK(std::get<MarkAnswered>(*mark).answers.size() == 3);
}

TEST_CASE("handover: parts give credit as they arrive; lost ones are sent from byte 0") {
  Bench b;
  b.handover.start(b.now);
  Replay first = b.entry(5, 0, 30);
  first.bytes.resize(20);
  Replay second = b.entry(5, 0, 30);
  second.offset = 20;
  second.bytes.resize(10);
  b.read({first, second});
  CHECK(b.handover.take_requests(b.now).size() == 2);
  b.handover.on_replayed(b.answer(5, ReplayResult::kMore, 20), b.now);
  b.handover.on_replayed(b.answer(5, ReplayResult::kAgain, 0), b.now);
  b.now = *b.handover.deadline();
  const std::optional<StoreJob> job = b.handover.take_job(b.now);
  REQUIRE(std::holds_alternative<ReadJournal>(*job));
  CHECK(std::get<ReadJournal>(*job).after == 0);
  CHECK(std::get<ReadJournal>(*job).offset == 0);
}

TEST_CASE("handover: what was being read when it began again is not sent") {
  Bench b;
  b.handover.start(b.now);
  b.read({b.entry(1, 0)});
  CHECK(b.handover.take_requests(b.now).size() == 1);
  CHECK(b.asked_after() == 1);  // out
  b.handover.on_replayed(b.answer(1, ReplayResult::kBusy), b.now);
  b.handover.on_read({b.entry(2, 1)});
  b.now = *b.handover.deadline();
  CHECK(b.handover.take_requests(b.now).empty());
  CHECK(b.asked_after() == 0);
}

TEST_CASE("handover: an answer that came before an older one's means that one is lost") {
  Bench b;
  b.handover.start(b.now);
  b.read({b.entry(1, 0), b.entry(2, 1), b.entry(3, 2)});
  CHECK(b.handover.take_requests(b.now).size() == 3);
  b.handover.on_replayed(b.answer(2, ReplayResult::kApplied), b.now);
  REQUIRE(b.handover.take_job(b.now));  // the outcome is marked
  b.handover.on_marked();
  CHECK(b.asked_after() == 0);  // and 1 is sent again
}

TEST_CASE("handover: silence is ended by sending again") {
  Bench b;
  b.handover.start(b.now);
  b.read({b.entry(1, 0)});
  CHECK(b.handover.take_requests(b.now).size() == 1);
  b.now = *b.handover.deadline();
  CHECK(b.handover.take_requests(b.now).empty());
  CHECK(b.asked_after() == 0);
  b.handover.on_read({b.entry(1, 0)});
  CHECK(b.handover.take_requests(b.now).size() == 1);
}

TEST_CASE("handover: outcomes that the broker likely has are asked for before entries are read") {
  Bench b;
  b.handover.start(b.now, 2);
  CHECK(b.handover.asks());
  const std::optional<StoreJob> job = b.handover.take_job(b.now);
  REQUIRE(job);
  CHECK(std::get<ReadJournal>(*job).max_bytes == 0);
  const auto question = [&](std::uint64_t counter) {
    Replay asked = b.entry(counter, counter - 1, 1000);
    asked.offset = 1;
    asked.bytes.resize(1);
    return asked;
  };
  b.handover.on_read({question(1), question(2), question(3)});
  SUBCASE("it has them: marked, and the next one goes whole") {
    const std::vector<Replay> sent = b.handover.take_requests(b.now);
    REQUIRE(sent.size() == 2);
    CHECK(sent[1].bytes.size() == 1);
    CHECK(b.asked_after() == 2);
    b.handover.on_read({b.entry(3, 2)});
    CHECK(b.handover.take_requests(b.now).size() == 1);
    b.handover.on_replayed(b.answer(1, ReplayResult::kApplied), b.now);
    b.handover.on_replayed(b.answer(2, ReplayResult::kApplied), b.now);
    CHECK(b.handover.asks());
    CHECK(std::get<MarkAnswered>(*b.handover.take_job(b.now)).answers.size() == 2);
    b.handover.on_marked();
    CHECK_FALSE(b.handover.asks());
  }
  SUBCASE("it has one of them: the other goes whole, and nothing is asked any more") {
    CHECK(b.handover.take_requests(b.now).size() == 2);
    b.handover.on_replayed(b.answer(1, ReplayResult::kApplied), b.now);
    b.handover.on_replayed(b.answer(2, ReplayResult::kAgain), b.now);
    REQUIRE(b.handover.take_job(b.now));
    b.handover.on_marked();
    b.now = *b.handover.deadline();
    const std::optional<StoreJob> whole = b.handover.take_job(b.now);
    REQUIRE(whole);
    CHECK(std::get<ReadJournal>(*whole).after == 1);
    CHECK(std::get<ReadJournal>(*whole).max_bytes > 0);
    b.handover.on_read({b.entry(2, 1)});
    CHECK(b.handover.take_requests(b.now).size() == 1);
    CHECK_FALSE(b.handover.asks());
  }
}

TEST_CASE("handover: what was sent as a write before is not asked for, it goes whole") {
  Bench b;
  b.handover.start(b.now, 5);
  REQUIRE(b.handover.take_job(b.now));
  Replay sent_before = b.entry(1, 0);
  sent_before.header.request_hash = Id128{{7}};
  b.handover.on_read({sent_before});
  CHECK(b.handover.take_requests(b.now).empty());
  const std::optional<StoreJob> whole = b.handover.take_job(b.now);
  REQUIRE(whole);
  CHECK(std::get<ReadJournal>(*whole).max_bytes > 0);
}

}  // namespace csa::handover_test
