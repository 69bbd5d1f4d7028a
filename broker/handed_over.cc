#include "broker/handed_over.h"

#include <algorithm>
#include <utility>

namespace csa {
namespace {

template <class Set, class Value>
bool add(Set& set, const Value& value, std::size_t max) {
  if (set.size() >= max) set.clear();
  return set.insert(value).second;
}

}  // namespace

void HandedOver::note(const TxId& tx) {
  if (add(noted_, tx, max_)) pending_.push_back({tx, strays_.contains(tx)});
  strays_.erase(tx);
}

void HandedOver::note_stray(const TxId& tx) {
  if (!noted_.contains(tx)) add(strays_, tx, max_);
}

void HandedOver::begin(const NodeId& node, std::uint64_t journal, const NodeId& id) {
  if (!journals_.contains(node) && journals_.size() >= max_) {
    journals_.clear();
    logged_ = 0;
    forgotten_ = true;
  }
  const auto [place, fresh] = journals_.try_emplace(node);
  const Journal& before = place->second;
  // A node's journals follow each other.
  const bool others =
      !fresh && (journal < before.number || (journal == before.number && before.id != id));
  logged_ -= before.logged.size();
  Journal now;
  now.number = journal;
  now.id = id;
  now.begun = ++begun_;
  now.copies = before.copies || others || forgotten_;
  now.link = link_;
  place->second = std::move(now);
}

HandedOver::Journal* HandedOver::known(const NodeId& node, std::uint64_t journal) {
  const auto place = journals_.find(node);
  return place == journals_.end() || place->second.number != journal ? nullptr : &place->second;
}

bool HandedOver::has_begun(const NodeId& node, std::uint64_t journal) {
  Journal* const begun = known(node, journal);
  if (begun == nullptr || (begun->copies && begun->link != link_)) return false;
  begun->link = link_;
  return true;
}

void HandedOver::pass(const NodeId& node, std::uint64_t journal, std::uint64_t previous,
                      std::uint64_t counter) {
  Journal* const begun = known(node, journal);
  if (begun == nullptr || begun->last != previous || counter <= previous) return;
  if (begun->copies && begun->link != link_) return;
  pending_passed_.push_back({node, begun->begun, begun->last});
  begun->last = counter;
}

std::optional<bool> HandedOver::passed(const NodeId& node, std::uint64_t journal,
                                       std::uint64_t previous) const {
  const Journal* const begun = find(node, journal);
  if (begun == nullptr || !begun->copies) return std::nullopt;
  return begun->last == previous;
}

void HandedOver::note_copy(const NodeId& node, std::uint64_t journal, const NodeId& name) {
  Journal* const begun = known(node, journal);
  if (begun == nullptr || begun->copy) return;
  begun->copy = begun->copies = true;
  begun->name = name;
}

bool HandedOver::is_copy(const NodeId& node, std::uint64_t journal) const {
  const Journal* const begun = find(node, journal);
  return begun != nullptr && begun->copy;
}

void HandedOver::note_gone(const NodeId& node, std::uint64_t journal, std::uint64_t counter,
                           const std::vector<KeyChange>* keys) {
  Journal* const begun = known(node, journal);
  if (begun == nullptr) return;
  if (keys == nullptr || begun->told.size() + keys->size() > kToldMax) {
    begun->untold = true;
    return;
  }
  for (const KeyChange& key : *keys) begun->told.emplace_back(counter, key);
}

void HandedOver::note_keys(const NodeId& node, std::uint64_t journal) {
  Journal* const begun = known(node, journal);
  if (begun == nullptr || std::exchange(begun->has_keys, true)) return;
  pending_keys_.push_back(node);
}

void HandedOver::note_logged(const NodeId& node, std::uint64_t journal, Seq seq) {
  Journal* const begun = known(node, journal);
  if (begun == nullptr) return;
  if (logged_ >= kLoggedMax) {
    // They count as others' then: what is later loses to them, and nothing is torn.
    for (auto& [other, one] : journals_) {
      one.untold = one.untold || !one.logged.empty();
      one.logged.clear();
    }
    logged_ = 0;
  }
  std::vector<Seq>& logged = begun->logged;
  const auto place = std::ranges::lower_bound(logged, seq);
  if (place != logged.end() && *place == seq) return;
  logged.insert(place, seq);
  ++logged_;
  pending_logged_.push_back({node, begun->begun, seq});
}

void HandedOver::note_renamed(const NodeId& node, std::uint64_t journal) {
  Journal* const begun = known(node, journal);
  if (begun != nullptr) begun->renamed = true;
}

const HandedOver::Journal* HandedOver::find(const NodeId& node, std::uint64_t journal) const {
  const auto place = journals_.find(node);
  return place == journals_.end() || place->second.number != journal ? nullptr : &place->second;
}

void HandedOver::committed() {
  pending_.clear();
  pending_passed_.clear();
  pending_logged_.clear();
  pending_keys_.clear();
}

void HandedOver::rolled_back() {
  for (const Pending& one : pending_) {
    noted_.erase(one.tx);
    if (one.was_stray) add(strays_, one.tx, max_);
  }
  for (auto one = pending_passed_.rbegin(); one != pending_passed_.rend(); ++one) {
    const auto place = journals_.find(one->node);
    if (place != journals_.end() && place->second.begun == one->begun) {
      place->second.last = one->last;
    }
  }
  for (const Logged& one : pending_logged_) {
    const auto place = journals_.find(one.node);
    if (place == journals_.end() || place->second.begun != one.begun) continue;
    logged_ -= std::erase(place->second.logged, one.seq);
  }
  for (const NodeId& node : pending_keys_) {
    const auto place = journals_.find(node);
    if (place != journals_.end()) place->second.has_keys = false;
  }
  committed();
}

}  // namespace csa
