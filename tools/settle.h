// csa-admin rule, conflicts and recover: by which rules replays are merged, what lost, and what the
// master has lost.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/message.h"
#include "common/rules_text.h"
#include "tools/caller.h"

namespace csa {

struct SettleFlags {
  bool json = false;
  Duration timeout = std::chrono::seconds{60};
};

// Exit codes all. `rules` empty: only lists them. `file`: where they are from, empty: typed.
[[nodiscard]] int set_rules(Caller& caller, const SettleFlags& flags,
                            const std::vector<RuleLine>& rules, const std::string& file);
// Nothing: the whole inbox, else conflict `id` in three columns.
[[nodiscard]] int show_conflicts(Caller& caller, const SettleFlags& flags,
                                 std::optional<std::int64_t> id);
[[nodiscard]] int settle_conflict(Caller& caller, const SettleFlags& flags, std::int64_t id,
                                  ConflictVerb verb);

// csa_lost, all of it.
[[nodiscard]] int list_lost(Caller& caller, const SettleFlags& flags);
// kRecover or kForgetLost, one after the other in the order of the lost history; `ids` empty: all
// that are not settled yet. The worst exit code; what one of them answers does not end the others.
[[nodiscard]] int settle_lost(Caller& caller, const SettleFlags& flags,
                              std::vector<std::int64_t> ids, ConflictVerb verb);

}  // namespace csa
