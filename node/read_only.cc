#include "node/read_only.h"

#include <unistd.h>

#include "common/exit_code.h"
#include "common/sqlite.h"
#include "common/store_meta.h"
#include "node/replica_file.h"

namespace csa {
namespace {

// Only the owner checkpoints: two programs that do are what SQLite's WAL-reset race needs.
void leave_wal_alone(sqlite3* db) {
  sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  sqlite3_wal_autocheckpoint(db, 0);
}

Result<Identity> identity_of(const Database& db, const std::string& path) {
  Result<std::optional<Identity>> identity = identify(db, path);
  if (!identity) return identity.error();
  if (*identity) return std::move(**identity);
  return Error{Errc::kNothing, path + " is empty, not a replica yet; `csa-node run` begins one"};
}

Result<ReplicaGlance> read_glance(const std::string& path) {
  const Database db(path, Database::Mode::kReadOnly);
  leave_wal_alone(db.handle());
  db.exec("BEGIN");
  const Result<Identity> identity = identity_of(db, path);
  if (!identity) return identity.error();
  const Result<std::optional<Meta>> meta = read_replica_meta(db, *identity, path);
  if (!meta) return meta.error();
  db.exec("COMMIT");

  ReplicaGlance glance;
  glance.node = identity->node;
  glance.app = identity->app;
  glance.group = identity->group;
  glance.generation_seen = identity->generation_seen;
  if (*meta) {
    glance.db = (*meta)->db;
    glance.position = (*meta)->position;
    glance.schema_version = (*meta)->schema_version;
  }
  return glance;
}

template <class T, class Read>
Result<T> look_at_replica(const std::string& path, const Read& read) {
  if (::access(path.c_str(), F_OK) != 0) {
    return Error{Errc::kNothing, "there is no replica at " + path + "; `csa-node run` begins one"};
  }
  try {
    return read(path);
  } catch (const SqliteError& error) {
    return file_error(error, path);
  }
}

}  // namespace

void ReaderCloser::operator()(sqlite3* db) const noexcept { sqlite3_close_v2(db); }

Result<ReplicaGlance> glance_at_replica(const std::string& path) {
  return look_at_replica<ReplicaGlance>(path, read_glance);
}

Result<NodeId> node_of_replica(const std::string& path) {
  return look_at_replica<NodeId>(path, [](const std::string& there) -> Result<NodeId> {
    const Database db(there, Database::Mode::kReadOnly);
    leave_wal_alone(db.handle());
    const Result<Identity> identity = identity_of(db, there);
    if (!identity) return identity.error();
    return identity->node;
  });
}

Reader open_read_only(const std::string& path) {
  Reader reader;
  const Result<ReplicaGlance> glance = glance_at_replica(path);
  if (!glance) {
    reader.failure = {exit_code(glance.error().code), glance.error().what};
    return reader;
  }
  sqlite3* raw = nullptr;
  // Serialized: what the application does with its connection is not ours to restrict.
  int code =
      sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_FULLMUTEX, nullptr);
  ReaderHandle db(raw);
  if (code == SQLITE_OK) {
    leave_wal_alone(raw);
    sqlite3_busy_timeout(raw, kBusyTimeoutMs);
    code = sqlite3_exec(raw, "PRAGMA query_only=ON", nullptr, nullptr, nullptr);
  }
  if (code != SQLITE_OK) {
    const std::string why = raw != nullptr ? sqlite3_errmsg(raw) : sqlite3_errstr(code);
    reader.failure = {1, file_error(SqliteError(code, why), path).what};
    return reader;
  }
  reader.db = std::move(db);
  return reader;
}

}  // namespace csa
