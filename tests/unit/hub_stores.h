// The stores behind a Hub under test: what it gave out, answered in any order, and its bounds.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <set>
#include <vector>

#include "tests/unit/hub_bench.h"

namespace csa::hub_bench {

// The stores of the shell: what is out, to be answered in any order.
struct Stores {
  std::vector<CommitJob> commits;
  std::vector<HubAction> readers;
  std::size_t cuts = 0;
  std::size_t confirmations = 0;
  std::set<Id128> spools;
};

inline void carry_out(Bench& bench, Stores& stores) {
  for (HubAction& action : bench.out) {
    if (const auto* const one = std::get_if<SendTo>(&action)) CHECK_FALSE(invalid(one->message));
    if (const auto* const one = std::get_if<Publish>(&action)) CHECK_FALSE(invalid(one->message));
    if (auto* const job = std::get_if<CommitJob>(&action)) stores.commits.push_back(*job);
    if (std::holds_alternative<CutJob>(action)) ++stores.cuts;
    if (std::holds_alternative<ConfirmJob>(action)) ++stores.confirmations;
    if (auto* const job = std::get_if<DropJob>(&action)) stores.spools.erase(job->snapshot);
    if (std::holds_alternative<LogJob>(action) || std::holds_alternative<LayoutJob>(action) ||
        std::holds_alternative<OutcomeJob>(action) || std::holds_alternative<ChunkJob>(action)) {
      stores.readers.push_back(std::move(action));
    }
  }
  bench.out.clear();
  CHECK(stores.commits.size() <= 1);
  CHECK(stores.cuts <= 1);
  CHECK(stores.confirmations <= 1);
  CHECK(stores.readers.size() <= limits::kReaderJobsMax);
  CHECK(stores.spools.size() + stores.cuts <= limits::kSnapshotsMax);
  std::set<NodeId> held;
  for (const NodeStatus& one : bench.hub.nodes()) {
    if (!one.node.value.is_zero()) CHECK(held.insert(one.node).second);
  }
}

inline void answer_reader(Bench& bench, const HubAction& action) {
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

inline void answer_some(Bench& bench, Stores& stores,
                        const std::function<std::uint64_t()>& random) {
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
  if (stores.confirmations > 0 && random() % 4 == 0) {
    stores.confirmations = 0;
    bench.hub.on_confirmed();
    bench.take();
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

}  // namespace csa::hub_bench
