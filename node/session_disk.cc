// What a node does while its disk fails it: waits, looks for room, refuses what cannot be kept.
#include <algorithm>
#include <utility>

#include "common/counted.h"
#include "common/limits.h"
#include "node/session_state.h"

namespace csa {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kStoreRetryFirst{500};
constexpr milliseconds kStoreRetryMax{60000};
constexpr int kStoreTroublesMax = 8;
constexpr seconds kProbeEach{2};
constexpr std::uint64_t kProbeFirst = 64 * std::uint64_t{1024};
constexpr std::uint64_t kProbeMax = 64 * limits::kMiB;

}  // namespace

// Trying costs the broker a part of its log each time, so it is done ever less often. Room on the
// disk is asked for more often: that costs nothing, and a full disk that has room again is why a
// store mostly goes on.
void Session::Impl::pause(TimePoint now) {
  feed = Feed::kPaused;
  store_troubles = std::min(store_troubles + 1, kStoreTroublesMax);
  rejoin_at = now + std::min(kStoreRetryMax, kStoreRetryFirst * (1 << store_troubles));
  probe_at = now + kProbeEach;
  if (!disk_was_full) probe_bytes = kProbeFirst;
}

void Session::Impl::end_pause() {
  rejoin_at.reset();
  probe_at.reset();
  want_probe = false;
  feed = Feed::kNone;
  // Without a link nothing is due that would show whether it still is.
  if (!uplink.ready()) disk_full = false;
}

void Session::on_store_failed(Error error, bool disk_full, TimePoint now) {
  Impl& s = *impl_;
  if (s.out == Impl::Out::kOfflineWrite) {
    on_journaled(std::move(error), now);
    return;
  }
  if (s.out != Impl::Out::kNothing) s.disk_full = disk_full;
  const bool of_journal =
      s.out == Impl::Out::kReadJournal || s.out == Impl::Out::kMark || s.out == Impl::Out::kUnmark;
  if (of_journal && error.code == Errc::kDamaged) {
    on_journal_read(std::move(error), now);
    return;
  }
  if (of_journal) s.handover.on_store_failed(now);
  if (s.out == Impl::Out::kApply || s.out == Impl::Out::kInstall || s.out == Impl::Out::kTakeOver) {
    on_applied(std::move(error), now);
    return;
  }
  if (s.out == Impl::Out::kNothing) return;
  s.want_identity = s.want_identity || s.out == Impl::Out::kIdentity;
  if (s.out == Impl::Out::kUnmark) s.want_unmark = HandOverAnew{};
  s.out = Impl::Out::kNothing;
  if (s.stopped) return;
  // Asked for again after a while: only applying the log can tell that a full copy is due.
  s.on_damage({Errc::kFailed, error.what}, false, now);
  s.settle(now);
}

void Session::on_probe(bool room, TimePoint now) {
  Impl& s = *impl_;
  s.out = Impl::Out::kNothing;
  if (s.stopped) return;
  if (s.feed == Impl::Feed::kPaused) {
    if (room && s.disk_was_full) {
      s.disk_was_full = false;
      s.end_pause();
    } else {
      // There was room all the time: so much is not enough, or room is not what the store lacks.
      if (room) s.probe_bytes = std::min(2 * s.probe_bytes, kProbeMax);
      s.disk_was_full = !room;
      s.probe_at = now + kProbeEach;
    }
  }
  s.settle(now);
}

std::string Session::Impl::what_is_kept() const {
  const std::uint64_t waiting = replica.journal.waiting;
  if (waiting == 0) return ". Reading goes on meanwhile; new writes are refused";
  return ". Reading goes on meanwhile; new writes are refused; the journal is kept, " +
         counted(waiting, "offline change waits", "offline changes wait") + " in it";
}

void Session::Impl::store_works(TimePoint now) {
  if (!std::exchange(disk_full, false)) return;
  const std::uint64_t waiting = replica.journal.waiting;
  if (state == NodeState::kReplaying && waiting > 0) {
    become(
        state,
        counted(waiting, "offline change is", "offline changes are") + " handed over to the broker",
        now);
  } else if (state == NodeState::kReplaying || state == NodeState::kCatchingUp) {
    become(state, {}, now);
  }
}

// A write could not be shown here, and without room for its number or its journal entry not even
// be made: the application learns it now, not at its deadline.
void Session::Impl::refuse_unkept() {
  if (!disk_full || feed != Feed::kPaused) return;
  writes.on_disk_full({{},
                       NackCode::kLimit,
                       "this computer's disk is full, so the write was not made; free space on this"
                       " computer, then send it again",
                       0});
}

}  // namespace csa
