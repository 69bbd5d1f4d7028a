// RULES and CONFLICT on the master: the rules of merging and the inbox are ordinary rows of csa's
// shared tables, so that every replica has them. Belongs to the ledger's thread; says what became
// of a request and leaves rolling back to the caller.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/call_runner.h"
#include "common/message.h"
#include "common/sqlite.h"

namespace csa {

// Brings csa_rule to what `request` says; nothing is written where that is so already. Also for a
// database that no broker serves. Throws SqliteError. REQUIRES: a transaction is open.
[[nodiscard]] std::variant<CallEffect, Rejection> set_rules(const Database& db,
                                                            const Rules& request);

// Restores, dismisses or shows. A restored row is written with triggers, foreign keys and CHECKs
// on. Throws SqliteError where the row no longer fits. REQUIRES: as above.
[[nodiscard]] std::variant<CallEffect, Rejection> settle_conflict(const Database& db,
                                                                  const Conflict& request,
                                                                  std::size_t rows_max);

}  // namespace csa
