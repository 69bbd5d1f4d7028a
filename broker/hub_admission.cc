#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "broker/admission.h"
#include "broker/hub_impl.h"
#include "common/check.h"
#include "common/discovery.h"
#include "common/limits.h"

namespace csa {

namespace {

std::uint32_t to_ms(Duration duration) {
  return static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

// A node on the computer of the broker that it follows may call it by a loopback address.
std::string seen_from_here(const std::string& place, const Origin& origin) {
  std::optional<Endpoint> at = parse_endpoint(place, 0);
  const bool loopback = at && (at->host == "localhost" || at->host.starts_with("127."));
  if (!loopback || origin.local) return place;
  at->host = origin.address;
  return to_string(*at);
}

}  // namespace

void Hub::Impl::on_hello(const PeerKey& from, Hello hello, const Origin& origin, TimePoint now) {
  if (phase != Phase::kServing) return;
  if (hello.role == Role::kMonitor) hello.node = {};
  // The same connection as somebody else, or no longer admitted: who it was has left.
  Peer* const before = peers.find(from);
  std::optional<Refused> no = refusal(config, master, hello);
  if (before != nullptr && (no || before->node != hello.node || before->role != hello.role)) {
    drop(from, PresenceEvent::kLeave, now);
  }
  const auto claimed = claimants.find(from);
  if (claimed != claimants.end() && (no || claimed->second != hello.node)) drop_claim_of(from);
  if (no) {
    if (no->code == RefusalCode::kGeneration && !hello.followed_at.empty()) {
      outbox.emplace_back(SeekNewer{seen_from_here(hello.followed_at, origin)});
    }
    refuse(from, std::move(*no), shown(hello.hostname) + " (" + origin.address + ")", now);
    return;
  }
  Peer* const holder = hello.node.value.is_zero() ? nullptr : peers.holder(hello.node);
  if (holder != nullptr && holder->incarnation != hello.incarnation && holder->key != from) {
    if (holder->state != PeerState::kUnreachable) {
      claim(from, std::move(hello), origin, *holder);
      return;
    }
    drop(PeerKey(holder->key), PresenceEvent::kLost, now);
  }
  drop_claim_of(from);
  admit(from, hello, origin, now);
}

void Hub::Impl::claim(const PeerKey& from, Hello hello, const Origin& origin, Peer& holder) {
  const NodeId node = hello.node;
  if (const auto other = claims.find(node); other != claims.end()) {
    // One at a time; a third one greets again when this is settled.
    if (other->second.hello.incarnation != hello.incarnation) return;
    claimants.erase(other->second.newcomer);
    claimants.emplace(from, node);
    other->second = {from, std::move(hello), origin};
    return;
  }
  holder.become_questioned();
  send(holder.key, Ping{0, NodeState::kLive, master.head, 0, 0});
  log.info("hub: " + shown(hello.hostname) + " (" + origin.address + ") claims the NodeId of " +
           holder.shown() + ", asking it");
  claims.emplace(node, Claim{from, std::move(hello), origin});
  claimants.emplace(from, node);
  claim_timers.set(node, last_now + limits::kClaimTimeout);
}

std::optional<Claim> Hub::Impl::take_claim(const NodeId& node) {
  auto claim = claims.extract(node);
  if (claim.empty()) return std::nullopt;
  claimants.erase(claim.mapped().newcomer);
  claim_timers.clear(node);
  return std::move(claim.mapped());
}

void Hub::Impl::drop_claim_of(const PeerKey& newcomer) {
  const auto claimant = claimants.find(newcomer);
  if (claimant == claimants.end()) return;
  const NodeId node = claimant->second;
  CSA_CHECK(take_claim(node).has_value());
  // The holder stands as before; nobody waits for its answer.
  Peer* const holder = peers.holder(node);
  CSA_CHECK(holder != nullptr);
  if (holder->state == PeerState::kQuestioned) holder->become_present(holder->heard);
}

void Hub::Impl::settle_for_holder(const Peer& holder, TimePoint now) {
  const std::optional<Claim> claim = take_claim(holder.node);
  if (!claim) return;
  refuse(claim->newcomer, identity_refusal(claim->hello, holder),
         shown(claim->hello.hostname) + " (" + claim->origin.address + ")", now);
}

void Hub::Impl::admit(const PeerKey& from, const Hello& hello, const Origin& origin,
                      TimePoint now) {
  // What stands in its place is the same process before its reconnect, or on this connection.
  Peer* before = hello.node.value.is_zero() ? nullptr : peers.holder(hello.node);
  if (before == nullptr) before = peers.find(from);
  if (before == nullptr && peers.size() >= limits::kPeersMax) {
    refuse(from, full_refusal(config, hello), shown(hello.hostname), now);
    return;
  }
  const bool again = before != nullptr;
  if (again) {
    // It lives: that is what a claim on its NodeId asked for.
    settle_for_holder(*before, now);
    const PeerKey old = before->key;
    if (old != from) waiting_for_copy.erase(old);
    (void)peers.remove(old);
  }
  strangers.forget(from);
  Peer& peer = peers.add(Peer(from, hello, origin, now));
  confirm(peer, hello.confirmed);
  welcome(peer);
  if (again) {
    log.info("hub: " + peer.shown() + " greeted again");
    return;
  }
  log.info("hub: " + peer.shown() + " joined (" + shown(peer.program) + ", " +
           to_string(peer.node) + ", at " + to_string(peer.position) + ")");
  announce(PresenceEvent::kJoin, peer);
}

void Hub::Impl::welcome(const Peer& peer) {
  Welcome welcome;
  welcome.boot = config.boot;
  welcome.db = master.db;
  welcome.head = master.head;
  welcome.floor = master.floor;
  welcome.schema_version = master.schema_version;
  welcome.pub_port = config.pub_port;
  welcome.heartbeat_ms = to_ms(config.heartbeat);
  welcome.node_timeout_ms = to_ms(config.node_timeout);
  welcome.statement_timeout_ms = to_ms(config.statement_timeout);
  welcome.last_counter = last_counter(peer);
  welcome.hostname = config.hostname;
  welcome.program = config.program;
  welcome.nonces = true;
  send(peer.key, std::move(welcome));
}

void Hub::Impl::refuse(const PeerKey& to, Refused refusal, const std::string& who, TimePoint now) {
  complain(to, "refused " + who + ": " + refusal.text, now);
  strangers.refuse(to, now);
  send(to, std::move(refusal));
}

}  // namespace csa
