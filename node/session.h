// The node's protocol core, the broker's Hub's twin: states of a node, joining without loss, writes
// and their outcomes. Pure, not thread-safe: the link shell carries sockets, the store thread
// carries the replica, the simulator carries both. The state table is in schemas/protocol.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/log.h"
#include "common/message.h"
#include "common/result.h"
#include "common/uplink.h"
#include "node/broker_clock.h"
#include "node/jobs.h"

namespace csa {

struct SessionConfig {
  UplinkConfig uplink;
  Duration discovery_timeout{};     // without a broker for so long: standalone
  bool stop_on_disconnect = false;  // --on-disconnect shutdown
  Duration verify_every{};          // compares itself with the master so often; 0: never
};

// For the store thread; one is answered before the next is given, by the on_... call beside it.
struct ApplyPieces {
  std::vector<LogPiece> pieces;
  Seq floor;
};  // on_applied
struct BeginDownload {
  Id128 snapshot;
  std::uint64_t total = 0;
  std::uint32_t page_size = 0;  // 0: it has no page map
};                              // on_download
struct PlanCopy {
  std::uint64_t first_page = 0;
  Bytes hashes;  // of it and those behind it: a piece of a page map (page_map.h)
};               // on_planned
struct WriteChunk {
  std::uint64_t offset = 0;
  Bytes bytes;
};  // on_chunk_written
struct InstallCopy {
  SnapshotEnd end;
};                          // on_applied
struct DropDownload {};     // no answer
struct ReserveCounters {};  // on_counters
struct RenewIdentity {      // on_identity
  std::uint64_t above = 0;  // what the broker calls the last counter: the next ones are above it
};
struct ProbeDisk {
  std::uint64_t bytes = 0;
};  // on_probe
struct RememberEndpoint {
  std::string endpoint;
};  // no answer
struct RememberClock {
  ClockAnchor anchor;
};  // no answer
struct JournalWrite {
  OfflineWrite write;
};  // on_journaled
struct ReadJournal {
  std::uint64_t after = 0;  // see Journal::read
  std::uint64_t offset = 0;
  std::size_t max_bytes = 0;
};  // on_journal_read
struct MarkAnswered {
  std::vector<Replayed> answers;
};  // on_marked
struct HandOverAnew {
  bool all = true;
};  // on_marked: Replica::unmark_journal()
struct SpoolPieces {
  std::vector<LogPiece> pieces;
};                   // on_spooled
struct TakeOver {};  // on_applied
using StoreJob =
    std::variant<ApplyPieces, BeginDownload, PlanCopy, WriteChunk, InstallCopy, DropDownload,
                 ReserveCounters, RenewIdentity, ProbeDisk, RememberEndpoint, RememberClock,
                 JournalWrite, ReadJournal, MarkAnswered, HandOverAnew, SpoolPieces, TakeOver>;

// For the application.
struct StateChanged {
  NodeState state = NodeState::kSearching;
  std::optional<Position> position;
  std::optional<Endpoint> broker;
  std::string why;            // a sentence, where there is something to say
  std::uint64_t pending = 0;  // offline transactions not yet handed over
};
// Of the journal, while it is handed over.
struct ReplayProgress {
  std::uint64_t waiting = 0;  // transactions
  std::uint64_t total = 0;
};
// What the replica held is not in the master's history; the file it is kept as, and why.
struct KeptAside {
  std::string path;
  std::string why;
};
// What became of an offline transaction.
struct OutcomeTold {
  Replayed outcome;
};
struct CopyProgress {
  std::uint64_t bytes = 0;  // that are here
  std::uint64_t total = 0;
  std::uint64_t fetched = 0;  // of them, from the broker
};
struct TablesChanged {
  std::vector<std::string> tables;
  Position position;
};
enum class WriteStatus : std::uint8_t { kCommitted, kJournaled, kRejected, kNoBroker, kUnknown };
struct WriteDone {
  std::uint64_t call = 0;  // the caller's number
  WriteStatus status = WriteStatus::kUnknown;
  TxId tx;
  bool visible = false;       // in this replica
  Ack ack;                    // kCommitted
  Journaled journaled;        // kJournaled
  std::uint64_t pending = 0;  // kJournaled: transactions that wait now, this one included
  Nack nack;                  // kRejected
  std::string message;        // kNoBroker, kUnknown
};
struct TxGiven {
  std::uint64_t call = 0;
  TxId tx;
};  // of a WriteCall with tell_tx, nothing is sent yet: release() it
struct Stopped {
  int exit_code = 0;
  std::string why;
};  // leave() is done, or the link was lost
using SessionEvent = std::variant<StateChanged, KeptAside, CopyProgress, ReplayProgress,
                                  OutcomeTold, TablesChanged, WriteDone, TxGiven, Stopped>;

struct WriteCall {
  std::uint64_t call = 0;
  // The TxId of the first two is given by the session where its counter is 0. Another one says that
  // the write may have been sent under it before: it is sent again under the same, where that is
  // still this replica's to use, and else only its outcome is asked for.
  std::variant<Write, Migrate, Rules, OutcomeGet> request;
  TimePoint deadline;
  // Who called is told the TxId first, and the write waits for release().
  bool tell_tx = false;
};

class Session {
 public:
  Session(SessionConfig config, const ReplicaState& replica, const Log& log);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The computer's clocks; to be told before every other call that has a `now`.
  void set_local_time(const LocalTime& local);
  void start(TimePoint now);
  void leave(std::string reason, TimePoint now);

  // From the wire.
  void on_message(Message message, TimePoint now);
  void on_beacon(const HeardBeacon& heard, TimePoint now);
  void on_disconnected(const std::string& why, TimePoint now);
  // From the store.
  void on_applied(Result<Applied> result, TimePoint now);
  // pages_here: some of the copy's pages may be here, which its map tells.
  void on_download(bool pages_here, TimePoint now);
  void on_planned(const CopyPlan& plan, TimePoint now);
  void on_chunk_written(std::size_t bytes, TimePoint now);
  void on_counters(std::uint64_t reserved_up_to, TimePoint now);
  void on_identity(const ReplicaState& replica, TimePoint now);
  void on_journaled(Result<OfflineDone> result, TimePoint now);
  void on_journal_read(Result<std::vector<Replay>> result, TimePoint now);
  void on_marked(const ReplicaState& replica, TimePoint now);
  void on_spooled(const Status& result, TimePoint now);
  // Whether a file of the job's size found room.
  void on_probe(bool room, TimePoint now);
  // The job that is out met the disk's error (kFailed): it is tried again after a while, and while
  // the disk is full, new writes are refused. For a job without an answer: nothing.
  void on_store_failed(Error error, bool disk_full, TimePoint now);
  // From the one who compares.
  void on_check(CheckAnswer answer, const KeptRows& kept, TimePoint now);
  // From the application. Every call gets one WriteDone.
  void write(WriteCall call, TimePoint now);
  // The caller knows this TxId now. One that does not wait: nothing.
  void release(const TxId& tx, TimePoint now);

  void on_deadline(TimePoint now);
  [[nodiscard]] TimePoint deadline() const;

  [[nodiscard]] std::vector<UplinkAction> take_actions();
  // At most one job is out at a time; nullopt: nothing to do, or one is out.
  [[nodiscard]] std::optional<StoreJob> take_job();
  // For the thread that compares, in order; each may be answered by an on_check().
  [[nodiscard]] std::vector<CheckJob> take_checks();
  [[nodiscard]] std::vector<SessionEvent> take_events();

  // What `status --json` shows.
  struct View {
    NodeState state = NodeState::kSearching;
    std::optional<Position> position;
    std::optional<Endpoint> broker;
    std::string broker_hostname;
    Seq head;
    std::uint64_t schema_version = 0;
    std::uint64_t pending = 0;  // offline transactions not yet handed over
    NodeId node;
    bool stalled = false;  // the disk is full, and the replica does not get on
  };
  [[nodiscard]] View view() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace csa
