// csa_lost: what a history held that this master has lost, as replicas offered it, until a person
// decides. Belongs to the ledger's thread; throws SqliteError for the disk.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <variant>

#include "broker/merge.h"
#include "common/call_runner.h"
#include "common/message.h"
#include "common/sqlite.h"

namespace csa {

// Puts it into csa_lost, once. kParked where its changes cannot be read. REQUIRES: a transaction is
// open; entry.header.is_lost().
[[nodiscard]] MergeOutcome keep_lost(const Database& db, const ReplayEntry& entry);

// What became of a recovered one.
struct Recovered {
  CallEffect effect;
  WallTime edited;
  std::uint32_t edited_error_ms = 0;
};
using MergeLost = std::function<MergeOutcome(const ReplayEntry& entry)>;
// kRecover: merged by `merge` as an entry of one journal, that of the lost history, whoever wrote
// it: numbers that change are followed from one recovered transaction to the next. REQUIRES: as
// Merge::run.
[[nodiscard]] std::variant<Recovered, Rejection> recover_lost(const Database& db, std::int64_t id,
                                                              const std::string& spill_folder,
                                                              const MergeLost& merge);
// kShowLost and kForgetLost. REQUIRES: a transaction is open.
[[nodiscard]] std::variant<CallEffect, Rejection> settle_lost(const Database& db,
                                                              const Conflict& request,
                                                              std::size_t rows_max);

}  // namespace csa
