#include "broker/opening.h"

#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "broker/opening_files.h"
#include "common/integrity.h"
#include "common/wal_base.h"

namespace csa {
namespace {

constexpr std::size_t kLinesMax = 100;

Report report_of(Finding finding, std::string sentence) {
  Report report;
  report.finding = finding;
  report.sentence = std::move(sentence);
  return report;
}

// statfs(2): SMB, CIFS, SMB2, NFS, 9p, AFS, Coda. SQLite's WAL needs memory shared by all who have
// the file open, and locks that hold.
bool on_network(const std::string& path) {
  constexpr std::array<std::uint32_t, 7> kNetworks = {0x517B,     0xFF534D42, 0xFE534D42, 0x6969,
                                                      0x01021997, 0x5346414F, 0x73757245};
  struct statfs about {};
  if (::statfs(path.c_str(), &about) != 0) return false;
  const auto type = static_cast<std::uint32_t>(about.f_type);
  return std::find(kNetworks.begin(), kNetworks.end(), type) != kNetworks.end();
}

Report missing(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (!folder.empty() && !exists(folder)) {
    return report_of(Finding::kUnreadable, "there is no folder " + folder +
                                               " for the database; make it, or correct --db");
  }
  const std::string kept = newest_kept(path);
  return report_of(Finding::kMissing,
                   "there is no database " + path +
                       (kept.empty() ? "" : "; what a restore took from there is kept as " + kept));
}

// What the file system says, without opening the file: closing a descriptor of it would drop the
// locks of every connection in this process.
Report look_from_outside(const std::string& path, bool read_only) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) {
    if (errno == ENOENT) return missing(path);
    return report_of(Finding::kUnreadable, "cannot look at " + path + ": " + std::strerror(errno));
  }
  if (S_ISDIR(about.st_mode)) {
    return report_of(Finding::kUnreadable, path + " is a folder; the name of a file is needed");
  }
  if (!S_ISREG(about.st_mode)) {
    return report_of(Finding::kUnreadable,
                     path + " is no ordinary file; the name of one is needed");
  }
  if (on_network(path)) {
    return report_of(Finding::kUnreadable,
                     path +
                         " lies on a network file system, where SQLite's locks do not hold;"
                         " move it to a local disk");
  }
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const bool writable = ::access(path.c_str(), R_OK | W_OK) == 0 &&
                        ::access(folder.empty() ? "." : folder.c_str(), W_OK | X_OK) == 0;
  if (!read_only && !writable && errno == EROFS) {
    return report_of(Finding::kUnreadable, "the disk of " + path +
                                               " is mounted read-only; mount it for writing, or" +
                                               " name a database elsewhere");
  }
  if (!read_only && !writable) {
    return report_of(Finding::kUnreadable, "this user may not write " + path +
                                               " or its folder; give the rights (chown," +
                                               " chmod), or start the broker as the owner");
  }
  return {};
}

std::string of_app(const std::string& app, const std::string& group) {
  return "application \"" + app + "\", group \"" + group + "\"";
}

// csa's tables against themselves and against the schema.
Report look_at_tables(const Database& db, const DatabaseName& name) {
  const std::string role = read_private(db, kRoleKey).value_or("");
  if (role != kRoleBroker) {
    return report_of(Finding::kCopy, name.path +
                                         (role == kRoleNode ? " is a node's replica"
                                                            : " is a copy of a shared database") +
                                         ", not a broker's database; to serve it, restore from it");
  }
  if (const std::optional<std::string> mixture = wal_mismatch(db, name.path, WalOf::kMaster)) {
    Report report = report_of(Finding::kDamaged, *mixture);
    const std::string wal = name.path + "-wal";
    report.ways_out.push_back(
        {Way::kOther, "If the file alone is meant: without the -wal, as a new history",
         "mv " + shell_word(wal) + " " + shell_word(wal + ".old") + " && " +
             broker_command("restore", name, "--from " + shell_word(name.path))});
    return report;
  }
  const Result<Meta> meta = read_meta(db);
  if (!meta) {
    const Finding finding =
        meta.error().code == Errc::kRefused ? Finding::kNewer : Finding::kDamaged;
    return report_of(finding, name.path + ": " + meta.error().what);
  }
  Report report;
  report.meta = *meta;
  if (meta->app != name.app || meta->group != name.group) {
    report.finding = Finding::kOtherApp;
    report.sentence = name.path + " is the database of " + of_app(meta->app, meta->group) +
                      ", not of " + of_app(name.app, name.group);
    return report;
  }
  const std::vector<EpochRecord> epochs = read_epochs(db);
  if (epochs.empty() || epochs.back().epoch != meta->position.epoch) {
    report.finding = Finding::kDamaged;
    report.sentence =
        name.path + " is damaged: csa_epoch and csa_meta speak of different histories";
    return report;
  }
  if (const std::optional<std::string> mismatch = meta_mismatch(db, *meta)) {
    report.finding = Finding::kDamaged;
    report.sentence = name.path + " is damaged: " + *mismatch;
    return report;
  }
  if (schema_fingerprint(db) != meta->fingerprint) {
    report.finding = Finding::kDamaged;
    report.sentence = name.path +
                      ": another program has changed the tables since the broker last wrote;"
                      " if they are meant to be so, go on with them as a new history";
    // Everything else about it is sound: restoring it from itself accepts it.
    report.ways_out.push_back({Way::kRestore, "Accept the file as it is, as a new history",
                               broker_command("restore", name, "--from " + shell_word(name.path)),
                               name.path});
  }
  return report;
}

Report look_inside(const Database& db, const DatabaseName& name, bool thorough) {
  // Parses the whole schema.
  const std::int64_t objects = db.query_int("SELECT count(*) FROM sqlite_schema").value_or(0);
  Report report;
  if (has_tables(db)) {
    report = look_at_tables(db, name);
  } else if (objects == 0) {
    report = report_of(Finding::kNotAdopted, name.path + " is an empty database, not yet shared");
  } else {
    report = report_of(Finding::kNotAdopted,
                       name.path + " is an SQLite database that is not yet shared");
  }
  const bool ends = ends_as_it_says(db, name.path);
  if (!thorough && ends) return report;
  const IntegrityCheck kind = thorough ? IntegrityCheck::kFull : IntegrityCheck::kQuick;
  std::vector<std::string> lines = integrity_faults(db, kind, kLinesMax);
  if (!lines.empty()) {
    report.finding = Finding::kDamaged;
    report.sentence = name.path + " is damaged: " +
                      (ends ? "SQLite's check finds errors"
                            : "its first page says that it ends before what is in it");
    report.details = std::move(lines);
    report.ways_out.clear();
    return report;
  }
  if (!thorough) return report;
  if (const auto row = has_tables(db) ? unsound_row(db) : std::nullopt) {
    report.finding = Finding::kDamaged;
    report.sentence = name.path + " is damaged: " + *row;
    report.ways_out.clear();
    return report;
  }
  report.details = foreign_key_lines(db);
  return report;
}

Report look_with(Database::Mode mode, const DatabaseName& name, bool thorough) {
  const Database db(name.path, mode);
  // Looking must not write a checkpoint.
  sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  db.exec("BEGIN");
  return look_inside(db, name, thorough);
}

void add_way(Report& report, Way way, std::string title, std::string command,
             std::string file = {}) {
  report.ways_out.push_back({way, std::move(title), std::move(command), std::move(file)});
}

void add_ways_out(Report& report, const DatabaseName& name) {
  const std::string restore = broker_command("restore", name, "--from FILE");
  constexpr const char* kRestore = "Restore a backup, or a node's replica";
  switch (report.finding) {
    case Finding::kMissing:
      add_way(report, Way::kCreate, "Create a new database from a schema",
              broker_command("create", name, "--schema FILE.sql"));
      add_way(report, Way::kAdopt, "Adopt an existing SQLite file",
              broker_command("adopt", {"FILE", name.app, name.group}, ""));
      add_way(report, Way::kRestore, kRestore, restore);
      if (const std::string kept = newest_kept(name.path); !kept.empty()) {
        add_way(report, Way::kRestore, "Restore what a restore took from there and has kept",
                broker_command("restore", name, "--from " + shell_word(kept)), kept);
      }
      break;
    case Finding::kNotSqlite:
    case Finding::kDamaged:
      add_way(report, Way::kRestore, std::string(kRestore) + " (the present file is kept aside)",
              restore);
      break;
    case Finding::kNotAdopted:
      add_way(report, Way::kAdopt, "Adopt it: share this file as it is",
              broker_command("adopt", name, ""), name.path);
      break;
    case Finding::kOtherApp:
      add_way(report, Way::kOther, "Serve it for those it belongs to",
              broker_command("serve", {name.path, report.meta.app, report.meta.group}, ""));
      break;
    case Finding::kCopy:
      add_way(report, Way::kRestore, "Make it the broker's database, as a new history",
              broker_command("restore", name, "--from " + shell_word(name.path)), name.path);
      break;
    case Finding::kSound:
    case Finding::kNewer:
    case Finding::kUnreadable:
    case Finding::kInUse:
      break;
  }
}

}  // namespace

std::vector<std::string> foreign_key_lines(const Database& db) {
  std::vector<std::string> lines;
  try {
    Statement check = db.prepare("PRAGMA foreign_key_check");
    while (lines.size() < kLinesMax && check.step()) {
      lines.push_back("foreign key: a row of " + check.column_text(0) +
                      (check.column_is_null(1) ? "" : " (rowid " + check.column_text(1) + ")") +
                      " refers to a row of " + check.column_text(2) + " that does not exist");
    }
  } catch (const SqliteError& error) {
    lines.push_back(std::string("foreign key: ") + error.what());
  }
  return lines;
}

Report look_at(const DatabaseName& name, const Look& look) {
  Report report = look_from_outside(name.path, look.read_only);
  if (report.finding == Finding::kSound) {
    try {
      try {
        report = look_with(Database::Mode::kReadOnly, name, look.thorough);
      } catch (const SqliteError& error) {
        // A program died in the midst of a change; the next who may write undoes it, like any
        // reader of SQLite would.
        if (error.code() != SQLITE_READONLY_ROLLBACK && error.code() != SQLITE_READONLY_RECOVERY) {
          throw;
        }
        report = look_with(Database::Mode::kReadWrite, name, look.thorough);
      }
    } catch (const SqliteError& error) {
      Trouble trouble = trouble_of(error, name.path);
      report = report_of(trouble.finding, std::move(trouble.sentence));
    }
  }
  add_ways_out(report, name);
  return report;
}

std::unique_ptr<Database> keep_open(const DatabaseName& name) {
  if (look_from_outside(name.path, false).finding != Finding::kSound) return nullptr;
  try {
    auto db = std::make_unique<Database>(name.path, Database::Mode::kReadOnly);
    sqlite3_db_config(db->handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    (void)db->query_int("SELECT count(*) FROM sqlite_schema");
    return db;
  } catch (const SqliteError&) {
    return nullptr;
  }
}

Report inspect(const DatabaseName& name, bool thorough) {
  if (BrokerLock::is_taken(name.path)) {
    return report_of(Finding::kInUse,
                     name.path +
                         " is in use by another csa-broker or csa-node on this computer. End"
                         " that one first, or choose another --db");
  }
  return look_at(name, {thorough, false});
}

Error to_error(const Report& report) {
  std::string what = report.sentence;
  for (const std::string& line : report.details) what += "\n  " + line;
  CSA_CHECK(report.finding != Finding::kSound);
  switch (report.finding) {
    case Finding::kMissing:
    case Finding::kNotAdopted:
      return {Errc::kNothing, what};
    case Finding::kNotSqlite:
    case Finding::kDamaged:
      return {Errc::kDamaged, what};
    case Finding::kOtherApp:
    case Finding::kNewer:
    case Finding::kInUse:
    case Finding::kCopy:
      return {Errc::kRefused, what};
    case Finding::kSound:
    case Finding::kUnreadable:
      break;
  }
  return {Errc::kFailed, what};
}

}  // namespace csa
