// A sum of the rows that csa keeps for itself and that no other copy proves: it tells what was
// written from what a disk has made of it. The last column of their tables, `sum`; NULL: unproved,
// which no row of this csa is.
#pragma once

#include <sqlite3.h>

namespace csa {

// Adds csa_sum(VALUE, ...) to the connection's SQL: 64 bits of XXH3 over the values by their types,
// text as UTF-16, which is the same for what is bound and for what a database of any encoding gives
// back. SQLite's result code.
int add_row_sum(sqlite3* db);
// Whether the row that the statement stands on is one that was written. Its columns are those that
// the sum is over, in their order, then the sum; a table of an older csa has no last one, of
// `values` in front of it.
[[nodiscard]] bool is_row_sound(sqlite3_stmt* row, int values);

}  // namespace csa
