#include "node/replica.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "common/counted.h"
#include "common/limits.h"
#include "common/planted.h"
#include "common/random.h"
#include "common/schema.h"
#include "common/wal_base.h"
#include "common/wal_index.h"
#include "node/install.h"
#include "node/replica_impl.h"

namespace csa {

void Replica::Impl::start(ReplicaFile file) {
  writer.reset();
  applier.reset();
  commits.reset();
  db = std::move(file.db);
  commits = std::make_unique<CommitCount>(db);
  identity = std::move(file.identity);
  sqlite3_wal_hook(
      db.handle(),
      [](void* self, sqlite3*, const char*, int pages) {
        static_cast<Impl*>(self)->wal_pages = pages;
        return SQLITE_OK;
      },
      this);
  data_version.reset();
  uncounted.reset();
  (void)is_disturbed();
  sync_wal(db);
  uncounted = uncounted_commits(db);
  trim_to = Seq{};
  if (file.meta) applier = std::make_unique<LogApplier>(db, *file.meta);
  doubt_answers();
  journal = Journal(db).read_state();
  trust_journal();
  if (has_far_counters()) {
    log.warn("replica: it has counted to " + std::to_string(identity.counter) +
             ", further than brokers take, as somebody's made-up write had it do");
    take_new_identity(0);
  }
  skip_used_counters();
  const Result<std::optional<JournalHeader>> last = Journal(db).find(journal.last);
  if (last && *last && !(*last)->is_lost()) edited = (*last)->edited;
  refresh_state();
  if (journal.waiting == 0 && identity.damage.empty() && has_lost_entries()) {
    mark_damaged("entries of its journal are missing, and only their changes are there");
  }
}

bool Replica::Impl::has_lost_entries() const {
  if (journal.entries > 0) return !Journal(db).prove_end();
  return db.query_int("SELECT EXISTS (SELECT 1 FROM csa_journal_part)") == 1;
}

// Renaming is one transaction: the entries bear the NodeId of the replica. Each of
// them has a checksum; where it is kept a file of an older csa has none.
void Replica::Impl::trust_journal() {
  if (!applier || journal.waiting == 0) return;
  const Result<std::vector<Replay>> first = Journal(db).read(0, 0, 1);
  if (!first || first->empty()) return;
  const NodeId node = first->front().header.tx.node;
  if (node == identity.node) return;
  log.error("replica: node " + to_string(identity.node) + " is what " + name.path +
            " says it is, and by its offline changes it is " + to_string(node) +
            ": put right. Look after the disk");
  identity.node = node;
  save_identity();
}

void Replica::Impl::doubt_answers() {
  if (db.query_int("SELECT EXISTS (SELECT 1 FROM csa_journal WHERE answered <> 0)") != 1) return;
  CountedTransaction transaction(db, *commits);
  const std::uint64_t doubtful = Journal(db).unmark_doubtful();
  if (doubtful == 0) return;
  transaction.commit();
  log.warn("replica: " + counted(doubtful, "offline change is", "offline changes are") +
           " marked as handed over, but no outcome is kept: handed over anew");
}

void Replica::Impl::refresh_state() {
  state = ReplicaState{};
  state.node = identity.node;
  state.generation_seen = identity.generation_seen;
  state.counter = identity.counter;
  state.clock = identity.clock;
  state.journal = journal;
  state.edited = edited;
  if (!applier) return;
  state.db = applier->meta().db;
  state.position = applier->meta().position;
  state.partial = applier->partial();
  state.schema_version = applier->meta().schema_version;
}

// A replacement of the file that failed in the middle has left no connection.
void Replica::Impl::ensure_open() {
  if (db) return;
  finish_replacement(name.path);
  db = open_replica_database(name.path);
  reload();
}

void Replica::Impl::note_data_version() noexcept {
  const auto read = [](void* to, int, char** values, char**) {
    *static_cast<std::optional<std::int64_t>*>(to) = std::strtoll(values[0], nullptr, 10);
    return 0;
  };
  data_version.reset();
  // Else what others have done since the last look would be taken for ours.
  if (uncounted) return;
  if (db) sqlite3_exec(db.handle(), "PRAGMA data_version", read, &data_version, nullptr);
}

bool Replica::Impl::is_disturbed() {
  const std::int64_t now = db.query_int("PRAGMA data_version").value_or(0);
  if (!data_version && !uncounted) data_version = now;
  if (now == data_version) return false;
  // Another program's checkpoint moves it too.
  if (!uncounted || uncounted_commits(db) != uncounted) return true;
  data_version = now;
  return false;
}

std::optional<std::uint32_t> Replica::Impl::uncounted_commits(const Database& in) {
  try {
    const std::int64_t counted_ones = commits_of(in);
    const std::optional<WalIndex> index = look_at_wal_index(in);
    if (!index) return std::nullopt;
    return index->commits - static_cast<std::uint32_t>(counted_ones);
  } catch (const SqliteError& error) {
    if (!is_damage(error)) throw;
    return std::nullopt;
  }
}

Result<Applied> Replica::Impl::apply(const std::vector<LogPiece>& pieces) {
  if (!applier) return Error{Errc::kDamaged, "this replica is empty; it needs a full copy"};
  if (!identity.damage.empty()) return Error{Errc::kDamaged, identity.damage};
  if (applier->all_known(pieces)) return Applied{state, {}, false};
  bool outside_writer = false;
  Result<LogApplier::Outcome> outcome = apply_in_transaction(pieces, outside_writer);
  if (!outcome) {
    log.warn("replica: " + outcome.error().what);
    if (outside_writer || applier->suspicious()) mark_damaged(outcome.error().what);
    return outcome.error();
  }
  refresh_state();
  if (wal_pages >= kCheckpointPagesMax) tidy([this] { checkpoint(); });
  return Applied{state, std::move(outcome->tables), outcome->schema_changed};
}

Result<LogApplier::Outcome> Replica::Impl::apply_in_transaction(const std::vector<LogPiece>& pieces,
                                                                bool& outside_writer) {
  ApplyEnd end(*applier);
  CountedTransaction transaction(db, *commits);
  // Inside the transaction: nobody can write between this look and the commit.
  if (is_disturbed()) {
    outside_writer = true;
    return Error{Errc::kDamaged, "another program has written to the replica " + name.path +
                                     "; it needs a full copy, and what is in it now is kept aside"};
  }
  Result<LogApplier::Outcome> outcome = applier->apply(pieces);
  if (!outcome) return outcome;
  crash_point("replica: before commit");
  transaction.commit();
  crash_point("replica: after commit");
  end.committed();
  return outcome;
}

void Replica::Impl::mark_damaged(const std::string& why) {
  identity.damage = why;
  save_identity();
}

// The file may no longer be relied on to keep a mark; the full copy writes every page anew.
Error Replica::Impl::doubt(const std::string& what, const SqliteError& error) {
  if (identity.damage.empty()) {
    identity.damage = what + " (" + error.what() + "); it needs a full copy";
    log.error("replica: " + identity.damage);
  }
  return {Errc::kDamaged, identity.damage};
}

void Replica::Impl::save_identity() {
  const SyncedCommits synced(db);
  CountedTransaction transaction(db, *commits);
  write_identity(db, identity);
  crash_point("replica: identity written");
  transaction.commit();
  refresh_state();
}

bool Replica::Impl::has_far_counters() const {
  return identity.counter > limits::kOwnCounterMax || Journal(db).has_far_counters();
}

void Replica::Impl::take_new_identity(std::uint64_t above) {
  const NodeId old = identity.node;
  identity.node = NodeId{random_id()};
  const SyncedCommits synced(db);
  CountedTransaction transaction(db, *commits);
  // What waits here was made under the old name, of which nobody knows whose it is.
  const bool far = has_far_counters();
  const std::uint64_t highest = Journal(db).rename(identity.node);
  crash_point("replica: journal renamed");
  const JournalState renamed = Journal(db).read_state();
  // They go on: the outcomes of the journal are kept by them alone. Not above what somebody has
  // made up under this name, which leaves nothing.
  const std::uint64_t own = far ? highest : identity.counter;
  identity.counter = std::max({own, renamed.last, std::min(above, limits::kForgottenMax)});
  write_identity(db, identity);
  transaction.commit();
  journal = renamed;
  refresh_state();
  log.warn("replica: node " + to_string(old) + " is now " + to_string(identity.node));
}

// The log tells of those that a copy of this replica has used under its NodeId; and no checksum
// guards the counter where it is kept: those of the journal and of its outcomes are used, too.
void Replica::Impl::skip_used_counters() {
  if (!applier) return;
  std::uint64_t& counter = identity.counter;
  counter = std::max(counter, OutcomeTable(db).last_counter(identity.node));
  if (planted("hand out counters that are not stored")) return;  // the journal would hide it
  const Result<std::optional<JournalHeader>> last = Journal(db).find(journal.last);
  if (last && *last) counter = std::max(counter, journal.last);
  // Nor are these guarded: one that no replica comes to must not use up all the others.
  constexpr std::uint64_t kMost = limits::kForgottenMax + limits::kForgottenMax / 4;
  const std::optional<std::int64_t> decided = db.query_int(
      "SELECT max(counter) FROM csa_journal_outcome WHERE counter < " + std::to_string(kMost));
  counter = std::max(counter, unsigned_of(decided.value_or(0)));
}

void Replica::Impl::let_go() {
  local_pages.reset();
  writer.reset();
  applier.reset();
  commits.reset();
  db.close();
  wal_pages = 0;
}

// Of an error, nothing is open: what is known here may be of what the file held before.
void Replica::Impl::reload() {
  try {
    start(read_again());
  } catch (const SqliteError&) {
    let_go();
    throw;
  }
}

ReplicaFile Replica::Impl::read_again() {
  Result<ReplicaFile> file = [this]() -> Result<ReplicaFile> {
    ReplicaFile installed;
    Result<std::optional<Identity>> own = identify(db, name.path);
    if (!own) return own.error();
    CSA_CHECK(own->has_value());
    installed.identity = std::move(**own);
    Result<std::optional<Meta>> meta = read_replica_meta(db, installed.identity, name.path);
    if (!meta) return meta.error();
    installed.meta = std::move(*meta);
    return installed;
  }();
  if (!file) throw SqliteError(SQLITE_CORRUPT, "after the full copy: " + file.error().what);
  ReplicaFile installed = std::move(file).value();
  applier.reset();
  installed.db = std::move(db);
  return installed;
}

void Replica::Impl::checkpoint() {
  int in_log = 0;
  int done = 0;
  const int code =
      sqlite3_wal_checkpoint_v2(db.handle(), "main", SQLITE_CHECKPOINT_PASSIVE, &in_log, &done);
  if ((code & 0xff) == SQLITE_BUSY) return;  // a reader is in the way; the next call goes on
  if (code != SQLITE_OK) throw_sqlite(db.handle(), code, "checkpoint the replica");
  wal_pages = in_log == done ? 0 : in_log - done;
  if (!held_back.is_news(wal_pages)) return;
  log.warn("replica: " + std::to_string(wal_pages) + " pages wait in " + name.path +
           "-wal, which grows: a program reads in one transaction all the time; end that one");
}

Replica::Replica(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Replica::~Replica() = default;

Result<std::unique_ptr<Replica>> Replica::open(const std::string& path, const std::string& app,
                                               const std::string& group, const Log& log,
                                               Earlier earlier) {
  const ReplicaName name{path, app, group};
  Result<ReplicaFile> file = open_replica_file(name, log, earlier);
  if (!file) return file.error();
  auto impl = std::make_unique<Impl>(name, log);
  try {
    impl->start(std::move(file).value());
  } catch (const SqliteError& error) {
    return file_error(error, path);
  }
  return std::unique_ptr<Replica>(new Replica(std::move(impl)));
}

const ReplicaState& Replica::state() const { return impl_->state; }

const std::string& Replica::path() const { return impl_->name.path; }

Result<Applied> Replica::apply(const std::vector<LogPiece>& pieces) {
  try {
    return impl_->guarded([&] { return impl_->apply(pieces); });
  } catch (const SqliteError& error) {
    if (!is_damage(error)) throw;
    return Error{Errc::kDamaged, impl_->identity.damage};
  }
}

void Replica::trim(Seq floor) {
  if (!impl_->applier) return;
  impl_->trim_to = std::max(impl_->trim_to, floor);
  impl_->tidy([&] { (void)impl_->applier->trim(impl_->trim_to); });
}

std::uint64_t Replica::reserve_counters() {
  impl_->guarded([&] {
    impl_->skip_used_counters();
    // Raised first: where the disk fails, some numbers are lost, and none is given twice.
    impl_->identity.counter += limits::kCounterBlock;
    if (!planted("hand out counters that are not stored")) impl_->save_identity();
  });
  return impl_->identity.counter;
}

void Replica::renew_identity(std::uint64_t above) {
  impl_->guarded([&] { impl_->take_new_identity(above); });
}

void Replica::remember_endpoint(const std::string& endpoint) {
  if (endpoint == impl_->identity.endpoint) return;
  impl_->identity.endpoint = endpoint;
  impl_->guarded([&] { impl_->save_identity(); });
}

void Replica::remember_clock(const ClockAnchor& anchor) {
  impl_->identity.clock = anchor;
  impl_->guarded([&] { impl_->save_identity(); });
}

std::optional<std::string> Replica::last_endpoint() const {
  if (impl_->identity.endpoint.empty()) return std::nullopt;
  return impl_->identity.endpoint;
}

void Replica::housekeeping() {
  if (!impl_->db) return;
  impl_->guarded([&] {
    if (impl_->applier && impl_->applier->trim(impl_->trim_to)) return;  // more of it next time
    if (impl_->wal_pages >= kCheckpointPages) impl_->checkpoint();
  });
}

void Replica::close() { impl_->let_go(); }

}  // namespace csa
