#include "broker/merge_keys.h"

#include <algorithm>
#include <utility>

#include "common/limits.h"

namespace csa {
namespace {

std::int64_t signed_of(std::uint64_t value) { return static_cast<std::int64_t>(value); }

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

}  // namespace

KeyChanges::KeyChanges(const Database& db)
    : db_(db),
      find_(db,
            "SELECT after FROM csa_remap WHERE node = ?1 AND journal = ?2 AND table_name = ?3 AND"
            " before = ?4"),
      given_(db,
             "SELECT after FROM csa_remap WHERE node = ?1 AND journal = ?2 AND table_name = ?3 AND"
             " before = ?4 AND counter = ?5"),
      insert_(db, "INSERT OR REPLACE INTO csa_remap VALUES (?1, ?2, ?3, ?4, ?5, ?6)"),
      forget_(db, "DELETE FROM csa_remap WHERE node = ?1 AND journal <> ?2") {}

void KeyChanges::begin(const TxId& tx, std::uint64_t journal) {
  tx_ = tx;
  journal_ = journal;
  next_.clear();
  keyed_.clear();
  changes_.clear();
  forget_.bind_blob(1, tx.node.value.bytes).bind(2, signed_of(journal));
  forget_.run();
  Statement any = db_.prepare("SELECT 1 FROM csa_remap WHERE node = ?1 LIMIT 1");
  any.bind_blob(1, tx.node.value.bytes);
  any_ = any.step();
}

void KeyChanges::assign(MergeTable& table, std::int64_t rowid) {
  auto next = next_.find(table.name());
  if (next == next_.end()) next = next_.emplace(table.name(), table.next_rowid()).first;
  if (rowid >= next->second) {
    next->second = rowid + 1;
    return;
  }
  give(table.name(), rowid, next->second++);
}

void KeyChanges::give(const std::string& table, std::int64_t rowid, std::int64_t fresh) {
  insert_.bind_blob(1, tx_.node.value.bytes).bind(2, signed_of(journal_));
  insert_.bind(3, lower(table)).bind(4, rowid).bind(5, fresh);
  insert_.bind(6, signed_of(tx_.counter));
  insert_.run();
  any_ = true;
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

std::int64_t KeyChanges::follow(const std::string& table, std::int64_t rowid) {
  if (!any_) return rowid;
  find_.bind_blob(1, tx_.node.value.bytes).bind(2, signed_of(journal_));
  find_.bind(3, lower(table)).bind(4, rowid);
  if (find_.step()) rowid = find_.column_int(0);
  find_.reset();
  return rowid;
}

bool KeyChanges::parent_is_keyed(const std::string& parent, const std::string& column) {
  const auto [known, fresh] = keyed_.try_emplace({parent, column}, false);
  if (!fresh) return known->second;
  const std::optional<TableInfo> info = table_info(db_, parent);
  if (info && !info->change_table.without_rowid && !info->change_table.key_columns.empty()) {
    const std::uint32_t key = info->carried[info->change_table.key_columns.front()];
    known->second = lower(info->columns[key].name) == lower(column);
  }
  return known->second;
}

void KeyChanges::follow(const MergeTable& table, Row& row) {
  if (!any_) return;
  std::optional<std::uint32_t> changed;
  if (const auto own = table.rowid_column()) {
    if (auto* const rowid = std::get_if<std::int64_t>(&row[*own])) {
      const std::int64_t before = std::exchange(*rowid, follow(table.name(), *rowid));
      if (*rowid != before) changed = own;
    }
  }
  for (const MergeReference& reference : table.references()) {
    for (std::size_t i = 0; i < reference.columns.size(); ++i) {
      if (reference.columns[i] == changed) continue;
      auto* const value = std::get_if<std::int64_t>(&row[reference.columns[i]]);
      if (value == nullptr || i >= reference.parent_columns.size()) continue;
      if (!parent_is_keyed(reference.parent, reference.parent_columns[i])) continue;
      *value = follow(reference.parent, *value);
    }
  }
}

}  // namespace csa
