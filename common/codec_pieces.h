// Chains inside a LOG or UPDATE (schemas/protocol.md, "Messages"): those that follow from the piece
// before are not sent. For codec*.cc.
#pragma once

#include <optional>

#include "common/message.h"

namespace csa::codec {

// The chain after `piece`, as `before`, the piece in front of it in the same message, and the piece
// itself tell it; nullopt: it is not a whole entry.
[[nodiscard]] std::optional<Chain> following_chain(const LogPiece& before, const LogPiece& piece);

}  // namespace csa::codec
