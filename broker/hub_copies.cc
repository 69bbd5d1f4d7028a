#include <algorithm>
#include <utility>

#include "broker/hub_impl.h"
#include "common/check.h"
#include "common/limits.h"
#include "common/page_map.h"

namespace csa {

bool Hub::Impl::start_job(const PeerKey& peer) {
  if (reader_jobs >= limits::kReaderJobsMax) return false;
  ReaderLoad& load = loads[peer];
  if (load.jobs >= limits::kPeerJobsMax) return false;
  ++load.jobs;
  ++reader_jobs;
  return true;
}

void Hub::Impl::end_job(const PeerKey& peer) {
  const auto load = loads.find(peer);
  CSA_CHECK(load != loads.end() && load->second.jobs > 0);
  --reader_jobs;
  if (--load->second.jobs == 0) loads.erase(load);
}

void Hub::Impl::on_log_get(const Peer& peer, LogGet request) {
  if (!start_job(peer.key)) return;
  lease_log(peer, request);
  request.max_bytes = std::min(request.max_bytes, static_cast<std::uint32_t>(limits::kUpdateMax));
  outbox.emplace_back(LogJob{peer.key, request, master.head});
}

void Hub::on_log(const PeerKey& peer, std::variant<LogSlice, LogGone> answer, TimePoint now) {
  impl_->note_time(now);
  impl_->end_job(peer);
  if (impl_->phase == Phase::kStopped || impl_->peers.find(peer) == nullptr) return;
  const Position& head = impl_->master.head;
  if (auto* const slice = std::get_if<LogSlice>(&answer)) {
    // Read before the history ended: of no use to anybody.
    if (slice->head.epoch != head.epoch) slice->pieces.clear();
  }
  // The ledger trims between commits. Whom the log sends away must not be offered a copy behind its
  // floor, which may be older than what that peer has.
  Seq& floor = impl_->master.floor;
  std::visit([&floor](const auto& one) { floor = std::max(floor, one.floor); }, answer);
  // The archive may have seen a commit that nobody was told of yet.
  const auto tell = [&](auto& one) {
    one.head = head;
    impl_->send(peer, std::move(one));
  };
  std::visit(tell, answer);
}

void Hub::Impl::on_outcome_get(const Peer& peer, const OutcomeGet& request) {
  const TxId tx = request.tx;
  if (peer.role != Role::kAdmin && (tx.node.value.is_zero() || tx.node != peer.node)) {
    send(peer.key, Nack{tx, NackCode::kForbidden, "This TxId belongs to another node.", 0});
    return;
  }
  // On its way: "unknown" would be wrong a moment later.
  if (tx.node == peer.node && writes.redirect(tx, peer.key)) return;
  if (start_job(peer.key)) {
    outbox.emplace_back(OutcomeJob{peer.key, tx});
  } else {
    send(peer.key, Nack{tx, NackCode::kBusy,
                        "Too many questions are waiting at the broker; ask again in a moment.", 0});
  }
}

void Hub::on_reply(const PeerKey& peer, Message answer, TimePoint now) {
  impl_->note_time(now);
  impl_->end_job(peer);
  if (impl_->phase == Phase::kStopped || impl_->peers.find(peer) == nullptr) return;
  impl_->send(peer, std::move(answer));
}

HeldCopy* Hub::Impl::find_spool(const Id128& id) {
  const auto place = std::find_if(spools.begin(), spools.end(),
                                  [&](const HeldCopy& spool) { return spool.copy.id == id; });
  return place == spools.end() ? nullptr : &*place;
}

HeldCopy* Hub::Impl::usable_spool(Seq at_least, TimePoint now) {
  HeldCopy* best = nullptr;
  for (HeldCopy& spool : spools) {
    // Behind the floor its readers would only be sent for another copy.
    const Position& position = spool.copy.position;
    if (position.epoch != master.head.epoch || position.seq.next() < master.floor) continue;
    if (position.seq < at_least) continue;
    if (best == nullptr || best->cut < spool.cut) best = &spool;
  }
  if (best == nullptr || now - best->cut <= limits::kSnapshotLife) return best;
  // An older one serves if a new one would be cut at the expense of somebody who reads.
  const bool all_read = spools.size() >= limits::kSnapshotsMax &&
                        std::all_of(spools.begin(), spools.end(), [&](const HeldCopy& spool) {
                          return now - spool.used <= limits::kLogRetry;
                        });
  return all_read ? best : nullptr;
}

void Hub::Impl::offer(const PeerKey& peer, const SnapshotInfo& copy) {
  lease_copy(peer, copy, 0);
  send(peer, SnapshotChunk{copy.id, copy.total, 0, {}, copy.page_size});
}

void Hub::Impl::on_snapshot_get(const PeerKey& peer, const SnapshotGet& request, TimePoint now) {
  if (!request.snapshot.is_zero()) {
    if (HeldCopy* const spool = find_spool(request.snapshot)) {
      spool->used = now;
      read_spool(peer, request, *spool);
      return;
    }
    send(peer, SnapshotGone{request.snapshot, "The broker no longer holds this copy: begin anew."});
    return;
  }
  if (HeldCopy* const spool = usable_spool(request.at_least, now)) {
    spool->used = now;
    offer(peer, spool->copy);
    return;
  }
  waiting_for_copy[peer] = request.at_least;
  start_cut();
}

void Hub::Impl::read_spool(const PeerKey& peer, const SnapshotGet& request, HeldCopy& spool) {
  const SnapshotInfo& copy = spool.copy;
  const std::uint64_t total = request.map ? copy.map_total() : copy.total;
  if (request.offset == total && !request.map) {
    lease_copy(peer, copy, copy.total);
    send(peer, SnapshotEnd{copy.id, copy.total, copy.hash, copy.position});
    return;
  }
  if (request.offset >= total) {
    send(peer, SnapshotGone{copy.id, "There is nothing behind the end of a copy: begin anew."});
    return;
  }
  const std::size_t length = std::min({static_cast<std::size_t>(request.length), limits::kChunkMax,
                                       static_cast<std::size_t>(total - request.offset)});
  if (length == 0) {
    offer(peer, copy);
    return;
  }
  // More than the window, or asked again before the answer: that answer comes, or it asks anew.
  const auto load = loads.find(peer);
  if (load != loads.end() &&
      (load->second.chunk_bytes + length > limits::kSnapshotWindow ||
       load->second.chunks.contains({copy.id, request.map, request.offset}))) {
    return;
  }
  if (!start_job(peer)) return;
  ReaderLoad& counted = loads.at(peer);
  counted.chunks.emplace(std::tuple{copy.id, request.map, request.offset}, length);
  counted.chunk_bytes += length;
  // A part of the map is asked for when what comes before it is nearly here.
  lease_copy(peer, copy,
             request.map ? request.offset / kPageHash * copy.page_size : request.offset);
  outbox.emplace_back(ChunkJob{peer, copy.id, request.map, request.offset, length});
}

void Hub::on_chunk(const PeerKey& peer, SnapshotChunk chunk, bool found, TimePoint now) {
  Impl& hub = *impl_;
  hub.note_time(now);
  ReaderLoad& load = hub.loads.at(peer);
  const auto asked = load.chunks.extract({chunk.snapshot, chunk.map, chunk.offset});
  CSA_CHECK(!asked.empty());
  load.chunk_bytes -= asked.mapped();
  hub.end_job(peer);
  if (hub.phase == Phase::kStopped) return;
  HeldCopy* const spool = hub.find_spool(chunk.snapshot);
  if (spool != nullptr && !found) {
    hub.log.warn("hub: the copy at " + to_string(spool->copy.position) +
                 " cannot be read any more");
    hub.drop_spool(Id128(chunk.snapshot));
  }
  if (hub.peers.find(peer) == nullptr) return;
  if (spool == nullptr || !found) {
    hub.send(peer,
             SnapshotGone{chunk.snapshot, "The broker no longer holds this copy: begin anew."});
    return;
  }
  spool->used = now;
  chunk.total = chunk.map ? spool->copy.map_total() : spool->copy.total;
  hub.send(peer, std::move(chunk));
}

void Hub::Impl::start_cut() {
  if (cutting || held || waiting_for_copy.empty() || phase != Phase::kServing) return;
  if (spools.size() >= limits::kSnapshotsMax) {
    const auto oldest =
        std::min_element(spools.begin(), spools.end(),
                         [](const HeldCopy& a, const HeldCopy& b) { return a.used < b.used; });
    drop_spool(Id128(oldest->copy.id));
  }
  cutting = true;
  cut_from = master.head.seq;
  outbox.emplace_back(CutJob{});
}

void Hub::on_cut(const Result<SnapshotInfo>& snapshot, TimePoint now) {
  Impl& hub = *impl_;
  hub.note_time(now);
  CSA_CHECK(hub.cutting);
  hub.cutting = false;
  if (!snapshot) {
    hub.log.error("hub: no full copy could be cut: " + snapshot.error().what);
    for (const auto& [peer, at_least] : std::exchange(hub.waiting_for_copy, {})) {
      hub.send(peer, SnapshotGone{Id128{}, snapshot.error().what});
    }
    return;
  }
  if (hub.phase == Phase::kStopped) {
    hub.outbox.emplace_back(DropJob{snapshot->id});
    return;
  }
  hub.held = *snapshot;
  hub.release_cut(now);
}

void Hub::Impl::release_cut(TimePoint now) {
  if (!held) return;
  const Epoch cut_in = held->position.epoch;
  const bool stale =
      cut_in != master.head.epoch && cut_in.generation <= master.head.epoch.generation;
  // The commit that it already contains is on its way to us.
  if (!stale && (cut_in != master.head.epoch || held->position.seq > master.head.seq)) return;
  const SnapshotInfo copy = *std::exchange(held, std::nullopt);
  if (stale) {
    outbox.emplace_back(DropJob{copy.id});
    start_cut();
    return;
  }
  spools.push_back({copy, now, now});
  log.info("hub: cut a full copy at " + to_string(copy.position) + " (" +
           std::to_string(copy.total) + " bytes)");
  for (const auto& [peer, at_least] : std::exchange(waiting_for_copy, {})) {
    if (copy.position.seq >= at_least) {
      offer(peer, copy);
    } else if (at_least <= master.head.seq) {
      waiting_for_copy.emplace(peer, at_least);
    } else {
      send(peer, SnapshotGone{Id128{}, "The broker is not yet where this node has been."});
    }
  }
  start_cut();
}

void Hub::Impl::drop_spool(const Id128& id) {
  std::erase_if(spools, [&](const HeldCopy& spool) { return spool.copy.id == id; });
  outbox.emplace_back(DropJob{id});
}

void Hub::Impl::drop_spools_before(TimePoint used) {
  std::vector<Id128> gone;
  for (const HeldCopy& spool : spools) {
    if (spool.used <= used || spool.copy.position.epoch != master.head.epoch) {
      gone.push_back(spool.copy.id);
    }
  }
  for (const Id128& id : gone) drop_spool(id);
}

TimePoint Hub::Impl::spool_deadline() const {
  TimePoint first = TimePoint::max();
  for (const HeldCopy& spool : spools) first = std::min(first, spool.used + limits::kSnapshotLife);
  return first;
}

}  // namespace csa
