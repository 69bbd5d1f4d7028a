// Replica's inside, shared by replica.cc, replica_install.cc and replica_offline.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/call_runner.h"
#include "common/held_back.h"
#include "common/journal.h"
#include "common/log_applier.h"
#include "common/wal_base.h"
#include "node/download.h"
#include "node/local_pages.h"
#include "node/lost_history.h"
#include "node/offline_writer.h"
#include "node/replica.h"
#include "node/replica_file.h"

namespace csa {

// What must survive a power cut is committed with a sync; applied updates are not, for they can be
// fetched again.
class SyncedCommits {
 public:
  explicit SyncedCommits(const Database& db) : db_(db) { db_.exec("PRAGMA synchronous=FULL"); }
  ~SyncedCommits() {
    sqlite3_exec(db_.handle(), "PRAGMA synchronous=NORMAL", nullptr, nullptr, nullptr);
  }
  SyncedCommits(const SyncedCommits&) = delete;
  SyncedCommits& operator=(const SyncedCommits&) = delete;

 private:
  const Database& db_;  // must outlive this
};

// Pages in the WAL from where on it is worth a checkpoint when idle, and from where on it is made
// even under load, so that the WAL stays bounded.
inline constexpr int kCheckpointPages = 1000;
inline constexpr int kCheckpointPagesMax = 16000;

// Tells the applier how the transaction ended; lives longer than the Transaction.
class ApplyEnd {
 public:
  explicit ApplyEnd(LogApplier& applier) : applier_(applier) {}
  ~ApplyEnd() {
    if (!committed_) applier_.rolled_back();
  }
  ApplyEnd(const ApplyEnd&) = delete;
  ApplyEnd& operator=(const ApplyEnd&) = delete;
  void committed() {
    committed_ = true;
    applier_.committed();
  }

 private:
  LogApplier& applier_;  // must outlive this
  bool committed_ = false;
};

struct Replica::Impl {
  Impl(ReplicaName replica_name, const Log& logger)
      : name(std::move(replica_name)), log(logger), download(name.path) {}

  ReplicaName name;
  Log log;
  Database db;
  std::unique_ptr<CommitCount> commits;  // of db
  Identity identity;
  std::unique_ptr<LogApplier> applier;  // null: no copy yet
  Download download;
  std::uint32_t copy_page_size = 0;         // of the download
  std::unique_ptr<LocalPages> local_pages;  // of the replica, while a copy is planned
  bool planned = false;                     // by a map: pages of the download were here
  bool distrusts_map = false;               // a planned copy was not whole
  std::string aside, aside_why;             // kept for an install that has not ended
  // As it is unless somebody else writes; nothing: what was done here has moved it, or the disk
  // failed the look, and the next one tells by `uncounted`, or takes it as it is then.
  std::optional<std::int64_t> data_version;
  std::optional<std::uint32_t> uncounted;  // see uncounted_commits()
  int wal_pages = 0;
  HeldBack held_back;
  Seq trim_to;
  ReplicaState state;
  JournalState journal;                   // as committed
  WallTime edited{INT64_MIN};             // of its last entry when it was opened
  std::unique_ptr<OfflineWriter> writer;  // null: nothing was written offline yet

  void start(ReplicaFile file);
  void reload();
  [[nodiscard]] ReplicaFile read_again();
  void let_go();
  void doubt_answers();
  void trust_journal();
  [[nodiscard]] bool has_far_counters() const;
  [[nodiscard]] bool has_lost_entries() const;  // of a journal in which nothing waits
  void take_new_identity(std::uint64_t above);
  void refresh_state();
  [[nodiscard]] Result<Applied> apply(const std::vector<LogPiece>& pieces);
  [[nodiscard]] Result<LogApplier::Outcome> apply_in_transaction(
      const std::vector<LogPiece>& pieces, bool& outside_writer);
  void mark_damaged(const std::string& why);
  Error doubt(const std::string& what, const SqliteError& error);
  [[nodiscard]] Applied keep_what_was();
  [[nodiscard]] Applied keep_and_replace(std::int64_t counted_ones,
                                         std::optional<std::uint32_t>& others);
  void keep_what_came(const Database& now, const Database& from, Applied& done);
  [[nodiscard]] Result<Applied> install(const SnapshotEnd& end);
  [[nodiscard]] bool begin_download(const Id128& snapshot, std::uint64_t total,
                                    std::uint32_t page_size);
  [[nodiscard]] CopyPlan plan_copy(std::uint64_t first_page, ByteView hashes);
  [[nodiscard]] std::vector<JournalOutcome> outcomes_to_keep() const;
  [[nodiscard]] std::string offer(const LostHistory& lost);
  void give_back_wal();
  void save_identity();
  void skip_used_counters();
  // Offline work (replica_offline.cc).
  [[nodiscard]] Result<OfflineDone> write_offline(const OfflineWrite& write);
  [[nodiscard]] Result<OfflineDone> write_and_journal(const OfflineWrite& write);
  [[nodiscard]] Result<OfflineDone> after_failure(const OfflineWrite& write,
                                                  const SqliteError& error);
  [[nodiscard]] Result<OfflineDone> not_made(const OfflineWrite& write, Rejection why) const;
  [[nodiscard]] std::optional<OfflineDone> known_outcome(const OfflineWrite& write);
  [[nodiscard]] OfflineDone mismatch(const TxId& tx) const;
  [[nodiscard]] std::optional<OfflineDone> journaled_before(const TxId& tx) const;
  [[nodiscard]] bool was_journaled(const TxId& tx);
  [[nodiscard]] Result<Applied> take_over();
  void checkpoint();
  // Runs a step. One that the disk failed, be it the look at data_version itself, has moved that by
  // our own doing, which must not look like an outside writer: the next look counts commits, if
  // they are counted. Damage of the file is noted.
  template <class Step>
  auto guarded(Step step) {
    ensure_open();
    bool disturbed = false;
    try {
      disturbed = is_disturbed();
      return step();
    } catch (const SqliteError& error) {
      if (!disturbed) note_data_version();
      if (is_damage(error)) (void)doubt("the replica's file is damaged", error);
      throw;
    }
  }
  // What is done behind a commit that stands, and can be done later: a failure of the disk is told,
  // and takes nothing from who asked.
  template <class Step>
  void tidy(Step step) {
    try {
      guarded(step);
    } catch (const SqliteError& error) {
      log.warn("replica: put off: " + std::string(error.what()));
    }
  }
  void ensure_open();
  void note_data_version() noexcept;
  // Another program has written.
  [[nodiscard]] bool is_disturbed();
  // Of others, since the file was opened, modulo 2^32 and plus what it was then: ours are counted.
  [[nodiscard]] static std::optional<std::uint32_t> uncounted_commits(const Database& in);
};

}  // namespace csa
