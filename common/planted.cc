#include "common/planted.h"

#ifdef CSA_PLANTED
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

namespace csa {
namespace {

constexpr std::size_t kNone = kPlantedBugs.size();

std::size_t place_of(std::string_view bug) {
  const auto found = std::find(kPlantedBugs.begin(), kPlantedBugs.end(), bug);
  return static_cast<std::size_t>(found - kPlantedBugs.begin());
}

// A misspelt name would show that nothing is found.
[[noreturn]] void unknown(const char* variable, std::string_view name) {
  std::fprintf(stderr, "csa: %s names nothing that is listed in common/planted_names.h: %.*s\n",
               variable, static_cast<int>(name.size()), name.data());
  std::_Exit(2);
}

std::atomic<std::size_t>& present() {
  static std::atomic<std::size_t> bug = [] {
    const char* const name = std::getenv("CSA_PLANT_BUG");
    const std::size_t place = name == nullptr ? kNone : place_of(name);
    if (name != nullptr && place == kNone) unknown("CSA_PLANT_BUG", name);
    return place;
  }();
  return bug;
}

// What CSA_CRASH_AT says.
struct CrashAt {
  std::size_t place = kCrashPoints.size();
  std::atomic<long> left{1};
  CrashAt() {
    const char* const value = std::getenv("CSA_CRASH_AT");
    if (value == nullptr) return;
    std::string label(value);
    // Labels have ": " in them, so the number is behind the last colon.
    const std::size_t colon = label.rfind(':');
    if (colon != std::string::npos &&
        label.find_first_not_of("0123456789", colon + 1) == std::string::npos &&
        colon + 1 < label.size()) {
      left = std::strtol(label.c_str() + colon + 1, nullptr, 10);
      label.resize(colon);
    }
    const auto found = std::find(kCrashPoints.begin(), kCrashPoints.end(), label);
    if (found == kCrashPoints.end()) unknown("CSA_CRASH_AT", label);
    place = static_cast<std::size_t>(found - kCrashPoints.begin());
  }
};

std::function<void(std::string_view)>& handler() {
  static std::function<void(std::string_view)> called;
  return called;
}

}  // namespace

bool planted(BugName bug) { return present().load(std::memory_order_relaxed) == bug.get(); }

bool plant(std::string_view bug) {
  const std::size_t place = bug.empty() ? kNone : place_of(bug);
  if (!bug.empty() && place == kNone) return false;
  present() = place;
  return true;
}

void crash_point(CrashPointName label) {
  if (handler()) return handler()(kCrashPoints[label.get()]);
  static CrashAt at;
  if (at.place == label.get() && --at.left == 0) ::kill(::getpid(), SIGKILL);
}

void on_crash_point(std::function<void(std::string_view)> called) { handler() = std::move(called); }

}  // namespace csa
#endif
