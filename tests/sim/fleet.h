// Many simulated runs by several processes: a run uses what is the process's own (SQLite's VFS,
// planted bugs), and one that crashes takes only its process with it, which is a failed run.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "tests/sim/cluster.h"

namespace csa::sim {

struct Task {
  std::uint64_t seed = 0;
  std::string bug;  // planted for this run; empty: none
};

// Runs what `next` gives (false: no more) in `jobs` processes and tells each result, in the order
// in which they end; both are called by this process alone.
void run_tasks(std::size_t jobs, const RunOptions& options, const std::function<bool(Task&)>& next,
               const std::function<void(const Task&, RunReport)>& done);

}  // namespace csa::sim
