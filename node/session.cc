#include "node/session.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/limits.h"
#include "node/session_state.h"

namespace csa {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kProgressEach{100};
constexpr std::uint32_t kLedgerGraceMs = 5000;  // beyond the statement limit: the disk is dead

void sooner(TimePoint& next, const std::optional<TimePoint>& other) {
  if (other && *other < next) next = *other;
}

}  // namespace

Session::Impl::Impl(SessionConfig config_in, const ReplicaState& replica_in, const Log& log_in)
    : config(std::move(config_in)),
      log(log_in),
      replica(replica_in),
      uplink(config.uplink, log_in),
      stream(config.uplink.seed + 1),
      copy(config.uplink.seed + 2),
      writes(config.uplink.seed + 3),
      handover(config.uplink.seed + 4),
      clock(replica_in.clock) {
  clock.not_before(replica_in.edited);
  if (config.uplink.last_good) remembered = to_string(*config.uplink.last_good);
  writes.set_identity(replica.node, replica.counter);
  see_replica(replica_in);
}

void Session::Impl::tell_uplink() {
  uplink.set_position(replica.db, replica.position, replica.generation_seen, remembered);
  uplink.set_counters(replica.node, replica.counter, writes.confirmed());
}

bool Session::Impl::ledger_stuck() const {
  return uplink.ready() &&
         ledger_age_ms > std::uint64_t{uplink.welcome().statement_timeout_ms} + kLedgerGraceMs;
}

std::string Session::Impl::no_broker_text() const {
  if (state == NodeState::kRefused) return "a write needs a broker: " + why;
  std::string text = "a write needs a broker, and none is in reach";
  if (!no_link.empty()) text += " (" + no_link + ")";
  if (config.uplink.fixed.empty()) {
    return text + "; searched for one of group " + config.uplink.hello.group +
           " on this network: start it, or name it with --broker HOST";
  }
  text += "; tried ";
  for (std::size_t i = 0; i < config.uplink.fixed.size(); ++i)
    text += (i == 0 ? "" : ", ") + to_string(config.uplink.fixed[i]);
  return text;
}

bool Session::Impl::applied_all() const {
  return feed == Feed::kLog && stream.caught_up() && out != Out::kApply && replica.position &&
         replica.position->epoch.id == stream.position().epoch.id &&
         replica.position->seq == stream.position().seq;
}

void Session::Impl::deliver_writes() {
  for (const TxGiven& given : writes.take_given()) events.emplace_back(given);
  for (WriteDone& done : writes.take_done()) events.emplace_back(std::move(done));
}

void Session::Impl::tell_progress(TimePoint now) {
  const CopyProgress progress = copy.progress();
  const bool whole = progress.bytes == progress.total;
  if (!whole && progress_told && now - *progress_told < kProgressEach) return;
  progress_told = now;
  events.emplace_back(progress);
}

void Session::Impl::tell_copied() const {
  const CopyProgress progress = copy.progress();
  log.info("session: of the " + std::to_string(progress.total) + " bytes of the copy " +
           std::to_string(progress.fetched) + " came from the broker, the others were here");
}

void Session::Impl::settle(TimePoint now) {
  on_links(now);
  if (stopped) return;
  if (rejoin_at && *rejoin_at <= now) end_pause();
  if (probe_at && *probe_at <= now) {
    probe_at.reset();
    want_probe = true;
  }
  join(now);
  if (standalone_at && *standalone_at <= now) {
    go_standalone(no_link.empty() ? "no broker in reach" : no_link, now);
  }
  refuse_unkept();
  writes.on_deadline(now, no_broker_text());
  const bool identified = !want_identity && out != Out::kIdentity;
  if (uplink.ready() && identified) send_requests(now);
  last_now = now;
  if (behind_at && *behind_at <= now) behind_at.reset();
  if (uplink.ready()) check_when_due(now);
  tell_uplink();
  tell_position(now);
  deliver_writes();
}

void Session::Impl::send_requests(TimePoint now) {
  go_on_handover(now);
  if (feed == Feed::kLog) {
    if (const std::optional<LogGet> get = stream.take_request(now)) uplink.send(*get);
  }
  // What is being applied decides how old a copy may be.
  if (feed == Feed::kCopy && out != Out::kApply && out != Out::kTakeOver) {
    copy.set_at_least(copy_at_least());
    for (const SnapshotGet& get : copy.take_requests(now)) uplink.send(get);
  }
  if (state == NodeState::kCatchingUp && applied_all()) become(NodeState::kLive, {}, now);
  const bool joined = state == NodeState::kCatchingUp || state == NodeState::kLive ||
                      (state == NodeState::kReplaying && handed_over());
  if (joined && replica.journal.waiting == 0) {
    for (Message& message : writes.take_sendable(now)) uplink.send(std::move(message));
  }
}

// Heartbeats are far apart: whoever asks the broker how far the nodes are wants a fresher answer.
void Session::Impl::tell_position(TimePoint now) {
  if (!uplink.ready() || !replica.position || replica.position->seq == told_seq) {
    tell_at.reset();
    return;
  }
  if (!tell_at) tell_at = now + limits::kHeadInterval;
  if (*tell_at > now) return;
  tell_at.reset();
  told_seq = replica.position->seq;
  uplink.ping_soon(now);
}

std::optional<StoreJob> Session::Impl::next_job(TimePoint now) {
  if (feed == Feed::kPaused) {  // the disk is given time
    if (!std::exchange(want_probe, false)) return std::nullopt;
    out = Out::kProbe;
    return ProbeDisk{probe_bytes};
  }
  if (want_identity) {
    want_identity = false;
    out = Out::kIdentity;
    return RenewIdentity{identity_above};
  }
  if ((uplink.ready() || journaling()) && writes.needs_counters()) {
    out = Out::kCounters;
    return ReserveCounters{};
  }
  if (std::optional<StoreJob> job = next_offline_job(now)) return job;
  // For a later start: what was done offline does not wait for it.
  if (remember) return RememberEndpoint{*std::exchange(remember, std::nullopt)};
  if (std::exchange(want_drop, false) && !copy.wanted()) return DropDownload{};
  if (remember_clock) return RememberClock{*std::exchange(remember_clock, std::nullopt)};
  if (std::optional<StoreJob> job = copy.take_job()) {
    out = std::holds_alternative<BeginDownload>(*job) ? Out::kBegin
          : std::holds_alternative<PlanCopy>(*job)    ? Out::kPlan
          : std::holds_alternative<WriteChunk>(*job)  ? Out::kChunk
                                                      : Out::kInstall;
    return job;
  }
  if (feed == Feed::kLog && stream.has_ready()) {
    if (has_journal()) {
      out = Out::kSpool;
      return SpoolPieces{stream.take(limits::kMiB)};
    }
    out = Out::kApply;
    return ApplyPieces{stream.take(limits::kMiB), floor};
  }
  if (can_take_over()) {
    out = Out::kTakeOver;
    return TakeOver{};
  }
  return std::nullopt;
}

Session::Session(SessionConfig config, const ReplicaState& replica, const Log& log)
    : impl_(std::make_unique<Impl>(std::move(config), replica, log)) {}
Session::~Session() = default;

void Session::start(TimePoint now) {
  Impl& s = *impl_;
  s.events.emplace_back(StateChanged{s.state, s.replica.position, std::nullopt, {}});
  s.standalone_at = now + s.config.discovery_timeout;
  s.uplink.start(now);
  s.settle(now);
}

void Session::leave(std::string reason, TimePoint now) {
  Impl& s = *impl_;
  if (s.stopped) return;
  s.become(NodeState::kLeaving, reason, now);
  s.uplink.leave(reason, now);
  s.stop(0, std::move(reason));
}

void Session::on_message(Message message, TimePoint now) {
  Impl& s = *impl_;
  if (s.stopped) return;
  std::optional<Message> rest = s.uplink.on_message(std::move(message), now);
  s.on_links(now);
  if (rest && !s.stopped && s.uplink.ready()) s.on_answer(std::move(*rest), now);
  s.settle(now);
}

void Session::on_beacon(const HeardBeacon& heard, TimePoint now) {
  if (impl_->stopped) return;
  impl_->uplink.on_beacon(heard, now);
  impl_->settle(now);
}

void Session::on_disconnected(const std::string& why, TimePoint now) {
  if (impl_->stopped) return;
  impl_->uplink.on_disconnected(why, now);
  impl_->settle(now);
}

void Session::on_applied(Result<Applied> result, TimePoint now) {
  Impl& s = *impl_;
  const bool installing = s.out == Impl::Out::kInstall;
  const bool taking_over = s.out == Impl::Out::kTakeOver;
  CSA_CHECK(installing || taking_over || s.out == Impl::Out::kApply);
  s.out = Impl::Out::kNothing;
  if (s.stopped) return;
  if (!result) {
    if (installing || !s.copy.wanted()) s.on_damage(result.error(), installing, now);
  } else {
    Applied applied = std::move(result).value();
    s.see_replica(applied.state);
    s.store_troubles = 0;
    s.disk_was_full = false;
    s.store_works(now);
    if (installing) {
      s.tell_copied();
      s.copy.cancel();
      s.feed = Impl::Feed::kNone;
      s.fresh_copy = true;
      // Offers to the master have taken the next counters.
      if (s.has_journal()) s.writes.set_identity(s.replica.node, s.replica.counter);
      if (!applied.kept_as.empty()) {
        s.events.emplace_back(KeptAside{applied.kept_as, applied.kept_why});
      }
    } else {
      s.had_damage = s.fresh_copy = false;
      s.copy.on_good();
    }
    if (taking_over) {
      // The stream goes on from where the replica stands now.
      s.stream.stop();
      if (s.feed == Impl::Feed::kLog) s.feed = Impl::Feed::kNone;
    }
    if (s.uplink.ready() && s.state == NodeState::kReplaying && !s.has_journal()) {
      s.become(NodeState::kCatchingUp, {}, now);
    }
    if (!applied.tables.empty() && s.replica.position)
      s.events.emplace_back(TablesChanged{std::move(applied.tables), *s.replica.position});
  }
  s.settle(now);
}

void Session::on_download(bool pages_here, TimePoint now) {
  Impl& s = *impl_;
  s.out = Impl::Out::kNothing;
  if (s.stopped) return;
  s.copy.on_download(pages_here);
  s.settle(now);
}

void Session::on_planned(const CopyPlan& plan, TimePoint now) {
  Impl& s = *impl_;
  s.out = Impl::Out::kNothing;
  if (s.stopped) return;
  s.store_works(now);
  if (s.copy.on_planned(plan)) s.tell_progress(now);
  s.settle(now);
}

void Session::on_chunk_written(std::size_t bytes, TimePoint now) {
  Impl& s = *impl_;
  s.out = Impl::Out::kNothing;
  if (s.stopped) return;
  s.store_works(now);
  if (s.copy.on_written(bytes)) s.tell_progress(now);
  s.settle(now);
}

void Session::on_counters(std::uint64_t reserved_up_to, TimePoint now) {
  Impl& s = *impl_;
  s.out = Impl::Out::kNothing;
  s.replica.counter = std::max(s.replica.counter, reserved_up_to);
  if (s.stopped) return;
  s.writes.set_reserved(reserved_up_to);
  s.settle(now);
}

void Session::on_identity(const ReplicaState& replica, TimePoint now) {
  Impl& s = *impl_;
  s.out = Impl::Out::kNothing;
  s.see_replica(replica);
  if (s.stopped) return;
  s.writes.set_identity(replica.node, replica.counter);
  s.tell_uplink();
  s.uplink.abandon("this replica has a new NodeId", now);
  s.settle(now);
}

void Session::write(WriteCall call, TimePoint now) {
  Impl& s = *impl_;
  if (s.stopped) {
    s.writes.refuse(call.call, "this program leaves");
    s.deliver_writes();
    return;
  }
  const bool alone = s.state == NodeState::kStandalone;
  const bool can_journal = s.journaling() && std::holds_alternative<Write>(call.request);
  if (Writes::sent_before(call)) {
    s.writes.add(std::move(call));  // it may have run: its deadline is the time to find out
  } else if (s.state == NodeState::kRefused || (alone && !can_journal)) {
    s.writes.refuse(call.call, s.no_broker_text());
  } else if (s.ledger_stuck()) {
    s.writes.refuse(call.call, "the broker answers, but its database has not for " +
                                   std::to_string(s.ledger_age_ms / 1000) +
                                   " s: look after the disk of its computer");
  } else {
    s.writes.add(std::move(call));
  }
  s.settle(now);
}

void Session::release(const TxId& tx, TimePoint now) {
  if (impl_->stopped) return;
  impl_->writes.release(tx);
  impl_->settle(now);
}

void Session::on_deadline(TimePoint now) {
  if (impl_->stopped) return;
  impl_->uplink.on_deadline(now);
  impl_->settle(now);
}

TimePoint Session::deadline() const {
  const Impl& s = *impl_;
  if (s.stopped) return TimePoint::max();
  TimePoint next = s.uplink.deadline();
  sooner(next, s.standalone_at);
  sooner(next, s.rejoin_at);
  sooner(next, s.probe_at);
  sooner(next, s.tell_at);
  sooner(next, s.handover.deadline());
  if (s.state == NodeState::kLive) sooner(next, s.verify_at);
  if (s.journaling()) sooner(next, s.behind_at);
  const bool identified = !s.want_identity && s.out != Impl::Out::kIdentity;
  const bool sending = s.uplink.ready() && identified;
  sooner(next, s.writes.deadline(sending));
  if (sending && s.feed == Impl::Feed::kLog) sooner(next, s.stream.deadline());
  if (sending && s.feed == Impl::Feed::kCopy) sooner(next, s.copy.deadline());
  return next;
}

std::vector<UplinkAction> Session::take_actions() { return impl_->uplink.take_actions(); }

std::optional<StoreJob> Session::take_job() {
  if (impl_->stopped || impl_->out != Impl::Out::kNothing) return std::nullopt;
  return impl_->next_job(impl_->last_now);
}

std::vector<SessionEvent> Session::take_events() { return std::exchange(impl_->events, {}); }

Session::View Session::view() const {
  const Impl& s = *impl_;
  View view;
  view.state = s.state;
  view.position = s.replica.position;
  if (s.uplink.ready()) {
    view.broker = s.uplink.endpoint();
    view.broker_hostname = s.uplink.welcome().hostname;
    view.head = s.head.seq;
  }
  view.schema_version = s.replica.schema_version;
  view.pending = s.replica.journal.waiting;
  view.node = s.replica.node;
  view.stalled = s.disk_full;
  return view;
}

}  // namespace csa
