// csa-sim: runs of a simulated cluster by seed. --help tells the flags.
#include <CLI/CLI.hpp>
#include <chrono>
#include <iomanip>
#include <iostream>
#include <map>
#include <thread>

#include "common/planted.h"
#include "common/random.h"
#include "common/system_clock.h"
#include "tests/sim/cluster.h"
#include "tests/sim/expected_kinds.h"
#include "tests/sim/fleet.h"
#include "tests/sim/shrink.h"

namespace csa::sim {
namespace {

// A run in which next to nothing was written proves nothing: another seed takes its place. Of the
// usual fault time; shorter and longer ones have their share.
constexpr std::int64_t kAcknowledgedMin = 15;
constexpr std::size_t kFailedMax = 5;
constexpr std::size_t kShrinkRuns = 40;
constexpr std::size_t kTranscriptEnd = 80;  // lines of a shrunk run that are printed

struct Flags {
  std::optional<std::uint64_t> seed;
  std::uint64_t runs = 0;
  std::uint64_t first = 1;
  std::uint64_t seeds_max = 400;
  std::size_t jobs = std::max(1U, std::thread::hardware_concurrency());
  bool fresh = false;
  bool no_shrink = false;
  bool bugs = false;
  std::vector<std::string> without;
  std::vector<std::string> bug;
  std::int64_t fault_time_ms = RunOptions{}.fault_time.count();
  RunOptions options;
};

struct Total {
  std::map<std::string, std::uint64_t> counts;
  std::uint64_t good = 0;
  std::uint64_t failed = 0;
  std::uint64_t idle = 0;
  std::size_t acknowledged = 0;
  std::size_t least = SIZE_MAX;
  TimePoint start = monotonic_now();
};

std::size_t acknowledged_min(const RunOptions& options) {
  const auto share = kAcknowledgedMin * options.fault_time / RunOptions{}.fault_time;
  return static_cast<std::size_t>(std::max<std::int64_t>(share, 1));
}

void print_failed(std::uint64_t seed, const Flags& flags, RunReport failed) {
  std::cout << "csa-sim: seed " << seed << " failed: " << failed.violation << "\n";
  if (flags.no_shrink) {
    std::cout << "csa-sim: again: " << command_line(seed, flags.options) << std::endl;
    return;
  }
  const Shrunk least = shrink(seed, flags.options, std::move(failed), kShrinkRuns);
  const std::vector<std::string>& lines = least.report.transcript;
  const std::size_t begin = lines.size() > kTranscriptEnd ? lines.size() - kTranscriptEnd : 0;
  if (begin != 0) std::cout << "  ... " << begin << " lines before\n";
  for (std::size_t i = begin; i < lines.size(); ++i) std::cout << lines[i] << "\n";
  std::cout << "csa-sim: shrunk in " << least.runs << " runs to: " << least.report.violation
            << "\ncsa-sim: again: " << command_line(seed, least.options) << " --verbose"
            << std::endl;
}

int run_one(const Flags& flags) {
  RunReport run = run_seed(*flags.seed, flags.options);
  if (run.ok) {
    std::cout << "csa-sim: seed " << *flags.seed << ": nothing violated, " << run.acknowledged
              << " acknowledged writes" << std::endl;
    return 0;
  }
  if (flags.options.verbose) {
    std::cout << "csa-sim: seed " << *flags.seed << " failed: " << run.violation << std::endl;
  } else {
    print_failed(*flags.seed, flags, std::move(run));
  }
  return 1;
}

#ifdef CSA_PLANTED
// Labels of what has no sockets and no files of its own here: tests/faults comes to them.
bool is_elsewhere(std::string_view label) {
  constexpr std::string_view kPrograms[] = {"backup", "door", "front", "link", "server", "sub"};
  const std::string_view place = label.substr(0, label.find(':'));
  return std::find(std::begin(kPrograms), std::end(kPrograms), place) != std::end(kPrograms);
}

bool is_rare(std::string_view label) {
  return std::ranges::find(kRareCrashPoints, label) != std::end(kRareCrashPoints);
}

// What so many runs should have met, and have not.
void add_never_fired(const Total& total, std::vector<std::string>& never) {
  for (const std::string_view label : kCrashPoints) {
    if (is_elsewhere(label) || label == kUnreachedCrashPoint) continue;
    if (is_rare(label) && total.good < kRareRuns) continue;
    std::string kind = "crash point " + std::string(label);
    if (!total.counts.contains(kind)) never.push_back(std::move(kind));
  }
}

void print_never_fired(const Total& total) {
  std::size_t fired = 0;
  std::size_t here = 0;
  std::string never;
  for (const std::string_view label : kCrashPoints) {
    if (is_elsewhere(label)) continue;
    ++here;
    const bool has = total.counts.contains("crash point " + std::string(label));
    has ? void(++fired) : void(never.append("\n              ").append(label));
  }
  std::cout << "csa-sim: " << fired << " of " << here << " crash points fired"
            << (never.empty() ? "" : "; never:") << never << "\n";
}
#else
void add_never_fired(const Total&, std::vector<std::string>&) {}
void print_never_fired(const Total&) {}
#endif

// Of runs that have all their parts. False: printed what they lack.
bool met_everything(const Total& total, const RunOptions& options) {
  const RunOptions all;
  const bool whole = options.without.empty() && options.fault_time >= all.fault_time &&
                     options.nodes_max == all.nodes_max;
  if (!whole || total.good < kCommonRuns) return true;
  std::vector<std::string> never = never_met(kCommonKinds, total.counts);
  if (total.good >= kRareRuns) {
    const std::vector<std::string> rare = never_met(kRareKinds, total.counts);
    never.insert(never.end(), rare.begin(), rare.end());
  }
  add_never_fired(total, never);
  for (const std::string& kind : never) {
    std::cout << "csa-sim: so many runs, and none has met: " << kind << "\n";
  }
  return never.empty();
}

// Of runs that take hours, now and then.
void print_progress(const Total& total, std::uint64_t wanted) {
  constexpr std::uint64_t kLong = 1000;
  if (wanted < kLong || total.good % (wanted / 20) != 0) return;
  const std::chrono::duration<double> took = monotonic_now() - total.start;
  std::cout << "csa-sim: " << total.good << " runs after " << std::fixed << std::setprecision(0)
            << took.count() << " s" << std::endl;
}

void print_total(const Total& total, const Flags& flags) {
  const std::chrono::duration<double> took = monotonic_now() - total.start;
  std::cout << "csa-sim: " << total.good << " runs without a violation, " << total.failed
            << " with one; " << total.idle << " more with fewer than "
            << acknowledged_min(flags.options) << " acknowledged writes do not count; "
            << total.acknowledged << " acknowledged writes, at least "
            << (total.good == 0 ? 0 : total.least) << " a run; " << std::fixed
            << std::setprecision(1) << took.count() << " s in " << flags.jobs << " processes\n";
  for (const auto& [kind, count] : total.counts) {
    std::cout << "  " << std::setw(10) << count << "  " << kind << "\n";
  }
  print_never_fired(total);
}

int run_many(const Flags& flags) {
  Total total;
  std::uint64_t given = 0;
  std::optional<std::uint64_t> fresh;
  if (flags.fresh) {
    fresh = random_u64() >> 16U;
    std::cout << "csa-sim: fresh seed " << *fresh << std::endl;
  }
  const std::uint64_t wanted = flags.runs + (fresh ? 1 : 0);
  const auto next = [&](Task& task) {
    if (total.failed >= kFailedMax || given >= wanted + total.idle) return false;
    if (total.idle > wanted / 4 + 3) return false;
    ++given;
    if (fresh && given == 1) {
      task.seed = *fresh;
    } else {
      task.seed = flags.first + given - 1 - (fresh ? 1 : 0);
    }
    return true;
  };
  const auto done = [&](const Task& task, RunReport run) {
    if (!run.ok) {
      ++total.failed;
      print_failed(task.seed, flags, std::move(run));
      return;
    }
    if (run.acknowledged < acknowledged_min(flags.options)) {
      ++total.idle;
      return;
    }
    ++total.good;
    for (const auto& [kind, count] : run.counts) total.counts[kind] += count;
    total.acknowledged += run.acknowledged;
    total.least = std::min(total.least, run.acknowledged);
    print_progress(total, wanted);
  };
  run_tasks(flags.jobs, flags.options, next, done);
  print_total(total, flags);
  if (total.good < wanted && total.failed == 0) {
    std::cout << "csa-sim: too many runs made too little progress: the faults leave no room for "
                 "what they should disturb\n";
  }
  const bool met = met_everything(total, flags.options);
  return total.good >= wanted && total.failed == 0 && met ? 0 : 1;
}

#ifdef CSA_PLANTED
// Each bug until a seed finds it: those must be few. A seed that fails with a bug has found it only
// if nothing fails without.
class BugSearch {
 public:
  explicit BugSearch(const Flags& flags) : flags_(flags), bugs_(flags.bug) {
    if (bugs_.empty()) bugs_.assign(kPlantedBugs.begin(), kPlantedBugs.end());
    for (const std::string& bug : bugs_) searches_[bug];
  }
  // One seed of a bug after the other, so that the count means something.
  bool next(Task& task) {
    for (const std::string& bug : bugs_) {
      Search& search = searches_[bug];
      if (search.failed && controls_.try_emplace(*search.failed).second) {
        task = {*search.failed, ""};
        return true;
      }
      const bool waits = search.given != search.done || search.failed;
      if (search.over || waits || search.given >= flags_.seeds_max) continue;
      task = {flags_.first + search.given++, bug};
      return true;
    }
    return false;
  }
  void done(const Task& task, const RunReport& run) {
    if (task.bug.empty()) {
      if (!run.ok) tell_unplanted(task.seed, run);
      controls_[task.seed] = run.ok;
    } else {
      Search& search = searches_[task.bug];
      ++search.done;
      if (!run.ok) search.failed = task.seed;
      if (!run.ok) search.violation = run.violation;
    }
    for (auto& [bug, search] : searches_) settle(bug, search);
  }
  [[nodiscard]] int told() const {
    std::cout << "csa-sim: " << found_ << " of " << bugs_.size() << " planted bugs found\n";
    return found_ == bugs_.size() && unplanted_ == 0 ? 0 : 1;
  }

 private:
  struct Search {
    std::uint64_t given = 0, done = 0;
    std::optional<std::uint64_t> failed;  // a seed, until it has been run without the bug
    std::string violation;
    bool over = false;
  };
  void tell_unplanted(std::uint64_t seed, const RunReport& run) {
    ++unplanted_;
    std::cout << "csa-sim: seed " << seed
              << " fails without a bug too, and finds none: " << run.violation << std::endl;
  }
  void settle(const std::string& bug, Search& search) {
    if (search.over) return;
    bool found = false;
    if (search.failed) {
      const auto control = controls_.find(*search.failed);
      if (control == controls_.end() || !control->second) return;  // not run yet
      found = *control->second;
      search.failed.reset();
    }
    search.over = found || search.done >= flags_.seeds_max;
    if (!search.over) return;
    if (found) ++found_;
    std::cout << "csa-sim: bug '" << bug << "' " << (found ? "found after " : "NOT FOUND in ")
              << search.done << " seeds" << (found ? ": " + search.violation : "") << std::endl;
  }

  const Flags& flags_;
  std::vector<std::string> bugs_;
  std::map<std::string, Search> searches_;
  std::map<std::uint64_t, std::optional<bool>> controls_;  // was the seed good without a bug?
  std::size_t found_ = 0;
  std::size_t unplanted_ = 0;
};

int run_bugs(const Flags& flags) {
  BugSearch search(flags);
  run_tasks(
      flags.jobs, flags.options, [&search](Task& task) { return search.next(task); },
      [&search](const Task& task, const RunReport& run) { search.done(task, run); });
  return search.told();
}
#else
int run_bugs(const Flags&) {
  std::cerr << "csa-sim: this build has no bugs to plant: build a preset with CSA_PLANTED, as "
               "dev or check\n";
  return 2;
}
#endif

int run(Flags& flags) {
  for (const std::string& part : flags.without) flags.options.without.insert(part);
  flags.options.fault_time = milliseconds{flags.fault_time_ms};
  if (flags.bugs || !flags.bug.empty()) return run_bugs(flags);
  if (flags.runs != 0 || flags.fresh) return run_many(flags);
  if (!flags.seed) {
    std::cerr << "csa-sim: say which seed, or --runs N, or --bugs; --help tells more\n";
    return 2;
  }
  return run_one(flags);
}

}  // namespace
}  // namespace csa::sim

int main(int argc, char** argv) {
  CLI::App app{"Runs a broker and nodes under simulated faults and checks csa's guarantees"};
  csa::sim::Flags flags;
  const std::vector<std::string> parts(std::begin(csa::sim::kRunParts),
                                       std::end(csa::sim::kRunParts));
  app.add_option("seed", flags.seed, "run this seed; a violation is shrunk to a short transcript");
  app.add_option("--runs", flags.runs, "run so many seeds, and print what was injected");
  app.add_option("--first", flags.first, "the first of them");
  app.add_flag("--fresh", flags.fresh, "and a new one, printed");
  app.add_option("--jobs", flags.jobs, "processes")->check(CLI::Range(1, 256));
  app.add_flag("--bugs", flags.bugs, "plant each bug of common/planted_names.h until it is found");
  app.add_option("--bug", flags.bug, "only this one; repeatable")
      ->check([](const std::string& name) {
        const bool listed = std::ranges::find(csa::kPlantedBugs, name) != csa::kPlantedBugs.end();
        return listed ? "" : "common/planted_names.h lists no bug of this name: " + name;
      });
  app.add_option("--seeds-max", flags.seeds_max, "so many seeds for each bug at most");
  app.add_option("--without", flags.without, "leave this part of a run out; repeatable")
      ->check(CLI::IsMember(parts));
  app.add_option("--fault-time", flags.fault_time_ms, "milliseconds")
      ->check(CLI::Range(500, 3600000));
  app.add_option("--nodes-max", flags.options.nodes_max, "at most so many nodes")
      ->check(CLI::Range(1, 7));
  app.add_flag("--twice", flags.options.twice, "run each seed again: it must go the same way");
  app.add_flag("--verbose", flags.options.verbose, "print the transcript of one seed's run");
  app.add_flag("--no-shrink", flags.no_shrink, "tell a violation as it is");
  CLI11_PARSE(app, argc, argv);
  return csa::sim::run(flags);
}
