// What an entry's rows will be called at the master, found out before any is written.
#include "broker/merge_step.h"

namespace csa {
namespace {

// The rowid that a row of a rowid table has after the change.
std::optional<std::int64_t> rowid_after(const RowChange& change) {
  if (change.op == RowOp::kDelete) return std::nullopt;
  const Row& key = change.new_key ? *change.new_key : change.key;
  const auto* const rowid = std::get_if<std::int64_t>(&key.at(0));
  return rowid == nullptr ? std::nullopt : std::optional<std::int64_t>(*rowid);
}

}  // namespace

std::string no_key(const MergeTable& table) {
  return "the row's key in table " + table.name() +
         " is another row's at the master, and there is no higher one to give; give the row with"
         " the highest key a lower one";
}

// Before anything is written: keys that must change, and whether all or nothing is wanted.
void MergeRun::look_ahead() {
  note_indexes();
  std::set<std::string> numbered;
  bool follows = false;
  each([&](const Change& change, const std::vector<ChangeTable>& tables) {
    const auto* const row = std::get_if<RowChange>(&change);
    if (std::holds_alternative<SchemaStatement>(change)) {
      throw Parked{"it holds a schema change, which is no business of a journal"};
    }
    if (row == nullptr) return;
    const std::string& name = tables.at(row->table).name;
    MergeTable* const table = schema_.table(name);
    if (table == nullptr) return;  // told when it is merged
    if (schema_.rules(*table).atomic) atomic_ = true;
    const bool of_virtual = schema_.virtuals().told(name) != nullptr;
    if (!numbers_rows(*table, tables.at(row->table))) return;
    if (const auto rowid = rowid_after(*row)) keys_.note(*table, *rowid);
    if (row->op != RowOp::kInsert) return;
    follows = follows || (of_virtual && !row->assigned);
    if (row->assigned && !of_virtual) numbered.insert(name);
  });
  assign_keys();
  if (follows && !numbered.empty()) follow_numbered(numbered);
}

void MergeRun::note_indexes() {
  ContentIndexes& indexes = schema_.indexes();
  if (indexes.empty()) return;
  indexes.begin();
  each_stored([&](const Change& change, const std::vector<ChangeTable>& tables) {
    const auto* const row = std::get_if<RowChange>(&change);
    if (row != nullptr) indexes.note(*row, tables.at(row->table));
  });
}

// Its rows are told by a rowid, at the node as at the master.
bool MergeRun::numbers_rows(const MergeTable& table, const ChangeTable& journal) const {
  return table.keyed_by_rowid() && !journal.without_rowid && !table.is_shadow();
}

void MergeRun::assign_keys() {
  each([&](const Change& change, const std::vector<ChangeTable>& tables) {
    const auto* const row = std::get_if<RowChange>(&change);
    if (row == nullptr) return;
    MergeTable* const table = schema_.table(tables.at(row->table).name);
    if (table == nullptr || !numbers_rows(*table, tables.at(row->table))) return;
    const auto* const before = std::get_if<std::int64_t>(&row->key.at(0));
    if (before == nullptr) return;
    if (row->op == RowOp::kInsert && row->assigned) {
      if (!keys_.assign(*table, *before)) throw Parked{no_key(*table)};
    } else if (row->op == RowOp::kInsert) {
      keys_.choose(*table, *before);
    } else {
      if (row->op == RowOp::kDelete || row->new_key) keys_.leave(*table, *before);
      if (const auto after = rowid_after(*row); row->new_key && after) {
        keys_.choose(*table, *after);
      }
    }
  });
}

void MergeRun::follow_numbered(const std::set<std::string>& numbered) {
  each([&](const Change& change, const std::vector<ChangeTable>& tables) {
    const auto* const row = std::get_if<RowChange>(&change);
    if (row == nullptr || row->op != RowOp::kInsert || row->assigned) return;
    const std::string& name = tables.at(row->table).name;
    if (schema_.virtuals().told(name) == nullptr) return;
    const auto rowid = std::get<std::int64_t>(row->key.at(0));
    std::set<std::int64_t> found;
    for (const std::string& table : numbered) {
      if (const auto fresh = keys_.given(table, rowid)) found.insert(*fresh);
    }
    if (found.size() == 1) keys_.give(name, rowid, *found.begin());
  });
}

}  // namespace csa
