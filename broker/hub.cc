#include "broker/hub.h"

#include <algorithm>
#include <chrono>

#include "broker/hub_impl.h"
#include "common/check.h"
#include "common/limits.h"
#include "common/planted.h"

namespace csa {

namespace {

// "n" and the nonce, as in protocol.md.
std::optional<Id128> nonce_of(std::string_view topic) {
  Id128 nonce;
  if (topic.size() != 1 + nonce.bytes.size() || topic[0] != 'n') return std::nullopt;
  std::transform(topic.begin() + 1, topic.end(), nonce.bytes.begin(),
                 [](char c) { return static_cast<std::uint8_t>(c); });
  return nonce;
}

}  // namespace

Hub::Impl::Impl(HubConfig configuration, const MasterState& opened, WallTime at, const Log& logger)
    : config(std::move(configuration)),
      master(opened),
      writers(std::exchange(master.counters, {}), config.writers_max),
      time(at),
      log(logger),
      peers(config.node_timeout) {}

void Hub::Impl::send(const PeerKey& peer, Message message) {
  outbox.emplace_back(SendTo{peer, std::move(message)});
}

void Hub::Impl::publish(Message message) { outbox.emplace_back(Publish{std::move(message)}); }

void Hub::Impl::note_time(TimePoint now) {
  last_now = std::max(last_now, now);
  if (!started) started = now;
}

std::uint32_t Hub::Impl::ledger_age_ms(TimePoint now) const {
  if (!commit_since) return 0;
  const TimePoint since = std::max(*commit_since, progress);
  if (now <= since) return 0;
  const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(now - since);
  return static_cast<std::uint32_t>(std::min<std::int64_t>(age.count(), UINT32_MAX));
}

void Hub::Impl::publish_head(TimePoint now) {
  if (!planted("drop HEAD"))
    publish(Head{master.head, master.floor, config.boot, time, ledger_age_ms(now)});
  head_due = now + limits::kHeadInterval;
  burst_due = TimePoint::max();
}

void Hub::Impl::announce(PresenceEvent event, const Peer& peer) {
  // Without a NodeId there is nobody to name; monitors and admins come and go unannounced.
  if (!peer.is_node() || peer.node.value.is_zero()) return;
  publish(Presence{event, peer.node, peer.hostname, peer.origin.address, time});
}

void Hub::Impl::drop(const PeerKey& key, PresenceEvent event, TimePoint now) {
  waiting_for_copy.erase(key);
  gone_from_verification(key);
  const Peer peer = peers.remove(key);
  // One that was lost may come back and go on where it was.
  if (event == PresenceEvent::kLeave) end_lease(peer);
  log.info("hub: " + peer.shown() + (event == PresenceEvent::kLost ? " lost" : " left"));
  announce(event, peer);
  if (const std::optional<Claim> claim = take_claim(peer.node)) {
    admit(claim->newcomer, claim->hello, claim->origin, now);
  }
}

void Hub::Impl::complain(const PeerKey& key, const std::string& line, TimePoint now) {
  if (log.enabled(LogLevel::kWarn) && strangers.may_complain(key, now)) log.warn("hub: " + line);
}

void Hub::Impl::confirm(Peer& peer, std::uint64_t confirmed) {
  const std::optional<std::uint64_t> used = writers.last(peer.node);
  if (!used || own_words.contains(peer.node)) return;  // else a floor below its word might stay
  // What the master has not seen cannot be confirmed, and would expire writes to come.
  const std::uint64_t counter = std::min(confirmed, *used);
  if (counter <= peer.confirmed) return;
  peer.confirmed = counter;
  std::uint64_t& known = to_confirm[peer.node];
  known = std::max(known, counter);
}

void Hub::Impl::on_ping(Peer& peer, const Ping& ping, TimePoint now) {
  if (ping.state != peer.node_state && log.enabled(LogLevel::kDebug)) {
    log.debug("hub: " + peer.shown() + ": " + std::string(to_string(peer.node_state)) + " -> " +
              std::string(to_string(ping.state)) + " (" + to_string(ping.position) + ")");
  }
  peer.note(ping);
  settle_lease(peer, ping);
  send(peer.key, Pong{ping.number, master.head, time, ledger_age_ms(now), master.scale});
  confirm(peer, ping.confirmed);
}

void Hub::Impl::dispatch(Peer& peer, Message message, TimePoint now) {
  struct Visitor {
    Impl& hub;
    Peer& peer;
    TimePoint now;
    void operator()(Ping& ping) const { hub.on_ping(peer, ping, now); }
    void operator()(Pong& /*sign of life*/) const {}
    void operator()(Goodbye& /*bye*/) const {
      const PeerKey key = peer.key;
      hub.drop(key, PresenceEvent::kLeave, now);
    }
    void operator()(Write& write) const { hub.on_write(peer, std::move(write), now); }
    void operator()(Migrate& migrate) const { hub.on_write(peer, std::move(migrate), now); }
    void operator()(Rules& rules) const { hub.on_write(peer, std::move(rules), now); }
    void operator()(Conflict& conflict) const { hub.on_write(peer, std::move(conflict), now); }
    void operator()(Replay& replay) const { hub.on_write(peer, std::move(replay), now); }
    void operator()(OutcomeGet& get) const { hub.on_outcome_get(peer, get); }
    void operator()(LogGet& get) const { hub.on_log_get(peer, get); }
    void operator()(SnapshotGet& get) const { hub.on_snapshot_get(peer.key, get, now); }
    void operator()(LayoutGet& get) const {
      if (hub.start_job(peer.key)) hub.outbox.emplace_back(LayoutJob{peer.key, get.schema_version});
    }
    void operator()(DigestGet& get) const { hub.on_digest_get(peer, get); }
    void operator()(RowsGet& get) const { hub.on_rows_get(peer, std::move(get)); }
    void operator()(Checked& checked) const { hub.on_checked(peer, std::move(checked)); }
    void operator()(Admin& admin) const { hub.on_admin(peer, admin, now); }
    // HELLO has been taken out before; the rest only a broker sends.
    void illegal(const Message& message) const {
      ++hub.malformed;
      hub.complain(peer.key,
                   peer.shown() + " sent " + std::string(name_of(message)) +
                       ", which only a broker sends: ignored",
                   now);
    }
    void operator()(Hello& m) const { illegal(m); }
    void operator()(Welcome& m) const { illegal(m); }
    void operator()(Refused& m) const { illegal(m); }
    void operator()(Rehello& m) const { illegal(m); }
    void operator()(Ack& m) const { illegal(m); }
    void operator()(Nack& m) const { illegal(m); }
    void operator()(Replayed& m) const { illegal(m); }
    void operator()(LogSlice& m) const { illegal(m); }
    void operator()(LogGone& m) const { illegal(m); }
    void operator()(SnapshotChunk& m) const { illegal(m); }
    void operator()(SnapshotEnd& m) const { illegal(m); }
    void operator()(SnapshotGone& m) const { illegal(m); }
    void operator()(LayoutReply& m) const { illegal(m); }
    void operator()(Update& m) const { illegal(m); }
    void operator()(Head& m) const { illegal(m); }
    void operator()(Proof& m) const { illegal(m); }
    void operator()(Presence& m) const { illegal(m); }
    void operator()(AdminReply& m) const { illegal(m); }
    void operator()(DigestReply& m) const { illegal(m); }
    void operator()(RowsReply& m) const { illegal(m); }
  };
  std::visit(Visitor{*this, peer, now}, message);
}

Hub::Hub(HubConfig config, const MasterState& master, WallTime time, const Log& log)
    : impl_(std::make_unique<Impl>(std::move(config), master, time, log)) {}
Hub::~Hub() = default;

void Hub::set_time(WallTime time) { impl_->time = time; }

void Hub::on_message(const PeerKey& from, Message message, const Origin& origin, TimePoint now) {
  Impl& hub = *impl_;
  hub.note_time(now);
  if (hub.phase == Phase::kStopped) return;
  if (auto* const hello = std::get_if<Hello>(&message)) {
    hub.on_hello(from, std::move(*hello), origin, now);
    return;
  }
  const bool leaves = std::holds_alternative<Goodbye>(message);
  if (Peer* const peer = hub.peers.find(from)) {
    hub.peers.heard(*peer, now);
    if (!leaves) hub.settle_for_holder(*peer, now);
    hub.dispatch(*peer, std::move(message), now);
    return;
  }
  if (hub.claimants.contains(from)) {
    // Its greeting is being decided; until then it has nothing to say.
    if (leaves) hub.drop_claim_of(from);
    return;
  }
  if (leaves) {
    hub.strangers.forget(from);
    return;
  }
  if (hub.strangers.ask_to_greet(from, now)) hub.send(from, Rehello{});
}

void Hub::on_malformed(const PeerKey& from, const Error& error, const Origin& origin,
                       TimePoint now) {
  Impl& hub = *impl_;
  hub.note_time(now);
  if (hub.phase == Phase::kStopped) return;
  ++hub.malformed;
  if (error.code == Errc::kUnknownType) {
    // A sound frame of a later version is a sign of life like any other, and no HELLO.
    if (Peer* const peer = hub.peers.find(from)) {
      hub.peers.heard(*peer, now);
      hub.settle_for_holder(*peer, now);
    } else if (!hub.claimants.contains(from) && hub.strangers.ask_to_greet(from, now)) {
      hub.send(from, Rehello{});
    }
  }
  hub.complain(from,
               "ignored a frame from " + shown(origin.address) + ": " + error.what + " (" +
                   std::to_string(hub.malformed) + " ignored since the start)",
               now);
}

void Hub::on_subscribed(std::string_view topic, TimePoint now) {
  impl_->note_time(now);
  const std::optional<Id128> nonce = nonce_of(topic);
  if (!nonce || impl_->phase == Phase::kStopped) return;
  if (impl_->peers.prover(*nonce) != nullptr) impl_->publish(Proof{*nonce, impl_->master.head});
}

bool Hub::proves(std::string_view topic) const {
  const std::optional<Id128> nonce = nonce_of(topic);
  return nonce && impl_->peers.prover(*nonce) != nullptr;
}

void Hub::on_unreachable(const PeerKey& key, TimePoint now) {
  impl_->note_time(now);
  Peer* const peer = impl_->peers.find(key);
  if (peer == nullptr || impl_->phase == Phase::kStopped) return;
  peer->become_unreachable();
  // Somebody waits for its sign of life, and none can come any more.
  if (impl_->claims.contains(peer->node)) {
    impl_->drop(PeerKey(key), PresenceEvent::kLost, now);
  }
}

void Hub::on_deadline(TimePoint now) {
  Impl& hub = *impl_;
  hub.note_time(now);
  if (hub.phase == Phase::kStopped) return;
  if (now >= std::min(hub.head_due, hub.burst_due)) hub.publish_head(now);
  while (const std::optional<NodeId> node = hub.claim_timers.due(now)) {
    const Peer* const holder = hub.peers.holder(*node);
    CSA_CHECK(holder != nullptr);
    hub.drop(PeerKey(holder->key), PresenceEvent::kLost, now);
  }
  while (const Peer* const peer = hub.peers.silent(now)) {
    hub.drop(PeerKey(peer->key), PresenceEvent::kLost, now);
  }
  hub.drop_spools_before(now - limits::kSnapshotLife);
  if (now >= hub.verification_deadline()) hub.end_verification();
  if (now >= hub.overdue_deadline()) hub.turn_away_overdue(now);
}

TimePoint Hub::deadline() const {
  const Impl& hub = *impl_;
  if (hub.phase == Phase::kStopped) return TimePoint::max();
  return std::min({hub.head_due, hub.burst_due, hub.claim_timers.deadline(), hub.peers.deadline(),
                   hub.spool_deadline(), hub.overdue_deadline(), hub.verification_deadline()});
}

std::vector<HubAction> Hub::take_outbox() {
  impl_->give_leases();
  impl_->give_to_ledger();
  return std::exchange(impl_->outbox, {});
}

const Position& Hub::head() const { return impl_->master.head; }

}  // namespace csa
