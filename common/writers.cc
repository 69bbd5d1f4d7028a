#include "common/writers.h"

#include <algorithm>
#include <utility>

namespace csa {

Writers::Writers(std::map<NodeId, std::uint64_t> counters, std::size_t most)
    : most_(most), counters_(std::move(counters)) {
  for (const auto& [node, counter] : counters_) order_.push_back(node);
  std::ranges::stable_sort(order_, [this](const NodeId& left, const NodeId& right) {
    return counters_.at(left) > counters_.at(right);
  });
}

std::optional<std::uint64_t> Writers::last(const NodeId& node) const {
  const auto found = counters_.find(node);
  if (found == counters_.end()) return std::nullopt;
  return found->second;
}

void Writers::used(const NodeId& node, std::uint64_t counter) {
  const auto [place, is_new] = counters_.try_emplace(node, counter);
  if (is_new) order_.push_back(node);
  place->second = std::max(place->second, counter);
}

std::vector<Writers::Forgotten> Writers::take_excess(const Keep& keep) {
  std::vector<Forgotten> gone;
  for (std::size_t at = order_.size(); at > 0 && counters_.size() > most_; --at) {
    const NodeId node = order_[at - 1];
    if (keep(node)) continue;
    const auto found = counters_.find(node);
    gone.push_back({node, found->second});
    counters_.erase(found);
    order_.erase(order_.begin() + static_cast<std::ptrdiff_t>(at - 1));
  }
  return gone;
}

}  // namespace csa
