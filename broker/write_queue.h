// Writes and parts of replays between their arrival and their answer: bounded, fair between nodes,
// in order within a node, each once. Pure, not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "broker/jobs.h"
#include "broker/peer.h"

namespace csa {

class WriteQueue {
 public:
  enum class Added : std::uint8_t {
    kQueued,
    kKnown,     // is on its way already: the outcome now goes to this peer
    kMismatch,  // another request is on its way under this TxId
    kFull,
  };
  struct Asked {
    TxId tx;
    std::uint64_t part = 0;  // of a replay: its offset + 1
    PeerKey peer;
  };

  // A node may fill at most half of what is free, so that there is always room for another one.
  // `begin_by`: see take_overdue(). A repeat keeps the first one's.
  [[nodiscard]] Added add(WriteRequest request, std::string hostname, const PeerKey& peer,
                          TimePoint begin_by);
  // The outcome of `tx` now goes to `peer`. False: it is not on its way.
  [[nodiscard]] bool redirect(const TxId& tx, const PeerKey& peer);
  // The next group, round robin over the nodes; a Migrate is alone, and replays are among
  // themselves. Empty: nothing waits.
  [[nodiscard]] std::vector<WriteJob> take_group();
  // The answer to a job of a group has come. Its peer is empty where take_overdue() named it and
  // nobody asked since. REQUIRES: a ticket of take_group(), once.
  [[nodiscard]] Asked settle(std::uint64_t ticket);
  // What was to begin by now: takes back what still waits, and names, once, what lies in the ledger
  // with a ticket above `begun`, the last one begun; the ledger will not begin it any more.
  // REQUIRES: `begun` was read after `now`, of a ledger that tells it before it looks at its clock.
  [[nodiscard]] std::vector<Asked> take_overdue(TimePoint now, std::uint64_t begun);
  // Takes back everything that waits.
  [[nodiscard]] std::vector<Asked> clear();

  [[nodiscard]] std::size_t waiting() const { return waiting_; }
  [[nodiscard]] bool waits(const NodeId& node) const { return lines_.contains(node); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t in_ledger() const { return in_ledger_.size(); }

 private:
  struct Entry {
    WriteJob job;
    std::size_t bytes = 0;
  };
  struct Line {  // of one node
    std::deque<Entry> entries;
    std::size_t bytes = 0;
  };
  // Parts of a replay are told apart by their offset; a write has part 0.
  struct Key {
    TxId tx;
    std::uint64_t part = 0;
    auto operator<=>(const Key&) const = default;
  };
  [[nodiscard]] static Key key_of(const WriteRequest& request);
  struct Known {
    Id128 hash;
    PeerKey peer;  // empty: it was told
  };
  struct Given {
    Key key;
    TimePoint begin_by;  // max: told, or in no hurry
  };
  // The entry is no longer on its way; its place in a line is the caller's matter.
  [[nodiscard]] Asked take_back(const Entry& entry);
  [[nodiscard]] bool has_room(const NodeId& node, std::size_t bytes) const;

  std::map<NodeId, Line> lines_;              // none is empty
  std::deque<NodeId> turns_;                  // each key of lines_ once
  std::map<Key, Known> known_;                // waiting and in the ledger
  std::map<std::uint64_t, Given> in_ledger_;  // by ticket
  std::size_t waiting_ = 0;                   // sum over lines_
  std::size_t bytes_ = 0;
  std::uint64_t next_ticket_ = 1;
};

}  // namespace csa
