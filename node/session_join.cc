// States of a node and where its content comes from.
#include <algorithm>
#include <utility>

#include "common/limits.h"
#include "common/planted.h"
#include "node/session_state.h"

namespace csa {

namespace {

using std::chrono::seconds;

constexpr seconds kRenewEach{60};  // a broker that always knows higher counters must not spin us
// An outcome comes before the HEAD that tells its Seq; so many others do not come in between.
constexpr std::uint64_t kSeqAheadMax = 1'000'000;
constexpr const char* kFarAhead =
    "the broker tells an outcome at a place where its log cannot be; the offline change is kept, "
    "and"
    " tried again. Look into the broker's log, and restart the broker";

}  // namespace

void Session::Impl::become(NodeState next, std::string reason, TimePoint now) {
  if (stopped || (next == state && reason == why)) return;
  const bool same = next == state;
  state = next;
  why = std::move(reason);
  if (next != NodeState::kSearching && next != NodeState::kGreeting) standalone_at.reset();
  if (next == NodeState::kLive) {
    was_live = true;
    want_drop = true;
    fresh_copy = false;
    disk_full = false;
  }
  const std::string line = "session: " + std::string(to_string(next)) +
                           (replica.position ? " at " + to_string(*replica.position) : "") +
                           (why.empty() ? "" : ": " + why);
  if (same) {
    log.debug(line);
  } else {
    log.info(line);
  }
  events.emplace_back(
      StateChanged{next, replica.position, uplink.endpoint(), why, replica.journal.waiting});
  uplink.set_state(state, replica.journal.waiting);
  if (!same) uplink.ping_soon(now);
}

void Session::Impl::stop(int exit_code, std::string reason) {
  if (stopped) return;
  const std::string text = "this program leaves: " + reason;
  stopped = true;
  stream.stop();
  copy.cancel();
  feed = Feed::kNone;
  writes.fail_all(text);
  deliver_writes();
  events.emplace_back(Stopped{exit_code, std::move(reason)});
}

void Session::Impl::on_links(TimePoint now) {
  // Answering an event can bring up others (a refusal).
  for (int round = 0; round < 4 && !stopped; ++round) {
    const std::vector<LinkEvent> found = uplink.take_events();
    if (found.empty()) return;
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (stopped) return;
      const LinkEvent& event = found[i];
      const bool refused_next =
          i + 1 < found.size() && std::holds_alternative<LinkRefused>(found[i + 1]);
      on_link(event, refused_next, now);
    }
  }
}

void Session::Impl::on_link(const LinkEvent& event, bool refused_next, TimePoint now) {
  if (const auto* const searching = std::get_if<LinkSearching>(&event)) {
    if (!searching->why.empty()) no_link = searching->why;
    if (state == NodeState::kRefused) standalone_at = now + config.discovery_timeout;
    if (state == NodeState::kGreeting || state == NodeState::kRefused) {
      become(NodeState::kSearching, no_link, now);
    }
  } else if (std::holds_alternative<LinkGreeting>(event)) {
    if (state == NodeState::kSearching) become(NodeState::kGreeting, {}, now);
  } else if (const auto* const ready = std::get_if<LinkReady>(&event)) {
    if (uplink.ready()) on_ready(*ready, now);
  } else if (const auto* const lost = std::get_if<LinkLost>(&event)) {
    on_lost(lost->why, refused_next, now);
  } else if (const auto* const refused = std::get_if<LinkRefused>(&event)) {
    on_refused(*refused, now);
  } else if (const auto* const outdated = std::get_if<LinkOutdated>(&event)) {
    no_link = outdated->why;
    const bool news = state == NodeState::kStandalone && !std::exchange(outdated_told, true);
    if (news) become(state, no_link, now);
  }
}

bool Session::Impl::renew_identity(const std::string& reason, TimePoint now) {
  if (renewed_at && now - *renewed_at < kRenewEach) return false;
  renewed_at = now;
  want_identity = true;
  log.warn("session: " + reason + ", so this replica takes a new NodeId");
  return true;
}

bool Session::Impl::refuse_broker(const Welcome& welcome, const Endpoint& endpoint, TimePoint now) {
  const std::string who = to_string(endpoint) + " (" + welcome.hostname + ")";
  if (replica.db && *replica.db != welcome.db) {
    uplink.refuse({RefusalCode::kDatabase,
                   "the replica holds database " + to_string(*replica.db) + ", the broker at " +
                       who + " shares database " + to_string(welcome.db) +
                       ", and two databases are never merged: name another file with --replica"},
                  now);
    return true;
  }
  const std::uint64_t seen = replica.generation_seen;
  if (replica.db && welcome.head.epoch.generation < seen) {
    uplink.refuse(
        {RefusalCode::kGeneration, "the broker at " + who + " is an old one: it has generation " +
                                       std::to_string(welcome.head.epoch.generation) +
                                       " of the database, this replica has followed generation " +
                                       std::to_string(seen) + ": stop that broker"},
        now);
    return true;
  }
  // Not above what is reserved: a file that was set back has reserved the same counters again.
  const std::uint64_t used =
      planted("take what is reserved for used") ? replica.counter : writes.used();
  if (welcome.last_counter > used) {
    identity_above = welcome.last_counter;
    const std::string reason = "the broker knows write " + std::to_string(welcome.last_counter) +
                               " of this replica, which itself knows only " + std::to_string(used) +
                               " (copied file, or restored from a backup)";
    const bool renewing = want_identity || out == Out::kIdentity || renew_identity(reason, now);
    if (renewing) {
      become(NodeState::kGreeting, reason, now);
    } else {
      uplink.refuse({RefusalCode::kIdentity, reason + ", also after taking a new NodeId"}, now);
    }
    return true;
  }
  return false;
}

void Session::Impl::on_ready(const LinkReady& ready, TimePoint now) {
  head =
      ready.head.epoch.id == ready.welcome.head.epoch.id && ready.head.seq > ready.welcome.head.seq
          ? ready.head
          : ready.welcome.head;
  floor = ready.welcome.floor;
  ledger_age_ms = 0;
  clock.begin_link();
  if (refuse_broker(ready.welcome, ready.endpoint, now)) return;
  const bool hidden = planted("take what is reserved for used");  // nonces would tell
  writes.set_nonces(ready.welcome.nonces && !hidden);
  no_link.clear();
  outdated_told = false;
  const std::string place = to_string(ready.endpoint);
  if (place != remembered) remember = remembered = place;
  offline = false;
  copy.link_up();
  feed = copy.wanted() ? Feed::kCopy : Feed::kNone;
  if (has_journal()) {
    if (copy.wanted()) {
      put_off_copy();
      feed = Feed::kNone;
    }
    // The broker may run on an older state of its file than the one that answered.
    const bool other = replica.position && replica.position->epoch.id != head.epoch.id;
    if (!other || !planted("keep a lost master's answers")) want_unmark = HandOverAnew{other};
    start_handover(now);
    if (handover.asks()) remember.reset();  // until its end
  } else {
    become(NodeState::kCatchingUp, copy.wanted() ? "a full copy goes on" : "", now);
  }
  join(now);
}

void Session::Impl::on_lost(const std::string& reason, bool refused_next, TimePoint now) {
  no_link = reason;
  stream.stop();
  copy.link_down();
  handover.stop();
  writes.link_down();
  end_pause();
  ledger_age_ms = 0;
  if (config.stop_on_disconnect && was_live) {
    become(NodeState::kLeaving, reason, now);
    uplink.leave("stops when the link is lost", now);
    stop(8, "the link to the broker was lost: " + reason);
    return;
  }
  if (refused_next) return;
  if (replica.position) {
    // Nobody waits for a broker that was there a moment ago: work goes on at once.
    go_standalone(reason, now);
    return;
  }
  become(NodeState::kSearching, reason, now);
  standalone_at = now + config.discovery_timeout;
}

void Session::Impl::on_refused(const LinkRefused& refused, TimePoint now) {
  no_link = "refused at " + to_string(refused.endpoint) + ": " + refused.refusal.text;
  copy.link_down();
  handover.stop();
  offline = false;
  become(NodeState::kRefused, no_link, now);
  writes.fail_unsent(no_broker_text());
}

// Chooses where the content comes from. The one place that does.
void Session::Impl::join(TimePoint now) {
  if (!uplink.ready() || feed != Feed::kNone || want_identity || out == Out::kIdentity) return;
  if (copy.wanted()) {
    feed = Feed::kCopy;
    return;
  }
  if (copy_reason) {
    start_copy(std::string(*copy_reason), false, now);
    return;
  }
  // The store's answer decides what is here already.
  if (out == Out::kApply || out == Out::kInstall || out == Out::kSpool || out == Out::kTakeOver ||
      out == Out::kOfflineWrite) {
    return;
  }
  if (!replica.db || !replica.position) {
    start_copy("no copy of the database is here yet: taking one", false, now);
    return;
  }
  if (handover.asks()) return;
  feed = Feed::kLog;
  stream.start(*replica.position, replica.partial, now);
  stream.on_head(head, now);
}

void Session::Impl::start_copy(const std::string& reason, bool after_trouble, TimePoint now) {
  stream.stop();
  if (has_journal() && (handover.running() || !handed_over()) &&
      !planted("install over what waits")) {
    // What was made here goes to the broker first: the copy would lose it.
    copy_reason = reason;
    feed = Feed::kWaiting;
    return;
  }
  feed = Feed::kCopy;
  want_copy(reason, after_trouble, now);
  become(NodeState::kCatchingUp, reason, now);
}

void Session::Impl::want_copy(const std::string& reason, bool after_trouble, TimePoint now) {
  copy_why = reason;
  copy_reason.reset();
  copy.want(now, after_trouble);
}

// What it is needed for does not pass by itself.
void Session::Impl::put_off_copy() {
  if (!copy.wanted()) return;
  copy.cancel();
  copy_reason = copy_why;
}

// A copy that others have asked for may be older than what is here, or than an outcome: nobody goes
// back in time. Beyond the head there is none.
Seq Session::Impl::copy_at_least() const {
  Seq least = replica.journal.answered_to;
  const bool here = replica.position && replica.position->epoch == head.epoch;
  if (here) least = std::max(least, std::min(replica.position->seq, head.seq));
  return least;
}

void Session::Impl::on_damage(const Error& error, bool installing, TimePoint now) {
  const std::string what =
      installing ? "the full copy cannot be used: " : "the replica cannot go on: ";
  log.error("session: " + what + error.what);
  stream.stop();
  // A copy that found no room is none the worse for it: another one would not find it either.
  if (error.code != Errc::kDamaged && (!installing || disk_full)) {
    put_off_copy();
    pause(now);
    const std::string due = copy_reason ? *copy_reason + "; " : "";
    const std::string kept = disk_full ? what_is_kept() : "";
    if (uplink.ready())
      become(has_journal() ? state : NodeState::kCatchingUp, due + what + error.what + kept, now);
    return;
  }
  // The first damage is repaired at once; what keeps coming back must not load the broker.
  const bool again = installing || had_damage;
  had_damage = true;
  if (has_journal() && (handover.running() || !handed_over()) &&
      !planted("install over what waits")) {
    // What was made here goes to the broker first: the copy would lose it.
    copy.cancel();
    copy_reason = what + error.what + " (taking a full copy)";
    feed = Feed::kNone;
    return;
  }
  const std::string reason = what + error.what + " (taking a full copy)";
  want_copy(copy.wanted() ? copy_why : reason, again, now);
  feed = uplink.ready() ? Feed::kCopy : Feed::kNone;
  if (uplink.ready()) become(NodeState::kCatchingUp, reason, now);
}

void Session::Impl::see_replica(const ReplicaState& next) {
  replica = next;
  writes.hold_confirmed_below(replica.journal.first);
  tell_uplink();
  if (replica.position) writes.on_position(*replica.position);
}

void Session::Impl::on_end(const SnapshotEnd& end, TimePoint now) {
  if (end.position.epoch.generation < replica.generation_seen) {
    start_copy("the broker offers a copy of an older generation than this replica has followed",
               true, now);
    return;
  }
  // A late answer to an earlier request may have been taken for the copy that was asked for.
  const bool older = end.position.epoch == head.epoch && end.position.seq < copy_at_least();
  copy.on_end(end, older, now);
}

void Session::Impl::on_answer(Message message, TimePoint now) {
  if (const auto* ack = std::get_if<Ack>(&message)) {
    writes.on_ack(*ack, head.epoch.id);
  } else if (const auto* nack = std::get_if<Nack>(&message)) {
    if (!writes.on_nack(*nack, now))
      (void)renew_identity("the broker no longer takes this replica's TxIds", now);
  } else if (auto* update = std::get_if<Update>(&message)) {
    newest(update->head);
    if (feed == Feed::kLog) stream.on_update(std::move(*update), now);
  } else if (const auto* beat = std::get_if<Head>(&message)) {
    floor = beat->floor;
    on_head(beat->head, beat->ledger_age_ms, now);
  } else if (const auto* pong = std::get_if<Pong>(&message)) {
    on_head(pong->head, pong->ledger_age_ms, now);
    on_pong(*pong, now);
  } else if (auto* const replayed = std::get_if<Replayed>(&message)) {
    // A journal waits for the Seq of its outcomes: one that cannot be would hold it for ever.
    if (is_outcome(replayed->result) && replayed->seq.value > head.seq.value + kSeqAheadMax) {
      *replayed = {replayed->tx, ReplayResult::kBusy, 0, {}, kFarAhead, {}};
    }
    handover.on_replayed(*replayed, now);
    if (handover.take_doubt()) want_unmark = HandOverAnew{};
    if (is_outcome(replayed->result)) events.emplace_back(OutcomeTold{*replayed});
  } else if (!on_check_message(message)) {
    on_content(std::move(message), now);
  }
}

void Session::Impl::on_content(Message message, TimePoint now) {
  if (auto* slice = std::get_if<LogSlice>(&message)) {
    const Position slice_head = slice->head;
    const Seq slice_floor = slice->floor;
    if (feed != Feed::kLog || !stream.on_log(std::move(*slice), now)) return;
    floor = slice_floor;
    if (slice_head.epoch.id != stream.position().epoch.id)
      start_copy("the master has another history now", fresh_copy, now);
  } else if (const auto* gone = std::get_if<LogGone>(&message)) {
    if (feed == Feed::kLog && stream.on_gone(*gone)) {
      const std::string text =
          gone->text.empty() ? "the log cannot continue from here" : gone->text;
      start_copy(text + " (taking a full copy)", fresh_copy, now);
    }
  } else if (auto* chunk = std::get_if<SnapshotChunk>(&message)) {
    if (feed == Feed::kCopy) copy.on_chunk(std::move(*chunk), now);
  } else if (const auto* end = std::get_if<SnapshotEnd>(&message)) {
    if (feed == Feed::kCopy) on_end(*end, now);
  } else if (const auto* lost_copy = std::get_if<SnapshotGone>(&message)) {
    if (feed == Feed::kCopy && copy.on_gone(*lost_copy, now))
      become(NodeState::kCatchingUp, "the full copy begins anew: " + lost_copy->text, now);
  }
}

void Session::Impl::newest(const Position& told) {
  const bool later = told.epoch.generation > head.epoch.generation;
  if (later) writes.on_next_epoch(head.epoch.id, told.epoch.id);
  if (told.epoch.id != head.epoch.id || told.seq > head.seq) head = told;
}

void Session::Impl::on_head(const Position& told, std::uint32_t age_ms, TimePoint now) {
  ledger_age_ms = age_ms;
  newest(told);
  if (feed == Feed::kLog) stream.on_head(told, now);
}

}  // namespace csa
