#include "broker/row_identity.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/change_bytes.h"
#include "common/sqlite.h"

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

// One for all values that SQLite takes for equal.
Value folded(Value value, KeyFold fold) {
  if (auto* const text = std::get_if<Text>(&value)) {
    std::string& utf8 = text->utf8;
    if (fold == KeyFold::kNoCase) {
      std::ranges::transform(utf8, utf8.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      });
    }
    if (fold == KeyFold::kTrailingSpace) utf8.erase(utf8.find_last_not_of(' ') + 1);
  }
  if (const auto* const real = std::get_if<double>(&value)) {
    constexpr double kLimit = 9223372036854775808.0;
    if (*real >= -kLimit && *real < kLimit && *real == std::floor(*real)) {
      return static_cast<std::int64_t>(*real);
    }
  }
  return value;
}

const Row& key_after(const RowChange& change) {
  return change.new_key ? *change.new_key : change.key;
}

}  // namespace

Id128 hash_of(const RowIdentity& row) {
  constexpr std::size_t kMostly = 64;  // bytes
  Bytes bytes;
  bytes.reserve(kMostly);
  append_string(lower(row.table), bytes);
  bytes.push_back(row.by_rowid ? 1 : 0);
  for (std::size_t i = 0; i < row.key.size(); ++i) {
    const KeyFold fold = i < row.folds.size() ? row.folds[i] : KeyFold::kExact;
    const bool as_it_is = fold == KeyFold::kExact && !std::holds_alternative<double>(row.key[i]);
    if (as_it_is) {
      append_value(row.key[i], bytes);
    } else {
      append_value(folded(row.key[i], fold), bytes);
    }
  }
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
