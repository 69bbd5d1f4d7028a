#include "tests/sim/liveness.h"

#include <algorithm>

#include "common/limits.h"
#include "tests/sim/checkers.h"

namespace csa::sim {
namespace {

// From the trouble to the last attempt that it may explain: silence noticed, refused or unanswered
// greetings, backoff.
constexpr std::chrono::seconds kAftermath{20};
// From knowing of a commit to having it: the longest wait before LOG_GET, and the way of question,
// answer and store, each of them a few milliseconds.
constexpr milliseconds kRepair = limits::kGapJitterMax + milliseconds{40};
// From the commit to the HEAD that tells of it.
constexpr milliseconds kTold = limits::kHeadInterval + milliseconds{10};

std::optional<Seq> told_by(const Message& message) {
  if (const auto* const update = std::get_if<Update>(&message)) return update->head.seq;
  if (const auto* const head = std::get_if<Head>(&message)) return head->head.seq;
  if (const auto* const pong = std::get_if<Pong>(&message)) return pong->head.seq;
  return std::nullopt;
}

}  // namespace

void Liveness::opens(const SimNode& node) const {
  const TimePoint trouble = world_.disturbed(node.party());
  const bool explained =
      !broker_.running() || (trouble != TimePoint::min() && world_.now() - trouble <= kAftermath);
  if (explained && !is_calm(node)) return;
  throw Violation("node " + node.name() + " opens a new link, and nothing had happened to it");
}

void Liveness::asks_copy(const SimNode& node) const {
  if (!node.view().position || !broker_.running()) return;
  // The floor never sinks, so the broker's at this moment is at least the one it judged by.
  if (node.view().position->epoch != broker_.ledger().meta().position.epoch) return;
  const Seq floor = broker_.ledger().meta().floor;
  if (node.asked_after().next() < floor) return;
  throw Violation("node " + node.name() +
                  " asks for a full copy, and had asked for the log after " +
                  std::to_string(node.asked_after().value) + ", which begins at " +
                  std::to_string(floor.value));
}

void Liveness::broker_disturbed(const std::vector<std::unique_ptr<SimNode>>& nodes) {
  for (const auto& node : nodes) world_.disturb(node->party());
}

void Liveness::set_calm(bool calm) {
  calm_ = calm;
  excused_.clear();
  due_.clear();
}

void Liveness::excuse(const SimNode& node) {
  excused_.insert(node.party());
  due_.erase(node.party());
}

bool Liveness::is_calm(const SimNode& node) const {
  return calm_ && !excused_.contains(node.party());
}

void Liveness::expect(int party, Seq seq, Duration within) {
  if (seq <= reached_[party]) return;
  const auto [place, added] = due_[party].emplace(seq, world_.now() + within);
  if (!added) place->second = std::min(place->second, world_.now() + within);
}

void Liveness::committed(Seq seq, const std::vector<std::unique_ptr<SimNode>>& nodes) {
  for (const auto& node : nodes) {
    if (is_calm(*node)) expect(node->party(), seq, kTold + kRepair);
  }
}

void Liveness::hears(const SimNode& node, const Message& message) {
  const std::optional<Seq> seq = told_by(message);
  if (!is_calm(node) || !seq) return;
  expect(node.party(), *seq, kRepair);
}

void Liveness::reaches(const SimNode& node, Seq seq) {
  reached_[node.party()] = seq;
  const auto due = due_.find(node.party());
  if (due == due_.end()) return;
  due->second.erase(due->second.begin(), due->second.upper_bound(seq));
}

void Liveness::check() const {
  for (const auto& [party, seqs] : due_) {
    for (const auto& [seq, until] : seqs) {
      if (until >= world_.now()) continue;
      throw Violation("node " + std::to_string(party) + " should have had seq " +
                      std::to_string(seq.value) + " by now, in a network where only UPDATEs are " +
                      "lost");
    }
  }
}

}  // namespace csa::sim
