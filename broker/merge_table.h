// A table of the master as a merge sees it: rows found by identity, written by statements that obey
// no ON CONFLICT of the schema, and a journal's columns put in the master's order by name. Belongs
// to the ledger's thread; statements are prepared once. Calls throw SqliteError (also for a
// constraint that a row breaks).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/merge_row.h"
#include "broker/row_identity.h"
#include "common/schema.h"
#include "common/sqlite.h"

namespace csa {

// A foreign key of this table, columns by position in the carried columns.
struct MergeReference {
  std::string parent;
  std::vector<std::uint32_t> columns;
  std::vector<std::string> parent_columns;
};

class MergeTable {
 public:
  // `db` must outlive this.
  MergeTable(const Database& db, TableInfo info);

  [[nodiscard]] const TableInfo& info() const { return info_; }
  [[nodiscard]] const std::string& name() const { return info_.change_table.name; }
  [[nodiscard]] const std::vector<std::string>& column_names() const { return names_; }
  [[nodiscard]] bool is_shadow() const { return shadow_; }
  [[nodiscard]] const std::vector<MergeReference>& references() const { return references_; }
  // Carried column that is the rowid, if there is one.
  [[nodiscard]] std::optional<std::uint32_t> rowid_column() const;
  // The rowid says which row it is: no declared key, or the INTEGER PRIMARY KEY.
  [[nodiscard]] bool keyed_by_rowid() const;

  struct Found {
    Row key;  // physical
    Row row;  // by carried column
  };
  // The row's name; `physical` is its key in this database.
  [[nodiscard]] RowIdentity identity(const Row& row, const Row& physical) const;
  [[nodiscard]] std::optional<Found> find(const RowIdentity& row);
  template <class Visit>
  void each(Visit visit) const {
    Statement rows = all_rows();
    while (rows.step()) visit(read(rows));
  }
  // A value of the declared key is NULL, or none is declared: the rowid tells which row it is.
  [[nodiscard]] bool has_null_key(const Row& row) const;
  [[nodiscard]] bool has_rowid(std::int64_t rowid);
  // Above every rowid that is or was in use; nothing: there is no higher one.
  [[nodiscard]] std::optional<std::int64_t> next_rowid();
  void raise_sequence(std::int64_t value);

  // `known`: the columns that are written; others get their default. `rowid`: for tables whose
  // rowid is no column and tells which row it is; else SQLite chooses.
  void insert(const Row& row, const std::vector<bool>& known, std::optional<std::int64_t> rowid);
  void update(const Row& key, const Row& row, const std::vector<bool>& changed);
  void remove(const Row& key);

 private:
  [[nodiscard]] Statement all_rows() const;
  [[nodiscard]] Found read(const Statement& row) const;
  [[nodiscard]] std::string where_physical(int first) const;
  void read_references();
  void bind_key(Statement& statement, const Row& key, int first) const;

  const Database& db_;
  const TableInfo info_;
  const bool utf16_;
  std::vector<std::string> names_;  // of the carried columns
  std::string select_;              // rowid and these
  bool shadow_ = false;
  std::vector<KeyFold> folds_;
  std::vector<MergeReference> references_;
  Statement find_physical_, find_declared_, find_rowid_, max_rowid_, remove_;
  std::map<std::vector<bool>, Statement> inserts_, updates_;
};

// One that a virtual table keeps its contents in.
[[nodiscard]] bool is_shadow(const Database& db, const std::string& table);
// By which a column compares; empty: there is no such column.
[[nodiscard]] std::string collation_of(const Database& db, const std::string& table,
                                       const std::string& column);
// Of the values by which rows of this table are told apart.
[[nodiscard]] std::vector<KeyFold> key_folds(const Database& db, const TableInfo& info);

// A journal's table on the master's.
struct ColumnMap {
  std::vector<std::optional<std::uint32_t>> to;  // by journal's column: the master's
  std::vector<bool> known;                       // by master's column: the journal has it
};
[[nodiscard]] ColumnMap map_columns(const ChangeTable& journal, const MergeTable& master);

}  // namespace csa
