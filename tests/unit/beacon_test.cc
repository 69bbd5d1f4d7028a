#include "common/beacon.h"

#include <doctest/doctest.h>

#include "tests/support/sample_messages.h"

namespace csa::beacon_test {

TEST_CASE("beacon: encoded and decoded, comes back equal") {
  Beacon beacon = testing::sample_beacon();
  for (const BeaconKind kind : {BeaconKind::kAnnounce, BeaconKind::kProbe, BeaconKind::kBye}) {
    beacon.kind = kind;
    const auto datagram = encode(beacon);
    CHECK(datagram.size() == 96);
    const Result<Beacon> back = decode_beacon(datagram);
    REQUIRE(back);
    CHECK(*back == beacon);
  }
}

TEST_CASE("beacon: wrong length, is malformed") {
  const auto datagram = encode(testing::sample_beacon());
  Bytes longer(datagram.begin(), datagram.end());
  longer.push_back(0);
  CHECK(decode_beacon(longer).error().code == Errc::kMalformed);
  for (std::size_t size = 0; size < datagram.size(); ++size) {
    CHECK(decode_beacon(ByteView(datagram).first(size)).error().code == Errc::kMalformed);
  }
}

TEST_CASE("beacon: a wrong bit, is refused or makes another beacon, never nothing") {
  const Beacon beacon = testing::sample_beacon();
  const auto datagram = encode(beacon);
  for (std::size_t bit = 0; bit < datagram.size() * 8; ++bit) {
    auto flipped = datagram;
    flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    const Result<Beacon> read = decode_beacon(flipped);
    CAPTURE(bit);
    if (bit < 32) {
      CHECK(!read);  // magic
    } else if (read) {
      CHECK(*read != beacon);
      CHECK(encode(*read) == flipped);
    } else {
      CHECK(bit / 8 == 4);  // kind
    }
  }
}

TEST_CASE("beacon: ANNOUNCE with port 0, is malformed; PROBE without ports is not") {
  Beacon beacon = testing::sample_beacon();
  beacon.port = 0;
  CHECK(!decode_beacon(encode(beacon)));
  beacon.kind = BeaconKind::kProbe;
  CHECK(decode_beacon(encode(beacon)).has_value());
}

TEST_CASE("beacon: cluster ids, differ by app, by group and by the border between them") {
  const Id128 id = cluster_id("csa", "default");
  CHECK(id == cluster_id("csa", "default"));
  CHECK(id != cluster_id("csa", "other"));
  CHECK(id != cluster_id("other", "default"));
  CHECK(cluster_id("ab", "c") != cluster_id("a", "bc"));
}

}  // namespace csa::beacon_test
