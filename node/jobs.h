// What passes between the node's core and its replica: plain values, no SQLite.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/types.h"

namespace csa {

struct ReplicaState {
  NodeId node;
  std::optional<DbId> db;  // nothing: no copy yet
  std::optional<Position> position;
  std::uint64_t partial = 0;  // bytes of the entry after position that are already here
  std::uint64_t schema_version = 0;
  std::uint64_t generation_seen = 0;
  std::uint64_t counter = 0;  // highest TxId counter that may be in use
};

struct Applied {
  ReplicaState state;
  std::vector<std::string> tables;  // that changed, each once
  bool schema_changed = false;
};

}  // namespace csa
