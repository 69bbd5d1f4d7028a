// The broker's front thread: ROUTER, XPUB, beacon and clock around the Hub. It never touches
// SQLite, a file or DNS, so that it answers at once whatever the database is doing.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <zmq.hpp>

#include "broker/broker_beacon.h"
#include "broker/held_frames.h"
#include "broker/hub.h"
#include "broker/server.h"
#include "broker/server_door.h"
#include "broker/server_rivals.h"
#include "broker/server_stores.h"
#include "common/host.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/result.h"

namespace csa {

class Front {
 public:
  Front(const ServeConfig& config, Stores& stores, const Log& log);
  ~Front();
  Front(const Front&) = delete;
  Front& operator=(const Front&) = delete;

  // Takes the ports. Error: they are not to be had.
  [[nodiscard]] Status bind();
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::uint16_t pub_port() const { return pub_port_; }
  // Starts Hub and beacon. REQUIRES: bind() was fine.
  void start(const Id128& boot, std::uint64_t seed);
  // Serves until the Hub says stop, a signal comes, a store fails or a newer broker is met (Error,
  // kRefused).
  [[nodiscard]] Status run(const StopSignals& signals);

 private:
  void wait(int signals);
  void drain_router(TimePoint now);
  void drain_xpub(TimePoint now);
  // How many messages that were.
  std::size_t frames_in(std::vector<zmq::message_t>& frames, TimePoint now);
  [[nodiscard]] Origin origin_of(zmq::message_t& body, TimePoint now);
  void carry_out(TimePoint now);
  void act(HubAction action, TimePoint now);
  // A broker of a later generation may be there.
  void suspect(const Endpoint& at, TimePoint now);
  // Greets those, and steps down where one proves it.
  void look_at_rivals(TimePoint now);
  // The message that the first action sends, with those behind it that may share its frame. How
  // many actions that were.
  std::size_t send(std::span<const HubAction> actions, TimePoint now);
  void send_held(TimePoint now);
  [[nodiscard]] HeldFrames::Sent try_send(const PeerKey& peer, const Bytes& frame, TimePoint now);
  void publish(const Publish& action);
  [[nodiscard]] Result<std::uint16_t> bind_one(zmq::socket_t& socket, std::uint16_t port,
                                               const char* flag);

  const ServeConfig& config_;
  Stores& stores_;
  const Log& log_;  // all must outlive this
  zmq::context_t context_;
  zmq::socket_t router_;  // both before door_, which watches them
  zmq::socket_t xpub_;
  ServerDoor door_;
  std::uint16_t port_ = 0;
  std::uint16_t pub_port_ = 0;
  std::unique_ptr<Hub> hub_;
  const std::uint64_t host_boot_ = boot_hash();
  std::unique_ptr<BrokerBeacon> beacon_;
  std::unique_ptr<RivalGreeter> rivals_;       // since the first was heard
  std::optional<Error> outdated_;              // a newer broker was met
  std::map<std::string, bool> own_addresses_;  // cached answers of is_own_address
  TimePoint own_addresses_since_;
  HeldFrames held_{limits::kHeldPeerBytesMax, limits::kHeldBytesMax};
  std::uint64_t full_ = 0;  // sends dropped because a peer did not read
  bool stopping_ = false;
  bool stopped_ = false;
};

}  // namespace csa
