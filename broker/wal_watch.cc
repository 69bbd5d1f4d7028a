#include "broker/wal_watch.h"

#include "common/planted.h"
#include "common/wal_index.h"

namespace csa {

WalWatch::WalWatch(const Database& db) : db_(db), data_version_(db, "PRAGMA data_version") {
  sqlite3_wal_hook(
      db.handle(),
      [](void* self, sqlite3*, const char*, int pages) {
        static_cast<WalWatch*>(self)->pages_ = pages;
        return SQLITE_OK;
      },
      this);
}

WalWatch::~WalWatch() { sqlite3_wal_hook(db_.handle(), nullptr, nullptr); }

bool WalWatch::written_by_others() {
  if (!data_version_.step()) throw SqliteError(SQLITE_ERROR, "PRAGMA data_version has no row");
  seen_version_ = data_version_.column_int(0);
  data_version_.reset();
  const std::optional<WalIndex> index = look_at_wal_index(db_);
  if (!index) throw SqliteError(SQLITE_IOERR_SHMMAP, "look at the write-ahead log's index");
  seen_changes_ = index->commits;
  if (!begun_) return false;
  // Another program's checkpoint changes the version too, but not the counter of commits.
  return seen_version_ != version_ && seen_changes_ != changes_;
}

void WalWatch::committed() {
  version_ = seen_version_;
  changes_ = seen_changes_ + 1;
  begun_ = true;
}

void WalWatch::checkpoint() {
  crash_point("ledger: before checkpoint");
  int in_log = 0;
  int done = 0;
  const int code =
      sqlite3_wal_checkpoint_v2(db_.handle(), "main", SQLITE_CHECKPOINT_PASSIVE, &in_log, &done);
  if ((code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_FULL) return;
  if (code != SQLITE_OK) throw_sqlite(db_.handle(), code, "checkpoint");
  pages_ = in_log > done ? in_log - done : 0;
  crash_point("ledger: after checkpoint");
}

void WalWatch::checkpoint_all() {
  const int code =
      sqlite3_wal_checkpoint_v2(db_.handle(), "main", SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  if ((code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_FULL) return;
  if (code != SQLITE_OK) throw_sqlite(db_.handle(), code, "last checkpoint");
}

}  // namespace csa
