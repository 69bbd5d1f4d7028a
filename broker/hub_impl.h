// What the parts of the Hub share. Included by hub*.cc only.
//
// hub.cc            dispatch, time, presence
// hub_admin.cc      csa-admin's questions, stop
// hub_admission.cc  HELLO: WELCOME, REFUSED, who holds a NodeId
// hub_writes.cc     WRITE to ACK and UPDATE
// hub_copies.cc     reader jobs: log, layouts, outcomes, full copies
// hub_verify.cc     whether the nodes equal the master
// hub_leases.cc     what part of the log those need who catch up
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "broker/hub.h"
#include "broker/leases.h"
#include "broker/status.h"
#include "broker/strangers.h"
#include "broker/timer_set.h"
#include "broker/verify_result.h"
#include "broker/write_queue.h"
#include "common/limits.h"
#include "common/writers.h"

namespace csa {

// A greeting that waits until the holder of its NodeId was heard or not.
struct Claim {
  PeerKey newcomer;
  Hello hello;
  Origin origin;
};

// A full copy that is handed out.
struct HeldCopy {
  SnapshotInfo copy;
  TimePoint cut;
  TimePoint used;
};

// Reader jobs of one routing id in flight. Outlives the peer: answers come after it has gone.
struct ReaderLoad {
  std::size_t jobs = 0;  // all, chunks too
  // Length by (copy, of its map, offset).
  std::map<std::tuple<Id128, bool, std::uint64_t>, std::size_t> chunks;
  std::size_t chunk_bytes = 0;  // sum of the lengths
};

// csa-admin waits to hear whether the nodes equal the master.
struct Verification {
  PeerKey admin;
  std::uint64_t request = 0;
  TimePoint until;
  std::optional<DigestReply> reference;  // nothing: it is being read
  std::map<PeerKey, NodeVerdict> waiting;
  std::vector<NodeVerdict> done;
  std::size_t bytes = 0;  // of the tables in `done`
};

enum class Phase : std::uint8_t { kServing, kStopping, kStopped };

struct Hub::Impl {
  Impl(HubConfig configuration, const MasterState& opened, WallTime at, const Log& logger);

  // hub.cc
  void send(const PeerKey& peer, Message message);
  void publish(Message message);
  void dispatch(Peer& peer, Message message, TimePoint now);
  void on_ping(Peer& peer, const Ping& ping, TimePoint now);
  void confirm(Peer& peer, std::uint64_t confirmed);
  void publish_head(TimePoint now);
  void announce(PresenceEvent event, const Peer& peer);
  // Forgets a greeted peer and says so; a claim on its NodeId is granted.
  void drop(const PeerKey& key, PresenceEvent event, TimePoint now);
  void complain(const PeerKey& key, const std::string& line, TimePoint now);
  [[nodiscard]] std::uint32_t ledger_age_ms(TimePoint now) const;
  // Every call comes by here: time for what is done at the end of a turn.
  void note_time(TimePoint now);

  // hub_admin.cc
  void on_admin(const Peer& peer, const Admin& admin, TimePoint now);
  [[nodiscard]] std::string status(TimePoint now) const;
  [[nodiscard]] std::vector<NodeStatus> nodes() const;
  void stop(std::string reason);
  void finish_stop();

  // hub_admission.cc
  void on_hello(const PeerKey& from, Hello hello, const Origin& origin, TimePoint now);
  void claim(const PeerKey& from, Hello hello, const Origin& origin, Peer& holder);
  void admit(const PeerKey& from, const Hello& hello, const Origin& origin, TimePoint now);
  void welcome(const Peer& peer);
  void refuse(const PeerKey& to, Refused refusal, const std::string& who, TimePoint now);
  // The holder lives: whoever claims its NodeId is refused.
  void settle_for_holder(const Peer& holder, TimePoint now);
  [[nodiscard]] std::optional<Claim> take_claim(const NodeId& node);
  void drop_claim_of(const PeerKey& newcomer);

  // hub_writes.cc
  void on_write(const Peer& peer, WriteRequest request, TimePoint now);
  void publish_updates(const CommitResult& result);
  void answer(const WriteOutcome& outcome, TimePoint now);
  void give_to_ledger();
  // Of NodeIds that are too many, those that are not here go.
  [[nodiscard]] std::vector<NodeId> forget_writers();
  // It is not known, and those who were forgotten leave it no number: its own word for what it has
  // used becomes its floor, or kForgottenMax.
  [[nodiscard]] bool is_own_word(const Peer& peer) const;
  // The next write of the peer is above this.
  [[nodiscard]] std::uint64_t last_counter(const Peer& peer) const;
  // Writes that cannot begin in their time are told so, while they have not begun.
  void turn_away_overdue(TimePoint now);
  [[nodiscard]] TimePoint overdue_deadline() const;

  // hub_copies.cc
  // Counts one more reader job. False: the peer has too many; it asks again later.
  [[nodiscard]] bool start_job(const PeerKey& peer);
  void end_job(const PeerKey& peer);
  void on_log_get(const Peer& peer, LogGet request);
  void on_outcome_get(const Peer& peer, const OutcomeGet& request);
  void on_snapshot_get(const PeerKey& peer, const SnapshotGet& request, TimePoint now);
  void read_spool(const PeerKey& peer, const SnapshotGet& request, HeldCopy& spool);
  void offer(const PeerKey& peer, const SnapshotInfo& copy);
  [[nodiscard]] HeldCopy* find_spool(const Id128& id);
  [[nodiscard]] HeldCopy* usable_spool(Seq at_least, TimePoint now);
  void start_cut();
  // Hands a finished copy to who waits for it, as soon as the told head has reached it.
  void release_cut(TimePoint now);
  void drop_spool(const Id128& id);
  // Drops those unused since `used`, and those of another history.
  void drop_spools_before(TimePoint used);
  [[nodiscard]] TimePoint spool_deadline() const;

  // hub_verify.cc
  void on_digest_get(const Peer& peer, const DigestGet& request);
  void on_rows_get(const Peer& peer, RowsGet request);
  void on_checked(const Peer& peer, Checked checked);
  void start_verification(const Peer& admin, const Admin& request, TimePoint now);
  void ask_nodes();
  void gone_from_verification(const PeerKey& key);
  void end_verification();
  [[nodiscard]] TimePoint verification_deadline() const;

  // hub_leases.cc
  void lease_log(const Peer& peer, const LogGet& request);
  void lease_copy(const PeerKey& peer, const SnapshotInfo& copy, std::uint64_t offset);
  // What its heartbeat says of it.
  void settle_lease(const Peer& peer, const Ping& ping);
  void end_lease(const Peer& peer);
  // Tells the ledger what is leased, if that has changed.
  void give_leases();

  HubConfig config;
  MasterState master;  // its head is the one that was told; its counters are in `writers`
  Writers writers;
  WallTime time;
  const Log& log;
  std::vector<HubAction> outbox;
  Phase phase = Phase::kServing;
  std::string stop_reason;
  TimePoint last_now{};
  std::optional<TimePoint> started;

  Peers peers;
  Strangers strangers;
  std::map<NodeId, Claim> claims;       // the holder of each key is kQuestioned
  std::map<PeerKey, NodeId> claimants;  // the same, by newcomer
  TimerSet<NodeId> claim_timers;        // the same keys
  std::uint64_t malformed = 0;

  WriteQueue writes;
  std::optional<TimePoint> commit_since;       // a CommitJob is out
  std::map<NodeId, std::uint64_t> to_confirm;  // of `writers`: for the next ConfirmJob
  std::map<NodeId, std::uint64_t> own_words;   // of `writers`: for the next CommitJob
  bool confirming = false;                     // a ConfirmJob is out
  std::uint64_t begun = 0;                     // the last ticket that the ledger began
  TimePoint progress{};                        // when the ledger was last seen at work
  TimePoint overdue_looked{};
  RateMeter commits;
  TimePoint head_due{};                    // the next periodic HEAD
  TimePoint burst_due = TimePoint::max();  // the HEAD after the last UPDATE

  std::map<PeerKey, ReaderLoad> loads;      // none is without a job
  std::size_t reader_jobs = 0;              // sum over loads
  std::vector<HeldCopy> spools;             // at most kSnapshotsMax, less one while `cutting`
  std::map<PeerKey, Seq> waiting_for_copy;  // greeted peers; cut at that Seq or later
  bool cutting = false;                     // a CutJob is out
  std::optional<SnapshotInfo> held;         // cut, but ahead of the told head
  Seq cut_from;                             // the head when the cut began that is out or held
  std::optional<Verification> verification;
  std::uint64_t verifications = 0;  // begun so far; numbers the present one
  std::set<PeerKey> verifying;      // with a job at the verifier
  Leases leases{limits::kPeersMax};
  Seq retained = RetainJob::kNobody;  // as the ledger was told
};

}  // namespace csa
