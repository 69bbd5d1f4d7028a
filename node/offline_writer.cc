#include "node/offline_writer.h"

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include "common/changed_tables.h"
#include "common/limits.h"
#include "common/planted.h"
#include "common/system_clock.h"

namespace csa {
namespace {

constexpr int kValueMax = 256 * 1024 * 1024;  // one text, blob or row, as on the master

void set(const Database& db, int option, int value) {
  const int code = sqlite3_db_config(db.handle(), option, value, nullptr);
  if (code != SQLITE_OK) throw_sqlite(db.handle(), code, "configure the offline connection");
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

void configure(const Database& db) {
  // Somebody was told that it is kept: it is on the disk before that.
  db.exec(planted("answer before the journal is synced") ? "PRAGMA synchronous=OFF"
                                                         : "PRAGMA synchronous=FULL");
  db.exec("PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=0");
  set(db, SQLITE_DBCONFIG_DEFENSIVE, 1);
  set(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0);
  set(db, SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0);
  set(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1);
  sqlite3_limit(db.handle(), SQLITE_LIMIT_LENGTH, kValueMax);
  sqlite3_limit(db.handle(), SQLITE_LIMIT_ATTACHED, 0);
}

void add_tables(const Spill& body, std::vector<std::string>& tables) {
  std::set<std::string> names = changed_tables(body);
  names.insert(tables.begin(), tables.end());
  tables.assign(names.begin(), names.end());
}

// A write that was never sent and changes nothing has nothing to hand over: this is what became of
// it.
void note_unchanged(const Database& db, const OfflineWrite& write, Seq seq) {
  Statement outcome = db.prepare(
      "INSERT OR REPLACE INTO csa_journal_outcome VALUES (?1, ?2, ?3, ?4, 'it changed nothing',"
      " '[]')");
  outcome.bind(1, signed_of(write.write.tx.counter)).bind(2, write.edited.ms);
  outcome.bind(3, to_string(ReplayResult::kApplied)).bind(4, signed_of(seq.value));
  outcome.run();
  Statement oldest = db.prepare(
      "DELETE FROM csa_journal_outcome WHERE counter <= (SELECT counter FROM csa_journal_outcome"
      " ORDER BY counter DESC LIMIT 1 OFFSET ?1)");
  oldest.bind(1, static_cast<std::int64_t>(Journal::kOutcomesKept));
  oldest.run();
}

// ROLLBACK unless committed, and capture forgets.
class OpenWrite {
 public:
  OpenWrite(const Database& db, CommitCount& commits, Capture& capture, AssignedKeys& keys)
      : transaction_(db, commits), capture_(capture), keys_(keys) {}
  ~OpenWrite() {
    keys_.clear();
    if (!committed_) capture_.discard();
  }
  OpenWrite(const OpenWrite&) = delete;
  OpenWrite& operator=(const OpenWrite&) = delete;
  void commit() {
    transaction_.commit();
    committed_ = true;
  }

 private:
  CountedTransaction transaction_;
  Capture& capture_;
  AssignedKeys& keys_;
  bool committed_ = false;
};

}  // namespace

OfflineWriter::OfflineWriter(const std::string& replica, std::function<void(int)> on_pages)
    : db_(replica, Database::Mode::kReadWrite), on_pages_(std::move(on_pages)) {
  configure(db_);
  sqlite3_wal_hook(
      db_.handle(),
      [](void* self, sqlite3*, const char*, int pages) {
        static_cast<OfflineWriter*>(self)->on_pages_(pages);
        return SQLITE_OK;
      },
      this);
  commits_ = std::make_unique<CommitCount>(db_);
  keys_ = std::make_unique<AssignedKeys>(db_);
  keys_->refresh();
  sandbox_ = std::make_unique<Sandbox>(db_, [] { return monotonic_now(); });
  capture_ = std::make_unique<Capture>(
      db_, Capture::Options{limits::kMaxChangesDefault, limits::kCaptureMemory, folder_of(replica),
                            keys_.get()});
  journal_ = std::make_unique<Journal>(db_);
}

OfflineWriter::~OfflineWriter() = default;

OfflineWriter::Outcome OfflineWriter::write(const OfflineWrite& write, const Meta& base,
                                            JournalState& state, const std::function<bool()>& sound,
                                            std::vector<std::string>& tables) {
  keys_->refresh();
  keys_->clear();
  OpenWrite open(db_, *commits_, *capture_, *keys_);
  if (!sound()) return Unsound{};
  const Spill* body = nullptr;
  std::variant<CallEffect, Rejection> done = run(write, body);
  if (const auto* const rejection = std::get_if<Rejection>(&done)) {
    return Nack{write.write.tx, rejection->code, rejection->message, rejection->statement};
  }
  if (body->size() == 0 && !write.request_hash.is_zero()) {
    return Nack{write.write.tx, NackCode::kSql, "nothing changes in this replica", 0};
  }
  CallEffect effect = std::get<CallEffect>(std::move(done));
  Journaled journaled{write.write.tx, effect.changes, effect.last_insert_rowid,
                      std::move(effect.columns), std::move(effect.rows)};
  JournalState next = state;
  if (body->size() > 0) {
    JournalHeader header;
    header.tx = write.write.tx;
    header.base = base.position;
    header.schema_version = base.schema_version;
    header.edited = write.edited;
    header.edited_error_ms = write.edited_error_ms;
    header.boot = write.boot;
    header.boot_ms = write.boot_ms;
    header.wall = write.wall;
    header.scale = write.scale;
    header.request_hash = write.request_hash;
    header.changes = journaled.changes;
    header.last_insert_rowid = journaled.last_insert_rowid;
    header.size = body->size();
    journal_->append(header, *body, next);
    add_tables(*body, tables);
  } else {
    note_unchanged(db_, write, base.position.seq);
  }
  crash_point("replica: before journaling");
  in_commit_ = true;
  open.commit();
  in_commit_ = false;
  crash_point("replica: journaled");
  state = next;
  return journaled;
}

std::variant<CallEffect, Rejection> OfflineWriter::run(const OfflineWrite& write,
                                                       const Spill*& body) {
  try {
    return run_captured(write, body);
  } catch (const SqliteError& error) {
    return rejection_of(error, 0, Place::kThisComputer);
  } catch (const std::system_error& error) {
    return rejection_of(error, 0, Place::kThisComputer);
  }
}

std::variant<CallEffect, Rejection> OfflineWriter::run_captured(const OfflineWrite& write,
                                                                const Spill*& body) {
  capture_->begin();
  db_.exec("SAVEPOINT w");
  const Duration most = limits::kStatementTimeout;
  sandbox_->set_deadline(monotonic_now() + std::min(most, write.may_take));
  const CallLimits call_limits{limits::kMaxChangesDefault, limits::kRowsMax, Place::kThisComputer};
  std::variant<CallEffect, Rejection> done =
      CallRunner(db_, *sandbox_, *capture_, call_limits).run(write.write);
  sandbox_->set_deadline(std::nullopt);
  if (std::holds_alternative<Rejection>(done)) return done;
  int deferred = 0;
  int unused = 0;
  sqlite3_db_status(db_.handle(), SQLITE_DBSTATUS_DEFERRED_FKS, &deferred, &unused, 0);
  if (deferred != 0) {
    return Rejection{NackCode::kConstraint,
                     "the write breaks a rule of the schema and was undone: FOREIGN KEY constraint"
                     " failed (a deferred one, still open at the end of the write)",
                     0, true};
  }
  // Full-text tables write their index at a savepoint at the latest: before the changeset ends.
  db_.exec("RELEASE w; SAVEPOINT f");
  body = &capture_->finish();
  db_.exec("RELEASE f");
  if (std::optional<Rejection> failure = capture_rejection(*capture_, call_limits, 0)) {
    return std::move(*failure);
  }
  return done;
}

}  // namespace csa
