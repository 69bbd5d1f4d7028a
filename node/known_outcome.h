// What a replica knows by itself of a write that was made through it: also without a broker, also
// beside an owner.
#pragma once

#include <optional>
#include <string>

#include "common/result.h"
#include "common/types.h"
#include "node/client.h"

namespace csa {

// Nothing: this replica knows nothing of it (any more), or cannot be read. Any thread; writes
// nothing.
[[nodiscard]] std::optional<WriteResult> known_outcome(const std::string& replica, const TxId& tx);

}  // namespace csa
