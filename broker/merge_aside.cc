// What of an entry goes to the inbox: a row that lost, or all of them.
#include <algorithm>

#include "broker/merge_step.h"
#include "broker/merge_values.h"

namespace csa {

const char* op_name(RowOp op) {
  switch (op) {
    case RowOp::kInsert:
      return "insert";
    case RowOp::kUpdate:
      return "update";
    case RowOp::kDelete:
      return "delete";
  }
  return "?";
}

ConflictRow MergeRun::conflict_of(const Step& step) const {
  ConflictRow row;
  row.identity = step.identity();
  row.columns = step.table->column_names();
  for (const ColumnRule rule : schema_.rules(*step.table).row.columns) {
    row.adds_up.push_back(adds_up(rule));
  }
  const ChangeTable& keys = step.table->info().change_table;
  const auto& key =
      keys.declared_key.empty() || row.identity.by_rowid ? keys.key_columns : keys.declared_key;
  for (const std::uint32_t column : key) row.key_columns.push_back(row.columns[column]);
  if (row.key_columns.empty()) row.key_columns.emplace_back("rowid");
  row.op = step.op;
  row.base = step.base;
  row.node = step.node;
  if (step.broker && !step.anothers) row.broker = step.broker->row;
  return row;
}

// A row of the entry, with its numbers as it would have got them.
MergeRun::Step MergeRun::numbered_step(const RowChange& change, const ChangeTable& table) {
  Step step = step_of(change, table);
  if (!change.assigned || !numbers_rows(*step.table, table)) return step;
  // Of two rows that SQLite numbered neither is the other.
  if (step.broker && keys_.reassign(*step.table, std::get<std::int64_t>(change.key.at(0)))) {
    step = step_of(change, table);
  }
  step.broker.reset();
  return step;
}

// It fits no table of the master.
ConflictRow MergeRun::by_own_names(const RowChange& change, const ChangeTable& table) {
  ConflictRow row;
  row.identity =
      identity_before(change, table)
          .value_or(
              identity_after(change, table).value_or(RowIdentity{table.name, change.key, true}));
  row.columns = table.column_names;
  const bool declared = !table.declared_key.empty() && !row.identity.by_rowid;
  for (const std::uint32_t column : declared ? table.declared_key : table.key_columns) {
    row.key_columns.push_back(column < row.columns.size() ? row.columns[column] : "?");
  }
  if (row.key_columns.empty()) row.key_columns.emplace_back("rowid");
  row.op = op_name(change.op);
  row.base = row_before(change, table);
  row.node = row_after(change, table);
  MergeTable* const known = schema_.table(table.name);
  if (known == nullptr || schema_.virtuals().told(table.name) != nullptr) return row;
  // What the master has of it, as far as the columns are still called so.
  const std::optional<MergeTable::Found> found = known->find(row.identity);
  if (!found) return row;
  const std::vector<std::string>& names = known->column_names();
  row.broker.emplace(row.columns.size(), Null{});
  for (std::size_t i = 0; i < row.columns.size(); ++i) {
    const auto place = std::ranges::find_if(
        names, [&](const std::string& name) { return lower(name) == lower(row.columns[i]); });
    if (place == names.end()) continue;
    (*row.broker)[i] = found->row[static_cast<std::size_t>(place - names.begin())];
  }
  return row;
}

ConflictRow MergeRun::kept_row(const RowChange& change, const ChangeTable& table) {
  try {
    Step step = numbered_step(change, table);
    step.anothers = is_anothers(step);
    ConflictRow row = conflict_of(step);
    row.numbered = change.assigned && numbers_rows(*step.table, table);
    if (step.before) row.renamed = step.after;
    return row;
  } catch (const Parked&) {
    return by_own_names(change, table);
  } catch (const SqliteError& error) {
    // What the master has there lies in an index of the application's that is broken itself.
    if (error.code() != SQLITE_CORRUPT_VTAB) throw;
    return by_own_names(change, table);
  }
}

void MergeRun::each_kept(const Visit& visit) {
  each([&](const Change& change, const std::vector<ChangeTable>& tables) {
    if (std::holds_alternative<RowChange>(change)) visit(change, tables);
  });
}

// Earlier entries that were kept with rows that this one speaks of are restored with it.
void MergeRun::join_bundle() {
  const NodeId& node = origin_.tx.node;
  std::set<std::uint64_t> met{origin_.tx.counter};
  const auto meet = [&](const RowIdentity& row) {
    const auto bundle = inbox_.bundle_of(node, origin_.journal, hash_of(row));
    if (bundle) met.insert(*bundle);
  };
  each_kept([&](const Change& change, const std::vector<ChangeTable>& tables) {
    const auto& row = std::get<RowChange>(change);
    meet(kept_row(row, tables.at(row.table)).identity);
    for (const KeyChanges::Lost& lost : keys_.take_lost()) meet({lost.table, {lost.rowid}});
  });
  origin_.bundle = *met.begin();
  for (const std::uint64_t other : met) {
    if (other != origin_.bundle) inbox_.join(node, origin_.journal, other, origin_.bundle);
  }
}

void MergeRun::keep_aside(const std::string& rule, const std::string& decision,
                          const std::string& reason) {
  bool any = false;
  try {
    look_ahead();
  } catch (const Parked&) {
    // Its rows keep the numbers that they have at the node.
  }
  try {
    join_bundle();
    each_kept([&](const Change& change, const std::vector<ChangeTable>& tables) {
      const auto& change_of_row = std::get<RowChange>(change);
      const ChangeTable& table = tables.at(change_of_row.table);
      ConflictRow row = kept_row(change_of_row, table);
      row.rule = rule;
      row.decision = decision;
      row.reason = reason;
      inbox_.add(row, origin_);
      if (row.renamed) {
        schema_.renamed().note(origin_.tx.node, origin_.journal, *row.renamed, row.identity);
      }
      lose_key(change_of_row, table);
      (void)keys_.take_lost();
      any = true;
    });
  } catch (const Parked& rest) {
    any = false;
    reason_ = rest.reason;
  }
  if (any) return inbox_.store(origin_);
  // Not even its rows can be told: the node's own journal and this line are what there is.
  ConflictRow row;
  row.identity = RowIdentity{"", {}, true};
  row.op = "?";
  row.rule = rule;
  row.decision = decision;
  row.reason = reason;
  inbox_.add(row, origin_);
  inbox_.store(origin_);
}

bool is_nameless(const RowChange& change, const ChangeTable& table) {
  if (table.without_rowid || table.declared_key.empty()) return false;
  const std::optional<Row> row = row_after(change, table);
  return row && std::ranges::any_of(table.declared_key, [&](std::uint32_t column) {
           return std::holds_alternative<Null>((*row)[column]);
         });
}

// What later entries call by the key that SQLite gave the row is not what the master calls so.
void MergeRun::lose_key(const RowChange& change, const ChangeTable& table) {
  const MergeTable* known = schema_.table(table.name);
  // References to it followed when it got another name.
  if (known == nullptr) known = schema_.table(names_.name_now(table));
  if (known == nullptr || change.op != RowOp::kInsert) return;
  const auto* const rowid = std::get_if<std::int64_t>(&change.key.at(0));
  if (rowid == nullptr) return;
  const bool numbered = change.assigned && numbers_rows(*known, table);
  const auto led = led_.find(known->name());
  const bool goes_along = led != led_.end() && led->second.contains(*rowid);
  if (numbered || goes_along || is_nameless(change, table)) keys_.lose(known->name(), *rowid);
}

}  // namespace csa
