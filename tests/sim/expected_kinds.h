// What many runs must have met: a fault that is injected no more, or a place that is passed no
// more, would make each of them easier and fail none.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace csa::sim {

// Of so many runs with all their parts each common kind, and of so many each rare one, has its lot.
inline constexpr std::uint64_t kCommonRuns = 400;
inline constexpr std::uint64_t kRareRuns = 5000;

inline constexpr std::string_view kCommonKinds[] = {
    "bit kept wrongly",
    "bit of a full copy kept wrongly",
    "bits flipped in a download",
    "broker boots, nodes offline",
    "broker crash",
    "broker crash after REPLAYED",
    "broker crash after WELCOME",
    "broker crash after publish",
    "broker crash before a chunk",
    "broker crash before a piece of the log",
    "broker crash before commit",
    "broker crash between commit and answer",
    "broker dies at an operation",
    "broker ended by its disk",
    "broker's disk: full",
    "broker's disk: read failed",
    "broker's disk: write failed",
    "clock jump",
    "clogged link",
    "commit found after a crash",
    "compared",
    "damaged frame",
    "delay",
    "drop",
    "duplicate",
    "end of a download forgotten",
    "entry of the log kept wrongly",
    "full copy",
    "full copy kept wrongly",
    "joined frame of a node",
    "joined frame of the broker",
    "journal kept wrongly",
    "last writes forgotten",
    "lost UPDATE",
    "master lost in an offline story",
    "node boots offline",
    "node crash",
    "node crash after a chunk",
    "node crash after journaling",
    "node crash after marking",
    "node crash after reserving counters",
    "node crash after spooling",
    "node crash after unmarking",
    "node dies at an operation",
    "node set back",
    "node's disk: full",
    "node's disk: read failed",
    "node's disk: sync failed",
    "node's disk: write failed",
    "not compared",
    "offline change before an earlier one",
    "offline change handed over",
    "offline story",
    "offline write",
    "one-way partition",
    "partition",
    "power cut at a node",
    "power cut at the broker",
    "recovered",
    "restored from a backup",
    "restored from a replica",
    "row kept wrongly",
    "schema change",
    "schema change refused",
    "sleep",
    "slow disk",
    "story edit",
    "story edit online",
    "told as equal",
    "torn writes",
    "unsynced writes forgotten",
};

inline constexpr std::string_view kRareKinds[] = {
    "broker crash after a cut",
    "broker crash after housekeeping",
    "broker crash before a cut",
    "broker's disk: open failed",
    "broker's disk: sync failed",
    "broker's spool: read failed",
    "node cannot start",
    "node crash after beginning a copy",
    "node crash after installing",
    "node crash after taking over",
    "node's disk: cut failed",
    "node's download: read failed",
    "node's download: write failed",
    "told as different",
};

// The other crash points are common.
inline constexpr std::string_view kRareCrashPoints[] = {
    "install: kept aside",        "install: old log gone",    "install: ready",
    "install: renamed",           "ledger: after checkpoint", "ledger: before checkpoint",
    "opening: between two names", "opening: named",           "opening: swapped",
    "replica: journal renamed",
};

// No broker crashes here while another program's writing is found.
inline constexpr std::string_view kUnreachedCrashPoint = "ledger: epoch begun";

// Those of `kinds` that no run has met.
template <typename Kinds>
std::vector<std::string> never_met(const Kinds& kinds,
                                   const std::map<std::string, std::uint64_t>& counts) {
  std::vector<std::string> never;
  for (const std::string_view kind : kinds) {
    if (!counts.contains(std::string(kind))) never.emplace_back(kind);
  }
  return never;
}

}  // namespace csa::sim
