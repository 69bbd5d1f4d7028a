#include <chrono>

#include "broker/hub_impl.h"
#include "common/limits.h"

namespace csa {

void Hub::Impl::on_admin(const Peer& peer, const Admin& admin, TimePoint now) {
  AdminReply reply;
  reply.request = admin.request;
  if (peer.role != Role::kAdmin) {
    reply.text = "Only csa-admin may ask this: greet in the role of an admin.";
    send(peer.key, std::move(reply));
    return;
  }
  reply.ok = true;
  switch (admin.verb) {
    case AdminVerb::kStatus:
      reply.json = status(now);
      break;
    case AdminVerb::kNodes:
      reply.json = nodes_json(nodes(), master.head, now);
      break;
    case AdminVerb::kVerify:
      start_verification(peer, admin, now);
      return;
    case AdminVerb::kStop:
      if (!peer.origin.local) {
        reply.ok = false;
        reply.text = "Only the computer of the broker may stop it: type it on " +
                     shown(config.hostname) + ".";
        break;
      }
      reply.json = "{}";
      send(peer.key, std::move(reply));
      stop("stopped by csa-admin");
      return;
  }
  send(peer.key, std::move(reply));
}

std::string Hub::Impl::status(TimePoint now) const {
  BrokerStatus status;
  status.group = config.group;
  status.database = config.database;
  status.head = master.head;
  status.floor = master.floor;
  status.nodes = peers.nodes();
  status.database_bytes = master.database_bytes;
  status.log_bytes = master.log_bytes;
  status.writes_per_s = commits.per_s(now);
  status.uptime_s = std::chrono::duration_cast<std::chrono::seconds>(now - *started).count();
  return status_json(status);
}

std::vector<NodeStatus> Hub::Impl::nodes() const {
  std::vector<NodeStatus> list;
  for (const auto& [key, peer] : peers.all()) {
    if (!peer.is_node()) continue;
    list.push_back({peer.node, peer.role, peer.hostname, peer.origin.address, peer.program,
                    peer.app_version, peer.node_state, peer.position, peer.pending, peer.heard});
  }
  return list;
}

std::vector<NodeStatus> Hub::nodes() const { return impl_->nodes(); }

void Hub::Impl::stop(std::string reason) {
  if (phase != Phase::kServing) return;
  phase = Phase::kStopping;
  stop_reason = std::move(reason);
  log.info("hub: stopping, " + stop_reason);
  for (const WriteQueue::Asked& asked : writes.clear()) {
    if (peers.find(asked.peer) == nullptr) continue;
    const std::string why = "The broker is stopping; send it again when it is back.";
    if (asked.part == 0) {
      send(asked.peer, Nack{asked.tx, NackCode::kBusy, why, 0});
    } else {
      send(asked.peer, Replayed{asked.tx, ReplayResult::kBusy, 0, {}, why, {}});
    }
  }
  if (!commit_since) finish_stop();
}

void Hub::Impl::finish_stop() {
  phase = Phase::kStopped;
  for (const auto& [key, peer] : peers.all()) send(key, Goodbye{stop_reason});
  outbox.emplace_back(StopBroker{stop_reason});
}

void Hub::stop(std::string reason, TimePoint now) {
  impl_->note_time(now);
  impl_->stop(std::move(reason));
}

void Hub::step_down(std::string reason, TimePoint now) {
  impl_->note_time(now);
  if (impl_->phase == Phase::kStopped) return;
  impl_->stop_reason = std::move(reason);
  impl_->finish_stop();
}

}  // namespace csa
