#include "broker/rival.h"

#include <doctest/doctest.h>

namespace csa::rival_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const DbId kDb{Id128{{5}}};
const TimePoint kStart{std::chrono::hours{1}};

Welcome welcome(const DbId& db, std::uint64_t generation) {
  Welcome made;
  made.db = db;
  made.head.epoch = {generation, Id128{{7}}};
  made.hostname = "new-office";
  return made;
}

}  // namespace

TEST_CASE("rival: by its WELCOME, newer and older only of the same database") {
  const OwnHistory own{kDb, 2};
  CHECK(rival_kind(own, welcome(kDb, 3)) == RivalKind::kNewer);
  CHECK(rival_kind(own, welcome(kDb, 1)) == RivalKind::kOlder);
  CHECK(rival_kind(own, welcome(kDb, 2)) == RivalKind::kOther);
  CHECK(rival_kind(own, welcome(DbId{Id128{{6}}}, 3)) == RivalKind::kOther);
  CHECK(rival_kind(own, welcome(DbId{Id128{{6}}}, 1)) == RivalKind::kOther);
}

TEST_CASE("rival: the last words of an old broker name the newer one and say what to do") {
  const Error last =
      outdated_error("/srv/old.db", {kDb, 2}, welcome(kDb, 3), {"192.168.1.7", 5775});
  CHECK(last.code == Errc::kRefused);
  for (const char* const part : {"/srv/old.db", "generation 2", "generation 3", "new-office",
                                 "192.168.1.7:5775", "csa-node run"}) {
    CHECK_MESSAGE(last.what.find(part) != std::string::npos, part);
  }
}

TEST_CASE("rival: a place is greeted once in a while, however often it announces itself") {
  RivalPlaces places;
  const Endpoint one{"192.168.1.7", 5775};
  const Endpoint two{"192.168.1.8", 5775};
  TimePoint now = kStart;
  CHECK_FALSE(places.take(now).has_value());
  places.add(one, now);
  places.add(two, now);
  places.add(one, now);
  CHECK(places.take(now) == one);
  places.add(one, now);
  CHECK(places.take(now) == two);
  CHECK(places.empty());
  now += seconds{5} - milliseconds{1};
  places.add(one, now);
  CHECK(places.empty());
  now += milliseconds{1};
  places.add(one, now);
  CHECK(places.take(now) == one);
}

TEST_CASE("rival: a flood of beacons, bounded, and a place of its own again afterwards") {
  RivalPlaces places;
  TimePoint now = kStart;
  for (int i = 0; i < 10000; ++i) {
    places.add({"10.0." + std::to_string(i / 256) + "." + std::to_string(i % 256), 5775}, now);
  }
  int taken = 0;
  while (places.take(now)) ++taken;
  CHECK(taken == 64);
  const Endpoint real{"192.168.1.7", 5775};
  places.add(real, now);
  CHECK(places.empty());
  now += seconds{5};
  places.add(real, now);
  CHECK(places.take(now) == real);
}

}  // namespace csa::rival_test
