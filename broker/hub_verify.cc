#include <algorithm>
#include <utility>

#include "broker/hub_impl.h"
#include "common/limits.h"

namespace csa {
namespace {

// More would not fit one answer.
constexpr std::size_t kRangesMax = 1000;
// What nodes tell is held until the last one has answered.
constexpr std::size_t kRangesBytes = 2 * limits::kMiB;
constexpr std::size_t kRangesBytesOfNode = 64 * limits::kKiB;
constexpr std::chrono::hours kWaitMax{1};

}  // namespace

// Each takes a scan of a table or more: one at a time for each peer.
void Hub::Impl::on_digest_get(const Peer& peer, const DigestGet& request) {
  if (!peer.is_node() || verifying.contains(peer.key) || !start_job(peer.key)) return;
  verifying.insert(peer.key);
  outbox.emplace_back(DigestJob{peer.key, request.request, false});
}

void Hub::Impl::on_rows_get(const Peer& peer, RowsGet request) {
  if (!peer.is_node() || verifying.contains(peer.key) || !start_job(peer.key)) return;
  verifying.insert(peer.key);
  outbox.emplace_back(RowsJob{peer.key, std::move(request)});
}

void Hub::on_rows(const PeerKey& peer, RowsReply rows, TimePoint now) {
  impl_->verifying.erase(peer);
  on_reply(peer, std::move(rows), now);
}

void Hub::Impl::start_verification(const Peer& admin, const Admin& request, TimePoint now) {
  if (verification || verifying.contains(admin.key) || !start_job(admin.key)) {
    send(admin.key, AdminReply{request.request, false,
                               "The nodes are being compared already; ask again in a moment.", ""});
    return;
  }
  verifying.insert(admin.key);
  verification.emplace();
  verification->admin = admin.key;
  verification->request = request.request;
  verification->until =
      now + std::min<Duration>(kWaitMax, std::chrono::milliseconds(request.wait_ms));
  for (const auto& [key, peer] : peers.all()) {
    if (!peer.is_node()) continue;
    NodeVerdict verdict{peer.node, peer.hostname, {}, {}, "It did not answer in time.", {}};
    verification->waiting.emplace(key, std::move(verdict));
  }
  ++verifications;
  outbox.emplace_back(DigestJob{admin.key, verifications, true});
}

void Hub::on_digest(const PeerKey& peer, DigestReply digest, bool asked, TimePoint now) {
  Impl& hub = *impl_;
  hub.verifying.erase(peer);
  if (!asked) {
    on_reply(peer, std::move(digest), now);
    return;
  }
  hub.note_time(now);
  hub.end_job(peer);
  if (!hub.verification || digest.request != hub.verifications) return;
  digest.asked = digest.request;
  hub.verification->reference = std::move(digest);
  hub.ask_nodes();
}

void Hub::Impl::ask_nodes() {
  const DigestReply& reference = *verification->reference;
  if (!reference.text.empty()) {
    send(verification->admin, AdminReply{verification->request, false, reference.text, ""});
    verification.reset();
    return;
  }
  for (const auto& [key, verdict] : verification->waiting) send(key, reference);
  if (verification->waiting.empty()) end_verification();
}

void Hub::Impl::on_checked(const Peer& peer, Checked checked) {
  if (!verification || !verification->reference || checked.asked != verifications) return;
  auto waiting = verification->waiting.extract(peer.key);
  if (waiting.empty()) return;
  if (checked.differences.size() > kRangesMax) checked.differences.resize(kRangesMax);
  judge(*verification->reference, checked, waiting.mapped());
  const std::size_t room = std::min(kRangesBytesOfNode, kRangesBytes - verification->bytes);
  verification->bytes += shorten(waiting.mapped(), room);
  verification->done.push_back(std::move(waiting.mapped()));
  if (verification->waiting.empty()) end_verification();
}

void Hub::Impl::gone_from_verification(const PeerKey& key) {
  if (!verification) return;
  if (key == verification->admin) {
    verification.reset();
    return;
  }
  auto waiting = verification->waiting.extract(key);
  if (waiting.empty()) return;
  waiting.mapped().text = "It left before it had answered.";
  verification->done.push_back(std::move(waiting.mapped()));
  if (verification->reference && verification->waiting.empty()) end_verification();
}

void Hub::Impl::end_verification() {
  Verification over = std::move(*std::exchange(verification, std::nullopt));
  if (!over.reference) {
    send(over.admin, AdminReply{over.request, false,
                                "The master could not be read in that time; give it more with "
                                "--timeout.",
                                ""});
    return;
  }
  for (auto& [key, verdict] : over.waiting) over.done.push_back(std::move(verdict));
  std::string json = verdicts_json(*over.reference, over.done);
  if (json.size() > limits::kFrameMax / 2) {
    for (NodeVerdict& node : over.done) {
      node.tables.clear();
      node.text = "What differs is too long to be told for all nodes.";
    }
    json = verdicts_json(*over.reference, over.done);
  }
  send(over.admin, AdminReply{over.request, true, "", std::move(json)});
}

TimePoint Hub::Impl::verification_deadline() const {
  return verification ? verification->until : TimePoint::max();
}

}  // namespace csa
