// The twin of capture: changes into a copy of the database, exactly. Every change must meet the old
// values it was captured on; anything else is damage and is never guessed around.
#pragma once

#include <memory>

#include "common/changeset.h"
#include "common/result.h"
#include "common/sqlite.h"

namespace csa {

class Applier {
 public:
  // Turns off triggers, foreign keys, CHECKs and defensive mode of `db`, for good: give it a
  // connection of its own. REQUIRES: `db` outlives this and is in no transaction.
  explicit Applier(const Database& db);
  ~Applier();
  Applier(const Applier&) = delete;
  Applier& operator=(const Applier&) = delete;

  // Applies one change inside the open transaction. `tables` is the reader's tables(). An Error
  // (kDamaged) names table, key and difference; the transaction must then be rolled back and
  // discard() called. SqliteError: the disk.
  [[nodiscard]] Status apply(const Change& change, const std::vector<ChangeTable>& tables);
  // Before COMMIT: writes what is wanted in sqlite_sequence.
  void finish();
  // After ROLLBACK.
  void discard();
  // Two-phase of a whole list (all deletes, then all inserts), for merged lists whose order can
  // collide. Holds the list and its rows in memory. REQUIRES: no schema statement in the list.
  [[nodiscard]] Status apply_two_phase(const std::vector<Change>& changes,
                                       const std::vector<ChangeTable>& tables);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace csa
