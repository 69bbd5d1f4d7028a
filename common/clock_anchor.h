// Readings of a computer's own clocks, and what ties them to broker's time. Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/types.h"

namespace csa {

// One reading of the computer's own clocks.
struct LocalTime {
  WallTime wall;
  std::uint64_t boot = 0;    // hash that names the present boot; 0: not known
  std::int64_t boot_ms = 0;  // since then, its sleep included
  bool operator==(const LocalTime&) const = default;
};
[[nodiscard]] inline bool same_boot(const LocalTime& a, const LocalTime& b) {
  return a.boot != 0 && a.boot == b.boot;
}

// Broker's time is one scale for as long as one clock counts it that nobody sets: during one boot
// of the broker's computer. Between two scales lies a step of any size, which only nodes can see.
struct TimeScale {
  std::uint64_t id = 0;      // random; 0: none
  std::uint64_t before = 0;  // the scale that this one follows in the same database; 0: not known
  WallTime since;  // its begin: nothing was committed earlier under it, nor later under `before`
  bool operator==(const TimeScale&) const = default;
};

// That it was `broker` when the local clocks stood so. A broker keeps its own time so (no error), a
// node its last measurement.
struct ClockAnchor {
  LocalTime local;
  WallTime broker;
  std::uint32_t error_ms = 0;
  TimeScale scale;  // id 0: carried over a boot by the wall clock alone
  // By so much that wall clock was set in all, while edits waited that it may have stamped.
  std::uint32_t doubt_ms = 0;
  bool operator==(const ClockAnchor&) const = default;
};

// As csa_private has it, under this key.
inline constexpr std::string_view kClockKey = "clock";
[[nodiscard]] std::string to_text(const ClockAnchor& anchor);
// Nothing: csa never writes that.
[[nodiscard]] std::optional<ClockAnchor> parse_clock_anchor(const std::string& text);

}  // namespace csa
