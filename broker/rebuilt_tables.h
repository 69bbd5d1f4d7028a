// What a migration makes of the rows of tables that it drops or renames away: the log tells of such
// a statement, and of the rows that are inserted into a table of the same name afterwards, but not
// which of them are the rows of before. So the two states are compared, and csa_touch tells the log
// what differs (touch_marks.h). Belongs to the ledger's thread. Throws SqliteError.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "broker/touch_marks.h"
#include "common/sqlite.h"

namespace csa {

class RebuiltTables {
 public:
  // Before the first statement of a migration. `db` outlives this; its file, as committed, is the
  // state of before: a migration is a transaction of its own.
  explicit RebuiltTables(const Database& db);
  // After each schema statement, which is in the changeset.
  void look();
  // After the last.
  void tell();

 private:
  void tell(const Database& before, const std::string& table);

  const Database& db_;
  std::set<std::string> there_;    // from the start on; in lower case, by their names in the log
  std::vector<std::string> left_;  // were there, and were not after some statement
};

}  // namespace csa
