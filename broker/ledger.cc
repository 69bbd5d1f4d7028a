#include "broker/ledger.h"

#include <algorithm>
#include <new>
#include <system_error>
#include <utility>

#include "broker/ledger_impl.h"
#include "broker/ledger_rules.h"
#include "common/counted.h"
#include "common/limits.h"
#include "common/planted.h"
#include "common/schema.h"

namespace csa {
namespace {

constexpr int kCheckpointPages = 1000;            // worth a checkpoint when idle
constexpr int kCheckpointPagesMax = 16000;        // and from here on under load too
constexpr std::size_t kPrunedParts = 256;         // of the log, a call of housekeeping
constexpr std::size_t kForgottenOutcomes = 1000;  // a commit
constexpr int kCacheKib = 16 * 1024;
constexpr int kValueMax = 256 * 1024 * 1024;  // one text, blob or row

void set(const Database& db, int option, int value) {
  const int code = sqlite3_db_config(db.handle(), option, value, nullptr);
  if (code != SQLITE_OK) throw_sqlite(db.handle(), code, "configure the master's connection");
}

void set_persistent_wal(const Database& db, int on) {
  sqlite3_file_control(db.handle(), "main", SQLITE_FCNTL_PERSIST_WAL, &on);
}

void configure(const Database& db, const std::string& path) {
  if (db.query_text("PRAGMA journal_mode=WAL") != "wal") {
    throw SqliteError(SQLITE_CANTOPEN, "SQLite cannot use WAL mode on " + path +
                                           "; keep the database on a local disk");
  }
  db.exec(planted("answer before sync") ? "PRAGMA synchronous=OFF" : "PRAGMA synchronous=FULL");
  db.exec("PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=0");
  db.exec("PRAGMA cache_size=-" + std::to_string(kCacheKib));
  set(db, SQLITE_DBCONFIG_DEFENSIVE, 1);
  set(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0);
  set(db, SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0);
  set(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1);
  set_persistent_wal(db, 1);
  sqlite3_limit(db.handle(), SQLITE_LIMIT_LENGTH, kValueMax);
  sqlite3_limit(db.handle(), SQLITE_LIMIT_ATTACHED, 0);
}

std::string spill_folder(const LedgerOptions& options, const std::string& database) {
  if (!options.spill_directory.empty()) return options.spill_directory;
  const std::size_t slash = database.rfind('/');
  return slash == std::string::npos ? "." : database.substr(0, slash + 1);
}

enum class GroupKind : std::uint8_t { kWrites, kMigration, kReplays };

GroupKind kind_of(const Database& db, const WriteJob& job) {
  if (std::holds_alternative<Migrate>(job.request)) return GroupKind::kMigration;
  const auto* const conflict = std::get_if<Conflict>(&job.request);
  const bool recovers = conflict != nullptr &&
                        (conflict->verb == ConflictVerb::kRecover || restores_whole(db, *conflict));
  return recovers || std::holds_alternative<Replay>(job.request) ? GroupKind::kReplays
                                                                 : GroupKind::kWrites;
}

// A migration runs without foreign keys; so do replays and what is recovered, and without triggers:
// what those did is in the journal. SQLite takes the first setting only outside a transaction.
class RulesOff {
 public:
  RulesOff(const Database& db, GroupKind kind) : db_(db), kind_(kind) { turn(0); }
  ~RulesOff() { turn(1); }
  RulesOff(const RulesOff&) = delete;
  RulesOff& operator=(const RulesOff&) = delete;

 private:
  void turn(int on) {
    if (kind_ == GroupKind::kWrites) return;
    sqlite3_db_config(db_.handle(), SQLITE_DBCONFIG_ENABLE_FKEY, on, nullptr);
    if (kind_ != GroupKind::kReplays) return;
    sqlite3_db_config(db_.handle(), SQLITE_DBCONFIG_ENABLE_TRIGGER, on, nullptr);
    sqlite3_db_config(db_.handle(), SQLITE_DBCONFIG_DEFENSIVE, on, nullptr);  // virtual tables'
  }
  const Database& db_;  // must outlive this
  const GroupKind kind_;
};

}  // namespace

Ledger::Impl::Impl(const std::string& database_path, LedgerOptions ledger_options,
                   const Log& logger)
    : path(database_path),
      options(std::move(ledger_options)),
      log(logger),
      db(path, Database::Mode::kReadWrite),
      parts(spill_folder(options, path)) {
  configure(db, path);
  options.spill_directory = spill_folder(options, path);
  sandbox = std::make_unique<Sandbox>(db, options.monotonic_now);
  wal = std::make_unique<WalWatch>(db);
  commits = std::make_unique<CommitCount>(db);
  capture = std::make_unique<Capture>(
      db, Capture::Options{options.max_changes, limits::kCaptureMemory, options.spill_directory});
  sandbox->set_lost([this] { return capture->lost(); });
  sandbox->set_progress(options.progress);
  const auto statement = [this](const char* sql) { return db.prepare(sql); };
  savepoint = statement("SAVEPOINT j");
  release = statement("RELEASE j");
  rollback_to = statement("ROLLBACK TO j");
  open_work = statement("SAVEPOINT w");
  close_work = statement("RELEASE w");
  open_flush = statement("SAVEPOINT f");
  close_flush = statement("RELEASE f");
  page_count = statement("PRAGMA main.page_count");
  lost_by_tx = prepare_find_lost(db);
  page_size = static_cast<std::uint64_t>(db.query_int("PRAGMA main.page_size").value_or(0));
  sync_wal(db);                 // of a killed broker's commits none stands behind the next one
  Transaction transaction(db);  // the first own commit: noticing others begins here
  if (upgrade_tables(db)) log.info("ledger: the csa tables of " + path + " are of this csa now");
  Result<Meta> read = read_meta(db);
  if (!read) throw SqliteError(SQLITE_CORRUPT, path + ": " + read.error().what);
  meta = std::move(read).value();
  entries = std::make_unique<LogTable>(db);
  outcomes = std::make_unique<OutcomeTable>(db);
  past = std::make_unique<PastLog>(db);
  edits = std::make_unique<EditIndex>(db, *entries, log);
  merge = std::make_unique<Merge>(db, *capture, *edits);
  outcomes->know_all();
  static_cast<void>(wal->written_by_others());
  entries->save_sum();
  write_meta(db, meta);
  begin_time();
  commits->add();
  transaction.commit();
  crash_point("ledger: opened");
  wal->committed();
}

CommitResult Ledger::Impl::commit(const std::vector<WriteJob>& jobs) {
  CSA_CHECK(jobs.size() <= limits::kGroupMax);
  Batch batch;
  batch.jobs = jobs;
  batch.answers.resize(jobs.size());
  batch.forced.resize(jobs.size());
  batch.lasting.resize(jobs.size());
  CommitResult result;
  std::size_t begin = 0;
  while (begin < jobs.size()) {
    std::size_t end = begin + 1;
    // A migration is a group of its own, replays are among themselves.
    while (kind_of(db, jobs[begin]) != GroupKind::kMigration && end < jobs.size() &&
           kind_of(db, jobs[end]) == kind_of(db, jobs[begin])) {
      ++end;
    }
    commit_range(batch, begin, end, result);
    begin = end;
  }
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    result.outcomes.push_back({jobs[i].ticket, std::move(batch.answers[i].value())});
  }
  result.head = meta.position;
  result.floor = meta.floor;
  result.schema_version = meta.schema_version;
  result.log_bytes = entries->bytes();
  if (page_count.step()) {
    result.database_bytes = page_size * static_cast<std::uint64_t>(page_count.column_int(0));
  }
  page_count.reset();
  if (wal->pages() >= kCheckpointPagesMax) checkpoint();
  return result;
}

// A statement can roll back the whole transaction (OR ROLLBACK, say). Then what ran before it is
// committed by itself, the guilty one answered, and the rest goes on: nothing runs more than twice.
void Ledger::Impl::commit_range(Batch& batch, std::size_t begin, std::size_t end,
                                CommitResult& result) {
  const RulesOff off(db, kind_of(db, batch.jobs[begin]));
  std::size_t stop = end;
  while (begin < end) {
    std::optional<std::size_t> guilty;
    try {
      guilty = attempt(batch, begin, stop, result);
    } catch (const SqliteError& error) {
      // Only what surely left nothing behind; a failed write or sync may come back after a restart.
      const int code = error.primary_code();
      if (code != SQLITE_FULL && code != SQLITE_READONLY && code != SQLITE_BUSY) throw;
      undo();
      refuse_group(batch, begin, stop, rejection_of(error, 0));
    } catch (const std::system_error& error) {
      undo();
      refuse_group(batch, begin, stop, rejection_of(error, 0));
    } catch (const std::bad_alloc&) {
      if (!db.in_transaction()) throw;  // it is committed, or only a restart can tell
      undo();
      refuse_group(batch, begin, stop, rejection_of(SqliteError(SQLITE_NOMEM, "out of memory"), 0));
    }
    if (guilty) {
      undo();
      batch.forced[*guilty] = std::move(batch.answers[*guilty]);
      batch.lasting[*guilty] = guilt_lasts;
      stop = *guilty + 1;
      continue;
    }
    begin = stop;
    stop = end;
  }
}

std::optional<std::size_t> Ledger::Impl::attempt(Batch& batch, std::size_t first, std::size_t last,
                                                 CommitResult& result) {
  GroupState state;
  begin(state);
  for (std::size_t i = first; i < last; ++i) {
    const WriteJob& job = batch.jobs[i];
    if (batch.forced[i]) {
      batch.answers[i] = batch.forced[i];
      // A full disk is no outcome: the write may be sent again.
      if (batch.lasting[i]) {
        store_outcome(tx_of(job.request), hash_of(job.request), *batch.forced[i]);
      }
      continue;
    }
    if (!run_job(job, state, batch.answers[i].emplace())) return i;
  }
  end(state);
  if (state.new_epoch) {
    // What this call made durable before belongs to the history that ended.
    result.new_epoch = true;
    result.pieces.clear();
  }
  result.named.insert(result.named.end(), state.named.begin(), state.named.end());
  std::size_t inline_bytes = 0;
  for (const LogPiece& piece : result.pieces) inline_bytes += piece.bytes.size();
  for (LogPiece& piece : state.pieces) {
    if (inline_bytes + piece.bytes.size() > limits::kUpdateMax) piece.bytes.clear();
    inline_bytes += piece.bytes.size();
    result.pieces.push_back(std::move(piece));
  }
  return std::nullopt;
}

void Ledger::Impl::begin(GroupState& state) {
  db.exec("BEGIN IMMEDIATE");
  guard.emplace(db.handle());
  state.meta = meta;
  tell_time(state);
  if (wal->written_by_others() || planted("begin a history without need")) begin_epoch(state);
  for (const NodeId& node : to_forget) outcomes->forget_node(node);
  for (const auto& [node, counter] : confirmed) outcomes->raise_floor(node, counter);
}

// What the other program did is in no log entry: nobody can follow, everybody takes a copy.
void Ledger::Impl::begin_epoch(GroupState& state) {
  Meta& now = state.meta;
  EpochRecord record;
  record.parent = now.position;
  record.epoch = Epoch{now.position.epoch.generation + 1, options.random_id()};
  record.started = state.time;
  log.error("ledger: another program has written to " + path +
            " while the broker has it open; what it changed is kept, but every node must take a"
            " full copy now. Let programs write through csa-node only (" +
            to_string(record.parent) + " ended, epoch " + to_string(record.epoch) + " begins)");
  add_epoch(db, record);
  now.position.epoch = record.epoch;
  // Nobody else holds this state, so no other chain may lead to it.
  now.position.chain = Chain{options.random_id()};
  // The old entries are below the floor from here on, where nobody reads; they go step by step.
  now.floor = now.position.seq.next();
  past->forget();
  const Id128 fingerprint = schema_fingerprint(db);
  if (fingerprint != now.fingerprint) {
    ++now.schema_version;
    write_layout(db, now.schema_version, to_json(read_layout(db)));
  }
  now.fingerprint = fingerprint;
  for (const Unshareable& object : find_unshareable(db, Probe::kSchema)) {
    log.error("ledger: " + object.object + " cannot be shared: " + object.reason + "; " +
              object.way_out);
  }
  capture->discard();
  // Both know the rows, and how old they are, from the entries alone.
  edits->forget();
  merge->forget();
  state.new_epoch = true;
  crash_point("ledger: epoch begun");
}

void Ledger::Impl::end(GroupState& state) {
  Meta& now = state.meta;
  prune(now, 2 * state.parts + 16);
  entries->save_sum();
  outcomes->forget(kForgottenOutcomes);
  write_meta(db, now);
  const ClockAnchor reading = keep_time();
  commits->add();
  guard->prove();
  crash_point("ledger: before commit");
  planted("go on after a failed commit")
      ? void(sqlite3_exec(db.handle(), "COMMIT", nullptr, nullptr, nullptr))
      : db.exec("COMMIT");
  guard.reset();
  crash_point("ledger: after commit");
  time_kept = reading;
  wal->committed();
  meta = now;
  handed_over.committed();
  confirmed.clear();
  to_forget.clear();
}

void Ledger::Impl::refuse_group(Batch& batch, std::size_t first, std::size_t last,
                                const Rejection& why) {
  log.error("ledger: " + counted(last - first, "write", "writes") + " refused: " + why.message);
  for (std::size_t i = first; i < last; ++i) {
    if (batch.forced[i]) {
      batch.answers[i] = batch.forced[i];
    } else if (std::holds_alternative<Replay>(batch.jobs[i].request)) {
      batch.answers[i] =
          Replayed{tx_of(batch.jobs[i].request), ReplayResult::kBusy, 0, {}, why.message, {}};
    } else {
      batch.answers[i] = nack_of(tx_of(batch.jobs[i].request), why);
    }
  }
}

bool Ledger::Impl::housekeeping() {
  bool more = false;
  if (has_old_entries() || !confirmed.empty() || outcomes->has_forgotten() || wall_was_set()) {
    try {
      GroupState state;
      state.parts = kPrunedParts / 2;
      begin(state);
      // A new Epoch is told with a group's result: it waits for the next one.
      if (state.new_epoch) {
        undo();
      } else {
        end(state);
        more = has_old_entries() || outcomes->has_forgotten();
      }
    } catch (const SqliteError& error) {
      const int code = error.primary_code();
      if (code != SQLITE_FULL && code != SQLITE_READONLY && code != SQLITE_BUSY) throw;
      undo();
      log.warn("ledger: housekeeping put off: " + std::string(error.what()));
    }
  }
  if (wal->pages() >= kCheckpointPages) checkpoint();
  return more;
}

Ledger::Ledger(const std::string& path, LedgerOptions options, const Log& log)
    : impl_(std::make_unique<Impl>(path, std::move(options), log)) {}

Ledger::~Ledger() = default;

CommitResult Ledger::commit(const std::vector<WriteJob>& jobs) { return impl_->commit(jobs); }

bool Ledger::housekeeping() { return impl_->housekeeping(); }

void Ledger::retain(Seq from) { impl_->leased = from; }

void Ledger::confirm(const NodeId& node, std::uint64_t counter) {
  std::uint64_t& known = impl_->confirmed[node];
  if (counter > known) known = counter;
}

void Ledger::forget(const NodeId& node) {
  impl_->confirmed.erase(node);
  impl_->to_forget.push_back(node);
}

const Meta& Ledger::meta() const { return impl_->meta; }

std::uint64_t Ledger::log_bytes() const { return impl_->entries ? impl_->entries->bytes() : 0; }

void Ledger::close() {
  Impl& impl = *impl_;
  if (!impl.db) return;
  impl.wal->checkpoint_all();
  set_persistent_wal(impl.db, 0);
  set(impl.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0);
  for (Statement* const statement :
       {&impl.savepoint, &impl.release, &impl.rollback_to, &impl.open_work, &impl.close_work,
        &impl.open_flush, &impl.close_flush, &impl.page_count, &impl.lost_by_tx}) {
    *statement = Statement();
  }
  impl.commits.reset();
  impl.merge.reset();
  impl.edits.reset();
  impl.outcomes.reset();
  impl.past.reset();
  impl.entries.reset();
  impl.capture.reset();
  impl.wal.reset();
  impl.sandbox.reset();
  impl.db.close();
}

}  // namespace csa
