// The first look at a replica's file: what it is, whether it may be used, and a sound connection to
// it; or a new, empty replica where there was nothing. For node/replica.cc.
#pragma once

#include <optional>
#include <string>

#include "common/log.h"
#include "common/result.h"
#include "common/sqlite.h"
#include "common/store_meta.h"
#include "node/identity.h"
#include "node/replica.h"

namespace csa {

struct ReplicaName {
  std::string path;
  std::string app;
  std::string group;
};

struct ReplicaFile {
  Database db;  // WAL, NORMAL, no checkpoints of its own
  Identity identity;
  std::optional<Meta> meta;  // nothing: no copy yet
};

// Errors: kRefused (somebody's own database, a broker's, another app or group: untouched), kDamaged
// (kept as it is; the sentence says how to go on), kFailed (cannot be opened).
[[nodiscard]] Result<ReplicaFile> open_replica_file(const ReplicaName& name, const Log& log,
                                                    Earlier earlier);
// The same settings for a file that was just installed. Throws SqliteError.
[[nodiscard]] Database open_replica_database(const std::string& path);

// The shell command that moves a damaged replica away, to be run while no program has it open.
[[nodiscard]] std::string move_away_command(const std::string& path);
// What the file says it is, without writing: the identity, or an Error as above. nullopt: an empty
// database.
[[nodiscard]] Result<std::optional<Identity>> identify(const Database& db, const std::string& path);
// csa_meta of a replica, checked against the file's schema, of the history that csa_epoch proves;
// nullopt: no copy yet.
[[nodiscard]] Result<std::optional<Meta>> read_replica_meta(const Database& db,
                                                            const Identity& identity,
                                                            const std::string& path);
// An Error for what SQLite reported about the file at `path` while it was opened or read.
[[nodiscard]] Error file_error(const SqliteError& error, const std::string& path);

}  // namespace csa
