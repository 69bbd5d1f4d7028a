// The bugs that can be planted, and the labels of crash points (planted.h).
#pragma once

#include <array>
#include <string_view>

namespace csa {

inline constexpr std::array kPlantedBugs = {
    // broker: an ACK may leave before its commit is synced.
    std::string_view("answer before sync"),
};

inline constexpr std::array kCrashPoints = {
    // ledger: the group is committed and nobody has heard of it.
    std::string_view("ledger: after commit"),
    // ledger: the group is written and not committed.
    std::string_view("ledger: before commit"),
};

}  // namespace csa
