// What SQLite would leave out of a -wal without a word: broker/opening.h, put_wal_right().
#include <filesystem>

#include "broker/opening.h"
#include "broker/opening_files.h"
#include "common/counted.h"
#include "common/store_meta.h"
#include "common/wal_mend.h"

namespace csa {
namespace {

namespace fs = std::filesystem;

// The last one, torn by a power cut, was not answered.
bool lost_answered(const MendedWal& mended) { return mended.certain || mended.behind > 1; }

std::string put_right(const MendedWal& mended, const std::string& path) {
  if (mended.bits == 0) return {};
  return "the disk keeps " + counted(mended.bits, "bit", "bits") + " of " + path +
         "-wal wrongly, by its checksums: put right. Look after the disk";
}

std::string commits_lost(const MendedWal& mended) {
  return "at least " + counted(mended.behind, "commit", "commits") + " at its end";
}

// A node syncs its offline changes, and what it takes from the master only now and then: of that a
// power cut can tear more than the last commit.
bool may_be_torn(const MendedWal& mended, const std::string& path) try {
  if (mended.certain) return false;
  const Database db(path, Database::Mode::kReadOnly);
  sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  return has_tables(db) && read_private(db, kRoleKey) == kRoleNode;
} catch (const SqliteError&) {
  return false;
}

// `there`: the file that was mended, `path` or its copy.
Error unreadable_end(const MendedWal& mended, const std::string& path, const DatabaseName& name,
                     const std::string& there) {
  const std::string as_is =
      broker_command("restore", name, "--from " + shell_word(path) + " --as-is");
  if (may_be_torn(mended, there)) {
    return {Errc::kDamaged,
            path + " is damaged, by a power cut or by its disk: of its -wal " +
                commits_lost(mended) +
                " cannot be read. Nothing was done."
                " What the master had answered in them, another node may have:\n  " +
                broker_command("restore", name, "--from REPLICA") +
                "\nOffline changes that were made here and are in them, nobody else has. To go on"
                " without them:\n  " +
                as_is};
  }
  return {Errc::kDamaged, path + " is damaged: the disk keeps its -wal wrongly, and " +
                              commits_lost(mended) +
                              ", which may have been answered, cannot be read. Nothing was done."
                              " A node that was up to date has what the broker answered:\n  " +
                              broker_command("restore", name, "--from REPLICA") +
                              "\nTo go on without them, as a new history:\n  " + as_is};
}

Status copy_bytes(const std::string& from, const std::string& to) {
  std::error_code failed;
  fs::copy_file(from, to, failed);
  // Who may read it has a copy that he may write.
  if (!failed) {
    fs::permissions(to, fs::perms::owner_read | fs::perms::owner_write, fs::perm_options::add,
                    failed);
  }
  if (!failed) return Ok{};
  return Error{Errc::kFailed, "cannot copy " + from + " to " + to + ": " + failed.message()};
}

}  // namespace

Result<std::string> put_wal_right(const DatabaseName& name, std::unique_ptr<Database>& held) try {
  const bool there = exists(name.path) && exists(name.path + "-wal");
  if (!there || BrokerLock::is_taken(name.path)) return std::string();
  if (held && !wal_holds_more(*held, name.path)) return std::string();
  held.reset();
  const MendedWal mended = mend_wal(name.path);
  held = keep_open(name);
  if (lost_answered(mended)) {
    return unreadable_end(mended, name.path, name, name.path);
  }
  return put_right(mended, name.path);
} catch (const SqliteError& error) {
  return error_of(error, name.path);
}

bool wal_is_cut(const std::string& path) try {
  if (!exists(path + "-wal")) return false;
  const Database db(path, Database::Mode::kReadOnly);
  sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  (void)db.query_int("SELECT count(*) FROM sqlite_schema");
  return wal_holds_more(db, path);
} catch (const SqliteError& error) {
  // Without the end of its -wal the file may be a mixture.
  if (error.primary_code() != SQLITE_CORRUPT) throw;
  return true;
}

Result<std::string> copy_with_wal(const std::string& from, const std::string& to,
                                  const DatabaseName& name, DamagedJournal damaged) {
  for (const char* const ending : {"", "-wal"}) CSA_TRY(copy_bytes(from + ending, to + ending));
  const MendedWal mended = mend_wal(to);
  if (!lost_answered(mended)) return put_right(mended, from);
  if (damaged == DamagedJournal::kNo) {
    return unreadable_end(mended, from, name, to);
  }
  if (may_be_torn(mended, to)) {
    return "of " + from + "-wal " + commits_lost(mended) +
           " cannot be read, after a power cut or by the" + " disk's fault, and are left out";
  }
  return "the disk keeps " + from + "-wal wrongly: " + commits_lost(mended) +
         " cannot be read, and are left out. Look after the disk";
}

bool mend_alone(const std::string& path, std::string& remark) {
  try {
    const Database alone(path, Database::Mode::kReadWrite);
    sqlite3_db_config(alone.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    alone.exec("PRAGMA locking_mode=EXCLUSIVE");
    (void)alone.query_int("SELECT count(*) FROM sqlite_schema");
  } catch (const SqliteError& error) {
    if (error.primary_code() != SQLITE_CORRUPT) throw;
  }
  const MendedWal mended = mend_wal(path);
  remark = put_right(mended, path);
  return !mended.certain && mended.behind == 0;
}

}  // namespace csa
