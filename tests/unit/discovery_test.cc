#include "common/discovery.h"

#include <doctest/doctest.h>

#include <chrono>
#include <set>
#include <string>

#include "common/limits.h"

namespace csa::discovery_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const TimePoint kStart{std::chrono::hours{100}};
const Id128 kCluster{{1, 2, 3}};
constexpr std::uint32_t kLan = 0xC0A80105;   // 192.168.1.5
constexpr std::uint32_t kMask = 0xFFFFFF00;  // /24

HeardBeacon announce(const std::string& address, std::uint64_t boot) {
  HeardBeacon heard;
  heard.beacon.kind = BeaconKind::kAnnounce;
  heard.beacon.cluster = kCluster;
  heard.beacon.boot = boot;
  heard.beacon.generation = 1;
  heard.beacon.port = 5775;
  heard.beacon.interval_ms = 1000;
  heard.address = address;
  heard.interface_address = kLan;
  heard.interface_mask = kMask;
  return heard;
}

std::vector<Endpoint> at_5775(const std::vector<std::string>& hosts) {
  std::vector<Endpoint> endpoints;
  for (const std::string& host : hosts) endpoints.push_back({host, 5775});
  return endpoints;
}

}  // namespace

TEST_CASE("discovery: endpoints as text, read back; what is none is refused") {
  CHECK(to_string(Endpoint{"till-2", 5775}) == "till-2:5775");
  CHECK(to_string(Endpoint{"fe80::1", 9}) == "[fe80::1]:9");
  CHECK(parse_endpoint("till-2", 5775) == Endpoint{"till-2", 5775});
  CHECK(parse_endpoint("10.0.0.1:80", 5775) == Endpoint{"10.0.0.1", 80});
  CHECK(parse_endpoint("[fe80::1]:9", 5775) == Endpoint{"fe80::1", 9});
  CHECK(parse_endpoint("[::1]", 5775) == Endpoint{"::1", 5775});
  for (const char* bad : {"", ":5775", "host:", "host:0", "host:65536", "host:5x", "a b", "[::1",
                          "[]:1", "[::1]x", "fe80::1", "tcp://host"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_endpoint(bad, 5775).has_value());
  }
}

TEST_CASE("discovery: loopback first, then the interface's network, then the rest") {
  Discovery discovery(kCluster, {});
  discovery.on_beacon(announce("10.9.9.9", 1), kStart);
  discovery.on_beacon(announce("192.168.1.77", 1), kStart);
  discovery.on_beacon(announce("127.0.0.1", 1), kStart);
  CHECK(discovery.candidates(kStart) == at_5775({"127.0.0.1", "192.168.1.77", "10.9.9.9"}));
}

TEST_CASE("discovery: the last good endpoint comes first, also without a beacon") {
  Discovery discovery(kCluster, {});
  discovery.remember({"10.9.9.9", 5775});
  CHECK(discovery.candidates(kStart) == at_5775({"10.9.9.9"}));
  discovery.on_beacon(announce("127.0.0.1", 1), kStart);
  CHECK(discovery.candidates(kStart) == at_5775({"10.9.9.9", "127.0.0.1"}));
  discovery.on_welcome({"127.0.0.1", 5775}, kStart);
  CHECK(discovery.candidates(kStart) == at_5775({"127.0.0.1"}));
}

TEST_CASE("discovery: who announces an earlier generation comes last, the last good one too") {
  Discovery discovery(kCluster, {});
  discovery.remember({"192.168.1.77", 5775});
  discovery.on_beacon(announce("127.0.0.1", 1), kStart);
  discovery.on_beacon(announce("192.168.1.77", 2), kStart);
  HeardBeacon newer = announce("10.9.9.9", 3);
  newer.beacon.generation = 2;
  discovery.on_beacon(newer, kStart);
  CHECK(discovery.candidates(kStart) == at_5775({"192.168.1.77", "127.0.0.1", "10.9.9.9"}));
  discovery.set_generation(2);
  CHECK(discovery.candidates(kStart) == at_5775({"10.9.9.9", "127.0.0.1", "192.168.1.77"}));
  // What it serves now only it can tell.
  CHECK(discovery.candidates(kStart + seconds{10}) == at_5775({"192.168.1.77"}));
}

TEST_CASE("discovery: fixed endpoints keep their order, beacons and probes play no part") {
  Discovery discovery(kCluster, at_5775({"b", "a"}));
  discovery.start_search(kStart);
  discovery.on_beacon(announce("127.0.0.1", 1), kStart);
  CHECK_FALSE(discovery.probe_due().has_value());
  CHECK(discovery.candidates(kStart) == at_5775({"b", "a"}));
  discovery.on_welcome({"a", 5775}, kStart);
  CHECK(discovery.candidates(kStart) == at_5775({"a", "b"}));
}

TEST_CASE("discovery: another cluster, a PROBE and port 0 are not candidates") {
  Discovery discovery(kCluster, {});
  HeardBeacon other = announce("127.0.0.1", 1);
  other.beacon.cluster = Id128{{9}};
  discovery.on_beacon(other, kStart);
  HeardBeacon probe = announce("127.0.0.1", 1);
  probe.beacon.kind = BeaconKind::kProbe;
  discovery.on_beacon(probe, kStart);
  HeardBeacon portless = announce("127.0.0.1", 1);
  portless.beacon.port = 0;
  discovery.on_beacon(portless, kStart);
  CHECK(discovery.candidates(kStart).empty());
}

TEST_CASE("discovery: a beacon counts for 3.5 intervals, a BYE shortens that for its own boot") {
  Discovery discovery(kCluster, {});
  discovery.on_beacon(announce("127.0.0.1", 1), kStart);
  CHECK(discovery.candidates(kStart + milliseconds{3499}).size() == 1);
  CHECK(discovery.candidates(kStart + milliseconds{3500}).empty());

  discovery.on_beacon(announce("127.0.0.1", 1), kStart);
  HeardBeacon bye = announce("127.0.0.1", 2);
  bye.beacon.kind = BeaconKind::kBye;
  discovery.on_beacon(bye, kStart);
  CHECK(discovery.candidates(kStart + seconds{3}).size() == 1);
  bye.beacon.boot = 1;
  discovery.on_beacon(bye, kStart);
  CHECK(discovery.candidates(kStart).size() == 1);  // a working link must not end by it
  CHECK(discovery.candidates(kStart + seconds{1}).empty());
}

TEST_CASE("discovery: a failed endpoint backs off with growing bounds and jitter") {
  const Endpoint endpoint{"a", 5775};
  Discovery discovery(kCluster, {endpoint, {"b", 5775}}, 7);
  TimePoint now = kStart;
  Duration longest{};
  for (int i = 0; i < 12; ++i) {
    discovery.on_failed(endpoint, now);
    CHECK(discovery.candidates(now) == at_5775({"b"}));
    const auto next = discovery.next_candidate(now);
    REQUIRE(next.has_value());
    CHECK(*next - now >= limits::kRetryMin);
    CHECK(*next - now <= limits::kRetryMax);
    if (i == 0) CHECK(*next - now <= 2 * limits::kRetryMin);
    longest = std::max(longest, *next - now);
    now = *next;
    CHECK(discovery.candidates(now).size() == 2);
  }
  CHECK(longest > 5 * limits::kRetryMin);
  discovery.on_stable(endpoint);
  discovery.on_failed(endpoint, now);
  CHECK(*discovery.next_candidate(now) - now <= 2 * limits::kRetryMin);
}

TEST_CASE("discovery: where a broker begins to announce itself it is tried within a second") {
  const Endpoint endpoint{"192.168.1.77", 5775};
  Discovery discovery(kCluster, {}, 7);
  discovery.on_welcome(endpoint, kStart);
  std::set<milliseconds> waits;
  TimePoint now = kStart;
  for (std::uint64_t boot = 1; boot <= 100; ++boot) {
    CAPTURE(boot);
    for (int i = 0; i < 10; ++i) discovery.on_failed(endpoint, now);
    discovery.on_failed(endpoint, now, seconds{60});
    CHECK(*discovery.next_candidate(now) >= now + seconds{60});
    now += seconds{3};
    discovery.on_beacon(announce(endpoint.host, boot), now);
    const TimePoint next = discovery.next_candidate(now).value_or(now);
    CHECK(next <= now + seconds{1});
    waits.insert(std::chrono::duration_cast<milliseconds>(next - now));
    // Not again for more of the same, nor for many that follow each other.
    discovery.on_failed(endpoint, now, seconds{60});
    discovery.on_beacon(announce(endpoint.host, boot), now + milliseconds{500});
    discovery.on_beacon(announce(endpoint.host, boot + 1000), now + seconds{1});
    CHECK(*discovery.next_candidate(now) >= now + seconds{60});
    now += seconds{10};
  }
  CHECK(waits.size() > 80);  // not everybody at once
}

TEST_CASE("discovery: a named endpoint, of which no beacon tells, is tried each 1.5 s at least") {
  for (const bool named : {true, false}) {
    Discovery discovery(kCluster, named ? at_5775({"127.0.0.1"}) : at_5775({}), 7);
    discovery.remember({"127.0.0.1", 5775});
    Duration longest{};
    for (int i = 0; i < 50; ++i) {
      const TimePoint now = kStart + seconds{10 * i};
      discovery.on_failed({"127.0.0.1", 5775}, now);
      longest = std::max(longest, *discovery.next_candidate(now) - now);
    }
    CHECK((longest <= milliseconds{1500}) == named);
  }
}

TEST_CASE("discovery: probes at 0, 0.25, 1, 2, 5 s, then each 10 s, until the search stops") {
  Discovery discovery(kCluster, {});
  CHECK_FALSE(discovery.probe_due().has_value());
  discovery.start_search(kStart);
  std::vector<std::int64_t> times;
  for (int i = 0; i < 7; ++i) {
    const TimePoint due = *discovery.probe_due();
    times.push_back(std::chrono::duration_cast<milliseconds>(due - kStart).count());
    discovery.probe_sent(due);
  }
  CHECK(times == std::vector<std::int64_t>{0, 250, 1000, 2000, 5000, 15000, 25000});
  discovery.stop_search();
  CHECK_FALSE(discovery.probe_due().has_value());
}

TEST_CASE("discovery: two runs side by side for over 5 s raise an alarm, a restart does not") {
  Discovery discovery(kCluster, {});
  for (int second = 0; second <= 6; ++second) {
    const TimePoint now = kStart + seconds{second};
    discovery.on_beacon(announce("192.168.1.7", second < 3 ? 1 : 2), now);
    discovery.on_beacon(announce("127.0.0.1", second < 3 ? 1 : 2), now);
    CHECK_FALSE(discovery.alarm(now).has_value());
  }
  for (int second = 7; second <= 13; ++second) {
    const TimePoint now = kStart + seconds{second};
    discovery.on_beacon(announce("192.168.1.7", 2), now);
    discovery.on_beacon(announce("192.168.1.8", 3), now);
    CHECK(discovery.alarm(now).has_value() == (second > 12));
  }
  const std::string text = discovery.alarm(kStart + seconds{13}).value_or("");
  CHECK(text.find("192.168.1.7") != std::string::npos);
  CHECK(text.find("192.168.1.8") != std::string::npos);
}

TEST_CASE("discovery: a flood of beacons does not push out a known broker or fill the memory") {
  Discovery discovery(kCluster, {});
  discovery.on_beacon(announce("192.168.1.7", 1), kStart);
  for (int i = 0; i < 5000; ++i) {
    discovery.on_beacon(
        announce("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250), 100), kStart);
  }
  discovery.on_beacon(announce("192.168.1.7", 1), kStart);
  CHECK(discovery.candidates(kStart).front() == Endpoint{"192.168.1.7", 5775});
  CHECK(discovery.candidates(kStart).size() <= 64);
}

}  // namespace csa::discovery_test
