// What an outcome under its TxId does not tell of a journal's entry: whether the journal was handed
// over up to it. There, being a WRITE or another transaction, it says nothing of the entries before
// it: they may be on their way, or were told to wait. Held while the broker runs; after a restart
// nodes are asked for their journals anew. Pure; belongs to the ledger's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "common/types.h"

namespace csa {

class HandedOver {
 public:
  static constexpr std::size_t kMax = 100000;  // of each kind: then it is as after a restart
  explicit HandedOver(std::size_t max = kMax) : max_(max) {}

  // The entry was handed over, in its order, by what is about to be committed.
  void note(const TxId& tx);
  [[nodiscard]] bool has(const TxId& tx) const { return noted_.contains(tx); }

  // Under the entry's TxId another transaction has an outcome; no longer so once it is noted.
  void note_stray(const TxId& tx);
  [[nodiscard]] bool is_stray(const TxId& tx) const { return strays_.contains(tx); }

  // A journal, by the number of its first entry, comes from its begin: what is known of it is known
  // of all its entries.
  void begin(const NodeId& node, std::uint64_t journal);
  [[nodiscard]] bool has_begun(const NodeId& node, std::uint64_t journal) const {
    return begun_.contains({node, journal});
  }
  // It is of a copy of the node's replica: what the log has under its NodeId is, from some entry
  // on, what that copy did not know.
  void note_copy(const NodeId& node, std::uint64_t journal);
  [[nodiscard]] bool is_copy(const NodeId& node, std::uint64_t journal) const {
    return copies_.contains({node, journal});
  }

  void committed() { pending_.clear(); }
  void rolled_back();  // what was noted since the last committed() was not

 private:
  struct Pending {
    TxId tx;
    bool was_stray = false;
  };
  const std::size_t max_;
  std::set<TxId> noted_, strays_;
  std::set<std::pair<NodeId, std::uint64_t>> begun_, copies_;
  std::vector<Pending> pending_;
};

}  // namespace csa
