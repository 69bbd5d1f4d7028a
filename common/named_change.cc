#include "common/named_change.h"

namespace csa {
namespace {

std::string column_name(const TableLayout* layout, std::size_t index) {
  if (layout != nullptr && index < layout->columns.size()) return layout->columns[index];
  return "column" + std::to_string(index + 1);
}

// All values of a row: those carried, and the physical key in its columns.
NamedValues whole_row(const std::vector<std::optional<Value>>& values, const Row& key,
                      const ChangeTable& table, const TableLayout* layout) {
  NamedValues row;
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::optional<Value> value = values[i];
    for (std::size_t k = 0; k < table.key_columns.size() && k < key.size(); ++k) {
      if (table.key_columns[k] == i) value = key[k];
    }
    if (value) row.emplace_back(column_name(layout, i), *value);
  }
  return row;
}

NamedValues key_of(const RowChange& change, const ChangeTable& table, const TableLayout* layout) {
  NamedValues key;
  const auto& values = change.op == RowOp::kInsert ? change.new_values : change.old_values;
  if (!table.declared_key.empty()) {
    for (const std::uint32_t column : table.declared_key) {
      if (column < values.size() && values[column]) {
        key.emplace_back(column_name(layout, column), *values[column]);
      }
    }
    return key;
  }
  for (std::size_t i = 0; i < change.key.size(); ++i) {
    std::string name = "rowid";
    if (i < table.key_columns.size()) {
      name = column_name(layout, table.key_columns[i]);
    } else if (layout != nullptr && i < layout->key.size()) {
      name = layout->key[i];
    }
    key.emplace_back(std::move(name), change.key[i]);
  }
  return key;
}

}  // namespace

NamedChange name_change(const RowChange& change, const ChangeTable& table, const Layout* layout) {
  const TableLayout* names = nullptr;
  TableLayout own;
  if (!table.column_names.empty()) {
    own.columns = table.column_names;
    names = &own;
  } else if (layout != nullptr) {
    const auto found = layout->find(table.name);
    if (found != layout->end() && found->second.columns.size() == table.column_count) {
      names = &found->second;
    }
  }
  NamedChange named;
  named.table = table.name;
  named.key = key_of(change, table, names);
  switch (change.op) {
    case RowOp::kInsert:
      named.op = "insert";
      named.after = whole_row(change.new_values, change.key, table, names);
      return named;
    case RowOp::kDelete:
      named.op = "delete";
      named.before = whole_row(change.old_values, change.key, table, names);
      return named;
    case RowOp::kUpdate:
      break;
  }
  named.op = "update";
  for (std::size_t i = 0; i < change.new_values.size(); ++i) {
    if (!change.new_values[i]) continue;
    if (change.old_values[i] == change.new_values[i]) continue;  // a journal's full row
    if (i < change.old_values.size() && change.old_values[i]) {
      named.before.emplace_back(column_name(names, i), *change.old_values[i]);
    }
    named.after.emplace_back(column_name(names, i), *change.new_values[i]);
  }
  if (!change.new_key) return named;
  for (std::size_t k = 0; k < change.new_key->size() && k < change.key.size(); ++k) {
    if (change.key[k] == (*change.new_key)[k]) continue;
    const std::string name =
        k < table.key_columns.size() ? column_name(names, table.key_columns[k]) : "rowid";
    named.before.emplace_back(name, change.key[k]);
    named.after.emplace_back(name, (*change.new_key)[k]);
  }
  return named;
}

}  // namespace csa
