// What an entry's rows will be called at the master, found out before any is written.
#include <algorithm>

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

std::string waits_for(const std::string& table) {
  return "it names a row of " + table +
         " that an earlier offline change has made, and that waits in the inbox";
}

// Before anything is written: keys that must change, and whether all or nothing is wanted.
void MergeRun::look_ahead() {
  note_indexes();
  Numbering numbering;
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
    if (!numbers_rows(*table, tables.at(row->table))) return;
    if (const auto rowid = rowid_after(*row)) keys_.note(*table, *rowid);
    numbering.any = numbering.any || row->op != RowOp::kUpdate || row->new_key;
    if (row->op == RowOp::kInsert) note_number(*table, *row, numbering);
  });
  if (!numbering.any) return;
  keep_in_step(numbering);
  assign_keys();
  follow_numbered(numbering);
}

void MergeRun::note_number(const MergeTable& table, const RowChange& row, Numbering& numbering) {
  const auto rowid = std::get<std::int64_t>(row.key.at(0));
  const bool is_virtual = schema_.virtuals().told(table.name()) != nullptr;
  auto& given = is_virtual ? numbering.virtual_given : numbering.given;
  if (row.assigned) {
    given[table.name()].add(rowid, rowid);
  } else if (is_virtual) {
    numbering.virtual_chosen.insert(table.name());
  } else if (table.rowid_column()) {
    const bool paired = std::ranges::any_of(
        numbering.virtual_given, [&](const auto& known) { return known.second.contains(rowid); });
    bool& all = numbering.paired.try_emplace(table.name(), true).first->second;
    all = all && paired;
  }
}

// What goes by one number shall do so at the master: a fresh one is free in all of its tables.
void MergeRun::keep_in_step(const Numbering& numbering) {
  const auto free_in = [&](const std::string& follower, const std::string& leader) {
    const std::optional<std::int64_t> next = schema_.table(follower)->next_rowid();
    if (next) keys_.note(*schema_.table(leader), *next - 1);
  };
  for (const auto& [leader, rows] : numbering.given) {
    for (const std::string& follower : numbering.virtual_chosen) free_in(follower, leader);
  }
  for (const auto& [leader, rows] : numbering.virtual_given) {
    for (const auto& [follower, all] : numbering.paired) {
      if (all) free_in(follower, leader);
    }
  }
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

void MergeRun::follow_numbered(const Numbering& numbering) {
  const std::vector<std::string> before = keys_.tables();
  const bool led = !before.empty() || !numbering.given.empty();
  const bool documents = !numbering.virtual_chosen.empty() && led;
  const bool rows = std::ranges::any_of(numbering.paired, [](const auto& t) { return t.second; });
  if (!documents && !rows) return;
  each([&](const Change& change, const std::vector<ChangeTable>& tables) {
    const auto* const row = std::get_if<RowChange>(&change);
    if (row == nullptr || row->op != RowOp::kInsert || row->assigned) return;
    MergeTable* const table = schema_.table(tables.at(row->table).name);
    if (table == nullptr || !numbers_rows(*table, tables.at(row->table))) return;
    const auto rowid = std::get<std::int64_t>(row->key.at(0));
    const bool is_virtual = schema_.virtuals().told(table->name()) != nullptr;
    const auto paired = numbering.paired.find(table->name());
    if (!is_virtual && (paired == numbering.paired.end() || !paired->second)) return;
    std::set<std::int64_t> found;
    bool here = false;
    for (const auto& [leader, given] : is_virtual ? numbering.given : numbering.virtual_given) {
      here = here || given.contains(rowid);
      if (const auto fresh = keys_.given(leader, rowid)) found.insert(*fresh);
    }
    if (is_virtual && !here) found = numbers_since(*table, rowid, before);
    if (here || !found.empty()) led_[table->name()].add(rowid, rowid);
    if (found.size() != 1 || *found.begin() == rowid) return;
    if (is_virtual || !table->has_rowid(*found.begin())) {
      keys_.give(table->name(), rowid, *found.begin());
    }
  });
}

// Where rows of ordinary tables are now to which the journal's earlier entries gave this number:
// those of the table whose numbers the virtual one's highest row has too. One that waits in the
// inbox is called as it is there.
std::set<std::int64_t> MergeRun::numbers_since(MergeTable& virtual_table, std::int64_t rowid,
                                               const std::vector<std::string>& tables) {
  std::set<std::int64_t> found;
  const std::optional<std::int64_t> next = virtual_table.next_rowid();
  for (const std::string& name : tables) {
    MergeTable* const table = schema_.table(name);
    if (table == nullptr || schema_.virtuals().told(name) != nullptr) continue;
    if (next && *next > 1 && !table->has_rowid(*next - 1)) continue;
    const std::size_t lost = keys_.lost().size();
    const std::int64_t now = keys_.follow(name, rowid);
    if (now != rowid || keys_.lost().size() > lost) found.insert(now);
  }
  return found;
}

}  // namespace csa
