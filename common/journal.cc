#include "common/journal.h"

#include <algorithm>
#include <limits>
#include <set>
#include <string>
#include <utility>

#include "common/check.h"
#include "common/codec.h"
#include "common/key_changes.h"
#include "common/limits.h"
#include "common/planted.h"
#include "common/undo.h"

namespace csa {
namespace {

// csa_journal_part's key is entry << kEntryPartBits | part (schemas/tables.sql).
constexpr int kEntryPartBits = 20;

std::int64_t part_key(std::uint64_t counter, std::uint64_t part) {
  return signed_of(counter << kEntryPartBits | part);
}

Error damaged(std::uint64_t counter, const std::string& why) {
  return {Errc::kDamaged,
          "offline change " + std::to_string(counter) + " in this replica's journal is damaged (" +
              why +
              "). Nothing of it is thrown away: csa-node journal shows what can be read. To go on,"
              " move the file away: a broker gives a new copy, and where there is none another"
              " node's replica makes one (csa-broker restore --from). Then type in from it what is"
              " missing"};
}

std::string is_far(const std::string& counter) {
  return counter + " NOT BETWEEN 0 AND " + std::to_string(limits::kOwnCounterMax);
}

constexpr std::string_view kSelectOutcomes =
    "SELECT counter, edited_ms, result, seq, text, keys FROM csa_journal_outcome";

JournalOutcome outcome_of(const Statement& row) {
  return {unsigned_of(row.column_int(0)),
          WallTime{row.column_int(1)},
          row.column_text(2),
          Seq{unsigned_of(row.column_int(3))},
          row.column_text(4),
          keys_of_json(row.column_text(5))};
}

}  // namespace

JournalState Journal::read_state() const {
  JournalState state;
  Statement row =
      db_.prepare("SELECT count(*), coalesce(sum(" + std::string(kEntryWaits) +
                  "), 0), coalesce(min(entry), 0),"
                  " coalesce(max(entry), 0), coalesce(max(answered), 0) FROM csa_journal");
  if (row.step()) {
    state.entries = unsigned_of(row.column_int(0));
    state.waiting = unsigned_of(row.column_int(1));
    state.first = unsigned_of(row.column_int(2));
    state.last = unsigned_of(row.column_int(3));
    const std::uint64_t answered = unsigned_of(row.column_int(4));
    if (answered > 0) state.answered_to = Seq{answered - 1};
  }
  row.reset();
  if (state.entries == 0) return state;
  Statement keys =
      db_.prepare("SELECT 1 FROM csa_journal_outcome WHERE counter >= ?1 AND keys <> '[]' LIMIT 1");
  keys.bind(1, signed_of(state.first));
  state.keys_changed = keys.step();
  return state;
}

void Journal::append(const JournalHeader& header, const Spill& body, JournalState& state) const {
  const std::uint64_t counter = header.tx.counter;
  CSA_CHECK(header.size == body.size() && header.size > 0 && counter > state.last);
  JournalHasher hasher(header);
  Statement insert = db_.prepare("INSERT INTO csa_journal_part VALUES (?1, ?2)");
  std::uint64_t number = 0;
  for (std::uint64_t at = 0; at < header.size; ++number) {
    const Bytes bytes = body.read(at, limits::kPieceMax);
    CSA_CHECK(!bytes.empty() && number < (std::uint64_t{1} << kEntryPartBits));
    hasher.update(bytes);
    insert.bind(1, part_key(counter, number)).bind_blob(2, bytes);
    insert.run();
    at += bytes.size();
  }
  Statement entry = db_.prepare("INSERT INTO csa_journal VALUES (?1, ?2, ?3, 0)");
  entry.bind(1, signed_of(counter))
      .bind_blob(2, encode_header(header))
      .bind_blob(3, hasher.digest().bytes);
  entry.run();
  if (state.entries == 0) state.first = counter;
  state.last = counter;
  ++state.entries;
  ++state.waiting;
}

Result<Journal::Entry> Journal::entry_of(const Statement& row) const {
  const std::uint64_t counter = unsigned_of(row.column_int(0));
  Result<JournalHeader> header = decode_journal_header(row.column_blob(1));
  if (!header) return damaged(counter, header.error().what);
  if (header->tx.counter != counter) return damaged(counter, "it says it is another one");
  Entry entry{std::move(header).value(), {}, row.column_int(3) != 0};
  const Bytes checksum = row.column_blob(2);
  if (checksum.size() != entry.checksum.bytes.size()) return damaged(counter, "no checksum");
  std::copy(checksum.begin(), checksum.end(), entry.checksum.bytes.begin());
  return entry;
}

Result<std::optional<JournalHeader>> Journal::find(std::uint64_t counter) const {
  Statement row =
      db_.prepare("SELECT entry, header, checksum, answered FROM csa_journal WHERE entry = ?1");
  row.bind(1, signed_of(counter));
  if (!row.step()) return std::optional<JournalHeader>{};
  Result<Entry> entry = entry_of(row);
  if (!entry) return entry.error();
  return std::optional<JournalHeader>{std::move(entry->header)};
}

Bytes Journal::part(std::uint64_t counter, std::uint64_t number) const {
  Statement row = db_.prepare("SELECT body FROM csa_journal_part WHERE part_id = ?1");
  row.bind(1, part_key(counter, number));
  return row.step() ? row.column_blob(0) : Bytes{};
}

Status Journal::prove(const Entry& entry) const {
  if (planted("hand over a damaged entry")) return Ok{};
  const std::uint64_t counter = entry.header.tx.counter;
  JournalHasher hasher(entry.header);
  std::uint64_t size = 0;
  for (std::uint64_t number = 0; size < entry.header.size; ++number) {
    const Bytes bytes = part(counter, number);
    if (bytes.empty()) return damaged(counter, "a part is missing");
    hasher.update(bytes);
    size += bytes.size();
  }
  if (size != entry.header.size || hasher.digest() != entry.checksum) {
    return damaged(counter, "its checksum is another one");
  }
  return Ok{};
}

Status Journal::prove_gap(std::uint64_t from, std::uint64_t to) const {
  Statement row = db_.prepare(
      "SELECT part_id FROM csa_journal_part WHERE part_id >= ?1 AND part_id < ?2 LIMIT 1");
  row.bind(1, part_key(from + 1, 0));
  row.bind(2, to == 0 ? std::numeric_limits<std::int64_t>::max() : part_key(to, 0));
  if (!row.step()) return Ok{};
  return damaged(unsigned_of(row.column_int(0)) >> kEntryPartBits, "its header is missing");
}

Result<std::vector<Replay>> Journal::read(std::uint64_t after, std::uint64_t offset,
                                          std::size_t max_bytes, bool gaps) const {
  std::vector<Replay> parts;
  std::size_t bytes = 0;
  const auto first = unsigned_of(db_.query_int("SELECT min(entry) FROM csa_journal").value_or(0));
  Statement rows = db_.prepare(
      "SELECT entry, header, checksum, answered FROM csa_journal WHERE entry > ?1 AND " +
      std::string(kEntryWaits) + " ORDER BY entry");
  rows.bind(1, signed_of(after));
  Statement before = db_.prepare("SELECT max(entry) FROM csa_journal WHERE entry < ?1");
  const bool asks = max_bytes == 0;
  const auto has_room = [&] {
    return asks ? parts.size() < limits::kReplayEntriesMax : bytes < max_bytes;
  };
  while (has_room() && rows.step()) {
    Result<Entry> entry = entry_of(rows);
    if (!entry) return entry.error();
    const std::uint64_t counter = entry->header.tx.counter;
    if (offset == 0 && !asks) CSA_TRY(prove(*entry));
    Replay replay;
    replay.header = entry->header;
    replay.first = first;
    replay.checksum = entry->checksum;
    before.bind(1, signed_of(counter));
    if (before.step()) replay.previous = unsigned_of(before.column_int(0));
    before.reset();
    if (offset == 0 && !gaps) CSA_TRY(prove_gap(replay.previous, counter));
    if (asks) {
      CSA_TRY(add_question(std::move(replay), parts));
      continue;
    }
    // Parts are of one size, but for the last.
    std::uint64_t number = offset / limits::kPieceMax;
    std::uint64_t at = number * limits::kPieceMax;
    for (; at < entry->header.size && bytes < max_bytes; ++number) {
      replay.offset = at;
      replay.bytes = part(counter, number);
      if (replay.bytes.empty()) return damaged(counter, "a part is missing");
      at += replay.bytes.size();
      bytes += replay.bytes.size();
      parts.push_back(replay);
    }
    offset = 0;
  }
  if (parts.empty()) CSA_TRY(prove_end());
  return parts;
}

Status Journal::add_question(Replay replay, std::vector<Replay>& questions) const {
  const std::uint64_t counter = replay.header.tx.counter;
  replay.offset = std::min<std::uint64_t>(1, replay.header.size - 1);
  Statement row =
      db_.prepare("SELECT substr(body, ?2, 1) FROM csa_journal_part WHERE part_id = ?1");
  row.bind(1, part_key(counter, 0)).bind(2, signed_of(replay.offset + 1));
  if (row.step()) replay.bytes = row.column_blob(0);
  if (replay.bytes.empty()) return damaged(counter, "a part is missing");
  questions.push_back(std::move(replay));
  return Ok{};
}

void Journal::mark_answered(const Replayed& answer, JournalState& state) const {
  const std::int64_t counter = signed_of(answer.tx.counter);
  const Result<std::optional<JournalHeader>> header = find(answer.tx.counter);
  Statement mark = db_.prepare("UPDATE csa_journal SET answered = ?2 WHERE entry = ?1 AND " +
                               std::string(kEntryWaits));
  mark.bind(1, counter).bind(2, signed_of(answer.seq.value + 1));
  mark.run();
  if (sqlite3_changes(db_.handle()) == 0) return;
  if (state.waiting > 0) --state.waiting;
  state.answered_to = std::max(state.answered_to, answer.seq);
  state.keys_changed = state.keys_changed || !answer.keys.empty();
  Statement outcome =
      db_.prepare("INSERT OR REPLACE INTO csa_journal_outcome VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
  const std::int64_t edited = header && *header ? (*header)->edited.ms : 0;
  outcome.bind(1, counter).bind(2, edited).bind(3, to_string(answer.result));
  outcome.bind(4, signed_of(answer.seq.value)).bind(5, answer.text);
  outcome.bind(6, to_json(answer.keys));
  outcome.run();
}

Status Journal::undo(const Take& take) const {
  std::uint64_t below = unsigned_of(std::numeric_limits<std::int64_t>::max());
  while (true) {
    Statement row = db_.prepare(
        "SELECT entry, header, checksum, answered FROM csa_journal WHERE entry < ?1"
        " ORDER BY entry DESC LIMIT 1");
    row.bind(1, signed_of(below));
    if (!row.step()) return Ok{};
    Result<Entry> entry = entry_of(row);
    row.reset();
    if (!entry) return entry.error();
    below = entry->header.tx.counter;
    if (entry->header.is_lost()) continue;  // never made here
    CSA_TRY(prove(*entry));
    CSA_TRY(undo_entry(*entry, take));
  }
}

Status Journal::undo_entry(const Entry& entry, const Take& take) const {
  const std::uint64_t counter = entry.header.tx.counter;
  const auto read = [&](std::uint64_t offset) { return part(counter, offset / limits::kPieceMax); };
  const auto unreadable = [&](const std::string& why) { return damaged(counter, why); };
  return undo_changes({entry.header.size, read, unreadable}, take);
}

std::uint64_t Journal::unmark_doubtful() const {
  db_.exec(
      "UPDATE csa_journal SET answered = 0 WHERE answered <> 0 AND NOT EXISTS (SELECT 1 FROM"
      " csa_journal_outcome WHERE counter = entry AND seq = answered - 1)");
  return static_cast<std::uint64_t>(sqlite3_changes(db_.handle()));
}

void Journal::unmark() const { db_.exec("UPDATE csa_journal SET answered = 0"); }

void Journal::unmark_last() const {
  db_.exec(
      "UPDATE csa_journal SET answered = 0 WHERE entry ="
      " (SELECT max(entry) FROM csa_journal WHERE answered <> 0)");
}

void Journal::clear() const {
  db_.exec("DELETE FROM csa_journal; DELETE FROM csa_journal_part");
  Statement oldest = db_.prepare(
      "DELETE FROM csa_journal_outcome WHERE counter <= (SELECT counter FROM csa_journal_outcome"
      " ORDER BY counter DESC LIMIT 1 OFFSET ?1)");
  oldest.bind(1, static_cast<std::int64_t>(kOutcomesKept));
  oldest.run();
}

std::uint64_t Journal::rename(const NodeId& node) const {
  const std::uint64_t highest = lower_far_counters();
  Statement rows = db_.prepare(
      "SELECT entry, header, checksum, answered FROM csa_journal WHERE entry > ?1"
      " ORDER BY entry LIMIT 1");
  std::uint64_t counter = 0;
  while (true) {
    rows.bind(1, signed_of(counter));
    if (!rows.step()) return highest;
    counter = unsigned_of(rows.column_int(0));
    Result<Entry> entry = entry_of(rows);
    rows.reset();
    // What is damaged keeps its name and is found damaged when it is read.
    if (entry && prove(*entry)) rename_entry(std::move(*entry), {node, counter});
  }
}

void Journal::rename_entry(Entry entry, const TxId& to) const {
  JournalHeader& header = entry.header;
  const std::uint64_t counter = header.tx.counter;
  if (!header.is_lost() && !header.is_renamed()) {
    header.origin = header.tx;
    if (header.request_hash.is_zero()) header.request_hash = entry.checksum;
  }
  header.tx = to;
  Statement move = db_.prepare("UPDATE csa_journal_part SET part_id = ?2 WHERE part_id = ?1");
  JournalHasher hasher(header);
  std::uint64_t size = 0;
  for (std::uint64_t number = 0; size < header.size; ++number) {
    const Bytes bytes = part(counter, number);
    hasher.update(bytes);
    size += bytes.size();
    if (to.counter == counter) continue;
    move.bind(1, part_key(counter, number)).bind(2, part_key(to.counter, number)).run();
  }
  Statement change = db_.prepare(
      "UPDATE csa_journal SET entry = ?4, header = ?2, checksum = ?3, answered = 0"
      " WHERE entry = ?1");
  change.bind(1, signed_of(counter)).bind_blob(2, encode_header(header));
  change.bind_blob(3, hasher.digest().bytes).bind(4, signed_of(to.counter));
  change.run();
}

bool Journal::has_far_counters() const {
  return db_.query_int("SELECT EXISTS (SELECT 1 FROM csa_journal WHERE " + is_far("entry") + ")") ==
         1;
}

std::uint64_t Journal::lower_far_counters() const {
  std::set<std::uint64_t> far;  // in order, as SQL has not all of them
  std::uint64_t last = 0;
  Statement rows =
      db_.prepare("SELECT entry, " + is_far("entry") + " FROM csa_journal UNION SELECT counter, " +
                  is_far("counter") + " FROM csa_journal_outcome");
  while (rows.step()) {
    const std::uint64_t counter = unsigned_of(rows.column_int(0));
    if (rows.column_int(1) != 0) {
      far.insert(counter);
    } else {
      last = std::max(last, counter);
    }
  }
  rows.reset();
  Statement outcome = db_.prepare("UPDATE csa_journal_outcome SET counter = ?2 WHERE counter = ?1");
  Statement row =
      db_.prepare("SELECT entry, header, checksum, answered FROM csa_journal WHERE entry = ?1");
  Statement damaged_one = db_.prepare("UPDATE csa_journal SET entry = ?2 WHERE entry = ?1");
  for (const std::uint64_t counter : far) {
    outcome.bind(1, signed_of(counter)).bind(2, signed_of(++last)).run();
    row.bind(1, signed_of(counter));
    if (row.step()) {
      Result<Entry> entry = entry_of(row);
      row.reset();
      if (entry && prove(*entry)) {
        const NodeId node = entry->header.tx.node;
        rename_entry(std::move(*entry), {node, last});
      } else {
        damaged_one.bind(1, signed_of(counter)).bind(2, signed_of(last)).run();
      }
    }
    row.reset();
  }
  return last;
}

std::vector<JournalOutcome> Journal::read_outcomes() const {
  std::vector<JournalOutcome> outcomes;
  Statement rows = db_.prepare(std::string(kSelectOutcomes) + " ORDER BY counter");
  while (rows.step()) outcomes.push_back(outcome_of(rows));
  return outcomes;
}

std::optional<JournalOutcome> Journal::find_outcome(std::uint64_t counter) const {
  Statement row = db_.prepare(std::string(kSelectOutcomes) + " WHERE counter = ?1");
  row.bind(1, signed_of(counter));
  if (!row.step()) return std::nullopt;
  return outcome_of(row);
}

void Journal::replace_all(const std::vector<JournalOutcome>& outcomes) const {
  db_.exec(
      "DELETE FROM csa_journal; DELETE FROM csa_journal_part; DELETE FROM csa_journal_outcome");
  // They may come of a damaged file, which told one twice.
  Statement insert =
      db_.prepare("INSERT OR IGNORE INTO csa_journal_outcome VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
  for (const JournalOutcome& outcome : outcomes) {
    insert.bind(1, signed_of(outcome.counter)).bind(2, outcome.edited.ms).bind(3, outcome.result);
    insert.bind(4, signed_of(outcome.seq.value)).bind(5, outcome.text);
    insert.bind(6, to_json(outcome.keys)).run();
  }
}

}  // namespace csa
