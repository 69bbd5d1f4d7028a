#include "broker/merge_keys.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "common/limits.h"
#include "common/value_json.h"

namespace csa {
namespace {

constexpr std::int64_t kHighest = std::numeric_limits<std::int64_t>::max();

// The number that `value` is to a foreign key, which compares by the parent's affinity.
std::optional<std::int64_t> number_of(const Value& value) {
  if (const auto* const number = std::get_if<std::int64_t>(&value)) return *number;
  if (const auto* const real = std::get_if<double>(&value)) {
    constexpr double kExact = 9007199254740992.0;
    if (std::trunc(*real) != *real || std::abs(*real) > kExact) return std::nullopt;
    return static_cast<std::int64_t>(*real);
  }
  std::string text;
  if (const auto* const utf8 = std::get_if<Text>(&value)) text = utf8->utf8;
  if (const auto* const utf16 = std::get_if<Text16>(&value)) text = to_utf8(utf16->units);
  std::int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, failed] = std::from_chars(text.data(), end, number);
  if (failed != std::errc() || stop != end) return std::nullopt;
  return number;
}

// `number` in the place, and of the kind, of `value`.
void put_number(std::int64_t number, Value& value) {
  if (std::holds_alternative<double>(value)) {
    value = static_cast<double>(number);
  } else if (std::holds_alternative<Text>(value)) {
    value = Text{std::to_string(number)};
  } else if (std::holds_alternative<Text16>(value)) {
    const std::string text = std::to_string(number);
    value = Text16{std::u16string(text.begin(), text.end())};
  } else {
    value = number;
  }
}

}  // namespace

KeyChanges::KeyChanges(const Database& db)
    : db_(db),
      find_(db,
            "SELECT after, lost FROM csa_remap WHERE node = ?1 AND journal = ?2 AND table_name = ?3"
            " AND before = ?4"),
      given_(db,
             "SELECT after FROM csa_remap WHERE node = ?1 AND journal = ?2 AND table_name = ?3 AND"
             " before = ?4 AND counter = ?5"),
      insert_(db, "INSERT OR REPLACE INTO csa_remap VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"),
      forget_(db,
              "DELETE FROM csa_remap WHERE node = ?1 AND journal <> ?2 AND (journal >= ?3) ="
              " (?2 >= ?3)"),
      any_of_(db, "SELECT 1 FROM csa_remap WHERE node = ?1 LIMIT 1"),
      remove_(db,
              "DELETE FROM csa_remap WHERE node = ?1 AND journal = ?2 AND table_name = ?3 AND"
              " before = ?4"),
      highest_lost_(db,
                    "SELECT after FROM csa_remap WHERE node = ?1 AND journal = ?2 AND table_name ="
                    " ?3 AND lost <> 0 ORDER BY after DESC LIMIT 1"),
      next_table_(db,
                  "SELECT table_name FROM csa_remap WHERE node = ?1 AND journal = ?2 AND"
                  " table_name > ?3 ORDER BY table_name LIMIT 1") {}

void KeyChanges::begin(const TxId& tx, std::uint64_t journal) {
  tx_ = tx;
  journal_ = journal;
  ahead_.clear();
  changes_.clear();
  lost_.clear();
  forget_.bind_blob(1, tx.node.value.bytes).bind(2, signed_of(journal));
  forget_.bind(3, signed_of(kCopyJournals));
  forget_.run();
  any_of_.bind_blob(1, tx.node.value.bytes);
  any_ = any_of_.step();
  any_of_.reset();
}

void KeyChanges::forget_schema() {
  roots_.clear();
  parents_.clear();
}

void KeyChanges::note(const MergeTable& table, std::int64_t rowid) {
  std::int64_t& highest = ahead_[lower(table.name())].highest;
  highest = std::max(highest, rowid);
}

KeyChanges::Ahead& KeyChanges::ahead_of(MergeTable& table) {
  Ahead& ahead = ahead_[lower(table.name())];
  if (!std::exchange(ahead.settled, true)) {
    ahead.free = table.next_rowid();
    const std::int64_t lost = highest_lost(table.name());
    if (ahead.free && lost >= *ahead.free) {
      ahead.free = lost == kHighest ? std::nullopt : std::optional(lost + 1);
    }
    ahead.next = ahead.free.value_or(kHighest);
    if (ahead.highest >= ahead.next) ahead.next = ahead.highest;
    if (ahead.next == ahead.highest && ahead.next != kHighest) ++ahead.next;
  }
  return ahead;
}

void KeyChanges::leave(const MergeTable& table, std::int64_t rowid) {
  ahead_[lower(table.name())].gone.add(rowid, rowid);
}

void KeyChanges::choose(const MergeTable& table, std::int64_t rowid) {
  // Left in the same entry: the same row, replaced.
  if (!ahead_[lower(table.name())].gone.contains(rowid)) forget(table.name(), rowid);
}

bool KeyChanges::assign(MergeTable& table, std::int64_t rowid) {
  Ahead& ahead = ahead_of(table);
  // Given again after the entry deleted the row that had it: free at the master too, then.
  if (ahead.gone.contains(rowid)) return true;
  const bool free = ahead.free ? rowid >= *ahead.free : !table.has_rowid(rowid);
  if (!free) return fresh_one(table, rowid);
  forget(table.name(), rowid);
  return true;
}

bool KeyChanges::reassign(MergeTable& table, std::int64_t rowid) { return fresh_one(table, rowid); }

bool KeyChanges::fresh_one(MergeTable& table, std::int64_t rowid) {
  Ahead& ahead = ahead_of(table);
  if (ahead.next == kHighest) return false;
  give(table.name(), rowid, ahead.next++);
  return true;
}

void KeyChanges::record(const std::string& table, std::int64_t rowid, std::int64_t at_master) {
  if (rowid == at_master) return forget(table, rowid);
  store(table, rowid, at_master, false);
}

void KeyChanges::store(const std::string& table, std::int64_t rowid, std::int64_t at_master,
                       bool lost) {
  insert_.bind_blob(1, tx_.node.value.bytes).bind(2, signed_of(journal_));
  insert_.bind(3, lower(table)).bind(4, rowid).bind(5, at_master);
  insert_.bind(6, signed_of(tx_.counter)).bind(7, std::int64_t{lost ? 1 : 0});
  insert_.run();
  any_ = true;
}

void KeyChanges::forget_before(const std::string& table, std::int64_t rowid, std::int64_t counter) {
  Statement gone = db_.prepare(
      "DELETE FROM csa_remap WHERE node = ?1 AND journal = ?2 AND table_name = ?3 AND before = ?4"
      " AND counter < ?5");
  gone.bind_blob(1, tx_.node.value.bytes).bind(2, signed_of(journal_));
  gone.bind(3, lower(table)).bind(4, rowid).bind(5, counter).run();
}

void KeyChanges::recall(const std::string& table, std::int64_t rowid, const Recalled& as) {
  Statement known = db_.prepare(
      "SELECT after, counter, lost FROM csa_remap WHERE node = ?1 AND journal = ?2 AND table_name"
      " = ?3 AND before = ?4");
  known.bind_blob(1, tx_.node.value.bytes).bind(2, signed_of(journal_));
  known.bind(3, lower(table)).bind(4, rowid);
  Recalled row{rowid, signed_of(tx_.counter), false};
  const bool there = known.step();
  if (there) row = {known.column_int(0), known.column_int(1), known.column_int(2) != 0};
  known.reset();
  // It stands as that entry, or a later one, left it: a migration or a person may have moved it on.
  if (there && as.counter && *row.counter >= *as.counter) return;
  insert_.bind_blob(1, tx_.node.value.bytes).bind(2, signed_of(journal_));
  insert_.bind(3, lower(table)).bind(4, rowid).bind(5, as.after.value_or(*row.after));
  insert_.bind(6, as.counter.value_or(*row.counter));
  insert_.bind(7, std::int64_t{as.lost.value_or(*row.lost) ? 1 : 0});
  insert_.run();
  any_ = true;
}

void KeyChanges::lose(const std::string& table, std::int64_t rowid) {
  store(table, rowid, given(table, rowid).value_or(rowid), true);
}

void KeyChanges::bring_back(const TxId& tx, std::uint64_t journal, const std::string& table,
                            std::int64_t kept, std::int64_t now) {
  Statement back = db_.prepare(
      "UPDATE csa_remap SET after = ?5, lost = 0 WHERE node = ?1 AND journal = ?2 AND table_name ="
      " ?3 AND after = ?4 AND lost <> 0");
  back.bind_blob(1, tx.node.value.bytes).bind(2, signed_of(journal));
  back.bind(3, lower(table)).bind(4, kept).bind(5, now).run();
}

std::int64_t KeyChanges::highest_lost(const std::string& table) {
  std::int64_t highest = std::numeric_limits<std::int64_t>::min();
  if (!any_) return highest;
  highest_lost_.bind_blob(1, tx_.node.value.bytes).bind(2, signed_of(journal_));
  highest_lost_.bind(3, lower(table));
  if (highest_lost_.step()) highest = highest_lost_.column_int(0);
  highest_lost_.reset();
  return highest;
}

void KeyChanges::forget(const std::string& table, std::int64_t rowid) {
  if (!any_) return;
  remove_.bind_blob(1, tx_.node.value.bytes).bind(2, signed_of(journal_));
  remove_.bind(3, lower(table)).bind(4, rowid);
  remove_.run();
}

void KeyChanges::give(const std::string& table, std::int64_t rowid, std::int64_t fresh) {
  record(table, rowid, fresh);
  if (changes_.size() < limits::kKeyChangesMax) changes_.push_back({table, rowid, fresh});
}

std::optional<std::int64_t> KeyChanges::given(const std::string& table, std::int64_t rowid) {
  if (!any_) return std::nullopt;
  given_.bind_blob(1, tx_.node.value.bytes).bind(2, signed_of(journal_));
  given_.bind(3, lower(table)).bind(4, rowid).bind(5, signed_of(tx_.counter));
  std::optional<std::int64_t> fresh;
  if (given_.step()) fresh = given_.column_int(0);
  given_.reset();
  return fresh;
}

std::vector<std::string> KeyChanges::tables() {
  std::vector<std::string> found;
  while (any_) {
    next_table_.bind_blob(1, tx_.node.value.bytes).bind(2, signed_of(journal_));
    next_table_.bind(3, found.empty() ? std::string() : found.back());
    if (!next_table_.step()) break;
    found.push_back(next_table_.column_text(0));
    next_table_.reset();
  }
  next_table_.reset();
  return found;
}

std::int64_t KeyChanges::follow(const std::string& table, std::int64_t rowid) {
  if (!any_) return rowid;
  find_.bind_blob(1, tx_.node.value.bytes).bind(2, signed_of(journal_));
  find_.bind(3, lower(table)).bind(4, rowid);
  std::int64_t after = rowid;
  bool lost = false;
  if (find_.step()) {
    after = find_.column_int(0);
    lost = find_.column_int(1) != 0;
  }
  find_.reset();
  if (lost) lost_.push_back({table, after});
  return after;
}

const MergeTable* KeyChanges::parent(const std::string& name) {
  const auto [known, fresh] = parents_.try_emplace(lower(name));
  if (fresh) {
    std::optional<TableInfo> info = table_info(db_, name);
    if (info) known->second = std::make_unique<MergeTable>(db_, std::move(*info));
  }
  return known->second.get();
}

// What a column refers to may itself refer to a row that has such a key.
void KeyChanges::add_roots(const MergeTable& table, const std::string& column,
                           std::vector<std::string>& found, std::set<Column>& seen) {
  if (!seen.emplace(lower(table.name()), column).second) return;
  const std::vector<std::string>& names = table.column_names();
  const std::optional<std::uint32_t> key = table.rowid_column();
  if (key && lower(names[*key]) == column) found.push_back(table.name());
  for (const MergeReference& reference : table.references()) {
    for (std::size_t i = 0; i < reference.columns.size(); ++i) {
      if (lower(names[reference.columns[i]]) != column) continue;
      if (i >= reference.parent_columns.size()) continue;
      const MergeTable* const to = parent(reference.parent);
      if (to != nullptr) add_roots(*to, lower(reference.parent_columns[i]), found, seen);
    }
  }
}

const KeyChanges::Roots& KeyChanges::roots_of(const MergeTable& table) {
  const auto [known, fresh] = roots_.try_emplace(lower(table.name()));
  if (!fresh) return known->second;
  for (const std::string& column : table.column_names()) {
    std::set<Column> seen;
    add_roots(table, lower(column), known->second.emplace_back(), seen);
  }
  return known->second;
}

void KeyChanges::follow(const MergeTable& table, Row& row) {
  if (!any_) return;
  const Roots& roots = roots_of(table);
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (roots[i].empty()) continue;
    const std::optional<std::int64_t> number = number_of(row[i]);
    if (!number) continue;
    for (const std::string& root : roots[i]) {
      const std::int64_t after = follow(root, *number);
      if (after == *number) continue;
      put_number(after, row[i]);
      break;
    }
  }
}

}  // namespace csa
