// csa_lost: what a history held that this master has lost, as replicas offered it, until a person
// decides. Belongs to the ledger's thread; throws SqliteError for the disk.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <variant>

#include "broker/merge.h"
#include "common/call_runner.h"
#include "common/message.h"
#include "common/sqlite.h"

namespace csa {

// For a transaction that was made under `tx` where the master has, or had, another one under it;
// the same for each repeat.
[[nodiscard]] TxId name_of_stray(const TxId& tx, const Id128& request_hash);

// Puts it into csa_lost, once. kParked where its changes cannot be read. `doubt`: why nobody can
// tell whether the master has it after all; empty: it has not. REQUIRES: a transaction is open;
// entry.header.is_lost().
[[nodiscard]] MergeOutcome keep_lost(const Database& db, const ReplayEntry& entry,
                                     const std::string& doubt);

// One that is in csa_lost.
struct KnownLost {
  std::int64_t id = 0;
  std::string state, outcome;
  TxId as_entry;  // that a recovered one is merged as
};
// For find_lost().
[[nodiscard]] Statement prepare_find_lost(const Database& db);
// What was committed under `tx` in a lost history, if `hash` is that request's.
[[nodiscard]] std::optional<KnownLost> find_lost(Statement& by_tx, const TxId& tx,
                                                 const Id128& hash);
// Its own node has brought it again. REQUIRES: a transaction is open.
void mark_brought(const Database& db, std::int64_t id);

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
