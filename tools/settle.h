// csa-admin rule and conflicts: by which rules replays are merged, and what lost.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/message.h"
#include "tools/peer.h"

namespace csa {

struct SettleFlags {
  bool json = false;
  Duration timeout = std::chrono::seconds{60};
};

// Exit codes all. `rules` empty: only lists them.
[[nodiscard]] int set_rules(Peer& peer, const SettleFlags& flags, std::vector<RuleSetting> rules);
// Nothing: the whole inbox, else conflict `id` in three columns.
[[nodiscard]] int show_conflicts(Peer& peer, const SettleFlags& flags,
                                 std::optional<std::int64_t> id);
[[nodiscard]] int settle_conflict(Peer& peer, const SettleFlags& flags, std::int64_t id,
                                  ConflictVerb verb);

}  // namespace csa
