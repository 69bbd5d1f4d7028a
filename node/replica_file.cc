#include "node/replica_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "common/counted.h"
#include "common/integrity.h"
#include "common/journal.h"
#include "common/random.h"
#include "common/schema.h"
#include "common/sync_file.h"
#include "common/wal_base.h"
#include "common/wal_mend.h"
#include "node/disk_probe.h"
#include "node/install.h"

namespace csa {
namespace {

Error not_ours(const std::string& path, const std::string& what) {
  return {Errc::kRefused,
          path + " is " + what + "; nothing was changed. Choose another file with --replica"};
}

std::string shell_word(const std::string& text) {
  std::string word = "'";
  for (const char c : text) {
    if (c == '\'') {
      word += "'\\''";
    } else {
      word += c;
    }
  }
  return word + "'";
}

constexpr const char* kPerhapsWaits =
    ". Whether offline changes wait in it cannot be read: keep the file";

// What the file alone has, if that can still be read.
std::string waiting_in(const std::string& path) try {
  const Database db(path, Database::Mode::kReadOnly);
  sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  const std::int64_t waiting =
      db.query_int("SELECT count(*) FROM csa_journal WHERE " + std::string(kEntryWaits))
          .value_or(0);
  if (waiting == 0) {
    const auto changes = db.query_int("SELECT EXISTS (SELECT 1 FROM csa_journal_part)");
    return changes == 1 ? kPerhapsWaits : "";
  }
  return ". In it " + counted(waiting, "offline change waits", "offline changes wait") +
         " that nobody else has: list them with csa-node journal --replica " + shell_word(path) +
         ", and keep the file until they are entered anew";
} catch (const SqliteError&) {
  return kPerhapsWaits;
}

Error damaged_file(const std::string& path, const std::string& why, const std::string& waiting) {
  return {Errc::kDamaged, "the replica " + path + " is damaged (" + why +
                              "); it was left as it is" + waiting +
                              ". To fetch a new copy, move it away: " + move_away_command(path)};
}

Error damaged(const std::string& path, const std::string& why) {
  return damaged_file(path, why, waiting_in(path));
}

// Takes an empty file for csa: WAL, csa's tables, a new identity; no meta, for there is no copy.
Identity begin_replica(const Database& db, const ReplicaName& name) {
  Identity identity;
  identity.node = NodeId{random_id()};
  identity.app = name.app;
  identity.group = name.group;
  db.exec("PRAGMA synchronous=FULL");
  Transaction transaction(db);
  create_tables(db);
  write_identity(db, identity);
  set_commits(db, 1);
  transaction.commit();
  db.exec("PRAGMA synchronous=NORMAL");
  return identity;
}

Status configure(const Database& db, const std::string& path) {
  // A file system without shared memory (network mounts) silently keeps another mode.
  if (db.query_text("PRAGMA journal_mode=WAL") != "wal") {
    return Error{Errc::kFailed,
                 "SQLite cannot use WAL mode on " + path + "; choose a --replica on a local disk"};
  }
  // Of a large log entry the pages that are written again and again, indexes foremost, stay in
  // memory until its end.
  db.exec(
      "PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0; PRAGMA foreign_keys=OFF;"
      "PRAGMA cache_size=-8192");
  return Ok{};
}

// The "file format write version" of the SQLite file format.
bool is_of_newer_format(const std::string& path) {
  constexpr std::streamoff kWriteVersion = 18;
  std::ifstream file(path, std::ios::binary);
  return file.seekg(kWriteVersion) && file.get() > 2;
}

// Where csa_meta is not found, and the others are.
bool has_some_table(const Database& db) {
  return db.query_int(
             "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table'"
             " AND name IN ('csa_private', 'csa_journal'))") == 1;
}

// As backups are: nobody's own, and no offline change in it.
bool is_plain_copy(const Database& db) {
  return db.query_int(
             "SELECT EXISTS (SELECT 1 FROM csa_private) OR EXISTS (SELECT 1 FROM csa_journal)"
             " OR EXISTS (SELECT 1 FROM csa_journal_part)") == 0;
}

bool is_empty_file(const std::string& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0 && about.st_size == 0;
}

// Before SQLite sees it, which takes it for a new one and removes its -wal. A file that is not
// there was moved away on purpose.
Status check_not_emptied(const std::string& path, Earlier earlier) {
  if (!is_empty_file(path)) return Ok{};
  const auto is_left = [&path](const char* suffix) {
    return ::access((path + suffix).c_str(), F_OK) == 0 && !is_empty_file(path + suffix);
  };
  if (earlier != Earlier::kThere && !is_left("-wal") && !is_left("-shm") &&
      kept_aside(path).empty()) {
    return Ok{};
  }
  return damaged_file(path, "it is empty, and was not: there was a replica", {});
}

bool misses_commits(const Database& db, const std::string& path) try {
  (void)db.query_int("SELECT count(*) FROM sqlite_schema");
  return wal_holds_more(db, path);
} catch (const SqliteError& error) {
  // Without the end of its -wal the file may be a mixture.
  if (error.primary_code() != SQLITE_CORRUPT) throw;
  return true;
}

// Before the next commits write over it.
Status keep_damaged_wal(const std::string& wal, const std::string& kept) {
  std::error_code failed;
  std::filesystem::copy_file(wal, kept, std::filesystem::copy_options::overwrite_existing, failed);
  if (failed) return Error{Errc::kFailed, failed.message()};
  return sync_with_folder(kept);
}

// Else SQLite leaves out what was answered, without a word.
void put_wal_right(Database& db, const std::string& path, const Log& log) {
  if (!misses_commits(db, path)) return;
  sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  db.close();
  const MendedWal mended = mend_wal(path);
  if (mended.certain || mended.behind > 0) {
    // Torn by a power cut, where it was never synced; or damaged, and there is no telling. One is
    // kept, the last.
    const std::string kept = path + "-wal-damaged";
    const Status done = keep_damaged_wal(path + "-wal", kept);
    log.error("replica: commits at the end of " + path +
              "-wal cannot be read, after a power cut or by the disk's fault. The master has what"
              " was its own; if offline changes are missing, they were in " +
              (done ? kept + ", where it is kept"
                    : path + "-wal, which could not be kept: " + done.error().what));
  }
  if (mended.bits > 0) {
    log.error("replica: the disk keeps " + counted(mended.bits, "bit", "bits") + " of " + path +
              "-wal wrongly, by its checksums: put right. Look after the disk");
  }
  db = Database(path, Database::Mode::kCreate);
}

// The next commits would overwrite what lies behind that end.
bool ends_too_early(const Database& db, const std::string& path) {
  return !ends_as_it_says(db, path) && !integrity_faults(db, IntegrityCheck::kQuick, 1).empty();
}

// A replica with offline changes in it hands them over and takes a full copy, rather than being
// moved away with them.
bool doubt_tables(ReplicaFile& file, const Log& log) {
  if (!file.identity.damage.empty() || !has_meta(file.db)) return false;
  if (file.db.query_int("SELECT EXISTS (SELECT 1 FROM csa_journal)") != 1) return false;
  const Result<Meta> meta = read_meta(file.db);
  if (!meta) return false;
  const std::optional<Epoch> proved = proved_epoch(file.db);
  const bool lacks_epoch = proved && proved->generation != file.identity.generation_seen &&
                           meta->position.epoch.generation == file.identity.generation_seen;
  if (lacks_epoch) {
    file.identity.damage = "csa_epoch is not what csa left; it needs a full copy";
  } else if (schema_fingerprint(file.db) != meta->fingerprint) {
    file.identity.damage = "its tables are not what csa left; it needs a full copy";
  } else {
    return false;
  }
  log.error("replica: " + file.identity.damage);
  return true;
}

bool is_of_other(const Meta& kept, const Meta& right) {
  return kept.db != right.db || kept.position.epoch != right.position.epoch;
}

Result<ReplicaFile> inspect_and_take(const ReplicaName& name, const Log& log) {
  ReplicaFile file;
  file.db = Database(name.path, Database::Mode::kCreate);
  put_wal_right(file.db, name.path, log);
  Result<std::optional<Identity>> identity = identify(file.db, name.path);
  if (!identity) return identity.error();
  if (!*identity) {
    CSA_TRY(configure(file.db, name.path));
    file.identity = begin_replica(file.db, name);
    log.info("replica: " + name.path + " begun (node " + to_string(file.identity.node) + ")");
    return file;
  }
  file.identity = std::move(**identity);
  if (file.identity.app != name.app || file.identity.group != name.group) {
    return Error{Errc::kRefused, name.path + " is a replica of application \"" + file.identity.app +
                                     "\", group \"" + file.identity.group + "\", not of \"" +
                                     name.app + "\", \"" + name.group +
                                     "\"; choose another file with --replica"};
  }
  const bool doubted = doubt_tables(file, log);
  Result<std::optional<Meta>> meta = read_replica_meta(file.db, file.identity, name.path);
  if (!meta) return meta.error();
  file.meta = std::move(*meta);
  if (const auto mixture = wal_mismatch(file.db, name.path, WalOf::kReplica)) {
    sqlite3_db_config(file.db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    return damaged(name.path, *mixture);
  }
  if (ends_too_early(file.db, name.path)) {
    sqlite3_db_config(file.db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    return damaged(name.path, "its first page says that it ends before what is in it");
  }
  CSA_TRY(configure(file.db, name.path));
  if (file.identity.mended) {
    log.error("replica: the disk keeps a bit of what " + name.path +
              " says of itself wrongly (csa_private), by its sum: put right. Look after the disk");
  }
  const bool other = file.meta && is_of_other(*read_meta(file.db), *file.meta);
  if (other) {
    log.error("replica: the disk keeps wrongly of which database and history " + name.path +
              " is (csa_meta): put right. Look after the disk");
  }
  // As of an older csa, which has not proved it.
  const bool unnamed = file.meta && !file.identity.db;
  if (unnamed) file.identity.db = file.meta->db;
  const bool old = file.meta && file.meta->tables_version < kTablesVersion;
  if (doubted || old || other || unnamed || file.identity.mended) {
    CommitCount commits(file.db);
    CountedTransaction transaction(file.db, commits);
    if (old && upgrade_tables(file.db)) file.meta->tables_version = kTablesVersion;
    if (other) write_meta(file.db, *file.meta);
    write_identity(file.db, file.identity);
    transaction.commit();
  }
  return file;
}

}  // namespace

std::string move_away_command(const std::string& path) {
  std::string command;
  for (const char* const suffix : {"", "-wal", "-shm"}) {
    const std::string from = path + suffix;
    if (*suffix != '\0' && ::access(from.c_str(), F_OK) != 0) continue;
    if (!command.empty()) command += " && ";
    // What stands beside the file may be gone as soon as this program has ended.
    if (*suffix != '\0') command += "{ [ ! -e " + shell_word(from) + " ] || ";
    command += "mv " + shell_word(from) + " " + shell_word(path + ".damaged" + suffix);
    if (*suffix != '\0') command += "; }";
  }
  return command;
}

Error file_error(const SqliteError& error, const std::string& path) {
  if (is_disk_full(error, path)) {
    return {Errc::kFailed,
            "no space left for " + path + " (" + error.what() +
                "): its disk is full. Free some; what is in it is kept, offline changes too"};
  }
  switch (error.primary_code()) {
    case SQLITE_NOTADB:
      return damaged(path, "it is not an SQLite database");
    case SQLITE_CORRUPT:
    // The schema's text, or a value, is another one than csa has written.
    case SQLITE_ERROR:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
      return damaged(path, error.what());
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Errc::kFailed, path + " is locked by another program; end it, then try again"};
    case SQLITE_READONLY:
      if (is_of_newer_format(path)) {
        return damaged(path, "its first page says that only a newer SQLite may write to it");
      }
      [[fallthrough]];
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return {Errc::kFailed, "cannot open " + path + " (" + error.what() +
                                 "): its folder must exist, and this user must be allowed to write"
                                 " to file and folder"};
    default:
      return {Errc::kFailed, "cannot work with " + path + ": " + error.what()};
  }
}

Result<std::optional<Identity>> identify(const Database& db, const std::string& path) {
  const std::int64_t tables =
      db.query_int(
            "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
          .value_or(0);
  if (tables == 0) return std::optional<Identity>{};
  if (!has_tables(db)) {
    if (has_some_table(db)) return damaged(path, "its table csa_meta is missing");
    return not_ours(path, "somebody's own SQLite database, not a replica");
  }
  Result<std::optional<Identity>> identity = read_identity(db);
  if (!identity) return damaged(path, identity.error().what);
  if (!*identity) {
    if (read_private(db, "role") == "broker") {
      return not_ours(path, "the database of a broker, not a replica");
    }
    if (is_plain_copy(db)) {
      return not_ours(path, "a backup or another copy of a broker's database, not a replica");
    }
    return damaged(path, "csa_private does not say what it is");
  }
  return identity;
}

Result<std::optional<Meta>> read_replica_meta(const Database& db, const Identity& identity,
                                              const std::string& path) {
  if (!has_meta(db)) return std::optional<Meta>{};
  Result<Meta> meta = read_meta(db);
  if (!meta) {
    if (meta.error().code == Errc::kDamaged) return damaged(path, meta.error().what);
    return Error{meta.error().code,
                 path + ": " + meta.error().what +
                     ". If there is none, the disk keeps a bit of the file wrongly" +
                     waiting_in(path) +
                     ". To fetch a new copy, move it away: " + move_away_command(path)};
  }
  if (identity.db) meta->db = *identity.db;
  const std::optional<Epoch> proved = proved_epoch(db);
  // The last row of csa_epoch may be missing; its generation is known to csa_private too.
  if (proved && proved->generation == identity.generation_seen) meta->position.epoch = *proved;
  // Where the damage is known already, the next full copy repairs it.
  if (!identity.damage.empty()) return std::optional<Meta>{std::move(*meta)};
  if (proved && *proved != meta->position.epoch) {
    return damaged(path, "csa_meta speaks of another history than csa_epoch");
  }
  if (meta->app != identity.app || meta->group != identity.group) {
    return damaged(path, "csa_meta speaks of another application or group than csa_private");
  }
  if (told_schema_version(db, *meta) != meta->schema_version) {
    return damaged(path, "csa_meta speaks of another schema version than csa_layout");
  }
  if (schema_fingerprint(db) != meta->fingerprint) {
    return damaged(path, "it was changed by another program: its tables are not what csa left");
  }
  return std::optional<Meta>{std::move(*meta)};
}

Database open_replica_database(const std::string& path) {
  Database db(path, Database::Mode::kReadWrite);
  const Status configured = configure(db, path);
  if (!configured) throw SqliteError(SQLITE_IOERR, configured.error().what);
  return db;
}

Result<ReplicaFile> open_replica_file(const ReplicaName& name, const Log& log, Earlier earlier) {
  try {
    if (finish_replacement(name.path)) {
      log.info("replica: " + name.path + " replaced by its full copy, as begun before");
    }
    CSA_TRY(check_not_emptied(name.path, earlier));
    return inspect_and_take(name, log);
  } catch (const SqliteError& error) {
    return file_error(error, name.path);
  }
}

}  // namespace csa
