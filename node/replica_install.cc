// A full copy takes the place of what the replica held.
#include <utility>

#include "common/counted.h"
#include "common/planted.h"
#include "common/schema.h"
#include "common/wal_index.h"
#include "node/install.h"
#include "node/replica_impl.h"

namespace csa {
namespace {

bool is_emptied(const Database& db) {
  sqlite3_file* file = nullptr;
  sqlite3_int64 bytes = -1;
  return sqlite3_file_control(db.handle(), "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK &&
         file->pMethods->xFileSize(file, &bytes) == SQLITE_OK && bytes == 0;
}

}  // namespace

Result<Applied> Replica::Impl::install(const SnapshotEnd& end) {
  local_pages.reset();
  if (journal.waiting != 0 && !planted("install over what waits")) {
    // It would be lost. Who asks does not know of it: the disk failed behind the last copy.
    download.drop();
    return Applied{state, {}, false};
  }
  if (const Status whole = download.finish(end); !whole) {
    // By the map it was whole: the map may be wrong, or a page here have the hash of another.
    distrusts_map = planned;
    if (planned) download.drop();
    return whole.error();
  }
  writer.reset();
  const std::int64_t counted_ones = commits_at_most(db, name.path);
  const Result<Meta> meta = prepare_copy(
      download.path(), {end.position, state.db, identity, outcomes_to_keep(), counted_ones});
  if (!meta) {
    log.warn("replica: " + meta.error().what);
    download.drop();
    return meta.error();
  }
  crash_point("install: copy prepared");
  const bool schema_changed = !applier || applier->meta().fingerprint != meta->fingerprint;
  std::optional<std::uint32_t> others;
  Applied done = keep_and_replace(counted_ones, others);
  crash_point("install: copied");
  reload();
  if (others && uncounted && uncounted != others) {
    // Somebody has committed since: the next look tells.
    uncounted = others;
    data_version.reset();
  }
  download.drop();
  distrusts_map = false;
  aside.clear();
  crash_point("install: download dropped");
  give_back_wal();
  log.info("replica: full copy installed (" + to_string(*state.position) + ")");
  done.state = state;
  done.tables = shared_tables(db);
  done.schema_changed = schema_changed;
  return done;
}

// `others`: the uncounted commits that the replica then has, if that is known.
Applied Replica::Impl::keep_and_replace(std::int64_t counted_ones,
                                        std::optional<std::uint32_t>& others) {
  // Another connection: the own one must be left alone while it takes the copy. None to an empty
  // file, whose -wal SQLite would remove; by the name that the file was opened under.
  Database beside;
  if (!is_emptied(db)) {
    beside = Database(sqlite3_db_filename(db.handle(), "main"), Database::Mode::kReadWrite);
    sqlite3_db_config(beside.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  }
  const auto version = [&beside]() -> std::optional<std::int64_t> {
    if (!beside) return std::nullopt;
    try {
      return beside.query_int("PRAGMA data_version");
    } catch (const SqliteError& error) {
      // The copy heals it, through the connection that has read it when it was sound.
      if (!is_damage(error)) throw;
      return std::nullopt;
    }
  };
  const auto seen = version();
  Applied done = keep_what_was();
  const SyncedCommits synced(db);
  const bool copied = copy_into(db, download.path(), [&] {
    if (!beside) return;
    if (version() != seen) keep_what_came(beside, beside, done);
    // The copy is one commit, and counts it.
    const std::optional<WalIndex> index = look_at_wal_index(beside);
    if (index) others = index->commits - static_cast<std::uint32_t>(counted_ones);
  });
  if (copied) return done;
  log.info("replica: the full copy has another page size or text encoding: " + name.path +
           " is replaced by a new file; programs that have it open must open it again");
  // So that the new file takes the name in one step: with the lock held its -wal is not emptied.
  checkpoint_all(db);
  // Until it is closed nobody else writes to the old file, and it does not either.
  if (beside) beside.exec("BEGIN IMMEDIATE");
  if (version() != seen) keep_what_came(beside, db, done);
  checkpoint_all(db);
  let_go();
  replace_file(name.path, download.path());
  db = open_replica_database(name.path);
  return done;
}

// What another program has committed since keep_what_was(); the write lock is held. `now` sees the
// replica as it is; `from` can be copied.
void Replica::Impl::keep_what_came(const Database& now, const Database& from, Applied& done) {
  constexpr const char* kWhy = "another program has written to it";
  if (!applier || (uncounted && uncounted_commits(now) == uncounted)) return;
  if (done.kept_why.empty()) {
    done.kept_why = kWhy;
  } else if (done.kept_why != kWhy) {
    done.kept_why += std::string("; ") + kWhy + " meanwhile";
  }
  done.kept_as = aside = keep_aside(from, name.path, aside);
  aside_why = done.kept_why;
  log.warn("replica: what was in " + name.path + " is kept as " + done.kept_as + ": " +
           done.kept_why);
}

// What no longer counts, or what others may have to see, lies beside the replica afterwards.
Applied Replica::Impl::keep_what_was() {
  const bool outside_writer = is_disturbed();
  Applied done;
  std::optional<Fork> fork;
  if (applier) {
    if (outside_writer) done.kept_why = "another program has written to it";
    if (!identity.damage.empty()) done.kept_why = identity.damage;
    fork = fork_of(db, applier->meta().position, download.path());
    if (fork) done.kept_why = fork->why;
  }
  if (!done.kept_why.empty()) {
    done.kept_as = aside = keep_aside(db, name.path, aside);
    crash_point("install: kept aside");
    const bool sound = !outside_writer && identity.damage.empty();
    if (sound && fork && fork->common) done.kept_why += offer({done.kept_as, *fork->common});
    aside_why = done.kept_why;
    log.warn("replica: what was in " + name.path + " is kept as " + done.kept_as + ": " +
             done.kept_why);
  } else if (!aside.empty()) {
    // The install that it was kept for went further than was known, and nobody was told of it.
    done.kept_as = aside;
    done.kept_why = aside_why;
  }
  return done;
}

// The whole copy went through the WAL; its space is given back where no reader is in the way. The
// copy is there whatever the disk says to that.
void Replica::Impl::give_back_wal() {
  try {
    checkpoint_all(db);
    wal_pages = 0;
  } catch (const SqliteError& error) {
    if (is_damage(error)) throw;
    log.warn("replica: " + std::string(error.what()) + "; " + name.path +
             "-wal keeps its size until there is room");
  }
}

std::vector<JournalOutcome> Replica::Impl::outcomes_to_keep() const {
  try {
    return Journal(db).read_outcomes();
  } catch (const SqliteError& error) {
    if (!is_damage(error)) throw;
    log.warn("replica: what became of earlier offline changes cannot be read: " +
             std::string(error.what()));
    return {};
  }
}

// What the master has lost goes into the journal of the copy. What became of that, for people.
std::string Replica::Impl::offer(const LostHistory& lost) {
  try {
    const Result<LostOffer> offered = offer_lost(lost, download.path());
    if (!offered) return "; what it has lost cannot be offered to it: " + offered.error().what;
    std::string text;
    if (offered->entries != 0) {
      text = "; " +
             counted(offered->entries, "transaction that it has lost is",
                     "transactions that it has lost are") +
             " offered to it: csa-admin recover";
    }
    if (offered->left != 0) {
      text += "; " + counted(offered->left, "more is", "more are") +
              " in the kept file only: " + offered->why_left;
    }
    if (offered->inbox != 0) {
      text += "; " +
              counted(offered->inbox, "open row of its conflict inbox is",
                      "open rows of its conflict inbox are") +
              " in the kept file only: SELECT * FROM"
              " csa_conflicts WHERE state = 'open' AND seq > " +
              std::to_string(lost.common.value);
    }
    return text;
  } catch (const std::exception& error) {
    // The disk: a full copy may still find room, and the kept file has it all.
    return "; what it has lost cannot be offered to it: " + std::string(error.what());
  }
}

}  // namespace csa
