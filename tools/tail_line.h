// One row change as a line: a JSON object, or columns for people. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/changeset.h"
#include "common/message.h"
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

// `layout` null, or without the table, or with another number of columns: names are made up
// ("column1", "rowid"), because a line with odd names is better than none.
[[nodiscard]] NamedChange name_change(const RowChange& change, const ChangeTable& table,
                                      const Layout* layout);
[[nodiscard]] std::string json_line(const EntryHeader& header, const NamedChange& change);
[[nodiscard]] std::string people_line(const EntryHeader& header, const NamedChange& change,
                                      bool colour);
[[nodiscard]] std::string schema_line(const EntryHeader& header, const std::string& sql, bool json,
                                      bool colour);
[[nodiscard]] std::string presence_line(const Presence& presence, bool json, bool colour);

}  // namespace csa
