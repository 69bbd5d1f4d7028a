#include "node/broker_clock.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "common/check.h"

namespace csa {
namespace {

constexpr std::int64_t kDriftPerMillion = 200;  // two cheap quartzes against each other
constexpr std::int64_t kRebootErrorMs = 2000;   // a wall clock that was kept by a battery
constexpr std::int64_t kSetMs = 1000;           // so far no wall clock goes by itself

std::uint32_t bounded(std::int64_t error_ms) {
  return static_cast<std::uint32_t>(std::min<std::int64_t>(kUnknownErrorMs, std::abs(error_ms)));
}

std::uint32_t grown(std::int64_t error_ms, std::int64_t elapsed_ms) {
  const std::int64_t drift = std::abs(elapsed_ms) / 1000000 * kDriftPerMillion +
                             std::abs(elapsed_ms) % 1000000 * kDriftPerMillion / 1000000;
  return bounded(error_ms + drift);
}

std::int64_t apart(const BrokerMoment& a, const BrokerMoment& b) {
  return std::abs(a.time.ms - b.time.ms);
}

bool agree(const BrokerMoment& a, const BrokerMoment& b) {
  return apart(a, b) <= std::int64_t{a.error_ms} + b.error_ms;
}

const BrokerMoment& better(const BrokerMoment& a, const BrokerMoment& b) {
  return a.error_ms < b.error_ms ? a : b;
}

// One of both is right, nobody knows which.
BrokerMoment either(const BrokerMoment& a, const BrokerMoment& b) {
  BrokerMoment wide = a.error_ms < b.error_ms ? b : a;
  wide.error_ms = std::max(wide.error_ms, bounded(apart(a, b) + better(a, b).error_ms));
  return wide;
}

BrokerMoment unknown(const BrokerMoment& moment) { return {moment.time, kUnknownErrorMs, 0}; }

}  // namespace

BrokerClock::BrokerClock(std::optional<ClockAnchor> anchor) : anchor_(std::move(anchor)) {}

void BrokerClock::note(const LocalTime& now) {
  if (!anchor_ || now.boot == 0) return;
  if (same_boot(anchor_->local, now)) return follow_wall(now);
  // It was measured before: a wall clock that stands before that may yet be set right.
  if (now.wall < anchor_->local.wall) return;
  const BrokerMoment moment = at(now);
  anchor_ = ClockAnchor{now, moment.time, moment.error_ms, {}, anchor_->doubt_ms};
  changed_ = true;
}

// Keeps the wall clock's reading at the measurement as it would have been under its present
// setting: that is what the next boot begins with.
void BrokerClock::follow_wall(const LocalTime& now) {
  LocalTime& local = anchor_->local;
  const std::int64_t set = now.wall.ms - (now.boot_ms - local.boot_ms) - local.wall.ms;
  if (std::abs(set) <= kSetMs) return;
  local.wall.ms += set;
  changed_ = true;
  if (anchor_->scale.id != 0) return;
  // The time over the boot was told by this wall clock, and it was wrong then or is now; most are
  // set right.
  anchor_->broker.ms += set;
  anchor_->error_ms = bounded(std::int64_t{anchor_->error_ms} + std::abs(set));
  anchor_->doubt_ms = bounded(std::int64_t{anchor_->doubt_ms} + std::abs(set));
}

void BrokerClock::on_pong(WallTime broker, const TimeScale& scale, Duration round_trip,
                          const LocalTime& now) {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  note(now);
  measured_ = true;
  const std::int64_t trip =
      std::max<std::int64_t>(0, duration_cast<milliseconds>(round_trip + milliseconds{1}).count());
  const BrokerMoment present{WallTime{broker.ms + trip / 2}, bounded(trip / 2 + 1), scale.id};
  const bool goes_on = anchor_ && anchor_->scale == scale && same_boot(anchor_->local, now) &&
                       agree(at(now), present);
  // A quick answer of a while ago says more than a slow one of now, unless they contradict.
  if (goes_on && at(now).error_ms <= present.error_ms) return;
  changed_ = changed_ || !goes_on;
  anchor_ =
      ClockAnchor{now, present.time, present.error_ms, scale, anchor_ ? anchor_->doubt_ms : 0};
}

void BrokerClock::end_doubt() {
  if (anchor_) anchor_->doubt_ms = 0;
}

bool BrokerClock::take_changed() { return std::exchange(changed_, false); }

BrokerMoment BrokerClock::at(const LocalTime& local) const {
  if (!anchor_) return {local.wall, kUnknownErrorMs, 0};
  const std::int64_t error = anchor_->error_ms;
  if (same_boot(anchor_->local, local)) {
    const std::int64_t elapsed = local.boot_ms - anchor_->local.boot_ms;
    return {WallTime{anchor_->broker.ms + elapsed}, grown(error, elapsed), anchor_->scale.id};
  }
  const std::int64_t elapsed = local.wall.ms - anchor_->local.wall.ms;
  return {WallTime{anchor_->broker.ms + elapsed}, grown(error + kRebootErrorMs, elapsed), 0};
}

BrokerMoment BrokerClock::stamp(const LocalTime& local) {
  BrokerMoment moment = at(local);
  // A clock that stands before the measurement (an empty battery) tells nothing.
  if (anchor_ && !same_boot(anchor_->local, local) && moment.time < anchor_->broker) {
    moment = unknown({anchor_->broker});
  }
  if (moment.time < last_) {
    const std::int64_t back = last_.ms - moment.time.ms;
    moment.error_ms = bounded(std::int64_t{moment.error_ms} + back);
    moment.time = last_;
  }
  last_ = moment.time;
  return moment;
}

void BrokerClock::not_before(WallTime time) { last_ = std::max(last_, time); }

BrokerClock::Correction BrokerClock::correction(const Stamped& entry) const {
  CSA_CHECK(measured_ && anchor_);
  const TimeScale& scale = anchor_->scale;
  const BrokerMoment& old = entry.edited;
  const BrokerMoment anew = at(entry.local);
  const bool same = same_boot(entry.local, anchor_->local);
  const bool was_measured = old.error_ms != kUnknownErrorMs;
  const bool present = was_measured && old.scale != 0 && old.scale == scale.id;
  const bool before = was_measured && old.scale != 0 && old.scale == scale.before;
  const bool after_begin = anew.time.ms - std::int64_t{anew.error_ms} >= scale.since.ms;
  const bool before_begin = anew.time.ms + std::int64_t{anew.error_ms} < scale.since.ms;
  BrokerMoment made = unknown(anew);
  if (same && present) {
    if (agree(old, anew)) made = better(old, anew);
  } else if (same && after_begin) {
    made = anew;
  } else if (present) {
    made = old;
  } else if (same && before && before_begin) {
    made = {std::min(old.time, scale.since), old.error_ms, old.scale};
  } else if (was_measured && agree(old, anew)) {
    made = either(old, anew);
    made.error_ms = bounded(std::int64_t{made.error_ms} + anchor_->doubt_ms);
  }
  return {made.time.ms - old.time.ms, made.error_ms};
}

}  // namespace csa
