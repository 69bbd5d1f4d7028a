// A peer's side of being connected to a broker: find it, greet it, prove the subscription, keep it
// alive, notice its loss. Shared by node, csa-sub and csa-admin. Pure, not thread-safe: the shell
// (common/dialer.h) carries out its actions on sockets.
//
// States: searching -> greeting -> proving -> ready; refused (tries again after a while). A broker
// of an earlier generation refuses nobody: it is as good as none, and the search goes on.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "common/discovery.h"
#include "common/log.h"
#include "common/message.h"

namespace csa {

struct UplinkConfig {
  Hello hello;                  // incarnation set; position etc. by set_hello_state()
  bool subscribe = true;        // false: no SUB socket, ready after WELCOME (csa-admin)
  bool presence = false;        // subscribe to PRESENCE as well
  std::vector<Endpoint> fixed;  // --broker
  std::optional<Endpoint> last_good;
  std::uint64_t seed = 0;  // for jitter and nonces
};

// For the shell.
struct OpenRequest {
  Endpoint endpoint;
};                         // new DEALER, closing an old one
struct OpenSubscription {  // new SUB, closing an old one
  Endpoint endpoint;
  std::vector<std::string> topics;
};
struct CloseLinks {};
struct SendRequest {
  Message message;
};
struct SendProbe {
  Id128 nonce;
};
using UplinkAction =
    std::variant<OpenRequest, OpenSubscription, CloseLinks, SendRequest, SendProbe>;

// For the owner of the Uplink (Session, csa-sub, csa-admin).
struct LinkSearching {
  std::string why;
};  // nobody found yet, or lost: why
struct LinkGreeting {
  Endpoint endpoint;
};
struct LinkReady {
  Welcome welcome;
  Endpoint endpoint;
  Position head;
};
struct LinkLost {
  std::string why;
};  // was ready
struct LinkRefused {
  Refused refusal;
  Endpoint endpoint;
};
struct LinkOutdated {
  std::string why;
};  // a broker of an earlier generation was met and passed by; the search goes on
using LinkEvent =
    std::variant<LinkSearching, LinkGreeting, LinkReady, LinkLost, LinkRefused, LinkOutdated>;

class Uplink {
 public:
  Uplink(UplinkConfig config, const Log& log);
  ~Uplink();
  Uplink(const Uplink&) = delete;
  Uplink& operator=(const Uplink&) = delete;

  void start(TimePoint now);
  // Says GOODBYE if connected and closes everything; nothing happens after it.
  void leave(std::string reason, TimePoint now);

  void on_beacon(const HeardBeacon& heard, TimePoint now);
  // From DEALER or SUB. Messages of the greeting, PING/PONG, PROOF and GOODBYE are eaten; the rest
  // comes back for the owner (HEAD and PONG both: eaten and given back).
  [[nodiscard]] std::optional<Message> on_message(Message message, TimePoint now);
  // A socket reports its end (monitor event, refused connection).
  void on_disconnected(const std::string& why, TimePoint now);
  // The owner found the link unusable (nonsense from the broker, ...): drop it and search anew.
  void abandon(std::string why, TimePoint now);
  // The owner must not work with this broker: as if it had refused, with this code.
  void refuse(Refused refusal, TimePoint now);
  void on_deadline(TimePoint now);
  [[nodiscard]] TimePoint deadline() const;

  // What the next HELLO and PING say. `followed_at`: where the last of those generations was.
  void set_position(const std::optional<DbId>& db, const std::optional<Position>& position,
                    std::uint64_t generation_seen, const std::string& followed_at);
  void set_counters(const NodeId& node, std::uint64_t counter, std::uint64_t confirmed);
  void set_state(NodeState state, std::uint64_t pending);
  // Sends a PING now rather than at the next heartbeat (state changes).
  void ping_soon(TimePoint now);

  [[nodiscard]] bool ready() const;
  [[nodiscard]] const Welcome& welcome() const;  // REQUIRES: ready()
  [[nodiscard]] std::optional<Endpoint> endpoint() const;
  // Between the last PING and its PONG; nothing: the last PONG answered an older one.
  [[nodiscard]] std::optional<Duration> round_trip() const;
  // REQUIRES: ready()
  void send(Message message);

  [[nodiscard]] std::vector<UplinkAction> take_actions();
  [[nodiscard]] std::vector<LinkEvent> take_events();
  [[nodiscard]] const Discovery& discovery() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace csa
