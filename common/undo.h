// A stored changeset backwards: the inverse of each change, the last one first. Pure; one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/changeset.h"
#include "common/result.h"

namespace csa {

using TakeChange =
    std::function<Status(const Change& change, const std::vector<ChangeTable>& tables)>;

struct StoredChanges {
  std::uint64_t size = 0;
  // The bytes from `offset` on, as many as lie together; empty: they are missing. Asked for where
  // an earlier answer ended, and again for the same places.
  std::function<Bytes(std::uint64_t offset)> read;
  std::function<Error(const std::string& why)> unreadable;
};

// Until `take` fails. Memory is bounded by the largest part and the largest row. A
// statement of the schema among the changes is unreadable.
[[nodiscard]] Status undo_changes(const StoredChanges& changes, const TakeChange& take);

}  // namespace csa
