#include "broker/master_history.h"

#include <algorithm>

namespace csa {

MasterHistory::MasterHistory(const Database& db)
    : db_(db),
      past_(db),
      log_(db),
      chain_(db, "SELECT chain FROM main.csa_log WHERE part_id = ?1") {}

MasterHistory::Base MasterHistory::find(const Position& base, const Meta& now) {
  if (read_at_ != now.position.epoch) epochs_ = read_epochs(db_);
  read_at_ = now.position.epoch;
  const Id128& id = base.epoch.id;
  Position end = now.position;
  bool begins = base.seq.value == 0;
  for (const EpochRecord& record : epochs_) {
    if (record.parent.epoch.id == id) end = record.parent;
    if (record.epoch.id == id) begins = begins || base.seq == record.parent.seq;
  }
  if (!id.is_zero() && end.epoch.id == id) {
    // It went on there, or an older state of the file was put back.
    if (base.seq > end.seq && end != now.position) return {end.seq, true, false};
    if (is_mine(base, end, begins)) {
      // The log begins with the next epoch: perhaps that did with changes that are in no entry.
      const bool whole =
          end == now.position || base.seq != end.seq || past_.floor(now) != base.seq.next();
      if (whole) return {base.seq};
      return {base.seq, true, false, latest_before(db_, log_, base.seq.next())};
    }
  }
  const Seq begin = epochs_.empty() ? Seq{} : epochs_.back().parent.seq;
  return {begin, false, false, latest_before(db_, log_, begin.next())};
}

// True also where the log does not reach back to it.
bool MasterHistory::is_mine(const Position& base, const Position& end, bool begins) {
  if (base.seq > end.seq) return false;
  // Only who began the epoch ever had that number in it, and no entry tells its chain; offers of a
  // lost history have none.
  if (begins || base.chain == Chain{}) return true;
  if (base.seq == end.seq) return base.chain == end.chain;
  chain_.bind(1, first_log_part(base.seq));
  const bool other =
      chain_.step() && !std::ranges::equal(chain_.column_blob(0), base.chain.value.bytes);
  chain_.reset();
  return !other;
}

Edit latest_before(const Database& db, LogTable& log, Seq first) {
  Edit latest;
  latest.time.ms = 253402300799000;  // the last that can be told
  latest.at_most = true;
  if (const auto entry = readable_entry(log, first)) {
    latest.time = entry->header.time;
    return latest;
  }
  for (const EpochRecord& record : read_epochs(db)) {
    if (record.parent.seq.next() >= first) latest.time = std::min(latest.time, record.started);
  }
  return latest;
}

void MasterHistory::Base::qualify(RowEdits& edits) const {
  if (!whole) edits.all_known = false;
  if (!doubt) return;
  const auto doubted = [this](const Edit& edit) { return edit == Edit{} ? *doubt : edit; };
  edits.last = doubted(edits.last);
  if (edits.whole) edits.whole = doubted(*edits.whole);
  for (Edit& edit : edits.columns) edit = doubted(edit);
}

}  // namespace csa
