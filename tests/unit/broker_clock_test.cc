#include "node/broker_clock.h"

#include <doctest/doctest.h>

namespace csa {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kBoot = 7;

LocalTime local(std::int64_t wall, std::int64_t boot_ms, std::uint64_t boot = kBoot) {
  return {WallTime{wall}, boot, boot_ms};
}

}  // namespace

TEST_CASE("broker clock: never measured, the wall clock is told with a day of error") {
  BrokerClock clock;
  const BrokerMoment moment = clock.stamp(local(5000, 10));
  CHECK(moment.time.ms == 5000);
  CHECK(moment.error_ms == BrokerClock::kUnknownErrorMs);
}

TEST_CASE("broker clock: a wall clock set by hours offline changes no stamp of the same boot") {
  BrokerClock clock;
  clock.on_pong(WallTime{1000000}, milliseconds{20}, local(400000, 50000));
  const BrokerMoment before = clock.stamp(local(401000, 51000));
  const BrokerMoment after = clock.stamp(local(401000 + 7200000, 52000));
  CHECK(before.time.ms == 1001010);
  CHECK(after.time.ms == 1002010);
  CHECK(after.error_ms <= 15);
}

TEST_CASE("broker clock: after a boot the wall clock carries on with a wider error") {
  BrokerClock first;
  first.on_pong(WallTime{1000000}, milliseconds{0}, local(400000, 50000));
  BrokerClock second(first.anchor());
  const BrokerMoment moment = second.stamp(local(460000, 3000, 8));
  CHECK(moment.time.ms == 1060000);
  CHECK(moment.error_ms >= 2000);
}

TEST_CASE("broker clock: stamps never go back, and say how far they were held") {
  BrokerClock clock;
  CHECK(clock.stamp(local(5000, 10, 0)).time.ms == 5000);
  const BrokerMoment held = clock.stamp(local(2000, 20, 0));
  CHECK(held.time.ms == 5000);
  CHECK(held.error_ms == BrokerClock::kUnknownErrorMs + 3000);
}

TEST_CASE("broker clock: after a boot in 1970 or 2200, not before what was measured, and doubted") {
  BrokerClock first;
  const std::int64_t now = 1'770'000'000'000;
  first.on_pong(WallTime{now}, milliseconds{0}, local(now, 50000));
  BrokerClock second(first.anchor());
  const BrokerMoment early = second.stamp(local(3000, 3000, 8));
  CHECK(early.time.ms == now);
  CHECK(early.error_ms == BrokerClock::kUnknownErrorMs);
  BrokerClock third(first.anchor());
  const std::int64_t late = 7'260'000'000'000;
  CHECK(third.stamp(local(late, 3000, 8)).error_ms > 1'000'000'000);
  // The clock was set right in the meantime; stamps of one journal never go back.
  BrokerClock fourth(first.anchor());
  fourth.not_before(WallTime{late});
  CHECK(fourth.stamp(local(now + 5000, 9000, 8)).time.ms == late);
  fourth.on_pong(WallTime{now + 20000}, milliseconds{0}, local(now + 20000, 24000, 8));
  const auto better =
      fourth.correction({{WallTime{late}, 0}, 8, 9000}, local(now + 20000, 24000, 8));
  CHECK(late + better.ms == now + 5000);
}

TEST_CASE("broker clock: a quick measurement is kept against a slow one that agrees") {
  BrokerClock clock;
  clock.on_pong(WallTime{1000000}, milliseconds{2}, local(0, 50000));
  const std::uint32_t error = clock.anchor()->error_ms;
  clock.on_pong(WallTime{1000900}, milliseconds{200}, local(0, 51000));
  CHECK(clock.anchor()->error_ms == error);
  clock.on_pong(WallTime{9000000}, milliseconds{200}, local(0, 52000));
  CHECK(clock.stamp(local(0, 52000)).time.ms == 9000100);
}

TEST_CASE("broker clock: on return in the same boot an edit's time is corrected exactly") {
  BrokerClock offline;  // never saw a broker: the wall clock was three hours ahead
  const LocalTime edit = local(10800000 + 1000, 1000);
  const BrokerMoment stamped = offline.stamp(edit);
  BrokerClock back = offline;
  // Somebody has set the wall clock right before the return.
  back.on_pong(WallTime{61000}, milliseconds{0}, local(61000, 61000));
  const BrokerClock::Correction better =
      back.correction({stamped, edit.boot, edit.boot_ms}, local(61000, 61000));
  CHECK(stamped.time.ms + better.ms == 1000);
  CHECK(better.error_ms <= 20);
}

TEST_CASE("broker clock: an edit of another boot is not corrected") {
  BrokerClock back;
  back.on_pong(WallTime{61000}, milliseconds{0}, local(61000, 61000));
  const BrokerClock::Correction none =
      back.correction({{WallTime{5}, 77}, kBoot + 1, 100}, local(61000, 61000));
  CHECK(none.ms == 0);
  CHECK(none.error_ms == 77);
}

}  // namespace csa
