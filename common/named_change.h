// A row change with the names of its columns, for people and JSON. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/changeset.h"
#include "common/schema.h"

namespace csa {

using NamedValues = std::vector<std::pair<std::string, Value>>;

struct NamedChange {
  std::string table;
  std::string op;  // insert, update, delete
  NamedValues key;
  NamedValues before;  // update: what changed; delete: the row
  NamedValues after;   // update: what changed; insert: the row
};

// `layout` is not needed where the table has its names (journals); null, or without the table, or
// with another number of columns: names are made up
// ("column1", "rowid"), because a line with odd names is better than none.
[[nodiscard]] NamedChange name_change(const RowChange& change, const ChangeTable& table,
                                      const Layout* layout);

}  // namespace csa
