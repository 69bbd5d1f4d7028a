// The ledger's inside, shared by ledger.cc (groups) and ledger_job.cc (single jobs).
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "broker/handed_over.h"
#include "broker/ledger.h"
#include "broker/ledger_group.h"
#include "broker/lost_transactions.h"
#include "broker/merge.h"
#include "broker/replay_parts.h"
#include "broker/wal_watch.h"
#include "common/call_runner.h"
#include "common/capture.h"
#include "common/held_back.h"
#include "common/past_log.h"
#include "common/rollback_guard.h"
#include "common/sandbox.h"
#include "common/wal_base.h"

namespace csa {

struct Ledger::Impl {
  Impl(const std::string& database_path, LedgerOptions ledger_options, const Log& logger);

  // Groups (ledger.cc).
  [[nodiscard]] CommitResult commit(const std::vector<WriteJob>& jobs);
  void commit_range(Batch& batch, std::size_t begin, std::size_t end, CommitResult& result);
  // The job that destroyed the group; nothing: committed.
  [[nodiscard]] std::optional<std::size_t> attempt(Batch& batch, std::size_t begin, std::size_t end,
                                                   CommitResult& result);
  void begin_time();  // this and the next: ledger_time.cc
  void tell_time(GroupState& state) const;
  // The reading that the file has once the transaction is committed.
  [[nodiscard]] ClockAnchor keep_time() const;
  [[nodiscard]] bool wall_was_set() const;
  void begin(GroupState& state);
  void begin_epoch(GroupState& state);
  void end(GroupState& state);
  void undo();
  void refuse_group(Batch& batch, std::size_t begin, std::size_t end, const Rejection& why);
  bool housekeeping();
  [[nodiscard]] std::uint64_t leased_keep() const;
  [[nodiscard]] bool has_old_entries() const;
  void prune(Meta& now, std::size_t parts_max);
  void apply_confirmations();

  // Jobs (ledger_job.cc). False: the whole transaction is gone; `answer` is the guilty job's.
  [[nodiscard]] bool run_job(const WriteJob& job, GroupState& state, Answer& answer);
  [[nodiscard]] std::optional<Answer> known_answer(const TxId& tx, const Id128& hash);
  struct EditTime {
    WallTime time;
    std::uint32_t error_ms = 0;
  };
  [[nodiscard]] std::variant<CallEffect, Rejection> run_request(const WriteJob& job,
                                                                const GroupState& state,
                                                                const Spill*& body,
                                                                EditTime& edited);
  [[nodiscard]] std::variant<CallEffect, Rejection> run_conflict(const Conflict& request,
                                                                 const GroupState& state,
                                                                 EditTime& edited);
  [[nodiscard]] std::optional<Rejection> end_request(const Spill*& body, std::uint32_t statement);
  [[nodiscard]] bool refused_early(const WriteJob& job, const GroupState& state, Answer& answer);
  void append_entry(EntryHeader header, const Spill& body, GroupState& state);
  void store_outcome(const TxId& tx, const Id128& hash, const Answer& answer);

  // Replays (ledger_replay.cc; what is known of them before: ledger_fate.cc).
  [[nodiscard]] Replayed run_replay(const Replay& replay, const std::string& hostname,
                                    GroupState& state);
  // What the outcome table says of a replay before it is merged.
  struct ReplayFate {
    std::optional<Replayed> known;     // to be answered as it is
    std::optional<std::string> park;   // to be merged into the inbox, for this reason
    std::optional<Replayed> standing;  // of `keys_of`: stands for this one too
    TxId keys_of;
    std::optional<Ack> stood;  // of the WRITE that was sent under the TxId
    TxId name;                 // for the log and the outcome ...
    std::optional<TxId> also;  // ... which is kept under this one too
    bool of_copy = false;      // HandedOver::is_copy()
    std::uint64_t first = 0;   // names the journal at its node
    std::uint64_t previous = 0;
  };
  [[nodiscard]] ReplayFate fate_of(const Replay& replay);
  [[nodiscard]] bool follows(const Replay& replay);
  [[nodiscard]] std::optional<Replayed> waits(const Replay& replay, const ReplayFate& fate);
  void note_handed_over(const Replay& replay);
  // What became of an entry, for the later ones of its journal.
  void note_fate(const Replay& replay, const ReplayFate& fate, const Replayed& answer);
  void look_at_forgotten(const Replay& replay, ReplayFate& fate);
  void look_at_origin(const Replay& replay, ReplayFate& fate);
  [[nodiscard]] Replayed stand(const ReplayEntry& entry, Ack ack, GroupState& state);
  [[nodiscard]] Replayed merge_entry(const ReplayEntry& entry, const ReplayFate& fate,
                                     GroupState& state);
  [[nodiscard]] MergeOutcome run_merge(const ReplayEntry& entry, const ReplayFate& fate,
                                       const MergeContext& context);
  // What a lost history held (ledger_lost.cc).
  [[nodiscard]] std::variant<CallEffect, Rejection> recover(std::int64_t id,
                                                            const GroupState& state,
                                                            EditTime& edited);
  [[nodiscard]] std::variant<CallEffect, Rejection> restore(const Conflict& request,
                                                            const GroupState& state);
  [[nodiscard]] std::optional<KnownLost> was_recovered(const TxId& tx, const Id128& hash);
  void look_at_recovered(const Replay& replay, ReplayFate& fate);
  // That transaction is there now, by its own node. REQUIRES: a transaction is open.
  void settle_brought(const TxId& tx, const Id128& hash);
  enum class Held : std::uint8_t { kNo, kYes, kUnknown };
  // Tells where a reader holds the WAL back, anew each time that it has doubled.
  void checkpoint();
  // Whether the log has what was made under `tx` after `base`, by the hash of its request.
  [[nodiscard]] Held log_holds(const TxId& tx, const Id128& hash, const Position& base);
  void read_logged();
  void forget_logged();
  [[nodiscard]] Held holds(const TxId& tx, const Id128& hash, const Position& base);
  // What the same transaction may be called in another history.
  [[nodiscard]] std::vector<TxId> other_names(const TxId& tx, const Id128& hash);
  // Whether this history has what `header` says the lost one had.
  [[nodiscard]] Held holds_lost(const JournalHeader& header);
  // The log tells of everything since `base`, which may be of an earlier history.
  [[nodiscard]] bool log_tells_since(const Position& base) const;

  void share_keys(const TxId& from, const TxId& to, std::uint64_t journal);
  // Where rows that earlier entries of a copy's journal have numbered must be looked up.
  [[nodiscard]] std::optional<Merge::Earlier> keys_to_recall(const TxId& tx, const ReplayFate& fate,
                                                             std::uint64_t now);

  std::string path;
  LedgerOptions options;
  Log log;
  Database db;
  std::optional<RollbackGuard> guard;  // of the group's transaction
  // Made from db, gone before it.
  std::unique_ptr<Sandbox> sandbox;
  std::unique_ptr<WalWatch> wal;
  HeldBack held_back;
  std::unique_ptr<CommitCount> commits;
  std::unique_ptr<Capture> capture;
  std::unique_ptr<LogTable> entries;
  std::unique_ptr<OutcomeTable> outcomes;
  std::unique_ptr<PastLog> past;
  std::unique_ptr<EditIndex> edits;
  std::unique_ptr<Merge> merge;
  ReplayParts parts;
  HandedOver handed_over;
  Statement savepoint, release, rollback_to, open_work, close_work, open_flush, close_flush;
  Statement page_count;
  Statement lost_by_tx;
  struct Logged {
    Id128 hash;
    Seq seq;
  };
  std::map<std::pair<NodeId, std::uint64_t>, Logged> logged;  // TxIds of committed entries ...
  Seq logged_to;                                              // ... to this one
  Seq logged_doubted;  // the last of them that is not what was written
  std::uint64_t page_size = 0;
  Meta meta;
  std::optional<BrokerTime> time;
  ClockAnchor time_kept;     // its last reading in the file
  Renames renames;           // of the migration that ran last
  bool guilt_lasts = false;  // of the job that run_job returned false for
  std::map<NodeId, std::uint64_t> confirmed;
  std::vector<NodeId> to_forget;
  Seq leased{UINT64_MAX};  // see Ledger::retain
};

[[nodiscard]] Nack nack_of(const TxId& tx, const Rejection& rejection);
[[nodiscard]] Replayed no_outcome(const TxId& tx, ReplayResult result, std::string why);

}  // namespace csa
