// What disks do in a run: a computer dies in the midst of its work, operations fail, room runs out.
#include "tests/sim/cluster.h"

namespace csa::sim {

void Cluster::disk_fault(SimNode& node) {
  const int party = world_.chance(0.5) ? kBrokerParty : node.party();
  const std::string who = party == kBrokerParty ? "B" : node.name();
  if (world_.chance(0.4)) {
    // Most jobs are a dozen operations, a full copy some hundreds.
    const std::uint64_t after = world_.random(world_.chance(0.7) ? 40 : 600);
    world_.note(who + ": its disk will be the last after " + std::to_string(after));
    disk_.die_after(party, after);
    return;
  }
  constexpr unsigned kKinds[] = {SimDisk::kRead, SimDisk::kWrite,
                                 SimDisk::kSync, SimDisk::kTruncate,
                                 SimDisk::kOpen, SimDisk::kWrite | SimDisk::kSync};
  SimDisk::Failure failure;
  failure.kinds = kKinds[world_.random(std::size(kKinds))];
  failure.after = world_.random(6);
  failure.for_good = world_.chance(0.4);
  failure.full = world_.chance(0.4);
  world_.note(who + ": its disk fails, kinds " + std::to_string(failure.kinds) +
              (failure.full ? ", full" : "") + (failure.for_good ? ", for good" : ""));
  disk_.fail(party, failure);
}

}  // namespace csa::sim
