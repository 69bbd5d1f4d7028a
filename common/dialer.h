// Carries out what an Uplink wants on real sockets: DEALER and SUB with their monitors, and the
// beacon port. Belongs to one thread for life. Used by the node's link and by the tools.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>
#include <zmq.hpp>

#include "common/beacon_port.h"
#include "common/log.h"
#include "common/message.h"
#include "common/uplink.h"

namespace csa {

struct DialerConfig {
  Id128 cluster;  // cluster_id(app, group)
  std::uint16_t beacon_port = 5775;
  bool beacon = true;                               // false: no UDP at all (--broker)
  std::vector<std::string> beacon_interfaces = {};  // by name; empty: all
};

// What has come in during one wait.
struct Received {
  std::vector<Message> messages;  // of both sockets, each in its order
  std::vector<HeardBeacon> beacons;
  std::optional<std::string> disconnected;  // why
};

class Dialer {
 public:
  Dialer(DialerConfig config, const Log& log);
  ~Dialer();
  Dialer(const Dialer&) = delete;
  Dialer& operator=(const Dialer&) = delete;

  // In their order. Messages that may share a frame, and stand one behind the other, do.
  void carry_out(const std::vector<UplinkAction>& actions);
  void carry_out(const UplinkAction& action);
  // Waits at most `limit` for sockets, beacons or one of `wake`, then takes a bounded batch of what
  // is there. Frames that are no message are counted and dropped; one of many is logged.
  [[nodiscard]] Received poll(std::chrono::milliseconds limit, const std::vector<int>& wake);

  // For other sockets of the same thread.
  [[nodiscard]] zmq::context_t& context() { return context_; }
  [[nodiscard]] std::vector<InterfaceReport> interfaces() const;
  [[nodiscard]] std::string beacon_error() const;

 private:
  // One zmq socket with its monitor.
  struct Line {
    zmq::socket_t socket;
    zmq::socket_t monitor;
    std::string monitor_name;
  };
  std::unique_ptr<Line> open(zmq::socket_type type, const Endpoint& endpoint,
                             const std::vector<std::string>& topics);
  void close(std::unique_ptr<Line>& line);
  void send(std::span<const Message* const> messages);
  void probe(const Id128& nonce);
  void drain(Line& line, bool subscription, Received& out);
  void drain_beacons(Received& out);
  void watch(Line& line, const char* name, Received& out);
  void take_frame(ByteView frame, Received& out);

  const DialerConfig config_;
  const Log& log_;  // must outlive this
  zmq::context_t context_;
  std::unique_ptr<Line> dealer_;
  std::unique_ptr<Line> sub_;
  std::optional<BeaconPort> beacons_;
  std::optional<std::string> broken_;  // why the link cannot be used, for the next poll
  std::uint64_t lines_opened_ = 0;
  std::uint64_t malformed_ = 0;
};

}  // namespace csa
