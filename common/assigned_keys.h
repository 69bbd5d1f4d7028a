// Which rowids SQLite chose by itself: told by a TEMP BEFORE INSERT trigger on every application
// table with rowids, in which NEW.rowid is -1 unless the statement gave one. Of full-text tables
// and R*Trees it is told by the statements with which these store a row in their shadow tables,
// once such a one has ended: its first value is the rowid, or NULL. (A trigger would have each of
// them open a savepoint, and there a full-text table writes its index: a segment for every row.)
// For a connection that runs offline writes; belongs to its thread and must be gone before it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/sqlite.h"

namespace csa {

// The SQL function that those triggers call. The sandbox allows it in them alone.
inline constexpr std::string_view kAssignedKeysFunction = "csa_note_key";
inline constexpr std::string_view kAssignedKeysTrigger = "csa_note_key_";

class AssignedKeys {
 public:
  explicit AssignedKeys(const Database& db);
  ~AssignedKeys();
  AssignedKeys(const AssignedKeys&) = delete;
  AssignedKeys& operator=(const AssignedKeys&) = delete;

  // The triggers fit the schema from here on. REQUIRES: no transaction is open.
  void refresh();
  // Before a call, and after a rollback.
  void clear() { notes_.clear(); }
  // In the pre-update hook of an insert: whether SQLite chose `rowid`. Nothing: take_stored() tells
  // it, from the end of the statement on that inserts the row.
  [[nodiscard]] std::optional<bool> take(std::string_view table, std::int64_t rowid);
  // Of the latest such row. A document of hundreds of MiB counts as numbered by the application.
  [[nodiscard]] bool take_stored() { return std::exchange(stored_unnumbered_, false); }

 private:
  void note(std::string table, std::int64_t rowid);
  void on_ended(sqlite3_stmt* statement);

  const Database& db_;
  std::int64_t schema_version_ = -1;
  std::vector<std::string> triggers_;
  std::set<std::string, std::less<>> shadows_;  // that hold rowids of full-text tables and R*Trees
  bool stored_unnumbered_ = false;              // the latest row in one of them
  // Newest last: a row's trigger runs right before its hook, but triggers of the user may insert
  // rows of the same table in between, and a row that is ignored has no hook at all.
  std::map<std::string, std::vector<std::int64_t>, std::less<>> notes_;
};

}  // namespace csa
