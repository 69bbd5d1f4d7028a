#include "tests/support/compare.h"

#include <bit>
#include <optional>
#include <vector>

#include "common/apply_table.h"
#include "common/schema.h"

namespace csa::test {
namespace {

bool same(const Value& a, const Value& b) {
  const auto* const left = std::get_if<double>(&a);
  const auto* const right = std::get_if<double>(&b);
  if (left == nullptr || right == nullptr) return a == b;
  return std::bit_cast<std::uint64_t>(*left) == std::bit_cast<std::uint64_t>(*right);
}

// The first difference of two queries' rows.
std::string compare_rows(const Database& a, const Database& b, const std::string& what,
                         const std::string& sql) {
  Statement left = a.prepare(sql);
  Statement right = b.prepare(sql);
  const bool left16 = is_utf16(a);
  const bool right16 = is_utf16(b);
  for (int number = 1;; ++number) {
    const bool left_row = left.step();
    const bool right_row = right.step();
    const std::string place = what + ", row " + std::to_string(number);
    if (left_row != right_row) return place + ": only in the " + (left_row ? "first" : "second");
    if (!left_row) return {};
    for (int i = 0; i < left.column_count(); ++i) {
      const Value value = left.column_stored(i, left16);
      const Value other = right.column_stored(i, right16);
      if (same(value, other)) continue;
      return place + ", column " + sqlite3_column_name(left.handle(), i) + ": " + describe(value) +
             " (class " + std::to_string(value.index()) + ") and " + describe(other) + " (class " +
             std::to_string(other.index()) + ")";
    }
  }
}

std::string rows_sql(const TableInfo& info) {
  std::string columns;
  for (const Column& column : info.columns) columns += ", " + quote(column.name);
  const std::string from = " FROM main." + quote(info.change_table.name) + " NOT INDEXED";
  if (info.change_table.without_rowid) {
    // A scan of the table itself is in the order of its key.
    return "SELECT 0" + columns + from;
  }
  // Without a spelling of the rowid, the order of the scan still is the rowids'.
  if (info.rowid_name.empty()) return "SELECT 0" + columns + from;
  const std::string rowid = quote(info.rowid_name);
  return "SELECT " + rowid + columns + from + " ORDER BY " + rowid;
}

}  // namespace

std::string difference(const Database& a, const Database& b) {
  const std::string schema = compare_rows(
      a, b, "schema",
      "SELECT type, name, tbl_name, sql FROM main.sqlite_schema WHERE name NOT LIKE 'csa\\_%' "
      "ESCAPE '\\' AND tbl_name NOT LIKE 'csa\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_stat%' "
      "ESCAPE '\\' ORDER BY type, name");
  if (!schema.empty()) return schema;
  for (const std::string& table : replicated_tables(a)) {
    const std::optional<TableInfo> info = table_info(a, table);
    if (!info) return "table " + table + ": cannot be read";
    const std::string rows = compare_rows(a, b, "table " + table, rows_sql(*info));
    if (!rows.empty()) return rows;
  }
  if (!a.query_int("SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence'")) return {};
  return compare_rows(a, b, "sqlite_sequence",
                      "SELECT name, seq FROM main.sqlite_sequence ORDER BY name, seq");
}

}  // namespace csa::test
