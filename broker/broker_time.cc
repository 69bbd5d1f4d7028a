#include "broker/broker_time.h"

#include <algorithm>
#include <cstdlib>

#include "common/planted.h"

namespace csa {
namespace {

constexpr std::int64_t kKeptEachMs = 10'000;
constexpr std::int64_t kSetMs = 1000;

}  // namespace

BrokerTime::BrokerTime(const std::optional<ClockAnchor>& kept, WallTime logged,
                       const LocalTime& now, std::uint64_t fresh) {
  anchor_.local = now;
  anchor_.broker = std::max(now.wall, logged);
  anchor_.scale = {fresh, 0, anchor_.broker};
  if (!kept) return;
  const bool ran = same_boot(kept->local, now) && kept->local.boot_ms <= now.boot_ms;
  // What the wall clock says for itself does not count: it may have been set on or back since, and
  // a step here that mends an earlier one would hide both from the nodes.
  const std::int64_t passed =
      ran ? now.boot_ms - kept->local.boot_ms : now.wall.ms - kept->local.wall.ms;
  const WallTime on{kept->broker.ms + passed};
  // A node's measurement is near to the scale it measured, but not on it.
  const bool is_own = kept->error_ms == 0 && kept->scale.id != 0;
  if (ran && is_own && on >= logged) {
    anchor_.broker = on;
    anchor_.scale = kept->scale;
    return;
  }
  // What was committed since the reading was kept is not overtaken.
  const WallTime least{kept->broker.ms + (ran ? 0 : kKeptEachMs)};
  anchor_.broker = std::max({on, least, logged});
  anchor_.scale = {fresh, kept->scale.id, anchor_.broker};
}

WallTime BrokerTime::at(const LocalTime& now) const {
  if (planted("trust the wall clock")) {
    return WallTime{anchor_.broker.ms + now.wall.ms - anchor_.local.wall.ms};
  }
  return WallTime{anchor_.broker.ms + now.boot_ms - anchor_.local.boot_ms};
}

ClockAnchor BrokerTime::reading(const LocalTime& now) const {
  return {now, at(now), 0, anchor_.scale};
}

bool BrokerTime::is_due(const ClockAnchor& kept, const LocalTime& now) const {
  return at(now).ms - kept.broker.ms >= kKeptEachMs || was_set(kept, now);
}

bool BrokerTime::was_set(const ClockAnchor& kept, const LocalTime& now) {
  const std::int64_t by_boot = now.boot_ms - kept.local.boot_ms;
  return std::abs(now.wall.ms - kept.local.wall.ms - by_boot) > kSetMs;
}

}  // namespace csa
