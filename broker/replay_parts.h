// Parts of large journaled transactions until they are whole; small ones are whole at once. Kept in
// memory and temporary files only: after a restart the node is told to begin the entry again.
// Belongs to the ledger's thread. Throws std::system_error where a file cannot be written.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "common/message.h"
#include "common/spill.h"

namespace csa {

class ReplayParts {
 public:
  explicit ReplayParts(std::string directory) : directory_(std::move(directory)) {}

  struct Taken {
    std::uint64_t here = 0;        // bytes of the entry from its begin
    const Spill* whole = nullptr;  // complete; valid until the next take() or drop()
  };
  // nullopt: the parts before are not here. A part that is here already changes nothing. Of more
  // nodes than kNodesMax the one that was silent longest begins again.
  [[nodiscard]] std::optional<Taken> take(const Replay& part);
  // The entry of this node is settled.
  void drop(const NodeId& node);
  static constexpr std::size_t kNodesMax = 16;

 private:
  struct Entry {
    TxId tx;
    Id128 checksum;
    std::uint64_t size = 0;
    std::unique_ptr<Spill> bytes;
  };
  std::string directory_;
  std::list<Entry> entries_;  // one a node at most, the latest first
};

}  // namespace csa
