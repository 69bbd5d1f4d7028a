#include "broker/peer.h"

#include <utility>

#include "common/check.h"
#include "common/limits.h"

namespace csa {

Peer::Peer(PeerKey routing_id, const Hello& hello, Origin from, TimePoint now)
    : key(std::move(routing_id)),
      origin(std::move(from)),
      role(hello.role),
      node(hello.role == Role::kMonitor ? NodeId{} : hello.node),
      incarnation(hello.incarnation),
      proof_nonce(hello.proof_nonce),
      hostname(hello.hostname),
      program(hello.program),
      app_version(hello.app_version),
      counter(hello.counter),
      position(hello.position.value_or(Position{})),
      heard(now) {}

void Peer::become_present(TimePoint now) {
  state = PeerState::kPresent;
  heard = now;
}

void Peer::become_questioned() {
  CSA_CHECK(state == PeerState::kPresent);
  state = PeerState::kQuestioned;
}

void Peer::become_unreachable() { state = PeerState::kUnreachable; }

void Peer::note(const Ping& ping) {
  node_state = ping.state;
  position = ping.position;
  pending = ping.pending;
}

std::string Peer::shown() const { return csa::shown(hostname) + " (" + origin.address + ")"; }

std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (out.size() == limits::kShownTextMax) break;
    const auto byte = static_cast<unsigned char>(c);
    // Control characters could write to the terminal of whoever reads the log.
    out.push_back(byte < 0x20U || byte == 0x7FU ? '?' : c);
  }
  if (out.size() == text.size()) return out;
  // Not in the middle of a character.
  while (!out.empty() && (static_cast<unsigned char>(text[out.size()]) & 0xC0U) == 0x80U) {
    out.pop_back();
  }
  return out;
}

Peer* Peers::find(const PeerKey& key) {
  const auto place = all_.find(key);
  return place == all_.end() ? nullptr : &place->second;
}

Peer* Peers::holder(const NodeId& node) {
  const auto place = by_node_.find(node);
  return place == by_node_.end() ? nullptr : find(place->second);
}

Peer* Peers::prover(const Id128& nonce) {
  const auto place = by_nonce_.find(nonce);
  return place == by_nonce_.end() ? nullptr : find(place->second);
}

Peer& Peers::add(Peer peer) {
  const PeerKey key = peer.key;
  const auto [place, fresh] = all_.emplace(key, std::move(peer));
  CSA_CHECK(fresh);
  const Peer& added = place->second;
  if (!added.node.value.is_zero()) CSA_CHECK(by_node_.emplace(added.node, key).second);
  // The first with a nonce keeps it: a later one could only have read it off the wire.
  if (!added.proof_nonce.is_zero()) by_nonce_.emplace(added.proof_nonce, key);
  if (added.is_node()) ++nodes_;
  timers_.set(key, added.heard + node_timeout_);
  return place->second;
}

Peer Peers::remove(const PeerKey& key) {
  auto place = all_.extract(key);
  CSA_CHECK(!place.empty());
  Peer& peer = place.mapped();
  if (!peer.node.value.is_zero()) by_node_.erase(peer.node);
  const auto nonce = by_nonce_.find(peer.proof_nonce);
  if (nonce != by_nonce_.end() && nonce->second == key) by_nonce_.erase(nonce);
  if (peer.is_node()) --nodes_;
  timers_.clear(key);
  return std::move(peer);
}

void Peers::heard(Peer& peer, TimePoint now) {
  peer.become_present(now);
  timers_.set(peer.key, now + node_timeout_);
}

Peer* Peers::silent(TimePoint now) {
  const std::optional<PeerKey> key = timers_.due(now);
  return key ? find(*key) : nullptr;
}

}  // namespace csa
