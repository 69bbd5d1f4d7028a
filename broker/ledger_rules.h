// RULES and CONFLICT on the master: the rules of merging and the inbox are ordinary rows of csa's
// shared tables, so that every replica has them. Belongs to the ledger's thread; says what became
// of a request and leaves rolling back to the caller.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "broker/restore_row.h"
#include "broker/restore_whole.h"
#include "common/call_runner.h"
#include "common/message.h"
#include "common/sqlite.h"

namespace csa {

// Brings csa_rule to what `request` says; nothing is written where that is so already. Also for a
// database that no broker serves. Throws SqliteError. REQUIRES: a transaction is open.
[[nodiscard]] std::variant<CallEffect, Rejection> set_rules(const Database& db,
                                                            const Rules& request);

// Dismisses or shows. Throws SqliteError. REQUIRES: as above.
[[nodiscard]] std::variant<CallEffect, Rejection> settle_conflict(const Database& db,
                                                                  const Conflict& request,
                                                                  std::size_t rows_max);

// kRestore and kRestoreRow. A row that lost by itself, or alone of its transaction (kRestoreRow),
// is written with triggers, foreign keys and CHECKs on, as any write; one of a transaction that was
// kept whole comes back with all of it, by `whole`. The effect's rows tell which, and changed
// numbers. Throws SqliteError where a row breaks a constraint. REQUIRES: as above.
using WholeRestore =
    std::function<std::variant<RestoredWhole, std::string>(const KeptConflict& conflict)>;
[[nodiscard]] std::variant<CallEffect, Rejection> restore_conflict(const RestorePlace& place,
                                                                   const Conflict& request,
                                                                   const WholeRestore& whole);
// Whether that is so for `request`: then it is merged, without triggers and foreign keys.
[[nodiscard]] bool restores_whole(const Database& db, const Conflict& request);

}  // namespace csa
