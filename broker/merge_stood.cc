#include "broker/merge_stood.h"

#include <functional>
#include <optional>

#include "broker/merge_step.h"
#include "common/limits.h"

namespace csa {
namespace {

using Visit = std::function<void(const RowChange& row, const ChangeTable& table)>;

// What cannot be read is not there: then the counts differ.
void feed(ChangeReader& reader, const Bytes& bytes, const Visit& visit) {
  reader.feed(bytes);
  while (true) {
    const Result<std::optional<Change>> change = reader.next();
    if (!change || !*change) return;
    const auto* const row = std::get_if<RowChange>(&**change);
    if (row != nullptr) visit(*row, reader.tables().at(row->table));
  }
}

void each_of_journal(const Spill& body, const Visit& visit) {
  ChangeReader reader;
  for (std::uint64_t at = 0; at < body.size(); at += limits::kPieceMax) {
    feed(reader, body.read(at, limits::kPieceMax), visit);
  }
}

void each_of_log(LogTable& log, Seq seq, const Visit& visit) {
  ChangeReader reader;
  for (std::uint64_t at = 0;;) {
    const std::optional<LogPiece> piece = log.read(seq, at, limits::kPieceMax);
    if (!piece || piece->bytes.empty()) return;
    at += piece->bytes.size();
    feed(reader, piece->bytes, visit);
    if (piece->completes()) return;
  }
}

bool is_numbered(const RowChange& row, const ChangeTable& table) {
  return row.op == RowOp::kInsert && !table.without_rowid && !row.key.empty() &&
         std::holds_alternative<std::int64_t>(row.key.front());
}

}  // namespace

void StoodKeys::pair(const ReplayEntry& entry, LogTable& log, Seq seq) {
  ByTable there;
  bool merged = false;
  const std::optional<LogTable::Entry> logged = log.entry(seq);
  if (logged && logged->header.tx == entry.header.tx) {
    each_of_log(log, seq, [&](const RowChange& row, const ChangeTable& table) {
      merged = merged || table_class(table.name) == TableClass::kShared;
      if (!is_numbered(row, table)) return;
      Numbers& numbers = there[lower(table.name)];
      numbers.rowids.add(numbers.count++, std::get<std::int64_t>(row.key.front()));
    });
  }
  if (merged) return;
  ByTable here;
  each_of_journal(entry.body, [&](const RowChange& row, const ChangeTable& table) {
    if (is_numbered(row, table)) ++here[lower(table.name)].count;
  });
  std::map<std::string, std::int64_t> places;
  each_of_journal(entry.body, [&](const RowChange& row, const ChangeTable& table) {
    if (!is_numbered(row, table)) return;
    const std::string name = lower(table.name);
    const auto found = there.find(name);
    const bool equal = found != there.end() && found->second.count == here[name].count;
    give(row, table, equal ? &found->second : nullptr, places[name]++);
  });
}

void StoodKeys::give(const RowChange& change, const ChangeTable& table, const Numbers* there,
                     std::int64_t place) {
  const MergeTable* const known = schema_.table(table.name);
  if (known == nullptr || known->is_shadow()) return;
  if (!is_nameless(change, table) && !(change.assigned && known->keyed_by_rowid())) return;
  const auto rowid = std::get<std::int64_t>(change.key.front());
  const std::optional<std::int64_t> stands =
      there == nullptr ? std::nullopt : there->rowids.find(place);
  if (!stands) {
    keys_.lose(known->name(), rowid);
  } else if (*stands == rowid) {
    keys_.record(known->name(), rowid, rowid);
  } else {
    keys_.give(known->name(), rowid, *stands);
  }
}

}  // namespace csa
