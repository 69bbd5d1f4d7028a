// Who is there: beacons in, brokers to try out. Pure, not thread-safe. Order and expiry follow
// schemas/protocol.md ("Discovery").
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "common/beacon.h"
#include "common/types.h"

namespace csa {

// A beacon as the socket saw it. The address is the datagram's own, never one from its content.
struct HeardBeacon {
  Beacon beacon;
  std::string address;                  // dotted IPv4
  std::uint32_t interface_address = 0;  // of the interface it came in by, host order; 0 unknown
  std::uint32_t interface_mask = 0;
};

struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
};
[[nodiscard]] std::string to_string(const Endpoint& endpoint);  // "HOST:PORT"
// "HOST", "HOST:PORT", "[v6]:PORT"; nullopt: not one of these.
[[nodiscard]] std::optional<Endpoint> parse_endpoint(std::string_view text,
                                                     std::uint16_t default_port);

class Discovery {
 public:
  // `fixed`: endpoints given by --broker; not empty: beacons are not asked for nor listened to.
  // `seed`: for the jitter of back-offs.
  Discovery(Id128 cluster, std::vector<Endpoint> fixed, std::uint64_t seed = 0);

  void on_beacon(const HeardBeacon& heard, TimePoint now);
  // A WELCOME came from there: it is tried first from now on (also after a restart: `remember`).
  void on_welcome(const Endpoint& endpoint, TimePoint now);
  void remember(const Endpoint& endpoint);
  // Brokers that announce an earlier generation come last: they are old ones.
  void set_generation(std::uint64_t seen) { generation_ = seen; }
  // An attempt failed: others are tried before it comes round again, later each time, and not
  // before `at_least`; but soon where a broker begins to announce itself.
  void on_failed(const Endpoint& endpoint, TimePoint now, Duration at_least = {});
  // The connection has lasted: its earlier failures are forgotten.
  void on_stable(const Endpoint& endpoint);

  // Best first: fixed or last good, loopback, same subnet as the arrival interface, the rest, old
  // ones.
  // Without those that failed less than their back-off ago.
  [[nodiscard]] std::vector<Endpoint> candidates(TimePoint now) const;
  // When one that has failed may be tried again; nothing: none is waiting.
  [[nodiscard]] std::optional<TimePoint> next_candidate(TimePoint now) const;
  // Its beacon is being heard there / this run of a broker is being heard anywhere.
  [[nodiscard]] bool announced(const Endpoint& endpoint, TimePoint now) const;
  [[nodiscard]] bool heard_boot(std::uint64_t boot, TimePoint now) const;
  // Time of the next PROBE while searching: 0, 0.25, 1, 2, 5 s after start_search(), then each 10
  // s.
  void start_search(TimePoint now);
  void stop_search();
  [[nodiscard]] std::optional<TimePoint> probe_due() const;
  void probe_sent(TimePoint now);
  // Boot ids heard for this cluster within their expiry: more than one for over 5 s is an alarm.
  [[nodiscard]] std::optional<std::string> alarm(TimePoint now) const;

 private:
  struct Seen {
    std::uint64_t boot = 0;
    std::uint64_t generation = 0;
    int rank = 0;
    TimePoint expires;
    TimePoint first;  // of this boot, here
  };
  struct Failures {
    int times = 0;
    TimePoint not_before;
    std::optional<TimePoint> hastened;
  };
  [[nodiscard]] bool known(const Endpoint& endpoint) const;
  void forget_expired(TimePoint now);
  void hasten(const Endpoint& endpoint, TimePoint now);

  Id128 cluster_;
  std::vector<Endpoint> fixed_;
  std::mt19937_64 random_;
  std::optional<Endpoint> last_good_;
  std::uint64_t generation_ = 0;
  std::map<Endpoint, Seen> seen_;
  std::map<Endpoint, Failures> failed_;  // only of known() endpoints
  std::optional<TimePoint> searching_since_;
  TimePoint next_probe_;
};

}  // namespace csa
