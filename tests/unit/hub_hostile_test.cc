// Peers that send anything at any time: the Hub stays within its bounds, and every job that it
// gives out may be answered in any order. Seeds make each run repeatable.
#include <doctest/doctest.h>

#include <random>
#include <set>

#include "hub_bench.h"

namespace csa::hub_hostile_test {
namespace {

using namespace hub_bench;

// Any message with small numbers, so that they meet each other.
Message any_message(std::mt19937_64& random) {
  const auto n = [&](std::uint64_t below) { return random() % below; };
  const auto some = [&] { return static_cast<std::uint8_t>(n(4)); };
  const TxId tx{node(some()), n(5)};
  switch (n(18)) {
    case 0:
    case 1:
    case 2: {
      Hello greeting = hello(some(), static_cast<Role>(1 + n(3)));
      greeting.incarnation = id(some());
      if (n(10) == 0) greeting.group = "other";
      if (n(10) == 0) greeting.generation_seen = n(4);
      greeting.confirmed = n(10);
      return greeting;
    }
    case 3:
      return Goodbye{};
    case 4:
      return Ping{n(9), static_cast<NodeState>(1 + n(8)), at(n(20)), n(9), n(30)};
    case 5:
    case 6:
    case 7:
      return Write{tx, std::string(n(1000), 's'), {}, {}};
    case 8:
      return Migrate{tx, "ALTER", {}};
    case 9:
      return OutcomeGet{tx};
    case 10:
      return LogGet{n(9), at(n(20)), n(9), static_cast<std::uint32_t>(random())};
    case 11:
      return SnapshotGet{};
    case 12:
      return SnapshotGet{id(some()), n(40), static_cast<std::uint32_t>(n(40))};
    case 13:
      return LayoutGet{n(3)};
    case 14:
      return Admin{n(3), static_cast<AdminVerb>(1 + n(2))};
    case 15:
      return Pong{};
    case 16:
      return Welcome{};
    default:
      return Update{};
  }
}

// The stores of the shell: what is out, to be answered in any order.
struct Stores {
  std::vector<CommitJob> commits;
  std::vector<HubAction> readers;
  std::size_t cuts = 0;
  std::set<Id128> spools;
};

void carry_out(Bench& bench, Stores& stores) {
  for (HubAction& action : bench.out) {
    if (const auto* const one = std::get_if<SendTo>(&action)) CHECK_FALSE(invalid(one->message));
    if (const auto* const one = std::get_if<Publish>(&action)) CHECK_FALSE(invalid(one->message));
    if (auto* const job = std::get_if<CommitJob>(&action)) stores.commits.push_back(*job);
    if (std::holds_alternative<CutJob>(action)) ++stores.cuts;
    if (auto* const job = std::get_if<DropJob>(&action)) stores.spools.erase(job->snapshot);
    if (std::holds_alternative<LogJob>(action) || std::holds_alternative<LayoutJob>(action) ||
        std::holds_alternative<OutcomeJob>(action) || std::holds_alternative<ChunkJob>(action)) {
      stores.readers.push_back(std::move(action));
    }
  }
  bench.out.clear();
  CHECK(stores.commits.size() <= 1);
  CHECK(stores.cuts <= 1);
  CHECK(stores.readers.size() <= limits::kReaderJobsMax);
  CHECK(stores.spools.size() + stores.cuts <= limits::kSnapshotsMax);
  std::set<NodeId> held;
  for (const NodeStatus& one : bench.hub.nodes()) {
    if (!one.node.value.is_zero()) CHECK(held.insert(one.node).second);
  }
}

void answer_reader(Bench& bench, const HubAction& action) {
  if (const auto* const log = std::get_if<LogJob>(&action)) {
    bench.hub.on_log(log->peer, LogGone{}, bench.now);
  } else if (const auto* const layout = std::get_if<LayoutJob>(&action)) {
    bench.hub.on_reply(layout->peer, LayoutReply{}, bench.now);
  } else if (const auto* const outcome = std::get_if<OutcomeJob>(&action)) {
    bench.hub.on_reply(outcome->peer, Nack{}, bench.now);
  } else if (const auto* const chunk = std::get_if<ChunkJob>(&action)) {
    bench.hub.on_chunk(chunk->peer, SnapshotChunk{chunk->snapshot, 0, chunk->offset, {}},
                       bench.now.time_since_epoch().count() % 7 != 0, bench.now);
  }
}

void answer_some(Bench& bench, Stores& stores, std::mt19937_64& random) {
  if (!stores.commits.empty() && random() % 4 == 0) {
    CommitResult result = bench.result_of(stores.commits[0]);
    result.head.epoch = bench.hub.head().epoch;
    if (random() % 20 == 0) {
      result.new_epoch = true;
      result.head.epoch = Epoch{result.head.epoch.generation + 1, id(7)};
    }
    stores.commits.clear();
    bench.commit(result);
  }
  if (stores.cuts > 0 && random() % 8 == 0) {
    stores.cuts = 0;
    Position position = bench.hub.head();
    position.seq.value += random() % 2;
    const Id128 name = id(static_cast<std::uint8_t>(random() % 4));
    if (random() % 3 == 0 || stores.spools.contains(name)) {
      bench.hub.on_cut(Error{Errc::kFailed, "no space"}, bench.now);
    } else {
      stores.spools.insert(name);
      bench.hub.on_cut(SnapshotInfo{name, 30, id(1), position}, bench.now);
    }
  }
  if (!stores.readers.empty() && random() % 2 == 0) {
    const std::size_t which = random() % stores.readers.size();
    const HubAction action = stores.readers[which];
    stores.readers.erase(stores.readers.begin() + static_cast<std::ptrdiff_t>(which));
    answer_reader(bench, action);
  }
}

}  // namespace

TEST_CASE("hub: peers that send anything at any time keep it within its bounds") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    Bench bench;
    Stores stores;
    for (int step = 0; step < 1500; ++step) {
      const PeerKey from(1, static_cast<char>('a' + random() % 8));
      switch (random() % 12) {
        case 0:
          bench.hub.on_unreachable(from, bench.now);
          break;
        case 1:
          bench.hub.on_malformed(from, Error{Errc::kUnknownType, "type 99"}, Origin{}, bench.now);
          break;
        case 2:
          bench.hub.on_subscribed("n" + std::string(16, static_cast<char>(50 + random() % 4)),
                                  bench.now);
          break;
        default:
          bench.say(from, any_message(random), random() % 2 == 0);
          break;
      }
      answer_some(bench, stores, random);
      bench.take();
      carry_out(bench, stores);
      if (random() % 3 == 0) {
        bench.pass(std::chrono::milliseconds(random() % 3000));
        CHECK(bench.hub.deadline() > bench.now);
      }
      carry_out(bench, stores);
    }
    bench.hub.stop("end", bench.now);
    bench.take();
    carry_out(bench, stores);
    if (!stores.commits.empty()) bench.commit(bench.result_of(stores.commits[0]));
    CHECK(bench.hub.deadline() == TimePoint::max());
  }
}

}  // namespace csa::hub_hostile_test
