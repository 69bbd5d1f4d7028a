// Broker's time as the broker tells it, to the log and to nodes: never set, never backwards. It is
// counted by the clock since boot and keeps running over a restart of the broker, for the time of
// one boot of its computer, whatever is done to the wall clock. A new boot asks the wall clock how
// long it took, and begins another scale: see common/clock_anchor.h. Immutable, so that every
// thread may tell the time from a copy of its own.
#pragma once

#include <cstdint>
#include <optional>

#include "common/clock_anchor.h"

namespace csa {

class BrokerTime {
 public:
  // `kept`: what the file has, a broker's reading or a node's measurement; `logged`: the last
  // commit in its log; `fresh`: the id of a scale that begins now.
  BrokerTime(const std::optional<ClockAnchor>& kept, WallTime logged, const LocalTime& now,
             std::uint64_t fresh);

  [[nodiscard]] WallTime at(const LocalTime& now) const;
  [[nodiscard]] const TimeScale& scale() const { return anchor_.scale; }
  // To be kept in the file with a commit, where it is_due() since the last one.
  [[nodiscard]] ClockAnchor reading(const LocalTime& now) const;
  [[nodiscard]] bool is_due(const ClockAnchor& kept, const LocalTime& now) const;
  // The wall clock was set since: due even without a commit, for the next boot asks that clock.
  [[nodiscard]] static bool was_set(const ClockAnchor& kept, const LocalTime& now);

 private:
  ClockAnchor anchor_;
};

}  // namespace csa
