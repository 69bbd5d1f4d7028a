// The broker's protocol core: presence, admission, order of work, fan-out. Pure: the same calls
// give the same outbox; no socket, no thread, no clock, no SQLite. Not thread-safe. The state table
// of a peer is in schemas/protocol.md.
//
// The shell feeds it frames, results and time, and carries out the outbox in order. An ACK to a
// write and an UPDATE leave only from on_committed(): nothing leaves before it is on disk.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "broker/jobs.h"
#include "broker/peer.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/message.h"
#include "common/result.h"

namespace csa {

struct HubConfig {
  std::string app;
  std::string group;
  std::string app_version;
  std::string hostname;
  std::string program;
  std::string database;  // path, for status
  Id128 boot;
  std::uint16_t pub_port = 0;
  Duration heartbeat{};
  Duration node_timeout{};
  Duration statement_timeout{};
  std::size_t writers_max = limits::kWritersMax;
};

// The master as the ledger opened it.
struct MasterState {
  DbId db;
  Position head;
  Seq floor;
  std::uint64_t schema_version = 0;
  std::uint64_t log_bytes = 0;
  std::uint64_t database_bytes = 0;
  // Highest TxId counter of every node that the master has an outcome of, and of those that it has
  // forgotten. Kept by the Hub from here on, so that WELCOME waits for no reader.
  std::map<NodeId, std::uint64_t> counters;
  std::uint64_t forgotten_counter = 0;
  TimeScale scale;  // of broker's time
};

// What the ledger's housekeeping changes between commits.
struct StoreState {
  Seq floor;
  std::uint64_t log_bytes = 0;
  std::uint64_t database_bytes = 0;
};

// What the Hub wants done. Jobs are answered by the on_... call named beside them.
struct SendTo {
  PeerKey peer;
  Message message;
};
struct Publish {
  Message message;  // its topic is topic_of(message)
};
struct CommitJob {  // ledger -> on_committed; never two at a time
  std::vector<WriteJob> jobs;
  std::vector<NodeId> forget;               // before the jobs: see OutcomeTable
  std::map<NodeId, std::uint64_t> confirm;  // then, also before the jobs
};
struct ConfirmJob {  // ledger -> on_confirmed; never two at a time
  std::map<NodeId, std::uint64_t> counters;
};
// Ledger, no answer: entries from here on are still read by who catches up. The newest one counts,
// so it may be passed on at any time before the next CommitJob.
struct RetainJob {
  Seq from;  // the greatest there is: nobody
  static constexpr Seq kNobody{UINT64_MAX};
};
struct LogJob {  // archive -> on_log
  PeerKey peer;
  LogGet request;
  Position through;
};
struct LayoutJob {  // archive -> on_reply
  PeerKey peer;
  std::uint64_t schema_version = 0;
};
struct OutcomeJob {  // archive -> on_reply
  PeerKey peer;
  TxId tx;
};
struct CutJob {};  // archive -> on_cut; never two at a time, may take long
struct ChunkJob {  // archive -> on_chunk
  PeerKey peer;
  Id128 snapshot;
  bool map = false;  // of its page map
  std::uint64_t offset = 0;
  std::size_t length = 0;
};
// Verifier -> on_digest. asked: for csa-admin, of now; else one that others have asked for will do.
struct DigestJob {
  PeerKey peer;
  std::uint64_t request = 0;
  bool asked = false;
};
struct RowsJob {  // verifier -> on_rows
  PeerKey peer;
  RowsGet request;
};
struct DropJob {  // archive, no answer
  Id128 snapshot;
};
struct StopBroker {
  std::string reason;
};
// No answer: a peer says that it has followed a later generation there. It may be mistaken, or lie:
// only that broker itself can prove it.
struct SeekNewer {
  std::string at;  // "HOST:PORT"
};
using HubAction =
    std::variant<SendTo, Publish, CommitJob, ConfirmJob, RetainJob, LogJob, LayoutJob, OutcomeJob,
                 CutJob, ChunkJob, DigestJob, RowsJob, DropJob, StopBroker, SeekNewer>;

// One line of `csa-admin nodes`.
struct NodeStatus {
  NodeId node;
  Role role = Role::kNode;
  std::string hostname;
  std::string address;
  std::string program;
  std::string app_version;
  NodeState state = NodeState::kSearching;
  Position position;
  std::uint64_t pending = 0;
  TimePoint heard;
};

class Hub {
 public:
  Hub(HubConfig config, const MasterState& master, WallTime time, const Log& log);
  ~Hub();
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  // Broker's time, for HEAD and PONG; call once a turn before the others.
  void set_time(WallTime time);

  void on_message(const PeerKey& from, Message message, const Origin& origin, TimePoint now);
  // A frame that did not decode: counted, logged once a peer and minute. An unknown type likewise.
  void on_malformed(const PeerKey& from, const Error& error, const Origin& origin, TimePoint now);
  // XPUB's subscription notice: publishes PROOF if it is a nonce of a greeted peer.
  void on_subscribed(std::string_view topic, TimePoint now);
  // Whether it is the topic of a greeted peer's nonce.
  [[nodiscard]] bool proves(std::string_view topic) const;
  // The connection is gone (EHOSTUNREACH): counts as silence, the peer stays listed until its time.
  void on_unreachable(const PeerKey& peer, TimePoint now);

  // REQUIRES: a CommitJob is out and `result` has one outcome for each of its tickets.
  void on_committed(const CommitResult& result, TimePoint now);
  // REQUIRES: a ConfirmJob is out.
  void on_confirmed();
  void on_stored(const StoreState& state);
  // The ledger was seen at work, if it has work; while that goes on, its disk is not dead. `begun`:
  // the last ticket it began, see WriteQueue::take_overdue().
  void on_ledger_progress(TimePoint at, std::uint64_t begun);
  void on_log(const PeerKey& peer, std::variant<LogSlice, LogGone> answer, TimePoint now);
  void on_reply(const PeerKey& peer, Message answer, TimePoint now);
  void on_cut(const Result<SnapshotInfo>& snapshot, TimePoint now);
  // `chunk` names snapshot and offset of the job also when it was not found.
  void on_chunk(const PeerKey& peer, SnapshotChunk chunk, bool found, TimePoint now);

  void on_digest(const PeerKey& peer, DigestReply digest, bool asked, TimePoint now);
  void on_rows(const PeerKey& peer, RowsReply rows, TimePoint now);

  // Call when now >= deadline().
  void on_deadline(TimePoint now);
  [[nodiscard]] TimePoint deadline() const;

  // No more writes are taken; waiting ones are NACKed busy; when the ledger is idle everybody gets
  // GOODBYE and StopBroker is in the outbox.
  void stop(std::string reason, TimePoint now);
  // At once, because another broker is the master now: nothing is acknowledged or published any
  // more, also not what the ledger has under way. Its nodes keep what has no answer, and hand it
  // over there.
  void step_down(std::string reason, TimePoint now);

  // Closes the turn: writes that came in since the last call go to the ledger as one group.
  [[nodiscard]] std::vector<HubAction> take_outbox();
  [[nodiscard]] std::vector<NodeStatus> nodes() const;
  [[nodiscard]] const Position& head() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace csa
