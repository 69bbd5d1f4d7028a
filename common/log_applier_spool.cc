// The log's tail while there is a journal: kept beside, applied in one step.
#include "common/log_applier.h"
#include "common/log_applier_changed.h"
#include "common/planted.h"

namespace csa {

Status LogApplier::spool(const std::vector<LogPiece>& pieces) {
  for (const LogPiece& piece : pieces) {
    if (piece.header.seq <= now_.meta.position.seq) continue;
    if (piece.offset > piece.header.size || piece.bytes.size() > piece.header.size - piece.offset) {
      return Error{Errc::kMalformed, "a part goes beyond its log entry's end"};
    }
    const Cursor place{piece.header.seq, piece.offset};
    // A stream that begins anew may cut its parts elsewhere.
    if (place != spooled_) log_->erase_from(place.offset == 0 ? place.seq : place.seq.next());
    log_->append(piece);
    spooled_ = piece.completes() ? Cursor{place.seq.next(), 0}
                                 : Cursor{place.seq, place.offset + piece.bytes.size()};
  }
  return Ok{};
}

Result<LogApplier::Outcome> LogApplier::take_over(const Journal& journal) {
  suspicious_ = false;
  next_ = now_;
  Changed changed;
  CSA_TRY(journal.undo([&](const Change& change, const std::vector<ChangeTable>& tables) -> Status {
    if (planted("undo nothing of the journal")) return Ok{};
    if (const auto* const row = std::get_if<RowChange>(&change)) {
      changed.tables.insert(tables.at(row->table).name);
    }
    return applier_.apply(change, tables);
  }));
  crash_point("take over: journal undone");
  while (true) {
    const Seq seq = next_.meta.position.seq.next();
    const std::optional<LogTable::Entry> entry = readable_entry(*log_, seq);
    if (!entry && log_->stored(seq) == 0) break;
    if (!entry) return doubt("log entry " + std::to_string(seq.value) + " cannot be read");
    if (log_->stored(seq) != entry->header.size) break;  // not all of it is here
    CSA_TRY(may_follow(entry->header));
    CSA_TRY(apply_stored(*entry, changed));
    CSA_TRY(advance(entry->header, entry->chain, changed));
  }
  applier_.finish();
  write_meta(db_, next_.meta);
  next_.partial = 0;
  Outcome outcome;
  outcome.tables.assign(changed.tables.begin(), changed.tables.end());
  outcome.schema_changed = changed.schema;
  return outcome;
}

}  // namespace csa
