#include "node/install.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "common/past_log.h"
#include "common/planted.h"
#include "common/schema.h"
#include "common/system_clock.h"
#include "common/wal_base.h"
#include "node/download.h"

namespace csa {
namespace {

constexpr int kBackupTries = 3;

std::string ready_path(const std::string& path) { return path + "-csa-ready"; }

Error wrong_copy(const std::string& why) {
  return {Errc::kDamaged, "the full copy is not what the broker announced (" + why +
                              "); it is thrown away and must be fetched anew"};
}

Status compare(const Meta& meta, const CopyExpectation& expected) {
  if (!(meta.position == expected.position)) {
    return wrong_copy("it holds " + to_string(meta.position) + " instead of " +
                      to_string(expected.position));
  }
  const Identity& own = expected.identity;
  if (meta.app != own.app || meta.group != own.group) {
    return Error{Errc::kRefused, "the broker's copy belongs to application \"" + meta.app +
                                     "\", group \"" + meta.group + "\"; this replica to \"" +
                                     own.app + "\", \"" + own.group + "\""};
  }
  if (expected.db && meta.db != *expected.db) {
    return Error{Errc::kRefused,
                 "the broker's copy is of database " + to_string(meta.db) + ", this replica of " +
                     to_string(*expected.db) +
                     "; to follow that database, choose another file with --replica"};
  }
  if (meta.position.epoch.generation < own.generation_seen) {
    return Error{Errc::kRefused, "the broker's copy is of generation " +
                                     std::to_string(meta.position.epoch.generation) +
                                     ", and this replica has followed generation " +
                                     std::to_string(own.generation_seen) +
                                     ": that broker runs on an old state of the database"};
  }
  return Ok{};
}

struct BackupFinisher {
  void operator()(sqlite3_backup* backup) const noexcept { sqlite3_backup_finish(backup); }
};
using Backup = std::unique_ptr<sqlite3_backup, BackupFinisher>;

// One try of a whole copy; SQLite's result code, SQLITE_DONE when it is done.
int run_backup(const Database& to, const Database& from, const std::function<void()>& look) {
  Backup backup(sqlite3_backup_init(to.handle(), "main", from.handle(), "main"));
  if (!backup) return sqlite3_extended_errcode(to.handle());
  if (look) {
    // A step of no page takes the write lock, which stays until the end.
    const int locked = sqlite3_backup_step(backup.get(), 0);
    if (locked != SQLITE_OK) return locked;
    look();
  }
  const int stepped = sqlite3_backup_step(backup.get(), -1);
  const int finished = sqlite3_backup_finish(backup.release());
  return stepped == SQLITE_DONE && finished != SQLITE_OK ? finished : stepped;
}

void backup_or_throw(const Database& to, const Database& from, const std::string& step,
                     const std::function<void()>& look = {}) {
  int code = SQLITE_BUSY;
  // Each try waits for the write lock as long as the connection's busy timeout says.
  for (int i = 0; i < kBackupTries && code != SQLITE_DONE; ++i) {
    code = run_backup(to, from, look);
    if (const int primary = code & 0xff; primary != SQLITE_BUSY && primary != SQLITE_LOCKED) break;
  }
  if (code != SQLITE_DONE) throw SqliteError(code, step + ": " + sqlite3_errstr(code));
}

void rename_or_throw(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) == 0) return;
  const int error = errno;
  throw SqliteError(error == ENOSPC ? SQLITE_FULL : SQLITE_IOERR,
                    "rename " + from + " to " + to + ": " + std::strerror(error));
}

bool is_there(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// The swap itself, repeatable after a crash between any two of its steps: while the ready file is
// there, whatever lies at `path` is about to go.
void swap_in(const std::string& path) {
  struct stat wal {};
  const std::string old = path + "-csa-old";
  const bool incomplete = ::stat((path + "-wal").c_str(), &wal) == 0 && wal.st_size > 0;
  // A reader kept the checkpoint from ending: without its WAL the old file must not be found.
  if (incomplete && is_there(path)) rename_or_throw(path, old);
  if (!planted("leave an old -wal beside a new file")) ::unlink((path + "-wal").c_str());
  ::unlink((path + "-shm").c_str());
  crash_point("install: old log gone");
  rename_or_throw(ready_path(path), path);
  crash_point("install: renamed");
  sync_folder_of(path);
  ::unlink(old.c_str());
}

bool same_layout(const Database& a, const Database& b) {
  return a.query_int("PRAGMA page_size") == b.query_int("PRAGMA page_size") &&
         a.query_text("PRAGMA encoding") == b.query_text("PRAGMA encoding");
}

// The history of a copy up to where the replica could have followed it.
struct OtherHistory {
  const Database& db;
  const Meta& meta;
  Position end;
  // What it was after `seq`; nothing: its log does not tell.
  [[nodiscard]] std::optional<Chain> chain(Seq seq) const {
    if (seq == end.seq) return end.chain;
    if (seq < meta.floor) return std::nullopt;
    LogTable log(db);
    const auto entry = readable_entry(log, seq);
    return entry ? std::optional(entry->chain) : std::nullopt;
  }
};

// From `at` backwards, as long as both logs tell.
std::optional<Seq> last_common(const Database& live, Seq at, const OtherHistory& other) {
  LogTable log(live);
  if (at.value == 0) return at;  // before the first entry of one and the same history
  for (; at.value > 0; --at.value) {
    const auto own = readable_entry(log, at);
    const std::optional<Chain> there = other.chain(at);
    if (!own || !there) break;
    if (own->chain == *there) return at;
  }
  return std::nullopt;
}

// Where the history of `epochs`, which stands at `now`, left the epoch `id`; nothing: it never had
// it.
std::optional<Position> left_at(const std::vector<EpochRecord>& epochs, const Position& now,
                                const Id128& id) {
  if (now.epoch.id == id) return now;
  const auto after = std::ranges::find_if(
      epochs, [&](const EpochRecord& record) { return record.parent.epoch.id == id; });
  return after == epochs.end() ? std::nullopt : std::optional(after->parent);
}

// The last entry before two histories parted, of the newest epoch that both went through.
std::optional<Seq> parted_at(const std::vector<EpochRecord>& own,
                             const std::vector<EpochRecord>& there, const Position& there_now) {
  for (auto record = own.rbegin(); record != own.rend(); ++record) {
    const Position& parent = record->parent;
    if (parent.epoch.id.is_zero()) break;
    const std::optional<Position> left = left_at(there, there_now, parent.epoch.id);
    if (left) return std::min(left->seq, parent.seq);
  }
  return std::nullopt;
}

// What the master's disk keeps wrongly of its log is not handed on.
void leave_out_damaged_log(const Database& db, Meta& meta) {
  const Seq proven = proven_floor(db, meta);
  if (proven <= PastLog(db).floor(meta)) return;
  meta.floor = std::max(meta.floor, proven);
  write_meta(db, meta);
  Statement erase = db.prepare("DELETE FROM csa_log WHERE part_id < ?1");
  erase.bind(1, first_log_part(proven)).run();
  LogTable(db).save_sum();
}

Result<Meta> prepare_opened(const Database& db, const CopyExpectation& expected) {
  if (!has_tables(db)) return wrong_copy("csa's tables are missing");
  Result<Meta> meta = read_meta(db);
  if (!meta) return wrong_copy(meta.error().what);
  CSA_TRY(compare(*meta, expected));
  if (schema_fingerprint(db) != meta->fingerprint) return wrong_copy("its schema is another one");
  if (const std::optional<std::string> row = unsound_row(db)) return wrong_copy(*row);
  const std::optional<Epoch> proved = proved_epoch(db);
  if (proved && *proved != meta->position.epoch) {
    return wrong_copy("csa_meta speaks of another history than csa_epoch");
  }
  if (db.query_text("PRAGMA journal_mode=WAL") != "wal") return wrong_copy("it takes no WAL");
  db.exec("PRAGMA synchronous=FULL");
  Identity identity = expected.identity;
  identity.db = meta->db;
  identity.generation_seen = meta->position.epoch.generation;
  identity.damage.clear();
  Transaction transaction(db);
  if (upgrade_tables(db)) meta->tables_version = kTablesVersion;
  leave_out_damaged_log(db, *meta);
  write_identity(db, identity);
  Journal(db).replace_all(expected.outcomes);
  set_commits(db, expected.commits + 1);
  transaction.commit();
  if (!checkpoint_all(db)) return Error{Errc::kFailed, "another program has the full copy open"};
  return meta;
}

}  // namespace

Result<Meta> prepare_copy(const std::string& copy, const CopyExpectation& expected) {
  try {
    const Database db(copy, Database::Mode::kReadWrite);
    return prepare_opened(db, expected);
  } catch (const SqliteError& error) {
    // What the broker sent must not end this program; a full disk is another matter.
    const int code = error.primary_code();
    if (code != SQLITE_CORRUPT && code != SQLITE_NOTADB && code != SQLITE_ERROR) throw;
    return wrong_copy(error.what());
  }
}

std::optional<Fork> fork_of(const Database& live, const Position& own, const std::string& copy) {
  const Database db(copy, Database::Mode::kReadOnly);
  const Result<Meta> meta = read_meta(db);
  if (!meta) return std::nullopt;
  const std::string here = "this replica was at " + to_string(own);
  const std::vector<EpochRecord> epochs = read_epochs(db);
  const std::optional<Position> left = left_at(epochs, meta->position, own.epoch.id);
  if (!left) {
    return Fork{"the master has never had the history that it followed; " + here,
                parted_at(read_epochs(live), epochs, meta->position)};
  }
  const Position& end = *left;  // of the history that the replica has followed
  const OtherHistory other{db, *meta, end};
  if (own.seq > end.seq) {
    return Fork{"the master has lost what came after " + to_string(end) + "; " + here,
                // Where its log does not tell: what it has beyond the end is lost all the same.
                last_common(live, end.seq, other).value_or(end.seq)};
  }
  const std::optional<Chain> chain = other.chain(own.seq);
  LogTable log(db);
  // Else it is the stored chain that a disk keeps wrongly.
  const bool other_chain = chain && *chain != own.chain &&
                           (own.seq == end.seq || !continues(log, own.chain, own.seq.next()));
  if (other_chain) {
    return Fork{
        "the master has another history up to " + std::to_string(own.seq.value) + "; " + here,
        last_common(live, own.seq, other)};
  }
  return std::nullopt;
}

bool copy_into(const Database& live, const std::string& copy, const std::function<void()>& look) {
  const Database from(copy, Database::Mode::kReadOnly);
  if (!same_layout(live, from)) return false;
  backup_or_throw(live, from, "install the full copy", look);
  return true;
}

void replace_file(const std::string& path, const std::string& copy) {
  rename_or_throw(copy, ready_path(path));
  sync_folder_of(path);
  crash_point("install: ready");
  swap_in(path);
}

bool finish_replacement(const std::string& path) {
  if (!is_there(ready_path(path))) return false;
  swap_in(path);
  return true;
}

std::string keep_aside(const Database& live, const std::string& path, const std::string& earlier) {
  // "2026-01-31T09:00:00.123Z" without its punctuation: 20260131-090000.
  const std::string time = to_string(wall_now());
  std::string digits;
  for (const char c : time.substr(0, 19)) {
    if (c == 'T') digits += '-';
    if (c >= '0' && c <= '9') digits += c;
  }
  const std::string base = path + "-aside-" + digits;
  std::string aside = earlier.empty() ? base : earlier;
  for (int i = 2; earlier.empty() && is_there(aside); ++i) aside = base + "-" + std::to_string(i);
  const std::string fresh = path + "-csa-aside";
  try {
    ::unlink(fresh.c_str());
    {
      const Database to(fresh, Database::Mode::kCreate);
      backup_or_throw(to, live, "keep the replaced replica as " + aside);
    }
    rename_or_throw(fresh, aside);
    sync_folder_of(aside);
  } catch (const SqliteError&) {
    ::unlink(fresh.c_str());
    throw;
  }
  return aside;
}

std::vector<std::string> kept_aside(const std::string& path) {
  const std::filesystem::path replica(path);
  const std::string start = replica.filename().string() + "-aside-";
  std::vector<std::string> kept;
  std::error_code error;
  const auto folder = replica.has_parent_path() ? replica.parent_path() : ".";
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    const bool beside = name.ends_with("-wal") || name.ends_with("-shm");
    if (name.starts_with(start) && !beside) kept.push_back(it->path().string());
  }
  std::ranges::sort(kept);
  return kept;
}

bool checkpoint_all(const Database& db) {
  sqlite3_busy_timeout(db.handle(), 0);
  int log = -1;
  int done = -1;
  int code =
      sqlite3_wal_checkpoint_v2(db.handle(), "main", SQLITE_CHECKPOINT_TRUNCATE, &log, &done);
  sqlite3_busy_timeout(db.handle(), kBusyTimeoutMs);
  const bool busy = (code & 0xff) == SQLITE_BUSY;
  if (busy) {
    code = sqlite3_wal_checkpoint_v2(db.handle(), "main", SQLITE_CHECKPOINT_PASSIVE, &log, &done);
    if ((code & 0xff) == SQLITE_BUSY) return false;
  }
  if (code != SQLITE_OK) throw_sqlite(db.handle(), code, "checkpoint");
  return log == done;
}

}  // namespace csa
