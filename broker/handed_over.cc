#include "broker/handed_over.h"

#include <algorithm>

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
  const Key key{node, journal};
  const auto known = journals_.find(key);
  if (known != journals_.end() && known->second.id == id) return;
  if (known != journals_.end()) {
    logged_ -= known->second.logged.size();
    journals_.erase(known);
  } else if (journals_.size() >= max_) {
    journals_.clear();
    logged_ = 0;
  }
  journals_[key].id = id;
}

bool HandedOver::has_begun(const NodeId& node, std::uint64_t journal) const {
  return find(node, journal) != nullptr;
}

void HandedOver::note_copy(const NodeId& node, std::uint64_t journal) {
  const auto known = journals_.find({node, journal});
  if (known != journals_.end()) known->second.copy = true;
}

bool HandedOver::is_copy(const NodeId& node, std::uint64_t journal) const {
  const Journal* const known = find(node, journal);
  return known != nullptr && known->copy;
}

void HandedOver::note_shared(const NodeId& node, std::uint64_t journal, std::uint64_t counter) {
  const auto known = journals_.find({node, journal});
  if (known == journals_.end() || known->second.copy) return;
  known->second.shared_to = std::max(known->second.shared_to, counter);
}

void HandedOver::note_logged(const NodeId& node, std::uint64_t journal, Seq seq) {
  const Key key{node, journal};
  const auto known = journals_.find(key);
  if (known == journals_.end()) return;
  if (logged_ >= kLoggedMax) {
    // They count as others' then: what is later loses to them, and nothing is torn.
    for (auto& [other, one] : journals_) one.logged.clear();
    logged_ = 0;
  }
  std::vector<Seq>& logged = known->second.logged;
  const auto place = std::ranges::lower_bound(logged, seq);
  if (place != logged.end() && *place == seq) return;
  logged.insert(place, seq);
  ++logged_;
  pending_logged_.emplace_back(key, seq);
}

void HandedOver::note_renamed(const NodeId& node, std::uint64_t journal) {
  const auto known = journals_.find({node, journal});
  if (known != journals_.end()) known->second.renamed = true;
}

const HandedOver::Journal* HandedOver::find(const NodeId& node, std::uint64_t journal) const {
  const auto known = journals_.find({node, journal});
  return known == journals_.end() ? nullptr : &known->second;
}

void HandedOver::committed() {
  pending_.clear();
  pending_logged_.clear();
}

void HandedOver::rolled_back() {
  for (const Pending& one : pending_) {
    noted_.erase(one.tx);
    if (one.was_stray) add(strays_, one.tx, max_);
  }
  pending_.clear();
  for (const auto& [key, seq] : pending_logged_) {
    const auto known = journals_.find(key);
    if (known != journals_.end()) logged_ -= std::erase(known->second.logged, seq);
  }
  pending_logged_.clear();
}

}  // namespace csa
