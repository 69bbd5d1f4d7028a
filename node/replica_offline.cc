// Writing without a broker, and the step from the journal back to the master's log.
#include <utility>

#include "common/check.h"
#include "common/limits.h"
#include "node/replica_impl.h"

namespace csa {

std::optional<OfflineDone> Replica::Impl::known_outcome(const TxId& tx) {
  OfflineDone done;
  done.state = state;
  if (std::optional<Outcome> known = OutcomeTable(db).find(tx)) {
    if (auto* const ack = std::get_if<Ack>(&known->answer)) {
      done.answer = std::move(*ack);
      return done;
    }
  }
  if (tx.node != identity.node) return std::nullopt;
  // Made here before: whoever asked has not heard the answer.
  const Result<std::optional<JournalHeader>> entry = Journal(db).find(tx.counter);
  if (!entry || !*entry) return std::nullopt;
  done.answer = Journaled{tx, (*entry)->changes, (*entry)->last_insert_rowid, {}, {}};
  return done;
}

Result<OfflineDone> Replica::Impl::write_offline(const OfflineWrite& write) {
  if (!applier) return Error{Errc::kNothing, "this replica is empty; it needs a broker first"};
  if (!identity.damage.empty()) return Error{Errc::kFailed, identity.damage};
  if (std::optional<OfflineDone> known = known_outcome(write.write.tx)) return std::move(*known);
  // Taken over from a program that ended: it may have run at the broker, and entries that were made
  // since cannot be put behind it.
  if (journal.entries > 0 && write.write.tx.counter <= journal.last) {
    return Error{Errc::kFailed,
                 "it may have run, which only the broker can tell: ask for its"
                 " outcome when there is one again"};
  }
  if (!writer) {
    writer = std::make_unique<OfflineWriter>(name.path, [this](int pages) { wal_pages = pages; });
  }
  OfflineDone done;
  OfflineWriter::Outcome outcome;
  try {
    outcome = writer->write(
        write, applier->meta(), journal, [this] { return read_data_version() == data_version; },
        done.tables);
  } catch (const SqliteError&) {
    // Whether the commit is there only a fresh look can tell.
    writer.reset();
    note_data_version();
    journal = Journal(db).read_state();
    refresh_state();
    throw;
  }
  if (std::holds_alternative<OfflineWriter::Unsound>(outcome)) {
    const std::string why = "another program has written to the replica " + name.path +
                            "; it needs a full copy, and what is in it now is kept aside";
    mark_damaged(why);
    return Error{Errc::kFailed, why};
  }
  note_data_version();
  refresh_state();
  done.state = state;
  if (auto* const journaled = std::get_if<Journaled>(&outcome)) {
    done.answer = std::move(*journaled);
  } else {
    done.answer = std::get<Nack>(std::move(outcome));
  }
  if (wal_pages >= kCheckpointPagesMax) checkpoint();
  return done;
}

Result<Applied> Replica::Impl::take_over() {
  CSA_CHECK(journal.waiting == 0);
  if (!applier) return Error{Errc::kDamaged, "this replica is empty; it needs a full copy"};
  if (!identity.damage.empty()) return Error{Errc::kDamaged, identity.damage};
  Result<LogApplier::Outcome> outcome = [this]() -> Result<LogApplier::Outcome> {
    ApplyEnd end(*applier);
    Transaction transaction(db);
    if (read_data_version() != data_version) {
      return Error{Errc::kDamaged, "another program has written to the replica " + name.path};
    }
    Result<LogApplier::Outcome> applied = applier->take_over(Journal(db));
    if (!applied) return applied;
    Journal(db).clear();
    transaction.commit();
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
  if (wal_pages >= kCheckpointPagesMax) checkpoint();
  return Applied{state, std::move(outcome->tables), outcome->schema_changed};
}

Result<OfflineDone> Replica::write_offline(const OfflineWrite& write) {
  return impl_->guarded([&] { return impl_->write_offline(write); });
}

Result<std::vector<Replay>> Replica::read_journal(std::uint64_t after, std::uint64_t offset,
                                                  std::size_t max_bytes) {
  return impl_->guarded([&] { return Journal(impl_->db).read(after, offset, max_bytes); });
}

void Replica::mark_answered(const std::vector<Replayed>& answers) {
  impl_->guarded([&] {
    JournalState next = impl_->journal;
    {
      const SyncedCommits synced(impl_->db);
      Transaction transaction(impl_->db);
      for (const Replayed& answer : answers) Journal(impl_->db).mark_answered(answer, next);
      transaction.commit();
    }
    impl_->journal = next;
    impl_->refresh_state();
  });
}

void Replica::unmark_journal(bool all) {
  impl_->guarded([&] {
    {
      const SyncedCommits synced(impl_->db);
      Transaction transaction(impl_->db);
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
  return impl_->guarded([&]() -> Status {
    if (!impl_->applier) return Error{Errc::kDamaged, "this replica is empty"};
    Transaction transaction(impl_->db);
    const Status done = impl_->applier->spool(pieces);
    if (done) transaction.commit();
    return done;
  });
}

Result<Applied> Replica::take_over() {
  return impl_->guarded([&] { return impl_->take_over(); });
}

}  // namespace csa
