#include "tests/sim/shrink.h"

#include <sstream>

namespace csa::sim {
namespace {

// What a violation says before its details, without the words that name a node, a write or a file.
std::string kind_of(const std::string& violation) {
  std::istringstream words(violation.substr(0, violation.find(": ")));
  std::string kind;
  for (std::string word; words >> word;) {
    if (word.find_first_of("0123456789/") == std::string::npos) kind += word + " ";
  }
  return kind;
}

}  // namespace

Shrunk shrink(std::uint64_t seed, RunOptions options, RunReport failed, std::size_t runs_max) {
  Shrunk least{std::move(options), std::move(failed), 0};
  const std::string kind = kind_of(least.report.violation);
  const auto still_fails = [&](const RunOptions& fewer) {
    if (least.runs >= runs_max) return false;
    ++least.runs;
    RunReport report = run_seed(seed, fewer);
    if (report.ok || kind_of(report.violation) != kind) return false;
    least.options = fewer;
    least.report = std::move(report);
    return true;
  };
  for (const char* const part : kRunParts) {
    RunOptions fewer = least.options;
    if (fewer.without.insert(part).second) (void)still_fails(fewer);
  }
  for (bool again = true; again;) {
    RunOptions fewer = least.options;
    fewer.fault_time /= 2;
    again = fewer.fault_time > std::chrono::milliseconds{500} && still_fails(fewer);
  }
  for (std::size_t nodes = 1; nodes < least.options.nodes_max; ++nodes) {
    RunOptions fewer = least.options;
    fewer.nodes_max = nodes;
    if (still_fails(fewer)) break;
  }
  return least;
}

std::string command_line(std::uint64_t seed, const RunOptions& options) {
  const RunOptions all;
  std::string line = "csa-sim " + std::to_string(seed);
  for (const std::string& part : options.without) line += " --without '" + part + "'";
  if (options.fault_time != all.fault_time) {
    line += " --fault-time " + std::to_string(options.fault_time.count());
  }
  if (options.nodes_max != all.nodes_max) {
    line += " --nodes-max " + std::to_string(options.nodes_max);
  }
  return line;
}

}  // namespace csa::sim
