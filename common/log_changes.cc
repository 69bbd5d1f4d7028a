#include "common/log_changes.h"

#include <string>

#include "common/limits.h"
#include "common/past_log.h"

namespace csa {
namespace {

using TakeLogged = std::function<void(const Change&, const std::vector<ChangeTable>&)>;

Status read_entry(LogTable& log, Seq seq, const TakeLogged& take) {
  const Error lacks{Errc::kNothing, "the log no longer holds entry " + std::to_string(seq.value)};
  const std::optional<LogTable::Entry> entry = log.entry(seq);
  if (!entry) return lacks;
  if (entry->header.kind != EntryKind::kChanges) {
    return Error{Errc::kRejected, "the schema was changed meanwhile"};
  }
  ChangeReader reader;
  for (std::uint64_t at = 0; at < entry->header.size;) {
    const std::optional<LogPiece> piece = log.read(seq, at, limits::kPieceMax);
    if (!piece || piece->bytes.empty()) return lacks;
    at += piece->bytes.size();
    reader.feed(piece->bytes);
    while (true) {
      Result<std::optional<Change>> change = reader.next();
      if (!change) return Error{Errc::kDamaged, change.error().what};
      if (!*change) break;
      if (std::holds_alternative<SchemaStatement>(**change)) {
        return Error{Errc::kRejected, "the schema was changed meanwhile"};
      }
      take(**change, reader.tables());
    }
  }
  return Ok{};
}

}  // namespace

Status each_logged_change(const Database& db, Seq floor, Seq after, Seq through,
                          const TakeLogged& take) {
  if (after >= through) return Ok{};
  if (after.next() < floor) {
    return Error{Errc::kNothing, "the log begins at entry " + std::to_string(floor.value) +
                                     " and no longer tells what happened after entry " +
                                     std::to_string(after.value)};
  }
  LogTable log(db);
  LogProof proof(db, log);
  for (Seq seq = after.next(); seq <= through; seq = seq.next()) {
    if (log.entry(seq) && proof.doubts(seq)) {
      return Error{Errc::kDamaged,
                   "entry " + std::to_string(seq.value) + " of its log is not what was written"};
    }
    CSA_TRY(read_entry(log, seq, take));
  }
  return Ok{};
}

}  // namespace csa
