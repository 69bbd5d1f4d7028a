// A seed that fails is made small: the run is repeated without one part after the other, with less
// time and fewer nodes, as long as it fails in the same way. What remains is what a person reads.
#pragma once

#include <cstdint>
#include <string>

#include "tests/sim/cluster.h"
#include "tests/sim/run_options.h"

namespace csa::sim {

struct Shrunk {
  RunOptions options;  // the least that still fails
  RunReport report;
  std::size_t runs = 0;  // tried
};

// `failed`: what the seed did with `options`. At most `runs_max` further runs.
[[nodiscard]] Shrunk shrink(std::uint64_t seed, RunOptions options, RunReport failed,
                            std::size_t runs_max);
// The flags with which csa-sim runs it again.
[[nodiscard]] std::string command_line(std::uint64_t seed, const RunOptions& options);

}  // namespace csa::sim
