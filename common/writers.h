// Which NodeIds a master or replica keeps outcomes of, in the order in which they came. A NodeId
// costs nothing to make up, so there are at most so many, and where there would be more the newest
// ones go: a flood of made-up ones displaces itself, and not those that were here before. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "common/types.h"

namespace csa {

class Writers {
 public:
  // `counters`: the highest of every known node. In which order these came is not known: the
  // longest here are taken to be those that have written most.
  Writers(std::map<NodeId, std::uint64_t> counters, std::size_t most);

  // The highest counter that `node` has used; nothing: it is not known.
  [[nodiscard]] std::optional<std::uint64_t> last(const NodeId& node) const;
  void used(const NodeId& node, std::uint64_t counter);
  // Takes out who is too many: the newest for which `keep` is false. The caller forgets them
  // (OutcomeTable::forget_node).
  struct Forgotten {
    NodeId node;
    std::uint64_t counter = 0;
  };
  using Keep = std::function<bool(const NodeId&)>;
  [[nodiscard]] std::vector<Forgotten> take_excess(const Keep& keep);
  [[nodiscard]] std::size_t size() const { return counters_.size(); }

 private:
  std::size_t most_;
  std::map<NodeId, std::uint64_t> counters_;
  std::vector<NodeId> order_;  // the same nodes
};

}  // namespace csa
