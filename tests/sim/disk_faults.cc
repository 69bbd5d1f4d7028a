// What disks do in a run: a computer dies in the midst of its work, operations fail, room runs out;
// and what is left of its database then.
#include <filesystem>

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

// Any SQLite opens what a power cut has left, and finds it whole: a copy, so that nothing is mended
// by being looked at. A kill -9 takes nothing from the files.
void Cluster::check_left(int party) {
  if (rotten_.contains(party) || !disk_.lost_power(party)) return;
  const std::string name = party == kBrokerParty ? "/master.db" : "/replica.db";
  const std::string file = folder_ + "/" + std::to_string(party) + name;
  if (!std::filesystem::exists(file)) return;
  const std::string left = folder_ + "/left-by-" + std::to_string(party) + ".db";
  for (const char* const suffix : {"", "-wal", "-shm"}) std::filesystem::remove(left + suffix);
  std::filesystem::copy_file(file, left);
  if (std::filesystem::exists(file + "-wal")) {
    std::filesystem::copy_file(file + "-wal", left + "-wal");
  }
  checkers_.sound(left);
}

}  // namespace csa::sim
