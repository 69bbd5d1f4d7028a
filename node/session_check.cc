// Whether the replica equals the master (README, "equal"): when it is asked, and what follows.
#include "common/limits.h"
#include "node/session_state.h"

namespace csa {
namespace {

// After the start, and after a difference that was found, its full copy called for or not.
constexpr std::chrono::minutes kFirstCheck{2};
// Copies that a difference calls for, one after the other, before it is only told.
constexpr int kHealsMax = 2;

std::string found(const Checked& checked) {
  std::string text;
  for (const KeyRange& range : checked.differences) {
    text += (text.empty() ? "" : "; ") + range.table;
    if (range.rows > 0) text += " (" + std::to_string(range.rows) + " rows)";
  }
  return text;
}

}  // namespace

void Session::Impl::check_when_due(TimePoint now) {
  if (config.verify_every <= Duration{}) return;
  if (!verify_at) verify_at = now + std::min<Duration>(config.verify_every, kFirstCheck);
  if (*verify_at > now || state != NodeState::kLive) return;
  verify_at = now + config.verify_every;
  if (!has_journal()) uplink.send(DigestGet{++check_requests});
}

// True: it was one of these.
bool Session::Impl::on_check_message(Message& message) {
  if (auto* const digest = std::get_if<DigestReply>(&message)) {
    if (has_journal() || !replica.position) {
      Checked checked;
      checked.asked = digest->asked;
      checked.pending = replica.journal.waiting;
      checked.text = replica.position ? "" : "It has no copy yet.";
      if (digest->asked != 0) uplink.send(checked);
    } else if (digest->asked != 0 || digest->request == check_requests) {
      check_jobs.emplace_back(std::move(*digest));
    }
    return true;
  }
  if (auto* const rows = std::get_if<RowsReply>(&message)) {
    check_jobs.emplace_back(std::move(*rows));
    return true;
  }
  return false;
}

void Session::on_check(CheckAnswer answer, const KeptRows& kept, TimePoint now) {
  Impl& s = *impl_;
  if (s.stopped) return;
  if (auto* const get = std::get_if<RowsGet>(&answer)) {
    if (s.uplink.ready()) s.uplink.send(std::move(*get));
    s.settle(now);
    return;
  }
  const Checked& checked = std::get<Checked>(answer);
  if (s.uplink.ready() && checked.asked != 0) s.uplink.send(checked);
  if (checked.differences.empty()) {
    if (checked.text.empty()) s.heals = 0;
    s.log.info("session: the replica was compared with the master: " +
               (checked.text.empty() ? "equal" : checked.text));
    s.settle(now);
    return;
  }
  const std::string what = "this replica differed from the master in " + found(checked) +
                           (checked.text.empty() ? "" : ": " + checked.text);
  s.log.error("session: " + what + (kept.file.empty() ? "" : "; its rows are in " + kept.file));
  if (!kept.failed.empty()) {
    s.log.error("session: it is not repaired before its rows are kept, which would be lost: " +
                kept.failed + "; it is compared again later, or when csa-admin verify asks");
    if (s.config.verify_every > Duration{}) s.verify_at = now + kFirstCheck;
    s.settle(now);
    return;
  }
  if (!kept.file.empty()) s.events.emplace_back(KeptAside{kept.file, what});
  s.heal(what, now);
  s.settle(now);
}

// At once, or where there is no link, the store is given time, or something was made here that goes
// to the broker first: as soon as that is over.
void Session::Impl::heal(const std::string& what, TimePoint now) {
  if (copy.wanted() || copy_reason || heals == kHealsMax) return;
  ++heals;
  const std::string reason = what + " (taking a full copy)";
  if (config.verify_every > Duration{}) verify_at = now + kFirstCheck;
  if (uplink.ready() && feed == Feed::kLog && !has_journal()) {
    start_copy(reason, heals > 1, now);
  } else {
    copy_reason = reason;
  }
}

std::vector<CheckJob> Session::take_checks() { return std::exchange(impl_->check_jobs, {}); }

}  // namespace csa
