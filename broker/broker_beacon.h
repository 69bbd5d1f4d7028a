// The broker's voice on the LAN: announces itself, answers probes, notices other brokers of its
// cluster, older ones and newer ones. Belongs to the front thread, so that a broker that hangs
// falls silent.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/beacon_port.h"

namespace csa {

class BrokerBeacon {
 public:
  // `beacon`: the ANNOUNCE to send.
  BrokerBeacon(BeaconPort::Options options, const Beacon& beacon, std::uint64_t seed,
               const Log& log);

  [[nodiscard]] std::vector<int> fds() const { return port_.fds(); }
  // Sends what is due, answers what has come.
  void turn(TimePoint now);
  // The Epoch may change while serving.
  void set_generation(std::uint64_t generation) { beacon_.generation = generation; }
  // Where a later generation than this broker's was announced since the last call. A beacon proves
  // nothing: greet it.
  [[nodiscard]] std::vector<Endpoint> take_newer() { return std::exchange(newer_, {}); }
  void say_bye(TimePoint now);

 private:
  struct Rate {
    TimePoint since;
    int count = 0;
  };
  struct Other {
    TimePoint first;
    TimePoint last;
    std::optional<TimePoint> told;
  };
  void answer(const BeaconPort::Heard& heard, TimePoint now);
  void watch(const BeaconPort::Heard& heard, TimePoint now);

  const Log& log_;  // must outlive this
  BeaconPort port_;
  Beacon beacon_;
  std::uint64_t jitter_;
  int quick_ = 3;  // announcements in quick succession at first
  TimePoint next_;
  std::map<std::uint32_t, Rate> rates_;
  std::map<std::uint64_t, Other> others_;  // by boot
  std::vector<Endpoint> newer_;
};

}  // namespace csa
