// The one place where csa reads a clock.
#pragma once

#include <time.h>

#include <chrono>
#include <cstdint>

#include "common/clock_anchor.h"
#include "common/types.h"

namespace csa {

[[nodiscard]] inline TimePoint monotonic_now() { return std::chrono::steady_clock::now(); }

[[nodiscard]] inline WallTime wall_now() {
  using namespace std::chrono;
  return WallTime{duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count()};
}

// Since the computer was booted, its sleep included; nobody sets this clock.
[[nodiscard]] inline std::int64_t boot_now_ms() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

// `boot`: boot_hash() of host.h.
[[nodiscard]] inline LocalTime local_now(std::uint64_t boot) {
  return {wall_now(), boot, boot_now_ms()};
}

}  // namespace csa
