// The broker's threads beside the front: the ledger with the write connection, an archive for quick
// answers, an archive for cutting copies,
// a verifier. Jobs come in by mailbox; answers go back as closures that
// the front runs on its Hub. A disk error ends the broker: it is told to the front as `fatal`.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <variant>

#include "broker/archive.h"
#include "broker/hub.h"
#include "broker/ledger.h"
#include "broker/verifier.h"
#include "common/log.h"
#include "common/mailbox.h"

namespace csa {

// How a broker ends whose disk keeps the database wrongly.
[[nodiscard]] Error end_of_damage(const std::string& who, const std::string& database,
                                  const SqliteError& error);

class Stores {
 public:
  using Answer = std::function<void(Hub&, TimePoint)>;

  // Opens the ledger and starts the threads. Throws what opening throws.
  Stores(const std::string& database, const LedgerOptions& options, const Log& log);
  ~Stores();  // stop()
  Stores(const Stores&) = delete;
  Stores& operator=(const Stores&) = delete;

  // The state that the Hub starts from.
  [[nodiscard]] const MasterState& master() const { return master_; }
  // Of the ledger, for other threads.
  [[nodiscard]] const BrokerTime& time() const { return *time_; }

  // Carries a job to its store; what is none is left out. Never blocks. Where there is no room for
  // it, as after stop(): fatal().
  void give(HubAction job);
  // Readable when answers wait.
  [[nodiscard]] int wake_fd() const { return answers_.wake_fd(); }
  void answer_all(Hub& hub, TimePoint now);
  // When the ledger was last seen at work on a job.
  [[nodiscard]] TimePoint ledger_progress() const {
    return TimePoint(TimePoint::duration(ledger_progress_.load()));
  }
  // The last job that the ledger began. Read it after the time that it is compared with.
  [[nodiscard]] std::uint64_t ledger_begun() const { return ledger_begun_.load(); }
  // Why the broker must end, once a store has failed.
  [[nodiscard]] const std::optional<Error>& fatal() const { return fatal_; }
  // Finishes what is under way, checkpoints, joins the threads. Idempotent.
  void stop();

 private:
  using LedgerJob = std::variant<CommitJob, ConfirmJob>;
  using CheckJob = std::variant<DigestJob, RowsJob>;
  using QuickJob = std::variant<LogJob, LayoutJob, OutcomeJob, ChunkJob, DropJob, Spool>;

  void run_ledger();
  void run_quick();
  void run_cuts();
  void run_checks();
  void ledger_job(LedgerJob& job);
  void quick_job(Archive& archive, QuickJob& job);
  void post(Answer answer);
  // Runs `work`; what it throws becomes fatal.
  void guarded(const char* who, const std::function<void()>& work);
  [[nodiscard]] std::uint64_t database_bytes() const;

  const std::string database_;
  const std::string spool_;
  const Log& log_;  // must outlive this
  std::unique_ptr<Ledger> ledger_;
  MasterState master_;
  std::optional<BrokerTime> time_;
  Mailbox<LedgerJob> ledger_jobs_;
  Mailbox<QuickJob> quick_jobs_;
  Mailbox<CutJob> cut_jobs_;
  Mailbox<CheckJob> check_jobs_;
  Mailbox<Answer> answers_;
  std::atomic<std::uint64_t> retained_{RetainJob::kNobody.value};  // the newest RetainJob
  std::atomic<TimePoint::rep> ledger_progress_{0};
  std::atomic<std::uint64_t> ledger_begun_{0};
  std::optional<Error> fatal_;  // the front's
  std::thread ledger_thread_;
  std::thread quick_thread_;
  std::thread cut_thread_;
  std::thread check_thread_;
};

}  // namespace csa
