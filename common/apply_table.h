// A table as apply writes to it: generated statements, prepared once, and exact comparison of rows.
// Part of apply; used by its thread only. Calls throw SqliteError for the disk.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/change_bytes.h"
#include "common/result.h"
#include "common/schema.h"
#include "common/sqlite.h"

namespace csa {

class AppliedTable {
 public:
  // `db` must outlive this. `utf16`: text is read as it lies in a UTF-16 database.
  AppliedTable(const Database& db, TableInfo info, bool utf16);

  [[nodiscard]] const TableInfo& info() const { return info_; }

  // Each executes one change exactly, or says how the row differs from what the change expects.
  [[nodiscard]] Status insert(const RowChange& change);
  [[nodiscard]] Status remove(const RowChange& change);
  [[nodiscard]] Status update(const RowChange& change);

  // All carried columns of the row with exactly this key.
  [[nodiscard]] std::optional<Row> read(const Row& key);
  // Without looking at what the row holds; false: there was no such row.
  [[nodiscard]] bool remove_key(const Row& key);
  [[nodiscard]] Error damage(const Row& key, const std::string& difference) const;
  // How `found` differs from the values that `change` expects; empty: it does not.
  [[nodiscard]] std::string difference(const RowChange& change, const Row& found) const;

 private:
  [[nodiscard]] std::string where_exact_key(int& parameter) const;
  [[nodiscard]] std::string where_value(std::size_t position, int parameter) const;
  [[nodiscard]] const Column& column(std::size_t position) const {
    return info_.columns[info_.carried[position]];
  }
  Statement& update_statement(const RowChange& change);
  // "a = ?5, b = ?6", from `parameter` on.
  [[nodiscard]] std::string assignments(const RowChange& change, int parameter) const;
  [[nodiscard]] Status execute(Statement& statement, const RowChange& change);
  [[nodiscard]] std::string explain(const RowChange& change);

  const Database& db_;
  const TableInfo info_;
  const std::vector<ColumnRole> roles_;
  const bool utf16_;
  Statement insert_, remove_, remove_key_, read_;
  std::map<Bytes, Statement> updates_;  // by what they set and expect
};

// A value for people, shortened.
[[nodiscard]] std::string describe(const Value& value);
[[nodiscard]] std::string describe(const Row& key);

}  // namespace csa
