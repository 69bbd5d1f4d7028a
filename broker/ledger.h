// The master database's one write connection: groups of writes in, their outcomes out, all of a
// group durable in one synced commit. Synchronous; belongs to one thread. What a user's SQL can
// cause becomes an outcome; the disk's errors are thrown (SqliteError, std::system_error), and the
// process must then end: what a failed commit left behind only a restart can tell.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "broker/broker_time.h"
#include "broker/jobs.h"
#include "common/log.h"
#include "common/result.h"
#include "common/store_meta.h"

namespace csa {

struct LedgerOptions {
  std::string spill_directory;  // for large changesets; the database's own by default
  std::uint64_t max_changes = 0;
  std::uint64_t log_keep = 0;
  std::size_t rows_max = 0;
  Duration statement_timeout{};
  std::function<TimePoint()> monotonic_now;
  std::function<LocalTime()> local_now;
  std::function<Id128()> random_id;
  std::function<void()> progress;  // called while a job makes progress; may be empty
  // Called with a job's ticket before its begin_by is compared with monotonic_now; may be empty.
  std::function<void(std::uint64_t)> begun;
};

class Ledger {
 public:
  // Opens a database that opening.h found sound. REQUIRES: nobody else writes to it.
  Ledger(const std::string& path, LedgerOptions options, const Log& log);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Runs the jobs in order as one commit. A job that fails leaves no trace and no other job
  // notices. A TxId that has an outcome is answered with it. REQUIRES: at most kGroupMax jobs.
  [[nodiscard]] CommitResult commit(const std::vector<WriteJob>& jobs);
  // Between groups, when there is nothing to do: checkpoint, retention. Bounded work a call.
  // True: there is more of it.
  bool housekeeping();
  // Entries from `from` on are still read by who catches up: the log keeps them too, up to
  // kLeasedLogFactor times what it is to keep anyway. Holds until the next call.
  void retain(Seq from);
  // Outcomes of `node` up to `counter` will not be asked for again.
  void confirm(const NodeId& node, std::uint64_t counter);
  // With the next group, before its jobs: OutcomeTable::forget_node().
  void forget(const NodeId& node);

  [[nodiscard]] const Meta& meta() const;
  [[nodiscard]] std::uint64_t log_bytes() const;
  [[nodiscard]] const BrokerTime& time() const;
  // Before a clean end: checkpoint, so that the file alone is the database.
  void close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace csa
