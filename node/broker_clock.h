// Broker's time at a node: measured while there is a link, told for offline edits without one, and
// told better on return. Three clocks: the wall clock may be set by anybody, the clock since boot
// by nobody, but it ends with the boot. Pure, not thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "common/types.h"

namespace csa {

// One reading of the computer's own clocks.
struct LocalTime {
  WallTime wall;
  std::uint64_t boot = 0;    // hash that names the present boot; 0: not known
  std::int64_t boot_ms = 0;  // since then
};

// When a measurement was made; kept in the replica for the time without a link.
struct ClockAnchor {
  LocalTime local;
  WallTime broker;
  std::uint32_t error_ms = 0;
  bool operator==(const ClockAnchor&) const;
};

struct BrokerMoment {
  WallTime time;
  std::uint32_t error_ms = 0;
};

class BrokerClock {
 public:
  // What was stored; nothing: never measured, then the wall clock is believed with kUnknownErrorMs.
  explicit BrokerClock(std::optional<ClockAnchor> anchor = std::nullopt) : anchor_(anchor) {}

  // A PONG came `round_trip` after its PING. Keeps the better of this and what is known.
  void on_pong(WallTime broker, Duration round_trip, const LocalTime& now);
  // Broker's time at `local`, never before an earlier answer.
  [[nodiscard]] BrokerMoment stamp(const LocalTime& local);
  // Stamps go on behind this one (of the journal's last entry).
  void not_before(WallTime time);
  // What to add to a stamp of `edited` that was made at (boot, boot_ms), by what is known now.
  struct Correction {
    std::int64_t ms = 0;
    std::uint32_t error_ms = 0;
  };
  struct Stamped {
    BrokerMoment edited;
    std::uint64_t boot = 0;
    std::int64_t boot_ms = 0;
  };
  [[nodiscard]] Correction correction(const Stamped& entry, const LocalTime& now) const;
  [[nodiscard]] const std::optional<ClockAnchor>& anchor() const { return anchor_; }

  static constexpr std::uint32_t kUnknownErrorMs = 24U * 3600 * 1000;

 private:
  [[nodiscard]] BrokerMoment at(const LocalTime& local) const;

  std::optional<ClockAnchor> anchor_;
  WallTime last_{INT64_MIN};
};

}  // namespace csa
