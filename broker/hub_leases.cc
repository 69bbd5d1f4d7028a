// Joins lease the log from their place on while they make progress, so that a slow copy does not
// chase the log's floor for ever. The ledger bounds what the leases of all may keep.
#include <algorithm>

#include "broker/hub_impl.h"

namespace csa {

namespace {

// A join outlives its connection: the same replica goes on where it was over another one.
std::string holder_of(const Peer& peer) {
  if (peer.node.value.is_zero()) return "c" + peer.key;
  return "n" + std::string(peer.node.value.bytes.begin(), peer.node.value.bytes.end());
}

}  // namespace

void Hub::Impl::lease_log(const Peer& peer, const LogGet& request) {
  const std::string holder = holder_of(peer);
  const Position& after = request.after;
  if (after.epoch != Epoch{} && after.epoch != master.head.epoch) return;
  if (after.seq >= master.head.seq) {
    leases.release(holder);
    return;
  }
  // What is gone already cannot be kept.
  if (after.seq.next() < master.floor) return;
  leases.hold(holder, {after.seq, LeasePlace::Stage::kLog, request.offset}, last_now,
              last_now + limits::kLeaseLife);
}

void Hub::Impl::lease_copy(const PeerKey& key, const SnapshotInfo& copy, std::uint64_t offset) {
  const Peer* const peer = peers.find(key);
  if (peer == nullptr || copy.position.epoch != master.head.epoch) return;
  const bool whole = offset == copy.total && offset > 0;
  leases.hold(
      holder_of(*peer),
      {copy.position.seq, whole ? LeasePlace::Stage::kCopied : LeasePlace::Stage::kCopy, offset},
      last_now, last_now + (whole ? limits::kInstallLease : limits::kLeaseLife));
}

void Hub::Impl::settle_lease(const Peer& peer, const Ping& ping) {
  if (ping.position.epoch != master.head.epoch) return;
  if (ping.state == NodeState::kLive) {
    leases.release(holder_of(peer));
  } else {
    leases.advance(holder_of(peer), ping.position.seq);
  }
}

void Hub::Impl::end_lease(const Peer& peer) { leases.release(holder_of(peer)); }

void Hub::Impl::give_leases() {
  Seq from = leases.lowest(last_now).value_or(RetainJob::kNobody);
  // A copy that is being cut is of this state or a later one.
  if (cutting || held) from = std::min(from, cut_from);
  if (from == retained || phase == Phase::kStopped) return;
  retained = from;
  outbox.emplace_back(RetainJob{from});
}

}  // namespace csa
