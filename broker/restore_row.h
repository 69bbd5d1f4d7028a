// One row of the inbox put back as a new write: what lost takes the place of what won, and nothing
// of others that came later is undone. Belongs to the ledger's thread; throws SqliteError where the
// row breaks a constraint.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "broker/edits.h"
#include "broker/kept_conflict.h"
#include "broker/merge_virtual.h"
#include "common/store_meta.h"

namespace csa {

struct RestorePlace {
  const Database& db;
  EditIndex& edits;
  const Meta& meta;  // the master before this
};

// Whether the row was deleted and another one has its key now, as far as is known.
[[nodiscard]] bool is_anothers(const RestorePlace& place, const KeptConflict& conflict,
                               const KeptConflict::Versions& versions, const RowIdentity& identity,
                               MergeTable& table, const MergeVirtual& virtuals);

// How many rows were written, or why it does not fit any more: what the loser had changed was
// changed since by others, its key is another row's, the schema has no place for it, or deleting it
// would take other rows along. A column that was not in conflict, or adds up, stays as it is.
// REQUIRES: a transaction is open, triggers and foreign keys are on.
[[nodiscard]] std::variant<std::int64_t, std::string> restore_row(const RestorePlace& place,
                                                                  const KeptConflict& conflict,
                                                                  MergeTable& table,
                                                                  const MergeVirtual& virtuals);

}  // namespace csa
