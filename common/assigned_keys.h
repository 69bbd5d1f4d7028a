// Which rowids SQLite chose by itself: told by a TEMP BEFORE INSERT trigger on every application
// table with rowids, and on those that hold the rowids of full-text tables and R*Trees, in which
// NEW.rowid is -1 unless the statement gave one. For a connection that runs offline writes; belongs
// to its thread and must be gone before it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
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
  // In the pre-update hook of an insert: whether SQLite chose `rowid`.
  [[nodiscard]] bool take(std::string_view table, std::int64_t rowid);

 private:
  void note(std::string table, std::int64_t rowid);

  const Database& db_;
  std::int64_t schema_version_ = -1;
  std::vector<std::string> triggers_;
  // Newest last: a row's trigger runs right before its hook, but triggers of the user may insert
  // rows of the same table in between, and a row that is ignored has no hook at all.
  std::map<std::string, std::vector<std::int64_t>, std::less<>> notes_;
};

}  // namespace csa
