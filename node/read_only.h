// Reading a replica beside its owner, or without one: connections that can neither write nor
// checkpoint, and a glance at what the file says of itself. Calls may be made from any thread; a
// connection is its caller's own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/result.h"
#include "common/types.h"
#include "node/client.h"

namespace csa {

// A read-only connection to the replica at `path`: waits 5 s for locks, sees every commit of the
// owner from its next transaction on, leaves the WAL alone also at its end. A replica that has no
// copy yet is opened too, and shows the copy as soon as there is one. Reader::failure: the file is
// missing (3), not a replica (4), damaged (7), cannot be opened (1).
[[nodiscard]] Reader open_read_only(const std::string& path);

// What a replica says of itself, at one moment.
struct ReplicaGlance {
  NodeId node;
  std::string app;
  std::string group;
  std::uint64_t generation_seen = 0;
  std::optional<DbId> db;            // nothing: no copy yet
  std::optional<Position> position;  // set where db is
  std::uint64_t schema_version = 0;
  std::uint64_t pending = 0;  // changes made offline and not handed over: none in this version
};

// Needs no owner and writes nothing. Errors: kNothing (no file), kRefused, kDamaged, kFailed.
[[nodiscard]] Result<ReplicaGlance> glance_at_replica(const std::string& path);
// Whose it is, of a replica whose content may be damaged.
[[nodiscard]] Result<NodeId> node_of_replica(const std::string& path);

}  // namespace csa
