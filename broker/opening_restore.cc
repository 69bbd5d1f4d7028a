// The master anew from a backup or from a node's replica, as the next history.
#include <algorithm>
#include <limits>
#include <memory>

#include "broker/as_is_journal.h"
#include "broker/kept_time.h"
#include "broker/opening.h"
#include "broker/opening_files.h"
#include "broker/own_journal.h"
#include "broker/restore_source.h"
#include "common/integrity.h"
#include "common/limits.h"
#include "common/past_log.h"
#include "common/planted.h"
#include "common/sync_file.h"
#include "common/wal_base.h"

namespace csa {
namespace {

// 2026-01-31T09:00:00.123Z as part of a file's name.
std::string kept_name(const std::string& path, std::string_view ending, WallTime now) {
  std::string stamp;
  for (const char c : to_string(now).substr(0, 19)) {
    if (c != '-' && c != ':') stamp += c;
  }
  const std::string base = path + std::string(ending) + stamp + "Z";
  std::string name = base;
  const auto taken = [&name] {
    return exists(name) || exists(name + "-wal") || exists(name + "-journal");
  };
  for (int i = 2; taken(); ++i) name = base + "-" + std::to_string(i);
  return name;
}

Error with_way(Error of_journal) {
  if (of_journal.code == Errc::kDamaged) {
    of_journal.what +=
        ". Or take the tables as they stand, with the offline changes in them: csa-broker restore"
        " --as-is";
  }
  return of_journal;
}

struct BackupCloser {
  void operator()(sqlite3_backup* backup) const noexcept { sqlite3_backup_finish(backup); }
};

// What is restored from.
struct Source {
  std::string path;
  bool in_use = false;  // by a node or a broker: then SQLite knows the -wal from them
  DamagedJournal damaged = DamagedJournal::kNo;
};

std::optional<std::string> mixture_in(const Database& db, const std::string& path) {
  const bool master = has_tables(db) && read_private(db, kRoleKey) == kRoleBroker;
  return wal_mismatch(db, path, master ? WalOf::kMaster : WalOf::kReplica);
}

// SQLite would copy what it finds in the -wal, without a word of the rest.
Result<std::string> copy_mended(const Source& from, const std::string& to,
                                const DatabaseName& name) {
  Result<std::string> remark = copy_with_wal(from.path, to, name, from.damaged);
  if (!remark) return remark;
  const Database target(to, Database::Mode::kReadWrite);
  sqlite3_db_config(target.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  if (!mixture_in(target, to)) return remark;
  return Error{Errc::kDamaged, from.path + " and " + from.path +
                                   "-wal do not belong together, and the disk keeps the -wal"
                                   " wrongly; restore from the replica of another node"};
}

// A remark for people, or empty.
Result<std::string> copy(const Source& from, const std::string& to, const DatabaseName& name) {
  if (!from.in_use && wal_is_cut(from.path)) return copy_mended(from, to, name);
  const Database source(from.path, Database::Mode::kReadOnly);
  sqlite3_db_config(source.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  if (const auto mixture = mixture_in(source, from.path)) {
    return Error{Errc::kDamaged, *mixture + ", or restore from the replica of another node"};
  }
  const Database target(to, Database::Mode::kCreate);
  target.exec("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF");
  const std::unique_ptr<sqlite3_backup, BackupCloser> backup(
      sqlite3_backup_init(target.handle(), "main", source.handle(), "main"));
  if (!backup) throw_sqlite(target.handle(), sqlite3_errcode(target.handle()), "copy");
  const int code = sqlite3_backup_step(backup.get(), -1);
  if (code != SQLITE_DONE) throw SqliteError(code, std::string("copy: ") + sqlite3_errstr(code));
  return std::string();
}

// Only broker's time goes on: a backup has kept it, a replica has measured it.
void become_master(const Database& db) {
  const std::optional<std::string> clock = read_private(db, kClockKey);
  clear_private(db);
  write_private(db, kRoleKey, kRoleBroker);
  if (clock) write_private(db, kClockKey, *clock);
}

// Below the floor of the next history the log of the old ones stays, as far as it provably leads to
// here: for other nodes' offline edits that were made before.
void keep_past_log(const Database& db, const Meta& meta, bool as_it_was) {
  const Seq next = meta.position.seq.next();
  const Seq from = as_it_was ? proven_floor(db, meta) : next;
  LogTable log(db);
  log.erase_from(next);
  constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();
  (void)log.prune(from, from, std::numeric_limits<std::uint64_t>::max(), kAll);
  log.save_sum();
  if (as_it_was) {
    PastLog(db).keep(from, next);
  } else {
    PastLog(db).forget();
  }
}

void upgrade(const Database& db) {
  Transaction transaction(db);
  (void)upgrade_tables(db);
  transaction.commit();
}

// Next history in the copy.
Meta begin_history(const Database& db, Meta meta, std::uint64_t generation, bool as_it_was,
                   const Randomness& from) {
  Transaction transaction(db);
  const Position parent = meta.position;
  const Id128 fingerprint = schema_fingerprint(db);
  // Before that log goes which it must not begin before.
  const LocalTime now = from.local_now();
  const BrokerTime time = resume_time(db, meta, now, from.random_id());
  keep_past_log(db, meta, as_it_was && fingerprint == meta.fingerprint);
  meta.tables_version = kTablesVersion;
  meta.position.epoch = Epoch{generation, from.random_id()};
  // Nobody else holds this state, so no other chain may lead to it.
  meta.position.chain = Chain{from.random_id()};
  meta.floor = meta.position.seq.next();
  meta.schema_version = told_schema_version(db, meta);
  if (fingerprint != meta.fingerprint) {
    ++meta.schema_version;
    write_layout(db, meta.schema_version, to_json(read_layout(db)));
  }
  meta.fingerprint = fingerprint;
  become_master(db);
  write_private(db, kClockKey, to_text(time.reading(now)));
  write_meta(db, meta);
  add_epoch(db, {meta.position.epoch, parent, time.at(now)});
  transaction.commit();
  return meta;
}

// What belongs to the file that was copied, and not to a master.
void forget_private(const Database& db) {
  Transaction transaction(db);
  db.exec("DELETE FROM csa_journal; DELETE FROM csa_journal_part; DELETE FROM csa_journal_outcome");
  become_master(db);
  transaction.commit();
}

// To what the former master was at the replica's Position, if the journal can be undone.
Status put_back(const Database& db, const std::string& site, const Meta& meta,
                DamagedJournal damaged, Restoration& built) {
  const bool as_is = damaged == DamagedJournal::kAsIs;
  const std::uint64_t spooled = as_is ? count_spooled(db, meta) : 0;
  const Status undone = undo_own_journal(site);
  if (!undone && (undone.error().code != Errc::kDamaged || !as_is)) {
    return with_way(undone.error());
  }
  if (!as_is) return Ok{};
  AsIs left = take_as_is(db, meta, undone);
  if (!undone) left.spooled = spooled;
  if (left.changes != 0 || left.offers != 0 || left.spooled != 0) built.as_is = std::move(left);
  return Ok{};
}

Result<Restoration> build(const DatabaseName& name, const Source& source, const Randomness& from) {
  const std::string site = building_site(name.path);
  const Result<std::string> remark = copy(source, site, name);
  if (!remark) return remark.error();
  const Database db(site, Database::Mode::kReadWrite);
  CSA_TRY(make_wal(db, site));
  db.exec("PRAGMA secure_delete=ON");
  Result<Meta> meta = sound_meta(db, name, source.path);
  if (!meta) return meta.error();
  upgrade(db);
  Restoration built;
  if (!remark->empty()) built.remarks.push_back(*remark);
  CSA_TRY(put_back(db, site, *meta, source.damaged, built));
  meta = read_meta(db);
  if (!meta) return meta.error();
  const std::vector<Unshareable> unshareable = find_unshareable(db, Probe::kSchema);
  if (!unshareable.empty()) {
    return Error{Errc::kFailed, source.path + " cannot be shared: " + unshareable.front().object +
                                    ": " + unshareable.front().reason +
                                    ". Way out: " + unshareable.front().way_out};
  }
  const std::uint64_t last = std::max(highest_generation(db), generation_in(name.path));
  (void)begin_history(db, *meta, last + 1, !built.as_is || built.as_is->changes == 0, from);
  crash_point("restore: history begun");
  const Result<OwnJournal> own = merge_own_journal(db, site, from);
  if (!own) return with_way(own.error());
  forget_private(db);
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  meta = read_meta(db);
  if (!meta) return meta.error();
  crash_point("restore: built");
  built.meta = *meta;
  built.journaled = own->entries;
  built.inbox = own->inbox;
  return built;
}

// Whether the old file must keep its -wal as it is: with commits in it that cannot be read, or with
// a file that it does not belong to, which a checkpoint would make one for good. Throws
// SqliteError.
bool keeps_wal(const std::string& path, std::string& remark) {
  if (wal_is_cut(path) && !mend_alone(path, remark)) return true;
  if (!exists(path + "-wal")) return false;
  {
    const Database db(path, Database::Mode::kReadOnly);
    sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    if (!mixture_in(db, path)) return false;
  }
  std::string told;  // by now
  (void)mend_alone(path, told);
  return true;
}

// Brings what lies in the old file's log into it, so that it can be kept under another name. A file
// that SQLite cannot read keeps its log beside it, under the new name too, as does one with commits
// in it that cannot be read, or of another file: `path` is free then.
Status put_down(const std::string& path, const std::string& kept, std::string& remark) {
  if (planted("leave an old -wal beside a new file")) return Ok{};
  const auto fold = [&]() -> Status {
    Database db(path, Database::Mode::kReadWrite);
    // A file that cannot be read must not lose its log by being closed.
    sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    (void)db.query_int("SELECT count(*) FROM sqlite_schema");
    sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
    const bool busy = db.query_int("PRAGMA wal_checkpoint(TRUNCATE)").value_or(0) != 0;
    db.close();
    if (busy || exists(path + "-wal")) {
      return Error{Errc::kFailed,
                   path + " is in use by another program; end that one, then restore again"};
    }
    return Ok{};
  };
  try {
    if (!keeps_wal(path, remark)) return fold();
  } catch (const SqliteError& error) {
    if (error.primary_code() == SQLITE_BUSY || error.primary_code() == SQLITE_LOCKED) {
      return error_of(error, path);
    }
  }
  if (exists(path + "-wal") || exists(path + "-journal")) return put_aside(path, kept);
  remove_shared_memory(path);
  return Ok{};
}

Result<Restoration> install(const DatabaseName& name, Restoration done, const Randomness& from) {
  const std::string site = building_site(name.path);
  if (!exists(name.path)) {
    CSA_TRY(check_no_leftovers(name.path));
    CSA_TRY(move_in(site, name.path));
    return done;
  }
  done.kept_as = kept_name(name.path, kKeptEnding, from.local_now().wall);
  std::string remark;
  CSA_TRY(put_down(name.path, done.kept_as, remark));
  const bool told = std::ranges::find(done.remarks, remark) != done.remarks.end();
  if (!remark.empty() && !told) done.remarks.push_back(remark);
  if (exists(name.path)) {
    CSA_TRY(swap_in(site, name.path, done.kept_as));
  } else if (const Status moved = move_in(site, name.path); !moved) {
    return Error{moved.error().code,
                 moved.error().what + "; what was there is kept as " + done.kept_as};
  }
  return done;
}

}  // namespace

Result<Restoration> restore(const DatabaseName& name, const std::string& from_file,
                            const Randomness& from, DamagedJournal damaged) {
  const Source source{from_file, BrokerLock::is_taken(from_file), damaged};
  const Report seen = look_at({from_file, name.app, name.group}, {false, true});
  // Only what keeps it from being read at all; the rest is asked of the copy.
  if (seen.finding == Finding::kMissing) {
    const std::string kept = newest_kept(from_file);
    return Error{Errc::kNothing,
                 "there is no file " + from_file +
                     "; --from takes a backup of the master, or the replica of a node: csa-node"
                     " status says there where it lies, by default ~/.local/share/csa/" +
                     name.group + "/replica.db" +
                     (kept.empty() ? "" : ". What a restore took from there is kept as " + kept)};
  }
  if (seen.finding == Finding::kUnreadable || seen.finding == Finding::kNotSqlite) {
    return to_error(seen);
  }
  const Result<BrokerLock> lock = BrokerLock::take(name.path);
  if (!lock) return lock.error();
  const Report present = look_at(name, {});
  if (present.finding == Finding::kUnreadable || present.finding == Finding::kNewer) {
    return to_error(present);
  }
  const std::string site = building_site(name.path);
  remove_database(site);
  std::string damaged_as;
  auto restored = [&]() -> Result<Restoration> {
    try {
      Result<Restoration> built = build(name, source, from);
      if (!built) return built;
      if (built->as_is) {
        damaged_as = kept_name(name.path, ".damaged-", from.local_now().wall);
        built->as_is->kept_as = damaged_as;
        const Result<std::string> copied = copy(source, damaged_as, name);
        if (!copied) return copied.error();
        for (const char* const ending : {"", "-wal"}) {
          if (exists(damaged_as + ending)) CSA_TRY(sync_with_folder(damaged_as + ending));
        }
      }
      return install(name, std::move(*built), from);
    } catch (const SqliteError& error) {
      const bool of_source =
          error.primary_code() == SQLITE_CORRUPT || error.primary_code() == SQLITE_NOTADB;
      return error_of(error, of_source ? from_file : name.path);
    }
  }();
  if (!restored) {
    remove_database(site);
    if (!damaged_as.empty()) remove_database(damaged_as);
  }
  return restored;
}

}  // namespace csa
