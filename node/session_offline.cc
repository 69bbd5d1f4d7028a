// Working without a broker, and the way back: what is journaled when, what is handed over, and when
// the replica steps from its own journal to the master's log.
#include <algorithm>
#include <utility>

#include "common/counted.h"
#include "common/limits.h"
#include "common/planted.h"
#include "node/session_state.h"

namespace csa {

namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

// So few entries are handed over in a moment: writes wait for it rather than go behind them.
constexpr std::uint64_t kLastRound = 64;
constexpr milliseconds kReplayToldEach{100};
// Writes that go behind a journal on its way are few, so that it comes to an end.
constexpr milliseconds kBehindEach{100};
constexpr minutes kClockSavedEach{10};

}  // namespace

void Session::Impl::go_standalone(const std::string& reason, TimePoint now) {
  offline = true;
  standalone_at.reset();
  become(NodeState::kStandalone, reason, now);
  if (replica.position) {
    writes.on_standalone(no_broker_text());
  } else {
    writes.fail_unsent(no_broker_text());
  }
}

bool Session::Impl::journaling() const {
  if (!replica.position || stopped) return false;
  if (offline) return true;
  return state == NodeState::kReplaying && replica.journal.waiting > kLastRound;
}

bool Session::Impl::handed_over() const {
  return replica.journal.waiting == 0 && handover.all_marked() && out != Out::kOfflineWrite &&
         !want_unmark && out != Out::kUnmark;
}

void Session::Impl::start_handover(TimePoint now) {
  handover_total = replica.journal.waiting;
  replay_told.reset();
  const std::uint64_t known_to = uplink.welcome().last_counter;
  handover.start(now, known_to < replica.journal.first ? 0 : known_to);
  become(NodeState::kReplaying,
         handover_total == 0 ? "what was changed offline is handed over"
                             : counted(handover_total, "offline change is", "offline changes are") +
                                   " handed over to the broker",
         now);
}

// After every input, with a link and a journal: what follows for the feed.
void Session::Impl::go_on_handover(TimePoint now) {
  // Made on the replica while the link was coming up, or offered by the copy that took its place.
  const bool late = state == NodeState::kCatchingUp || state == NodeState::kLive ||
                    (state == NodeState::kReplaying && !handover.running());
  if (replica.journal.waiting > 0 && late) start_handover(now);
  if (!handover.running()) return;
  if (clock.is_measured()) send_replays(now);
  if (!handover.trouble().empty() && why != handover.trouble()) {
    become(NodeState::kReplaying, handover.trouble(), now);
  }
  if (!handed_over()) return;
  remember = remembered;
  handover.stop();
  stream.ask_through(replica.journal.answered_to, now);
  if (replica.journal.keys_changed) {
    writes.reject_unsent(
        {{},
         NackCode::kBusy,
         "rows that were made offline have just got other numbers: look again, then"
         " repeat the write",
         0});
  }
  if (copy_reason) start_copy(std::string(*copy_reason), false, now);
  join(now);  // for what has waited
}

// By the clocks of this link: the broker's may have begun anew since the last one.
void Session::Impl::send_replays(TimePoint now) {
  for (Replay& replay : handover.take_requests(now)) {
    const JournalHeader& header = replay.header;
    const BrokerClock::Correction better =
        clock.correction({{header.edited, header.edited_error_ms, header.scale},
                          {header.wall, header.boot, header.boot_ms}});
    // The time of a lost one is of the old broker's scale.
    replay.correction_ms = header.is_lost() ? 0 : better.ms;
    replay.error_ms = header.is_lost() ? kUnknownErrorMs : better.error_ms;
    uplink.send(std::move(replay));
  }
}

bool Session::Impl::can_take_over() const {
  return has_journal() && handed_over() && !handover.running() && uplink.ready() &&
         feed == Feed::kLog && !stream.has_ready() && stream.position().epoch.id == head.epoch.id &&
         (stream.position().seq >= replica.journal.answered_to || planted("take over too early"));
}

void Session::Impl::tell_replay(TimePoint now) {
  if (state != NodeState::kReplaying) return;
  const std::uint64_t waiting = replica.journal.waiting;
  if (waiting != 0 && replay_told && now - *replay_told < kReplayToldEach) return;
  replay_told = now;
  handover_total = std::max(handover_total, waiting);
  events.emplace_back(ReplayProgress{waiting, handover_total});
}

void Session::Impl::on_pong(const Pong& pong, TimePoint now) {
  const std::optional<Duration> trip = uplink.round_trip();
  if (!trip || pong.time.ms == 0) return;
  clock.on_pong(pong.time, pong.scale, *trip, local);
  if (replica.journal.waiting == 0) clock.end_doubt();
  if (handover.asks()) return;  // stored with a later one
  if (!clock.take_changed() && clock_saved && now - *clock_saved < kClockSavedEach) return;
  clock_saved = now;
  remember_clock = clock.anchor();
}

std::optional<StoreJob> Session::Impl::next_offline_job(TimePoint now) {
  if (behind_at && (offline || *behind_at <= now)) behind_at.reset();
  if (journaling() && !behind_at) {
    std::optional<OfflineWrite> write = writes.take_offline(now);
    deliver_writes();  // a guest may have to be told its TxId first
    if (write) {
      const BrokerMoment moment = clock.stamp(local);
      if (!offline) behind_at = now + kBehindEach;
      write->edited = moment.time;
      write->edited_error_ms = moment.error_ms;
      write->boot = local.boot;
      write->boot_ms = local.boot_ms;
      write->wall = local.wall;
      write->scale = moment.scale;
      out = Out::kOfflineWrite;
      return JournalWrite{std::move(*write)};
    }
  }
  const bool answered_some = replica.journal.waiting < replica.journal.entries;
  if (const auto anew = std::exchange(want_unmark, std::nullopt); anew && answered_some) {
    out = Out::kUnmark;
    return *anew;
  }
  if (std::optional<StoreJob> job = handover.take_job(now)) {
    out = std::holds_alternative<ReadJournal>(*job) ? Out::kReadJournal : Out::kMark;
    return job;
  }
  return std::nullopt;
}

void Session::set_local_time(const LocalTime& local) {
  impl_->local = local;
  impl_->clock.note(local);
  if (impl_->handover.asks()) return;
  if (impl_->clock.take_changed()) impl_->remember_clock = impl_->clock.anchor();
}

void Session::on_journaled(Result<OfflineDone> result, TimePoint now) {
  Impl& s = *impl_;
  s.out = Impl::Out::kNothing;
  std::vector<std::string> tables;
  if (result) {
    s.see_replica(result->state);
    s.handover.on_appended();
    tables = result->tables;
  } else {
    s.log.error("session: an offline write failed: " + result.error().what);
  }
  s.writes.on_offline(std::move(result));
  if (!s.stopped) {
    if (!tables.empty()) {
      s.events.emplace_back(TablesChanged{std::move(tables), *s.replica.position});
    }
    s.settle(now);
  }
  s.deliver_writes();
}

void Session::on_journal_read(Result<std::vector<Replay>> result, TimePoint now) {
  Impl& s = *impl_;
  s.out = Impl::Out::kNothing;
  if (s.stopped) return;
  if (!result) {
    s.log.error("session: " + result.error().what);
    s.handover.on_store_failed(now);
    // Nothing of it may be built upon, and nothing may be thrown away: a person decides.
    if (result.error().code == Errc::kDamaged && s.uplink.ready()) {
      s.uplink.refuse({RefusalCode::kDatabase, result.error().what}, now);
    }
  } else {
    s.handover.on_read(std::move(result).value());
  }
  s.settle(now);
}

void Session::on_marked(const ReplicaState& replica, TimePoint now) {
  Impl& s = *impl_;
  const bool unmarked = std::exchange(s.out, Impl::Out::kNothing) == Impl::Out::kUnmark;
  if (!unmarked) s.handover.on_marked();
  s.see_replica(replica);
  if (s.stopped) return;
  s.store_works(now);
  s.tell_replay(now);
  s.settle(now);
}

void Session::on_spooled(const Status& result, TimePoint now) {
  Impl& s = *impl_;
  s.out = Impl::Out::kNothing;
  if (s.stopped) return;
  if (result) s.store_works(now);
  if (!result && !s.copy.wanted()) s.on_damage(result.error(), false, now);
  s.settle(now);
}

}  // namespace csa
