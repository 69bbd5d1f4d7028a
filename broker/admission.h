// Who may join: the checks of a HELLO that need no other peer. Pure.
#pragma once

#include <optional>

#include "broker/hub.h"

namespace csa {

// Why `hello` is refused, in sentences for the people on both sides; nothing: it may join.
[[nodiscard]] std::optional<Refused> refusal(const HubConfig& broker, const MasterState& master,
                                             const Hello& hello);
// Its NodeId is held by a living peer.
[[nodiscard]] Refused identity_refusal(const Hello& hello, const Peer& holder);
[[nodiscard]] Refused full_refusal(const HubConfig& broker, const Hello& hello);

}  // namespace csa
