#include "node/broker_clock.h"

#include <algorithm>
#include <cstdlib>

namespace csa {
namespace {

constexpr std::int64_t kDriftPerMillion = 200;  // two cheap quartzes against each other
constexpr std::uint32_t kRebootErrorMs = 2000;  // a wall clock that was kept by a battery
constexpr std::int64_t kMaxErrorMs = UINT32_MAX;

std::uint32_t grown(std::uint32_t error_ms, std::int64_t elapsed_ms) {
  const std::int64_t drift = std::abs(elapsed_ms) / 1000000 * kDriftPerMillion +
                             std::abs(elapsed_ms) % 1000000 * kDriftPerMillion / 1000000;
  return static_cast<std::uint32_t>(std::min(kMaxErrorMs, error_ms + drift));
}

bool same_boot(std::uint64_t a, std::uint64_t b) { return a != 0 && a == b; }

}  // namespace

bool ClockAnchor::operator==(const ClockAnchor& other) const {
  return local.wall == other.local.wall && local.boot == other.local.boot &&
         local.boot_ms == other.local.boot_ms && broker == other.broker &&
         error_ms == other.error_ms;
}

void BrokerClock::on_pong(WallTime broker, Duration round_trip, const LocalTime& now) {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  const std::int64_t trip =
      std::max<std::int64_t>(0, duration_cast<milliseconds>(round_trip + milliseconds{1}).count());
  const auto error = static_cast<std::uint32_t>(std::min(kMaxErrorMs, trip / 2 + 1));
  const WallTime present{broker.ms + trip / 2};
  if (anchor_ && same_boot(anchor_->local.boot, now.boot)) {
    const BrokerMoment known = at(now);
    // A quick answer of a while ago says more than a slow one of now, unless they contradict.
    const bool agree =
        std::abs(known.time.ms - present.ms) <= std::int64_t{known.error_ms} + std::int64_t{error};
    if (agree && known.error_ms <= error) return;
  }
  anchor_ = ClockAnchor{now, present, error};
}

BrokerMoment BrokerClock::at(const LocalTime& local) const {
  if (!anchor_) return {local.wall, kUnknownErrorMs};
  if (same_boot(anchor_->local.boot, local.boot)) {
    const std::int64_t elapsed = local.boot_ms - anchor_->local.boot_ms;
    return {WallTime{anchor_->broker.ms + elapsed}, grown(anchor_->error_ms, elapsed)};
  }
  const std::int64_t elapsed = local.wall.ms - anchor_->local.wall.ms;
  // It was measured before: a clock that stands before that (an empty battery) tells nothing.
  if (elapsed < 0) return {anchor_->broker, kUnknownErrorMs};
  return {WallTime{anchor_->broker.ms + elapsed},
          grown(anchor_->error_ms + kRebootErrorMs, elapsed)};
}

BrokerMoment BrokerClock::stamp(const LocalTime& local) {
  BrokerMoment moment = at(local);
  if (moment.time < last_) {
    const std::int64_t back = last_.ms - moment.time.ms;
    moment.error_ms = static_cast<std::uint32_t>(std::min(kMaxErrorMs, moment.error_ms + back));
    moment.time = last_;
  }
  last_ = moment.time;
  return moment;
}

void BrokerClock::not_before(WallTime time) { last_ = std::max(last_, time); }

BrokerClock::Correction BrokerClock::correction(const Stamped& entry, const LocalTime& now) const {
  if (!anchor_ || !same_boot(entry.boot, now.boot) || !same_boot(anchor_->local.boot, now.boot)) {
    return {0, entry.edited.error_ms};
  }
  const BrokerMoment made = at(LocalTime{now.wall, entry.boot, entry.boot_ms});
  return {made.time.ms - entry.edited.time.ms, made.error_ms};
}

}  // namespace csa
