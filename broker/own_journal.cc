#include "broker/own_journal.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "broker/ledger.h"
#include "common/host.h"
#include "common/journal.h"
#include "common/limits.h"
#include "common/log_applier.h"
#include "common/random.h"
#include "common/system_clock.h"

namespace csa {
namespace {

std::uint64_t count(const Database& db, const std::string& sql) {
  return static_cast<std::uint64_t>(db.query_int(sql).value_or(0));
}

bool has_entries(const Database& db) {
  return count(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'csa_journal'") != 0 &&
         count(db, "SELECT EXISTS (SELECT 1 FROM csa_journal)") != 0;
}

Status undo(const Database& db, const Meta& meta) {
  LogApplier applier(db, meta, LogApplier::Spooled::kKeep);
  Transaction transaction(db);
  const Result<LogApplier::Outcome> done = applier.take_over(Journal(db));
  if (!done) {
    applier.rolled_back();
    return done.error();
  }
  Journal(db).unmark();
  transaction.commit();
  applier.committed();
  return Ok{};
}

LedgerOptions options_of(const Randomness& from) {
  LedgerOptions options;
  // Both were bounded when the entries were made.
  options.max_changes = std::uint64_t{1} << 50U;
  options.statement_timeout = limits::kStatementTimeout;
  // Whoever has to be told what happened is judged by this log: none of it goes before it is
  // served.
  options.log_keep = std::uint64_t{1} << 50U;
  options.rows_max = 1;
  options.monotonic_now = [] { return monotonic_now(); };
  options.local_now = from.local_now;
  options.random_id = from.random_id;
  return options;
}

Status commit(Ledger& ledger, const std::vector<WriteJob>& jobs) {
  const CommitResult result = ledger.commit(jobs);
  for (const WriteOutcome& outcome : result.outcomes) {
    const auto* const replayed = std::get_if<Replayed>(&outcome.answer);
    CSA_CHECK(replayed != nullptr);
    if (replayed->result == ReplayResult::kMore || is_outcome(replayed->result)) continue;
    return Error{Errc::kFailed, "the replica's offline change " + to_string(replayed->tx) +
                                    " cannot be taken over (" + replayed->text +
                                    "); nothing was changed"};
  }
  return Ok{};
}

}  // namespace

Status undo_own_journal(const std::string& path) {
  // Applying turns things off for good: a connection of its own.
  const Database db(path, Database::Mode::kReadWrite);
  if (!has_entries(db)) return Ok{};
  if (Journal(db).has_far_counters()) {
    Transaction transaction(db);
    (void)Journal(db).rename(NodeId{random_id()});
    transaction.commit();
  }
  const Result<Meta> meta = read_meta(db);
  if (!meta) return meta.error();
  if (undo(db, *meta)) return Ok{};
  // What is spooled may be of another schema, or not be whole: without it then.
  {
    Transaction transaction(db);
    LogTable log(db);
    log.erase_from(meta->position.seq.next());
    log.save_sum();
    transaction.commit();
  }
  return undo(db, *meta);
}

Result<OwnJournal> merge_own_journal(const Database& db, const std::string& path,
                                     const Randomness& from) {
  OwnJournal own;
  if (has_entries(db)) {
    const std::string inbox_rows = "SELECT count(*) FROM csa_conflicts";
    const std::uint64_t before = count(db, inbox_rows);
    const Journal journal(db);
    const std::string hostname = host_name();
    Ledger ledger(path, options_of(from), Log());
    std::uint64_t after = 0;
    std::uint64_t offset = 0;
    while (true) {
      Result<std::vector<Replay>> parts = journal.read(after, offset, limits::kReplayWindow / 2);
      if (!parts) return parts.error();
      if (parts->empty()) break;
      const Replay& last = parts->back();
      after = last.completes() ? last.header.tx.counter : last.previous;
      offset = last.completes() ? 0 : last.offset + last.bytes.size();
      std::vector<WriteJob> jobs;
      for (Replay& part : *parts) {
        part.error_ms = part.header.edited_error_ms;
        // Offers of what a master has lost were never changes here.
        if (part.completes() && !part.header.is_lost()) ++own.entries;
        jobs.push_back({std::move(part), hostname, 0});
        if (jobs.size() < limits::kGroupMax) continue;
        CSA_TRY(commit(ledger, jobs));
        jobs.clear();
      }
      if (!jobs.empty()) CSA_TRY(commit(ledger, jobs));
    }
    ledger.close();
    own.inbox = count(db, inbox_rows) - before;
  }
  return own;
}

}  // namespace csa
