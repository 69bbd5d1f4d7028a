// SQLite rolls a transaction back by itself where a disk fails or memory is short, and does not
// always say so: PRAGMA table_list hides that a virtual table could not be read. What is written
// after that would be committed statement by statement.
//
// Commit and rollback hooks of the connection are its own. Belongs to the connection's thread.
#pragma once

#include <sqlite3.h>

namespace csa {

// Of SQLITE_ABORT_ROLLBACK, a sentence.
inline constexpr const char* kRolledBackBefore =
    "SQLite has rolled the transaction back before, after an error of the disk or for lack of "
    "memory";

class RollbackGuard {
 public:
  // REQUIRES: a transaction is open. While this lives nothing is committed once it was rolled back:
  // a statement that writes fails with SQLITE_CONSTRAINT_COMMITHOOK, of which Statement makes
  // SQLITE_ABORT_ROLLBACK.
  explicit RollbackGuard(sqlite3* db);
  ~RollbackGuard();
  RollbackGuard(const RollbackGuard&) = delete;
  RollbackGuard& operator=(const RollbackGuard&) = delete;
  // Before COMMIT, which would succeed where nothing has been written since. Throws SqliteError
  // (SQLITE_ABORT_ROLLBACK).
  void prove() const;

 private:
  sqlite3* const db_;
  bool rolled_back_ = false;
};

}  // namespace csa
