// Handover: a journal on its way to a broker that answers early, never, or nonsense.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/limits.h"
#include "node/session_handover.h"

namespace csa::journal_handover_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const NodeId kNode{Id128{{9}}};
const TimePoint kStart{std::chrono::hours{5}};

// A journal of entries of given sizes, the handover, and the time.
struct Way {
  Handover handover{3};
  std::vector<std::uint64_t> sizes;  // of entries 1, 2, ...
  std::map<std::uint64_t, Replayed> marked;
  TimePoint now = kStart;
  std::size_t sent = 0;

  explicit Way(std::vector<std::uint64_t> entries) : sizes(std::move(entries)) {
    handover.start(now);
  }
  // As Journal::read().
  std::vector<Replay> read(const ReadJournal& job) const {
    std::vector<Replay> parts;
    std::uint64_t offset = job.offset;
    std::size_t bytes = 0;
    for (std::uint64_t counter = job.after + 1; counter <= sizes.size(); ++counter) {
      if (bytes >= job.max_bytes) break;
      if (marked.contains(counter)) continue;
      Replay part;
      part.header.tx = {kNode, counter};
      part.header.size = sizes[counter - 1];
      part.first = 1;
      part.previous = counter - 1;
      std::uint64_t at = offset;
      for (; at < part.header.size && bytes < job.max_bytes; at += part.bytes.size()) {
        part.offset = at;
        part.bytes.assign(std::min<std::uint64_t>(limits::kPieceMax, part.header.size - at), 1);
        bytes += part.bytes.size();
        parts.push_back(part);
      }
      offset = 0;
    }
    return parts;
  }
  void work() {
    while (std::optional<StoreJob> job = handover.take_job(now)) {
      if (const auto* const read_job = std::get_if<ReadJournal>(&*job)) {
        handover.on_read(read(*read_job));
      } else {
        for (const Replayed& answer : std::get<MarkAnswered>(*job).answers) {
          marked.emplace(answer.tx.counter, answer);
        }
        handover.on_marked();
      }
    }
  }
  std::vector<Replay> requests() {
    work();
    std::vector<Replay> out = handover.take_requests(now);
    sent += out.size();
    return out;
  }
  void answer(const Replay& part, ReplayResult result, std::uint64_t offset = 0) {
    handover.on_replayed(Replayed{part.header.tx, result, offset, Seq{7}, {}, {}}, now);
  }
  // Until all is marked, time running on; false: not within `within`.
  bool run(const std::function<void(const Replay&)>& broker, Duration within) {
    for (const TimePoint end = now + within; now < end; now += milliseconds{10}) {
      for (const Replay& part : requests()) broker(part);
      work();
      if (marked.size() == sizes.size() && handover.all_marked()) return true;
    }
    return false;
  }
};

// A broker that keeps the protocol.
struct Honest {
  Way& way;
  std::map<std::uint64_t, std::uint64_t> here;  // bytes by entry
  std::vector<std::uint64_t> order;             // entries by their first outcome
  std::uint64_t known = 0;                      // entries up to here have an outcome

  void operator()(const Replay& part) {
    const std::uint64_t counter = part.header.tx.counter;
    if (counter <= known) {
      way.answer(part, ReplayResult::kStood, part.header.size);
      return;
    }
    if (part.previous > known || part.offset > here[counter]) {
      way.answer(part, ReplayResult::kAgain);
      return;
    }
    here[counter] = std::max(here[counter], part.offset + part.bytes.size());
    if (here[counter] < part.header.size) {
      way.answer(part, ReplayResult::kMore, here[counter]);
      return;
    }
    known = counter;
    order.push_back(counter);
    way.answer(part, ReplayResult::kApplied, part.header.size);
  }
};

}  // namespace

TEST_CASE("journal handover: an outcome at an entry's first part, the entries behind it are sent") {
  // More than a window: the broker had it before, and the answer was lost.
  for (const std::uint64_t large :
       {std::uint64_t{1} << 19U, std::uint64_t{3} << 20U, std::uint64_t{20} << 20U}) {
    CAPTURE(large);
    Way way({large, 100, 100, large, 100});
    Honest broker{way, {}, {}, 1};
    CHECK(way.run([&](const Replay& part) { broker(part); }, seconds{60}));
    CHECK(broker.order == std::vector<std::uint64_t>{2, 3, 4, 5});
  }
}

TEST_CASE(
    "journal handover: a broker that says more of an entry that is whole, told and tried again") {
  Way way({100, 100});
  const auto nonsense = [&](const Replay& part) {
    way.answer(part, ReplayResult::kMore, std::uint64_t{1} << 60U);
  };
  CHECK_FALSE(way.run(nonsense, seconds{10}));
  CHECK_FALSE(way.handover.trouble().empty());
  CHECK(way.sent < 200);
  Honest honest{way, {}, {}, 0};
  CHECK(way.run([&](const Replay& part) { honest(part); }, seconds{60}));
  CHECK(way.handover.trouble().empty());
}

TEST_CASE("journal handover: a broker that says again for ever, told, and not drowned in parts") {
  Way way({std::uint64_t{1} << 20U, 100});
  CHECK_FALSE(
      way.run([&](const Replay& part) { way.answer(part, ReplayResult::kAgain); }, seconds{60}));
  CHECK_FALSE(way.handover.trouble().empty());
  CHECK(way.sent < 300);
  Honest honest{way, {}, {}, 0};
  CHECK(way.run([&](const Replay& part) { honest(part); }, seconds{60}));
}

TEST_CASE(
    "journal handover: a broker that forgot an earlier outcome, begun from the first unanswered") {
  Way way({100, 100, 100, 100});
  Honest broker{way, {}, {}, 0};
  int lost = 0;
  // The second outcome is told to nobody, and what is behind it is not taken.
  const auto forgetful = [&](const Replay& part) {
    if (part.header.tx.counter == 2 && lost++ == 0) return;
    broker(part);
  };
  CHECK(way.run(forgetful, seconds{120}));
  CHECK(broker.order == std::vector<std::uint64_t>{1, 2, 3, 4});
}

TEST_CASE("journal handover: outcomes of strangers, twice, in a wrong order, change nothing") {
  Way way({100, 100, 100});
  const std::vector<Replay> parts = way.requests();
  REQUIRE(parts.size() == 3);
  Replay stranger = parts[0];
  stranger.header.tx = {NodeId{Id128{{1}}}, 1};
  way.answer(stranger, ReplayResult::kApplied);
  stranger.header.tx = {kNode, 77};
  way.answer(stranger, ReplayResult::kApplied);
  way.work();
  CHECK(way.marked.empty());
  way.answer(parts[2], ReplayResult::kApplied);
  way.answer(parts[2], ReplayResult::kParked);
  Honest broker{way, {}, {}, 0};
  CHECK(way.run([&](const Replay& part) { broker(part); }, seconds{120}));
  CHECK(way.marked.at(3).result == ReplayResult::kApplied);
  CHECK(broker.order == std::vector<std::uint64_t>{1, 2});
}

}  // namespace csa::journal_handover_test
