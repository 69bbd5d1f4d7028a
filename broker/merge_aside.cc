// What of an entry goes to the inbox: a row that lost, or all of them.
#include <algorithm>

#include "broker/merge_step.h"

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
  const ChangeTable& keys = step.table->info().change_table;
  const auto& key =
      keys.declared_key.empty() || row.identity.by_rowid ? keys.key_columns : keys.declared_key;
  for (const std::uint32_t column : key) row.key_columns.push_back(row.columns[column]);
  if (row.key_columns.empty()) row.key_columns.emplace_back("rowid");
  row.op = step.op;
  row.base = step.base;
  row.node = step.node;
  if (step.broker) row.broker = step.broker->row;
  return row;
}

void MergeRun::keep_aside(const std::string& rule, const std::string& decision,
                          const std::string& reason) {
  const auto keep = [&](const RowChange& change, const ChangeTable& table) {
    ConflictRow row;
    const auto by_own_names = [&] {
      // It fits no table of the master: by the journal's own names.
      row.identity = identity_before(change, table)
                         .value_or(identity_after(change, table)
                                       .value_or(RowIdentity{table.name, change.key, true}));
      row.columns = table.column_names;
      for (const std::uint32_t column : table.key_columns) {
        row.key_columns.push_back(column < row.columns.size() ? row.columns[column] : "?");
      }
      if (row.key_columns.empty()) row.key_columns.emplace_back("rowid");
      row.op = op_name(change.op);
      row.base = row_before(change, table);
      row.node = row_after(change, table);
    };
    std::optional<RowIdentity> renamed;
    try {
      const Step step = step_of(change, table);
      row = conflict_of(step);
      if (step.before) renamed = step.after;
    } catch (const Parked&) {
      by_own_names();
    } catch (const SqliteError& error) {
      // What the master has there lies in an index of the application's that is broken itself.
      if (error.code() != SQLITE_CORRUPT_VTAB) throw;
      by_own_names();
    }
    row.rule = rule;
    row.decision = decision;
    row.reason = reason;
    inbox_.add(row, origin_);
    if (renamed) schema_.renamed().note(origin_.tx.node, origin_.journal, *renamed, row.identity);
    lose_key(change, table);
  };
  bool any = false;
  try {
    each([&](const Change& change, const std::vector<ChangeTable>& tables) {
      const auto* const row = std::get_if<RowChange>(&change);
      if (row == nullptr) return;
      any = true;
      keep(*row, tables.at(row->table));
    });
  } catch (const Parked& rest) {
    any = false;
    reason_ = rest.reason;
  }
  if (any) return;
  // Not even its rows can be told: the node's own journal and this line are what there is.
  ConflictRow row;
  row.identity = RowIdentity{"", {}, true};
  row.op = "?";
  row.rule = rule;
  row.decision = decision;
  row.reason = reason;
  inbox_.add(row, origin_);
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
  const MergeTable* const known = schema_.table(table.name);
  if (known == nullptr || change.op != RowOp::kInsert) return;
  const auto* const rowid = std::get_if<std::int64_t>(&change.key.at(0));
  if (rowid == nullptr) return;
  const bool numbered = change.assigned && numbers_rows(*known, table);
  if (numbered || is_nameless(change, table)) keys_.lose(known->name(), *rowid);
}

}  // namespace csa
