// A row change of a journal in the master's terms. Part of merge_run.cc and merge_aside.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "broker/merge_run.h"

namespace csa {

struct MergeRun::Step {
  MergeTable* table = nullptr;
  ColumnMap columns;
  std::string op;
  bool assigned = false;          // SQLite gave the row its number
  std::optional<Row> base, node;  // by the master's columns, keys as they are there
  std::optional<RowIdentity> before, after;
  std::optional<RowIdentity> renamed;  // what the row was before a change of key that did not win
  std::optional<RowIdentity> now;      // what others have called it since
  std::optional<MergeTable::Found> broker;
  bool anothers = false;                // that has the key now of the row, which was deleted
  std::optional<std::int64_t> rowid;    // of an insert, where the rowid tells which row it is
  std::optional<std::int64_t> at_node;  // the rowid after the change
  // The rowid at the node of a row whose declared key has a NULL.
  std::optional<std::int64_t> unkeyed;
  [[nodiscard]] const RowIdentity& identity() const { return now ? *now : asked(); }
  // What the log is asked for.
  [[nodiscard]] const RowIdentity& asked() const {
    return renamed ? *renamed : before ? *before : *after;
  }
};

[[nodiscard]] const char* op_name(RowOp op);
// The row's declared key has a NULL, so that its rowid tells which row it is.
[[nodiscard]] bool is_nameless(const RowChange& change, const ChangeTable& table);
// Why a row that names another one must wait with it.
[[nodiscard]] std::string waits_for(const std::string& table);
// Why a row cannot get another key.
[[nodiscard]] std::string no_key(const MergeTable& table);

}  // namespace csa
