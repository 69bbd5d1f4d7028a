#include "broker/broker_time.h"

#include <doctest/doctest.h>

namespace csa::broker_time_test {
namespace {

constexpr std::int64_t kHours = 3 * 3'600'000;

LocalTime clocks(std::int64_t wall, std::uint64_t boot, std::int64_t boot_ms) {
  return {WallTime{wall}, boot, boot_ms};
}

// It ran since 10 s after boot 7, at 1,000,000 by its wall clock.
ClockAnchor kept_at(std::int64_t boot_ms) {
  return BrokerTime({}, {}, clocks(1'000'000, 7, 10'000), 31)
      .reading(clocks(1'000'000 + boot_ms - 10'000, 7, boot_ms));
}

}  // namespace

TEST_CASE("broker time: a wall clock that is set while it runs does not move it") {
  const BrokerTime time({}, {}, clocks(1'000'000, 7, 10'000), 31);
  CHECK(time.at(clocks(1'000'000 + kHours, 7, 11'000)).ms == 1'001'000);
  CHECK(time.at(clocks(1'000'000 - kHours, 7, 12'000)).ms == 1'002'000);
  CHECK(time.scale() == TimeScale{31, 0, WallTime{1'000'000}});
}

TEST_CASE("broker time: a broker that starts again in the same boot goes on on the same scale") {
  const BrokerTime time(kept_at(20'000), WallTime{1'015'000}, clocks(kHours, 7, 50'000), 32);
  CHECK(time.at(clocks(0, 7, 50'000)).ms == 1'040'000);
  CHECK(time.scale() == TimeScale{31, 0, WallTime{1'000'000}});
}

TEST_CASE("broker time: after a boot it goes on by the wall clock, on a scale of its own") {
  const BrokerTime time(kept_at(20'000), {}, clocks(1'100'000, 8, 500), 32);
  CHECK(time.at(clocks(0, 8, 500)).ms == 1'100'000);
  CHECK(time.scale() == TimeScale{32, 31, WallTime{1'100'000}});
}

TEST_CASE(
    "broker time: a wall clock that was set back before the boot still tells how long it was") {
  const ClockAnchor kept = BrokerTime({}, {}, clocks(1'000'000, 7, 10'000), 31)
                               .reading(clocks(1'010'000 - 600'000, 7, 20'000));
  const BrokerTime time(kept, {}, clocks(1'100'000 - 600'000, 8, 500), 32);
  CHECK(time.at(clocks(0, 8, 500)).ms == 1'100'000);
}

TEST_CASE("broker time: never before what was committed, whatever the wall clock says") {
  // An empty battery, and the last reading is older than the last commit.
  const BrokerTime time(kept_at(20'000), WallTime{1'018'000}, clocks(0, 8, 500), 32);
  CHECK(time.at(clocks(0, 8, 500)).ms >= 1'018'000);
  CHECK(time.scale().since == time.at(clocks(0, 8, 500)));
  // The log is gone with the history (restore): no commit was later than the next reading's due.
  const BrokerTime restored(kept_at(20'000), {}, clocks(0, 8, 500), 32);
  CHECK(restored.at(clocks(0, 8, 500)).ms >= 1'020'000);
  // A boot that has forgotten its length is another boot.
  const BrokerTime strange(kept_at(20'000), {}, clocks(1'100'000, 7, 500), 32);
  CHECK(strange.scale().id == 32);
}

TEST_CASE("broker time: of a replica that becomes the master, what its node had measured goes on") {
  ClockAnchor measured = kept_at(20'000);
  measured.error_ms = 3;
  const BrokerTime time(measured, {}, clocks(kHours, 7, 50'000), 32);
  CHECK(time.at(clocks(0, 7, 50'000)).ms == 1'040'000);
  CHECK(time.scale() == TimeScale{32, 31, WallTime{1'040'000}});
}

}  // namespace csa::broker_time_test
