#include "common/rollback_guard.h"

#include "common/sqlite.h"

namespace csa {

RollbackGuard::RollbackGuard(sqlite3* db) : db_(db) {
  sqlite3_rollback_hook(
      db_, [](void* rolled_back) { *static_cast<bool*>(rolled_back) = true; }, &rolled_back_);
  sqlite3_commit_hook(
      db_, [](void* rolled_back) { return *static_cast<bool*>(rolled_back) ? 1 : 0; },
      &rolled_back_);
}

RollbackGuard::~RollbackGuard() {
  sqlite3_rollback_hook(db_, nullptr, nullptr);
  sqlite3_commit_hook(db_, nullptr, nullptr);
}

void RollbackGuard::prove() const {
  if (rolled_back_) throw SqliteError(SQLITE_ABORT_ROLLBACK, kRolledBackBefore);
}

}  // namespace csa
