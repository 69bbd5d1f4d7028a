// Are two databases the same, as far as users can see and csa promises?
#pragma once

#include <string>

#include "common/sqlite.h"

namespace csa::test {

// Empty when equal in schema, in every row with every rowid, every column's storage class and
// value (bit for bit), and in sqlite_sequence. csa's own tables and sqlite_stat* do not count.
// Otherwise the first difference, for people.
[[nodiscard]] std::string difference(const Database& a, const Database& b);

}  // namespace csa::test
