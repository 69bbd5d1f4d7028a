#include "common/capture_table.h"

#include <limits>
#include <new>

namespace csa {
namespace {

// The integer that a column of numeric affinity keeps in place of `real`, as SQLite decides it.
std::optional<std::int64_t> as_integer(double real) {
  constexpr double kLimit = 9223372036854775808.0;
  if (!(real > -kLimit && real < kLimit)) return std::nullopt;
  const auto integer = static_cast<std::int64_t>(real);
  if (static_cast<double>(integer) != real) return std::nullopt;
  return integer;
}

void append_float(double real, Affinity affinity, Bytes& out) {
  if (affinity == Affinity::kInteger || affinity == Affinity::kNumeric) {
    if (const auto integer = as_integer(real)) {
      append_integer(*integer, out);
      return;
    }
  }
  // A REAL column stores integral numbers as integers, and so forgets the sign of zero.
  if (affinity == Affinity::kReal && real == 0.0) real = 0.0;
  append_real(real, out);
}

void append_hook_text(sqlite3_value* value, bool utf16, Bytes& out) {
  if (utf16) {
    const void* const units = sqlite3_value_text16(value);
    if (units == nullptr) throw std::bad_alloc();
    const auto count = static_cast<std::size_t>(sqlite3_value_bytes16(value)) / 2;
    append_text16({static_cast<const char16_t*>(units), count}, out);
    return;
  }
  // Its bytes as they are: sqlite3_value_text() would copy them to put a zero behind.
  const auto* const text = static_cast<const char*>(sqlite3_value_blob(value));
  const auto size = static_cast<std::size_t>(sqlite3_value_bytes(value));
  if (text == nullptr && size > 0) throw std::bad_alloc();
  append_text(size > 0 ? std::string_view(text, size) : std::string_view(), out);
}

}  // namespace

void append_stored(sqlite3_value* value, Affinity affinity, bool utf16, Bytes& out) {
  switch (sqlite3_value_type(value)) {
    case SQLITE_INTEGER: {
      const std::int64_t integer = sqlite3_value_int64(value);
      if (affinity == Affinity::kReal) {
        append_real(static_cast<double>(integer), out);
      } else {
        append_integer(integer, out);
      }
      return;
    }
    case SQLITE_FLOAT:
      append_float(sqlite3_value_double(value), affinity, out);
      return;
    case SQLITE_TEXT:
      append_hook_text(value, utf16, out);
      return;
    case SQLITE_BLOB: {
      const auto* const blob = static_cast<const std::uint8_t*>(sqlite3_value_blob(value));
      const auto size = static_cast<std::size_t>(sqlite3_value_bytes(value));
      if (blob == nullptr && size > 0) throw std::bad_alloc();
      append_blob({blob, size}, out);
      return;
    }
    default:
      append_null(out);
  }
}

std::string select_rows(const TableInfo& info) {
  std::string sql = "SELECT ";
  for (const std::uint32_t column : info.carried) sql += quote(info.columns[column].name) + ", ";
  sql += info.change_table.without_rowid ? std::string("NULL") : quote(info.rowid_name);
  return sql + " FROM main." + quote(info.change_table.name);
}

std::string where_key(const TableInfo& info) {
  if (!info.change_table.without_rowid) return " WHERE " + quote(info.rowid_name) + " = ?1";
  std::string sql;
  int parameter = 1;
  for (const std::uint32_t position : info.change_table.key_columns) {
    const std::string& name = info.columns[info.carried[position]].name;
    sql += (sql.empty() ? " WHERE " : " AND ") + quote(name) + " = ?" + std::to_string(parameter++);
  }
  return sql;
}

CapturedTable::CapturedTable(const Database& db, std::optional<TableInfo> found) {
  if (!found) return;
  captured = true;
  info = std::move(*found);
  const std::vector<ColumnRole> roles = column_roles(info.change_table);
  for (std::size_t i = 0; i < info.carried.size(); ++i) {
    const Column& column = info.columns[info.carried[i]];
    columns.push_back({column.affinity, roles[i], column.has_default, column.hook_index,
                       column.hook_index_update});
  }
  if (info.change_table.without_rowid) {
    // In the record the key comes first, in key order.
    const std::vector<std::uint32_t>& key = info.change_table.key_columns;
    for (std::size_t i = 0; i < key.size(); ++i) {
      key_may_be_rounded.push_back(columns[key[i]].affinity != Affinity::kReal &&
                                   info.columns[i].affinity == Affinity::kReal);
    }
  }
  row_by_key = db.prepare(select_rows(info) + where_key(info));
}

}  // namespace csa
