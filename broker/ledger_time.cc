// Broker's time in the master's file.
#include "broker/kept_time.h"
#include "broker/ledger_impl.h"

namespace csa {

// Before anybody hears of a scale it is in the file, so that the next start goes on with it.
void Ledger::Impl::begin_time() {
  const LocalTime now = options.local_now();
  time.emplace(resume_time(db, meta, now, options.random_id()));
  time_kept = time->reading(now);
  write_private(db, kClockKey, to_text(time_kept));
}

void Ledger::Impl::tell_time(GroupState& state) const {
  const LocalTime now = options.local_now();
  state.time = time->at(now);
  state.wall_ahead_ms = now.wall.ms - state.time.ms;
}

// With each commit: an idle broker keeps a reading only where the wall clock was set.
ClockAnchor Ledger::Impl::keep_time() const {
  const LocalTime now = options.local_now();
  if (!time->is_due(time_kept, now)) return time_kept;
  const ClockAnchor reading = time->reading(now);
  write_private(db, kClockKey, to_text(reading));
  return reading;
}

bool Ledger::Impl::wall_was_set() const {
  return BrokerTime::was_set(time_kept, options.local_now());
}

const BrokerTime& Ledger::time() const { return *impl_->time; }

}  // namespace csa
