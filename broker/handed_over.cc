#include "broker/handed_over.h"

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

void HandedOver::begin(const NodeId& node, std::uint64_t journal) {
  // Forgotten together: a journal that is asked for anew tells again whose it is.
  if (begun_.size() >= max_) copies_.clear();
  add(begun_, std::pair(node, journal), max_);
}

void HandedOver::note_copy(const NodeId& node, std::uint64_t journal) {
  if (copies_.size() >= max_) begun_.clear();
  add(copies_, std::pair(node, journal), max_);
}

void HandedOver::rolled_back() {
  for (const Pending& one : pending_) {
    noted_.erase(one.tx);
    if (one.was_stray) add(strays_, one.tx, max_);
  }
  pending_.clear();
}

}  // namespace csa
