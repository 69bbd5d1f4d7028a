// What Session::Impl holds, shared by session.cc and session_join.cc.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "common/stream.h"
#include "node/session.h"
#include "node/session_copy.h"
#include "node/session_handover.h"
#include "node/session_writes.h"

namespace csa {

struct Session::Impl {
  Impl(SessionConfig config_in, const ReplicaState& replica_in, const Log& log_in);

  // Where the replica's next content comes from.
  enum class Feed : std::uint8_t {
    kNone,     // no link, or the store must become idle first
    kLog,      // the stream
    kCopy,     // a full copy
    kWaiting,  // a full copy, once the journal is handed over
    kPaused,   // the store could not go on: until rejoin_at
  };
  enum class Out : std::uint8_t {
    kNothing,
    kApply,
    kBegin,
    kPlan,
    kChunk,
    kInstall,
    kCounters,
    kIdentity,
    kOfflineWrite,
    kReadJournal,
    kMark,
    kUnmark,
    kSpool,
    kTakeOver,
    kProbe,
  };

  SessionConfig config;
  const Log& log;
  ReplicaState replica;
  Uplink uplink;
  Stream stream;
  CopyFetch copy;
  Writes writes;
  Handover handover;
  BrokerClock clock;
  LocalTime local;
  std::optional<TimePoint> clock_saved;

  NodeState state = NodeState::kSearching;
  std::string why;             // of the present state
  std::string no_link;         // why there is no broker, for writes
  bool outdated_told = false;  // that an old broker was met, since there was a link
  bool stopped = false;
  bool was_live = false;
  std::optional<TimePoint> standalone_at;
  // No link, and no waiting for one: writes are made on the replica.
  bool offline = false;
  // A full copy as soon as the journal is handed over and the store can go on, for this reason.
  std::optional<std::string> copy_reason;
  std::string copy_why;  // of the copy that is under way
  // What of the journal was answered before this link, and must be proved by it.
  std::optional<HandOverAnew> want_unmark;
  std::uint64_t handover_total = 0;
  std::optional<TimePoint> behind_at;  // when the next write may go behind the journal
  std::optional<TimePoint> replay_told;

  Feed feed = Feed::kNone;
  std::optional<TimePoint> rejoin_at;
  int store_troubles = 0;
  // While paused: when the disk is asked for room, for how much, and whether it had none when it
  // was asked last.
  std::optional<TimePoint> probe_at;
  bool want_probe = false;
  std::uint64_t probe_bytes = 0;
  bool disk_was_full = false;
  bool disk_full = false;   // the store has said so, and has not worked since
  bool had_damage = false;  // since the last good apply
  bool fresh_copy = false;  // installed, and nothing has been applied to it yet
  Seq floor;
  Position head;
  std::uint32_t ledger_age_ms = 0;

  Out out = Out::kNothing;
  bool want_identity = false;
  std::uint64_t identity_above = 0;  // see RenewIdentity
  std::optional<TimePoint> renewed_at;
  std::optional<std::string> remember;  // an endpoint to be written down
  std::optional<ClockAnchor> remember_clock;
  TimePoint last_now{};
  std::string remembered;
  bool want_drop = false;  // of what is left of a download: nobody needs it

  Seq told_seq;                      // the position that the broker knows of
  std::optional<TimePoint> tell_at;  // when it is told the next one

  std::optional<TimePoint> verify_at;  // when it compares itself next
  std::uint64_t check_requests = 0;
  std::vector<CheckJob> check_jobs;
  int heals = 0;  // full copies for a difference, since it was equal

  std::optional<TimePoint> progress_told;
  std::vector<SessionEvent> events;

  // States.
  void become(NodeState next, std::string reason, TimePoint now);
  void stop(int exit_code, std::string reason);
  void on_links(TimePoint now);  // what the uplink has to say
  void on_link(const LinkEvent& event, bool refused_next, TimePoint now);
  void on_ready(const LinkReady& ready, TimePoint now);
  void on_lost(const std::string& reason, bool refused_next, TimePoint now);
  void on_refused(const LinkRefused& refused, TimePoint now);
  // True: the replica and this broker do not belong together, or not yet.
  [[nodiscard]] bool refuse_broker(const Welcome& welcome, const Endpoint& endpoint, TimePoint now);
  [[nodiscard]] bool renew_identity(const std::string& reason, TimePoint now);

  // Content.
  void join(TimePoint now);
  void start_copy(const std::string& reason, bool after_trouble, TimePoint now);
  [[nodiscard]] Seq copy_at_least() const;
  void on_damage(const Error& error, bool installing, TimePoint now);
  void want_copy(const std::string& reason, bool after_trouble, TimePoint now);
  void put_off_copy();
  void newest(const Position& told);
  void on_head(const Position& told, std::uint32_t age_ms, TimePoint now);
  void on_answer(Message message, TimePoint now);
  void on_content(Message message, TimePoint now);
  void on_end(const SnapshotEnd& end, TimePoint now);
  void see_replica(const ReplicaState& next);
  [[nodiscard]] bool applied_all() const;

  // A disk that fails (session_disk.cc).
  void pause(TimePoint now);
  void end_pause();
  void store_works(TimePoint now);
  void refuse_unkept();
  [[nodiscard]] std::string what_is_kept() const;

  // Offline work and its way back (session_offline.cc).
  void go_standalone(const std::string& reason, TimePoint now);
  // Writes are made on the replica now.
  [[nodiscard]] bool journaling() const;
  [[nodiscard]] bool has_journal() const { return replica.journal.entries > 0; }
  // Every entry has its outcome, and that is marked.
  [[nodiscard]] bool handed_over() const;
  void start_handover(TimePoint now);
  void go_on_handover(TimePoint now);
  [[nodiscard]] bool can_take_over() const;
  void tell_replay(TimePoint now);
  void send_replays(TimePoint now);
  void on_pong(const Pong& pong, TimePoint now);
  [[nodiscard]] std::optional<StoreJob> next_offline_job(TimePoint now);

  // Comparing with the master (session_check.cc).
  void check_when_due(TimePoint now);
  [[nodiscard]] bool on_check_message(Message& message);
  void heal(const std::string& what, TimePoint now);

  // Writes.
  [[nodiscard]] bool ledger_stuck() const;
  [[nodiscard]] std::string no_broker_text() const;

  // After every input: what follows from it.
  void settle(TimePoint now);
  void send_requests(TimePoint now);
  void tell_uplink();
  void tell_position(TimePoint now);
  void tell_progress(TimePoint now);
  void tell_copied() const;
  void deliver_writes();
  [[nodiscard]] std::optional<StoreJob> next_job(TimePoint now);
};

}  // namespace csa
