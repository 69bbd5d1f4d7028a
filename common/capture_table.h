// A table as the pre-update hook meets it, and the encoding of SQLite's own values. Part of
// capture; used by its thread only.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/change_bytes.h"
#include "common/schema.h"
#include "common/sqlite.h"

namespace csa {

// A carried column.
struct CapturedColumn {
  Affinity affinity = Affinity::kBlob;
  ColumnRole role = ColumnRole::kPlain;
  bool has_default = false;
  int hook_index = 0;         // see Column
  int hook_index_update = 0;  // see Column
};

struct CapturedTable {
  // REQUIRES: `found` is empty or of an application or shared table.
  CapturedTable(const Database& db, std::optional<TableInfo> found);

  // False: changes are not captured, by class.
  bool captured = false;
  TableInfo info;
  std::vector<CapturedColumn> columns;
  // For odd W/O ROWID tables: the key column's integers may come rounded to a REAL.
  std::vector<bool> key_may_be_rounded;
  Statement row_by_key;  // carried columns, then the rowid; parameters: the key
  // Odd tables: keys (encoded) whose rows are looked at again at the end.
  std::set<Bytes> touched;
  std::set<std::int64_t> assigned;  // of them: rowids that SQLite chose, where it is told

  // Where this table stands in the changeset `changeset`.
  std::uint64_t changeset = 0;
  std::uint32_t number = 0;
};

// "SELECT carried columns, rowid FROM table", without WHERE.
[[nodiscard]] std::string select_rows(const TableInfo& info);
// " WHERE" by the physical key as an index finds it, parameters from 1.
[[nodiscard]] std::string where_key(const TableInfo& info);

// Appends a value as the table stores it: the hook shows some before their conversion (5 in a
// REAL column, for 5.0). Throws std::bad_alloc. `utf16`: the database's encoding, text is then
// carried as it lies there.
void append_stored(sqlite3_value* value, Affinity affinity, bool utf16, Bytes& out);

}  // namespace csa
