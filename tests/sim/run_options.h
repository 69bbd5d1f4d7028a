// What a simulated run is made of, beside its seed: a run that fails is tried with less and less of
// it (shrink.h). What is left out is still drawn by lot, so that the rest of the run stays alike.
#pragma once

#include <chrono>
#include <set>
#include <string>

namespace csa::sim {

// The kinds that can be left out, each by its name in `without`.
inline constexpr const char* kRunParts[] = {
    "offline story",
    "lost master",
    "migrations",
    "partitions",
    "clogged links",
    "crashes",
    "broker crash points",
    "node crash points",
    "disk faults",
    "clock jumps",
    "sleep",
    "slow disk",
    "drops",
    "duplicates",
    "delays",
    "calm",
    "rot",
    "large rows",
    "page sizes",
    "set back",
};

struct RunOptions {
  std::set<std::string> without;
  std::chrono::milliseconds fault_time{40000};
  std::size_t nodes_max = 7;
  bool verbose =
      false;           // the transcript is printed as it comes, also of a run that ends by a signal
  bool twice = false;  // each seed is run again, and must go the same way

  [[nodiscard]] bool has(const std::string& part) const { return !without.contains(part); }
};

}  // namespace csa::sim
