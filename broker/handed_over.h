// What an outcome under its TxId does not tell of a journal's entry: whether the journal was handed
// over up to it. There, being a WRITE or another transaction, it says nothing of the entries before
// it: they may be on their way, or were told to wait. Held while the broker runs; after a restart
// nodes are asked for their journals anew. Pure; belongs to the ledger's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "common/types.h"

namespace csa {

class HandedOver {
 public:
  static constexpr std::size_t kMax = 100000;  // of each kind: then it is as after a restart
  static constexpr std::size_t kLoggedMax = 1'000'000;
  explicit HandedOver(std::size_t max = kMax) : max_(max) {}

  // The entry was handed over, in its order, by what is about to be committed.
  void note(const TxId& tx);
  [[nodiscard]] bool has(const TxId& tx) const { return noted_.contains(tx); }

  // Under the entry's TxId another transaction has an outcome; no longer so once it is noted.
  void note_stray(const TxId& tx);
  [[nodiscard]] bool is_stray(const TxId& tx) const { return strays_.contains(tx); }

  // A journal, by the number of its first entry, comes from its begin; `id` is made of that entry,
  // so that it is another one's for another journal of the same number, and the same after a
  // restart. What is known of a journal is known of all its entries.
  void begin(const NodeId& node, std::uint64_t journal, const NodeId& id);
  [[nodiscard]] bool has_begun(const NodeId& node, std::uint64_t journal) const;
  // It is of a copy of the node's replica: what the log has under its NodeId is, from some entry
  // on, what that copy did not know. Nothing where it has not begun.
  void note_copy(const NodeId& node, std::uint64_t journal);
  [[nodiscard]] bool is_copy(const NodeId& node, std::uint64_t journal) const;
  // Its entry `counter` went by its own TxId, as it may have come from another copy too.
  void note_shared(const NodeId& node, std::uint64_t journal, std::uint64_t counter);
  // Entry `seq` of the log is what is about to be committed, or was before, of one of its entries.
  void note_logged(const NodeId& node, std::uint64_t journal, Seq seq);
  // The log has some of these under another NodeId.
  void note_renamed(const NodeId& node, std::uint64_t journal);
  struct Journal {
    NodeId id;
    bool copy = false;
    bool renamed = false;
    std::uint64_t shared_to = 0;  // its last entry that was noted as shared before it was a copy's
    std::vector<Seq> logged;      // ascending; of too many, the latest
  };
  // nullptr: it has not begun. Valid until the next call of begin().
  [[nodiscard]] const Journal* find(const NodeId& node, std::uint64_t journal) const;

  void committed();
  void rolled_back();  // what was noted since the last committed() was not

 private:
  struct Pending {
    TxId tx;
    bool was_stray = false;
  };
  const std::size_t max_;
  using Key = std::pair<NodeId, std::uint64_t>;
  std::set<TxId> noted_, strays_;
  std::map<Key, Journal> journals_;
  std::size_t logged_ = 0;  // of all journals
  std::vector<Pending> pending_;
  std::vector<std::pair<Key, Seq>> pending_logged_;
};

}  // namespace csa
