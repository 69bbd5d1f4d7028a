// csa-sim: runs of a simulated cluster by seed.
//   csa-sim SEED         one run; its transcript if it fails (or with --verbose)
//   csa-sim --runs N     seeds 1..N (or FIRST.. with --first), then one fresh seed, printed first
#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <map>

#include "common/random.h"
#include "common/system_clock.h"
#include "tests/sim/cluster.h"

namespace {

// A run in which next to nothing was written proves nothing.
constexpr std::size_t kCommittedMin = 15;

bool report(std::uint64_t seed, const csa::sim::RunReport& run, bool verbose) {
  if (!run.ok || verbose) {
    for (const std::string& line : run.transcript) std::cout << line << "\n";
  }
  if (!run.ok) {
    std::cout << "csa-sim: seed " << seed << " failed: " << run.violation << "\n"
              << "csa-sim: again: csa-sim " << seed << std::endl;
  }
  return run.ok;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Runs a broker and nodes under simulated faults and checks csa's guarantees"};
  std::uint64_t seed = 0;
  std::uint64_t runs = 0;
  std::uint64_t first = 1;
  bool verbose = false;
  bool fresh = false;
  app.add_option("seed", seed, "run this seed");
  app.add_option("--runs", runs, "run so many seeds");
  app.add_option("--first", first, "the first of them");
  app.add_flag("--fresh", fresh, "and a new one, printed");
  app.add_flag("--verbose", verbose, "print the transcript of a good run too");
  CLI11_PARSE(app, argc, argv);

  if (runs == 0 && !fresh) return report(seed, csa::sim::run_seed(seed), verbose) ? 0 : 1;
  std::map<std::string, std::uint64_t> counts;
  std::size_t committed = 0;
  std::uint64_t failed = 0;
  std::uint64_t idle = 0;
  const csa::TimePoint start = csa::monotonic_now();
  const auto one = [&](std::uint64_t number) {
    const csa::sim::RunReport run = csa::sim::run_seed(number);
    if (!report(number, run, verbose)) ++failed;
    if (run.committed < kCommittedMin) ++idle;
    for (const auto& [kind, count] : run.counts) counts[kind] += count;
    committed += run.committed;
  };
  if (fresh) {
    const std::uint64_t number = csa::random_u64() >> 16U;
    std::cout << "csa-sim: fresh seed " << number << std::endl;
    one(number);
  }
  for (std::uint64_t i = 0; i < runs && failed < 5; ++i) one(first + i);
  const std::chrono::duration<double> took = csa::monotonic_now() - start;
  std::cout << "csa-sim: " << runs + (fresh ? 1 : 0) << " runs, " << failed << " failed, "
            << committed << " acknowledged writes, " << idle << " runs with fewer than "
            << kCommittedMin << ", " << took.count() << " s\n";
  for (const auto& [kind, count] : counts) std::cout << "  " << kind << ": " << count << "\n";
  // Too many idle runs: the faults leave no room for what they should disturb.
  return failed == 0 && idle * 10 <= runs + 10 ? 0 : 1;
}
