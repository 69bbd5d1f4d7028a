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
  const std::optional<LogTable::Entry> logged = log.entry(seq);
  const bool there = logged && logged->header.tx == entry.header.tx;
  pair_rows(entry, log, there ? seq : Seq{});
}

// `seq` 0: the log does not tell.
void StoodKeys::pair_rows(const ReplayEntry& entry, LogTable& log, Seq seq) {
  ByTable there;
  bool merged = false;
  if (seq != Seq{}) {
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

// What the merge of the entry wrote into csa_remap. False: it wrote nothing of csa's.
bool StoodKeys::take_logged(LogTable& log, Seq seq) {
  constexpr std::size_t kName = 2, kBefore = 3, kAfter = 4, kLost = 6;  // columns
  bool merged = false;
  each_of_log(log, seq, [&](const RowChange& row, const ChangeTable& table) {
    if (table_class(table.name) != TableClass::kShared) return;
    merged = true;
    if (lower(table.name) != "csa_remap" || row.op == RowOp::kDelete) return;
    if (row.key.size() <= kBefore || row.new_values.size() <= kLost) return;
    const auto* const name = std::get_if<Text>(&row.key[kName]);
    const auto* const before = std::get_if<std::int64_t>(&row.key[kBefore]);
    if (name == nullptr || before == nullptr || !row.new_values[kAfter]) return;
    const auto* const after = std::get_if<std::int64_t>(&*row.new_values[kAfter]);
    if (after == nullptr || keys_.given(name->utf8, *before)) return;
    const std::optional<Value>& lost = row.new_values[kLost];
    keys_.record(name->utf8, *before, *after);
    if (lost && *lost == Value{std::int64_t{1}}) keys_.lose(name->utf8, *before);
  });
  return merged;
}

void StoodKeys::recall(LogTable& log, Seq seq, std::uint64_t first, std::uint64_t journal,
                       std::uint64_t now) {
  const std::optional<LogTable::Entry> logged = log.entry(seq);
  if (!logged) return;
  const std::int64_t counter = signed_of(logged->header.tx.counter);
  const std::uint64_t then = logged->header.schema_version;
  constexpr std::size_t kJournal = 1, kName = 2, kBefore = 3;  // columns of the key
  constexpr std::size_t kAfter = 4, kLost = 6;
  each_of_log(log, seq, [&](const RowChange& row, const ChangeTable& table) {
    if (lower(table.name) != "csa_remap" || row.key.size() <= kBefore) return;
    const auto* const of = std::get_if<std::int64_t>(&row.key[kJournal]);
    const auto* const name = std::get_if<Text>(&row.key[kName]);
    const auto* const before = std::get_if<std::int64_t>(&row.key[kBefore]);
    if (of == nullptr || name == nullptr || before == nullptr) return;
    const std::string table_now =
        then == now ? name->utf8 : schema_.places().name_now(name->utf8, then, now);
    if (table_now.empty()) return;  // it is gone, and nothing refers to it
    if (row.op == RowOp::kDelete) {
      // What it has forgotten of the node's other journals is not its own.
      const bool own = unsigned_of(*of) == first || unsigned_of(*of) == journal;
      return own ? keys_.forget_before(table_now, *before, counter) : void();
    }
    const auto value = [&](std::size_t column) -> std::optional<std::int64_t> {
      if (row.new_values.size() <= column || !row.new_values[column]) return std::nullopt;
      const auto* const number = std::get_if<std::int64_t>(&*row.new_values[column]);
      return number == nullptr ? std::nullopt : std::optional(*number);
    };
    KeyChanges::Recalled as{value(kAfter), counter, std::nullopt};
    if (const auto lost = value(kLost)) as.lost = *lost != 0;
    keys_.recall(table_now, *before, as);
  });
}

void StoodKeys::take_over(const ReplayEntry& entry, LogTable& log, const Replayed& outcome) {
  const std::optional<LogTable::Entry> logged = log.entry(outcome.seq);
  const bool there = logged && logged->header.request_hash == entry.header.request_hash;
  if (there && take_logged(log, outcome.seq)) return;
  for (const KeyChange& key : outcome.keys) {
    if (!keys_.given(key.table, key.before)) keys_.record(key.table, key.before, key.after);
  }
  const ReplayResult result = outcome.result;
  const bool made = result == ReplayResult::kApplied || result == ReplayResult::kMerged ||
                    result == ReplayResult::kSplit;
  if (made && (there || outcome.keys.size() < limits::kKeyChangesMax)) return;
  if (result == ReplayResult::kStood && there) {
    pair_rows(entry, log, outcome.seq);
    return;
  }
  each_of_journal(entry.body, [&](const RowChange& row, const ChangeTable& table) {
    if (!is_numbered(row, table)) return;
    const MergeTable* const known = numbered(row, table);
    if (known == nullptr) return;
    const auto rowid = std::get<std::int64_t>(row.key.front());
    if (!keys_.given(known->name(), rowid)) keys_.lose(known->name(), rowid);
  });
}

// nullptr: nobody calls the row by a number that SQLite gave it.
const MergeTable* StoodKeys::numbered(const RowChange& change, const ChangeTable& table) {
  const MergeTable* const known = schema_.table(table.name);
  if (known == nullptr || known->is_shadow()) return nullptr;
  const bool named = is_nameless(change, table) || (change.assigned && known->keyed_by_rowid());
  return named ? known : nullptr;
}

void StoodKeys::give(const RowChange& change, const ChangeTable& table, const Numbers* there,
                     std::int64_t place) {
  const MergeTable* const known = numbered(change, table);
  if (known == nullptr) return;
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
