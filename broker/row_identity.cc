#include "broker/row_identity.h"

#include "common/change_bytes.h"

namespace csa {
namespace {

using Values = std::vector<std::optional<Value>>;

Row whole_row(const Values& values, const Values& unchanged, const Row& key,
              const ChangeTable& table) {
  Row row(table.column_count, Null{});
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (i < values.size() && values[i]) {
      row[i] = *values[i];
    } else if (i < unchanged.size() && unchanged[i]) {
      row[i] = *unchanged[i];
    }
  }
  for (std::size_t k = 0; k < table.key_columns.size() && k < key.size(); ++k) {
    row[table.key_columns[k]] = key[k];
  }
  return row;
}

RowIdentity identity(const Values& values, const Values& unchanged, const Row& key,
                     const ChangeTable& table) {
  RowIdentity row{table.name, {}, false};
  for (const std::uint32_t column : table.declared_key) {
    const Value* value = nullptr;
    if (column < values.size() && values[column]) {
      value = &*values[column];
    } else if (column < unchanged.size() && unchanged[column]) {
      value = &*unchanged[column];
    }
    if (value == nullptr || std::holds_alternative<Null>(*value)) return {table.name, key, true};
    row.key.push_back(*value);
  }
  if (table.declared_key.empty()) row.key = key;
  return row;
}

const Row& key_after(const RowChange& change) {
  return change.new_key ? *change.new_key : change.key;
}

}  // namespace

Id128 hash_of(const RowIdentity& row) {
  Bytes bytes;
  append_string(row.table, bytes);
  bytes.push_back(row.by_rowid ? 1 : 0);
  for (const Value& value : row.key) append_value(value, bytes);
  return hash128(bytes);
}

std::optional<Row> row_before(const RowChange& change, const ChangeTable& table) {
  if (change.op == RowOp::kInsert) return std::nullopt;
  return whole_row(change.old_values, {}, change.key, table);
}

std::optional<Row> row_after(const RowChange& change, const ChangeTable& table) {
  if (change.op == RowOp::kDelete) return std::nullopt;
  return whole_row(change.new_values, change.old_values, key_after(change), table);
}

std::optional<RowIdentity> identity_before(const RowChange& change, const ChangeTable& table) {
  if (change.op == RowOp::kInsert) return std::nullopt;
  return identity(change.old_values, {}, change.key, table);
}

std::optional<RowIdentity> identity_after(const RowChange& change, const ChangeTable& table) {
  if (change.op == RowOp::kDelete) return std::nullopt;
  return identity(change.new_values, change.old_values, key_after(change), table);
}

}  // namespace csa
