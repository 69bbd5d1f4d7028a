// Writing without a broker, and the step from the journal back to the master's log.
#include <system_error>
#include <utility>

#include "common/check.h"
#include "common/limits.h"
#include "common/planted.h"
#include "common/schema.h"
#include "node/replica_impl.h"

namespace csa {

// Of a write that had this TxId before. A copy of this replica may have used it for another one.
std::optional<OfflineDone> Replica::Impl::known_outcome(const OfflineWrite& write) {
  const TxId& tx = write.write.tx;
  OfflineDone done;
  done.state = state;
  const bool was_sent = !write.request_hash.is_zero();
  if (std::optional<Outcome> known = OutcomeTable(db).find(tx)) {
    const bool same = known->request_hash == write.request_hash || was_journaled(tx);
    auto* const ack = std::get_if<Ack>(&known->answer);
    if (was_sent && same && ack != nullptr) {
      done.answer = std::move(*ack);
      return done;
    }
    if (!was_sent) return mismatch(tx);
  }
  if (tx.node != identity.node) return std::nullopt;
  std::optional<OfflineDone> made = journaled_before(tx);
  // A counter that the disk keeps wrongly gives numbers twice; the entry is of another write.
  if (!was_sent && (made || was_journaled(tx))) return mismatch(tx);
  return made;
}

OfflineDone Replica::Impl::mismatch(const TxId& tx) const {
  return {Nack{tx, NackCode::kMismatch, "another write has this TxId", 0}, state, {}};
}

// Made here before: whoever asked has not heard the answer.
std::optional<OfflineDone> Replica::Impl::journaled_before(const TxId& tx) const {
  const Result<std::optional<JournalHeader>> entry = Journal(db).find(tx.counter);
  if (!entry || !*entry) return std::nullopt;
  return OfflineDone{
      Journaled{tx, (*entry)->changes, (*entry)->last_insert_rowid, {}, {}}, state, {}};
}

// The master has decided upon an entry of this TxId that a journal of this replica had.
bool Replica::Impl::was_journaled(const TxId& tx) {
  if (tx.node != identity.node) return false;
  Statement row = db.prepare("SELECT 1 FROM csa_journal_outcome WHERE counter = ?1");
  row.bind(1, signed_of(tx.counter));
  return row.step();
}

Result<OfflineDone> Replica::Impl::write_offline(const OfflineWrite& write) {
  if (!applier) return Error{Errc::kNothing, "this replica is empty; it needs a broker first"};
  if (!identity.damage.empty()) return not_made(write, {NackCode::kLimit, identity.damage});
  if (std::optional<OfflineDone> known = known_outcome(write)) return std::move(*known);
  // Taken over from a program that ended: it may have run at the broker, and entries that were made
  // since cannot be put behind it. Or it has its outcome.
  const bool behind = journal.entries > 0 && write.write.tx.counter <= journal.last;
  if (behind || (!write.request_hash.is_zero() && was_journaled(write.write.tx))) {
    return Error{Errc::kFailed,
                 "it may have run, which only the broker can tell: ask for its"
                 " outcome when there is one again"};
  }
  try {
    return write_and_journal(write);
  } catch (const SqliteError& error) {
    return after_failure(write, error);
  } catch (const std::system_error& error) {
    return not_made(write, rejection_of(error, 0, Place::kThisComputer));
  }
}

Result<OfflineDone> Replica::Impl::write_and_journal(const OfflineWrite& write) {
  if (!writer) {
    writer = std::make_unique<OfflineWriter>(name.path, [this](int pages) { wal_pages = pages; });
  }
  OfflineDone done;
  OfflineWriter::Outcome outcome = writer->write(
      write, applier->meta(), journal, [this] { return !is_disturbed(); }, done.tables);
  if (std::holds_alternative<OfflineWriter::Unsound>(outcome)) {
    const std::string why = "another program has written to the replica " + name.path +
                            "; it needs a full copy, and what is in it now is kept aside";
    mark_damaged(why);
    return not_made(write, {NackCode::kLimit, why});
  }
  note_data_version();
  refresh_state();
  done.state = state;
  if (auto* const journaled = std::get_if<Journaled>(&outcome)) {
    done.answer = std::move(*journaled);
  } else {
    // The master may hold other rows, or the same behind this journal: what is refused here may
    // have been made there.
    Nack nack = std::get<Nack>(std::move(outcome));
    return not_made(write, {nack.code, std::move(nack.message), nack.statement});
  }
  if (wal_pages >= kCheckpointPagesMax) checkpoint();
  return done;
}

namespace {

// Not of a COMMIT that failed behind its last frame: the WAL's index has not grown, and who opens
// the file next finds the frame and takes it in.
bool is_undone(const SqliteError& error, bool in_commit) {
  if (error.code() == SQLITE_IOERR_FSYNC || error.code() == SQLITE_IOERR_DIR_FSYNC) return false;
  return !in_commit || error.primary_code() == SQLITE_FULL || error.code() == SQLITE_IOERR_WRITE;
}

}  // namespace

// Whether the commit is there only a fresh look can tell.
Result<OfflineDone> Replica::Impl::after_failure(const OfflineWrite& write,
                                                 const SqliteError& error) {
  const bool undone = is_undone(error, writer && writer->in_commit());
  writer.reset();
  note_data_version();
  if (is_damage(error)) {
    return not_made(write, {NackCode::kLimit, doubt("the replica's file is damaged", error).what});
  }
  journal = Journal(db).read_state();
  refresh_state();
  if (journal.last == write.write.tx.counter) {
    if (std::optional<OfflineDone> made = journaled_before(write.write.tx)) {
      made->tables = shared_tables(db);
      return std::move(*made);
    }
  }
  // What the computer finds when it starts again is open.
  if (!undone) throw error;
  try {
    return not_made(write, rejection_of(error, 0, Place::kThisComputer));
  } catch (const SqliteError&) {
    return not_made(
        write, {NackCode::kLimit, "this computer's disk has failed (" + std::string(error.what()) +
                                      "), so the write was not made"});
  }
}

// Of a WRITE that was sent before, only the broker can tell.
Result<OfflineDone> Replica::Impl::not_made(const OfflineWrite& write, Rejection why) const {
  if (!write.request_hash.is_zero()) {
    return Error{Errc::kFailed,
                 "it was sent and may have run at the broker, and is not made here (" +
                     why.message + "): ask for its outcome when there is a broker again"};
  }
  OfflineDone done;
  done.state = state;
  done.answer = Nack{write.write.tx, why.code, std::move(why.message), why.statement};
  return done;
}

Result<Applied> Replica::Impl::take_over() {
  CSA_CHECK(journal.waiting == 0);
  if (!applier) return Error{Errc::kDamaged, "this replica is empty; it needs a full copy"};
  if (!identity.damage.empty()) return Error{Errc::kDamaged, identity.damage};
  Result<LogApplier::Outcome> outcome = [this]() -> Result<LogApplier::Outcome> {
    ApplyEnd end(*applier);
    CountedTransaction transaction(db, *commits);
    if (is_disturbed()) {
      return Error{Errc::kDamaged, "another program has written to the replica " + name.path};
    }
    Result<LogApplier::Outcome> applied = applier->take_over(Journal(db));
    if (!applied) return applied;
    crash_point("take over: tail applied");
    Journal(db).clear();
    crash_point("take over: before commit");
    transaction.commit();
    crash_point("take over: after commit");
    end.committed();
    return applied;
  }();
  if (!outcome) {
    log.warn("replica: " + outcome.error().what);
    mark_damaged(outcome.error().what);
    return outcome.error();
  }
  applier->forget_spool();
  journal = JournalState{};
  refresh_state();
  if (wal_pages >= kCheckpointPagesMax) tidy([this] { checkpoint(); });
  return Applied{state, std::move(outcome->tables), outcome->schema_changed};
}

Result<OfflineDone> Replica::write_offline(const OfflineWrite& write) {
  return impl_->guarded([&] { return impl_->write_offline(write); });
}

Result<std::vector<Replay>> Replica::read_journal(std::uint64_t after, std::uint64_t offset,
                                                  std::size_t max_bytes) {
  try {
    return impl_->guarded([&] { return Journal(impl_->db).read(after, offset, max_bytes); });
  } catch (const SqliteError& error) {
    if (!is_damage(error)) throw;
    return Error{Errc::kDamaged,
                 "this replica's journal is damaged (" + std::string(error.what()) +
                     "). Nothing of it is thrown away: csa-node journal shows what can be read. To"
                     " go on, move the file away, which fetches a new copy, and type in from it"
                     " what is missing"};
  }
}

void Replica::mark_answered(const std::vector<Replayed>& answers) {
  impl_->guarded([&] {
    JournalState next = impl_->journal;
    {
      const SyncedCommits synced(impl_->db);
      CountedTransaction transaction(impl_->db, *impl_->commits);
      for (const Replayed& answer : answers) Journal(impl_->db).mark_answered(answer, next);
      crash_point("replica: before marking");
      transaction.commit();
    }
    crash_point("replica: marked");
    impl_->journal = next;
    impl_->refresh_state();
  });
}

void Replica::unmark_journal(bool all) {
  impl_->guarded([&] {
    {
      const SyncedCommits synced(impl_->db);
      CountedTransaction transaction(impl_->db, *impl_->commits);
      const Journal journal(impl_->db);
      if (all) {
        journal.unmark();
      } else {
        journal.unmark_last();
      }
      transaction.commit();
    }
    impl_->journal = Journal(impl_->db).read_state();
    impl_->refresh_state();
  });
}

Status Replica::spool(const std::vector<LogPiece>& pieces) {
  try {
    return impl_->guarded([&]() -> Status {
      if (!impl_->applier) return Error{Errc::kDamaged, "this replica is empty"};
      CountedTransaction transaction(impl_->db, *impl_->commits);
      const Status done = impl_->applier->spool(pieces);
      if (done) transaction.commit();
      return done;
    });
  } catch (const SqliteError& error) {
    if (!is_damage(error)) throw;
    return Error{Errc::kDamaged, impl_->identity.damage};
  }
}

Result<Applied> Replica::take_over() {
  try {
    return impl_->guarded([&] { return impl_->take_over(); });
  } catch (const SqliteError& error) {
    // Or the journal speaks of what is not there. Its entries are all at the master.
    if (!is_damage(error) && error.primary_code() != SQLITE_ERROR) throw;
    return impl_->doubt("the replica's offline changes cannot be undone", error);
  }
}

}  // namespace csa
