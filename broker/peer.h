// One greeted peer as the broker sees it, and the table of all of them. Pure, not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "broker/timer_set.h"
#include "common/message.h"

namespace csa {

using PeerKey = std::string;  // ROUTER's routing id: opaque bytes, new with every connection

struct Origin {
  std::string address;  // "192.168.1.7", for people
  bool local = false;   // the broker's own host
};

enum class PeerState : std::uint8_t {
  kPresent,      // was heard, its connection stands
  kQuestioned,   // another process claims its NodeId: asked for a sign of life
  kUnreachable,  // its connection is gone; listed until its time is over
};

struct Peer {
  Peer(PeerKey routing_id, const Hello& hello, Origin from, TimePoint now);

  // Heard: whatever was in doubt is settled.
  void become_present(TimePoint now);
  // REQUIRES: kPresent.
  void become_questioned();
  void become_unreachable();
  void note(const Ping& ping);
  // "till-2 (192.168.1.7)", for logs and sentences.
  [[nodiscard]] std::string shown() const;
  [[nodiscard]] bool is_node() const { return role == Role::kNode; }

  // Fixed by HELLO.
  PeerKey key;
  Origin origin;
  Role role = Role::kNode;
  NodeId node;  // zero: cannot write; always zero for monitors
  Id128 incarnation;
  Id128 proof_nonce;
  std::string hostname;
  std::string program;
  std::string app_version;
  std::uint64_t counter = 0;  // the highest that it may have used, by its own word

  // What PING says of it.
  NodeState node_state = NodeState::kGreeting;
  Position position;
  std::uint64_t pending = 0;

  PeerState state = PeerState::kPresent;
  TimePoint heard;
  std::uint64_t confirmed = 0;  // told to the ledger; never goes down
};

// A peer's words inside a sentence or a table of ours: printable, at most kShownTextMax bytes.
[[nodiscard]] std::string shown(std::string_view text);

// The greeted peers, found by routing id, by NodeId and by nonce; each is silent for at most the
// node timeout. No two have the same NodeId unless it is zero. Its owner bounds its size.
class Peers {
 public:
  explicit Peers(Duration node_timeout) : node_timeout_(node_timeout) {}

  // nullptr: no such peer. Valid until that peer is removed.
  [[nodiscard]] Peer* find(const PeerKey& key);
  [[nodiscard]] Peer* holder(const NodeId& node);
  [[nodiscard]] Peer* prover(const Id128& nonce);
  // REQUIRES: neither its key nor its NodeId (if not zero) is in the table.
  Peer& add(Peer peer);
  // REQUIRES: the key is in the table.
  Peer remove(const PeerKey& key);
  // A sign of life of a peer of this table.
  void heard(Peer& peer, TimePoint now);

  // A peer whose time is over; nullptr: none.
  [[nodiscard]] Peer* silent(TimePoint now);
  [[nodiscard]] TimePoint deadline() const { return timers_.deadline(); }
  [[nodiscard]] std::size_t size() const { return all_.size(); }
  [[nodiscard]] std::size_t nodes() const { return nodes_; }  // of role kNode
  [[nodiscard]] const std::map<PeerKey, Peer>& all() const { return all_; }

 private:
  Duration node_timeout_;
  std::map<PeerKey, Peer> all_;
  std::map<NodeId, PeerKey> by_node_;
  std::map<Id128, PeerKey> by_nonce_;
  TimerSet<PeerKey> timers_;
  std::size_t nodes_ = 0;
};

}  // namespace csa
