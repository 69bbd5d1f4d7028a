// What an outcome under its TxId does not tell of a journal's entry: whether the journal was handed
// over up to it. There, being a WRITE or another transaction, it says nothing of the entries before
// it: they may be on their way, or were told to wait. Held while the broker runs; after a restart
// nodes are asked for their journals anew. Pure; belongs to the ledger's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/replay.h"
#include "common/types.h"

namespace csa {

class HandedOver {
 public:
  static constexpr std::size_t kMax = 100000;  // of each kind: then it is as after a restart
  static constexpr std::size_t kLoggedMax = 1'000'000;
  static constexpr std::size_t kToldMax = 10'000;  // of a journal
  explicit HandedOver(std::size_t max = kMax) : max_(max) {}

  // The entry was handed over, in its order, by what is about to be committed.
  void note(const TxId& tx);
  [[nodiscard]] bool has(const TxId& tx) const { return noted_.contains(tx); }

  // Under the entry's TxId another transaction has an outcome; no longer so once it is noted.
  void note_stray(const TxId& tx);
  [[nodiscard]] bool is_stray(const TxId& tx) const { return strays_.contains(tx); }

  // Where the entries come from until the next call.
  void on_link(const std::string& link) { link_ = link; }

  // A journal, by the number of its first entry, comes from its begin; `id` is made of that entry.
  // Whoever sends the first entry sends all behind it again, so that nothing is kept of what was
  // known of the journal before, or of another one of the node: a copy of the replica may have a
  // journal of the same number, also one that begins with the same entries.
  void begin(const NodeId& node, std::uint64_t journal, const NodeId& id);
  // Not where copies of the node's replica are known, and it has begun on another link: it may be
  // the journal of another one.
  [[nodiscard]] bool has_begun(const NodeId& node, std::uint64_t journal);
  // Its entry `counter` has an outcome. REQUIRES: note() was called before, if it is to be.
  void pass(const NodeId& node, std::uint64_t journal, std::uint64_t previous,
            std::uint64_t counter);
  // Whether all that has begun was passed up to `previous`. Nothing: by what the copies of one
  // replica may have in common it cannot be told, and no copies are known.
  [[nodiscard]] std::optional<bool> passed(const NodeId& node, std::uint64_t journal,
                                           std::uint64_t previous) const;
  // It is of a copy of the node's replica: what the log has under its NodeId is, from some entry
  // on, what that copy did not know. `name` is made of its first entry that tells. Nothing where it
  // has not begun.
  void note_copy(const NodeId& node, std::uint64_t journal, const NodeId& name);
  [[nodiscard]] bool is_copy(const NodeId& node, std::uint64_t journal) const;
  // Entry `seq` of the log is what is about to be committed, or was before, of one of its entries.
  void note_logged(const NodeId& node, std::uint64_t journal, Seq seq);
  // The log has no more what its entry `counter` made. `keys`: all that it changed; nothing: they
  // are not known.
  void note_gone(const NodeId& node, std::uint64_t journal, std::uint64_t counter,
                 const std::vector<KeyChange>* keys);
  void note_keys(const NodeId& node, std::uint64_t journal);
  // The log has some of these under another NodeId.
  void note_renamed(const NodeId& node, std::uint64_t journal);
  struct Journal {
    std::uint64_t number = 0;
    NodeId id;
    std::uint64_t begun = 0;  // no other has this
    bool copies = false;      // of its node are known
    std::string link;
    std::uint64_t last = 0;  // its last entry that has an outcome, as all before it
    bool copy = false;
    NodeId name;  // of a copy
    bool renamed = false;
    std::vector<Seq> logged;  // ascending; of too many, the latest
    // What its outcomes tell of keys that the log does not tell any more, by entry; and whether
    // there is something that neither tells.
    std::vector<std::pair<std::uint64_t, KeyChange>> told;
    bool untold = false;
    bool has_keys = false;  // csa_remap has those of all that is before
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
  struct Passed {
    NodeId node;
    std::uint64_t begun = 0;
    std::uint64_t last = 0;  // before
  };
  struct Logged {
    NodeId node;
    std::uint64_t begun = 0;
    Seq seq;
  };
  [[nodiscard]] Journal* known(const NodeId& node, std::uint64_t journal);
  const std::size_t max_;
  std::set<TxId> noted_, strays_;
  std::string link_;
  std::map<NodeId, Journal> journals_;
  std::uint64_t begun_ = 0;
  bool forgotten_ = false;  // of whom copies are known
  std::size_t logged_ = 0;  // of all journals
  std::vector<Pending> pending_;
  std::vector<Passed> pending_passed_;
  std::vector<Logged> pending_logged_;
  std::vector<NodeId> pending_keys_;
};

}  // namespace csa
