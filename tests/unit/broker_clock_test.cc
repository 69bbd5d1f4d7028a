#include "node/broker_clock.h"

#include <doctest/doctest.h>

namespace csa::broker_clock_test {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kBoot = 7;
constexpr std::int64_t kHour = 3'600'000;
constexpr TimeScale kScale{31, 30, WallTime{500}};

LocalTime local(std::int64_t wall, std::int64_t boot_ms, std::uint64_t boot = kBoot) {
  return {WallTime{wall}, boot, boot_ms};
}

void measure(BrokerClock& clock, std::int64_t broker, const LocalTime& now,
             const TimeScale& scale = kScale, milliseconds trip = milliseconds{0}) {
  clock.on_pong(WallTime{broker}, scale, trip, now);
}

}  // namespace

TEST_CASE("broker clock: never measured, the wall clock is told and nothing is known") {
  BrokerClock clock;
  const BrokerMoment moment = clock.stamp(local(5000, 10));
  CHECK(moment.time.ms == 5000);
  CHECK(moment.error_ms == kUnknownErrorMs);
}

TEST_CASE("broker clock: a wall clock set by hours offline changes no stamp of the same boot") {
  BrokerClock clock;
  measure(clock, 1000000, local(400000, 50000), kScale, milliseconds{20});
  const BrokerMoment before = clock.stamp(local(401000, 51000));
  const BrokerMoment after = clock.stamp(local(401000 + 7200000, 52000));
  CHECK(before.time.ms == 1001010);
  CHECK(after.time.ms == 1002010);
  CHECK(after.error_ms <= 15);
  CHECK(after.scale == kScale.id);
}

TEST_CASE("broker clock: after a boot the wall clock carries on with a wider error") {
  BrokerClock first;
  measure(first, 1000000, local(400000, 50000));
  BrokerClock second(first.anchor());
  const BrokerMoment moment = second.stamp(local(460000, 3000, 8));
  CHECK(moment.time.ms == 1060000);
  CHECK(moment.error_ms >= 2000);
  CHECK(moment.scale == 0);
}

TEST_CASE("broker clock: set while measurements agree, the next boot begins with the new setting") {
  BrokerClock first;
  measure(first, 1000000, local(400000, 50000));
  CHECK(first.take_changed());
  // Three hours ahead now; a slow answer that agrees does not replace the quick one.
  measure(first, 1000900, local(401000 + 3 * kHour, 51000), kScale, milliseconds{200});
  CHECK(first.take_changed());
  BrokerClock second(first.anchor());
  CHECK(second.stamp(local(460000 + 3 * kHour, 3000, 8)).time.ms == 1060000);
}

TEST_CASE("broker clock: set while it runs offline after a boot, told on with the step as error") {
  BrokerClock first;
  measure(first, 1000000, local(400000, 50000));
  BrokerClock second(first.anchor());
  second.note(local(460000 - 5 * kHour, 3000, 8));  // stands before the measurement
  second.note(local(460000, 4000, 8));
  CHECK(second.stamp(local(460000, 4000, 8)).time.ms == 1060000);
  second.note(local(461000 + kHour, 5000, 8));
  const BrokerMoment moment = second.stamp(local(461000 + kHour, 5000, 8));
  CHECK(moment.time.ms == 1061000 + kHour);
  CHECK(moment.error_ms >= kHour);
  CHECK(moment.scale == 0);
}

TEST_CASE("broker clock: stamps never go back, and say how far they were held") {
  BrokerClock clock;
  measure(clock, 5000, local(5000, 10));
  const std::uint32_t error = clock.stamp(local(5000, 10)).error_ms;
  clock.not_before(WallTime{8000});
  const BrokerMoment held = clock.stamp(local(5000, 20));
  CHECK(held.time.ms == 8000);
  CHECK(held.error_ms == error + 2990);
}

TEST_CASE("broker clock: after a boot in 1970 or 2200, not before what was measured, and doubted") {
  BrokerClock first;
  const std::int64_t now = 1'770'000'000'000;
  measure(first, now, local(now, 50000));
  BrokerClock second(first.anchor());
  const BrokerMoment early = second.stamp(local(3000, 3000, 8));
  CHECK(early.time.ms == now);
  CHECK(early.error_ms == kUnknownErrorMs);
  BrokerClock third(first.anchor());
  const std::int64_t late = 7'260'000'000'000;
  CHECK(third.stamp(local(late, 3000, 8)).error_ms > 1'000'000'000);
  // The clock was set right in the meantime; stamps of one journal never go back.
  BrokerClock fourth(first.anchor());
  fourth.not_before(WallTime{late});
  const BrokerMoment held = fourth.stamp(local(now + 5000, 9000, 8));
  CHECK(held.time.ms == late);
  measure(fourth, now + 20000, local(now + 20000, 24000, 8));
  const auto better = fourth.correction({held, local(now + 5000, 9000, 8)});
  CHECK(late + better.ms == now + 5000);
}

TEST_CASE("broker clock: a quick measurement is kept against a slow one that agrees") {
  BrokerClock clock;
  measure(clock, 1000000, local(0, 50000), kScale, milliseconds{2});
  const std::uint32_t error = clock.anchor()->error_ms;
  measure(clock, 1000900, local(0, 51000), kScale, milliseconds{200});
  CHECK(clock.anchor()->error_ms == error);
  measure(clock, 9000000, local(0, 52000), kScale, milliseconds{200});
  CHECK(clock.stamp(local(0, 52000)).time.ms == 9000100);
  measure(clock, 9000100, local(0, 52100), {77, 31, WallTime{9000000}}, milliseconds{400});
  CHECK(clock.anchor()->scale.id == 77);
}

TEST_CASE("broker clock: each link is measured anew") {
  BrokerClock clock;
  CHECK_FALSE(clock.is_measured());
  measure(clock, 1000000, local(0, 50000));
  CHECK(clock.is_measured());
  clock.begin_link();
  CHECK_FALSE(clock.is_measured());
}

TEST_CASE("broker clock: on return in the same boot an edit's time is corrected exactly") {
  BrokerClock offline;  // never saw a broker: the wall clock was three hours ahead
  const LocalTime edit = local(10800000 + 1000, 1000);
  const BrokerMoment stamped = offline.stamp(edit);
  BrokerClock back = offline;
  // Somebody has set the wall clock right before the return.
  measure(back, 61000, local(61000, 61000));
  const BrokerClock::Correction better = back.correction({stamped, edit});
  CHECK(stamped.time.ms + better.ms == 1000);
  CHECK(better.error_ms <= 20);
}

}  // namespace csa::broker_clock_test
