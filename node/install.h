// How a downloaded copy becomes the replica: proved, given this replica's private rows, and swapped
// in under the readers' feet: they see the old content or the new one, never a mixture. Plain calls
// for node/replica.cc; SqliteError: the disk, with the replica as it was.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/journal.h"
#include "common/log.h"
#include "common/message.h"
#include "common/result.h"
#include "common/sqlite.h"
#include "common/store_meta.h"
#include "node/identity.h"

namespace csa {

struct CopyExpectation {
  Position position;       // as the broker's END says
  std::optional<DbId> db;  // the replica's database, if it has one
  Identity identity;       // app and group must be the copy's; generations never go back
  std::vector<JournalOutcome> outcomes;  // of this replica's journal, kept over the change
  std::int64_t commits = 0;              // of the replica; the copy is one more, see wal_base.h
};

// Opens the copy, compares it with what is expected and writes the private rows into it. The copy
// is a single file afterwards. Errors: kDamaged (it is not what it should be), kRefused (another
// database, group or an older generation).
[[nodiscard]] Result<Meta> prepare_copy(const std::string& copy, const CopyExpectation& expected);

struct Fork {
  std::string why;  // a sentence's half, for people
  // The last entry of the replica's log that the copy's history has; nothing: they cannot tell.
  std::optional<Seq> common;
};
// The history of the prepared `copy` does not have what the replica `live`, at `own`, holds;
// nothing: it does, as far as its epochs and its log can tell.
[[nodiscard]] std::optional<Fork> fork_of(const Database& live, const Position& own,
                                          const std::string& copy);

// Copies `copy` over the content of `live` in one transaction of SQLite's backup API, after a look
// that nobody can write behind: it is called under the write lock, must leave `live` alone, and
// ends it by what it throws. False: page size or text encoding differ, nothing was done; only
// replace_file() can help. REQUIRES: no statement of `live` is under way.
[[nodiscard]] bool copy_into(const Database& live, const std::string& copy,
                             const std::function<void()>& look);

// Puts the prepared file `copy` in the place of the replica `path`. Programs that have the old file
// open keep its content until they open the path anew. REQUIRES: the caller's own handles on `path`
// are closed.
void replace_file(const std::string& path, const std::string& copy);
// Ends a replace_file() that a crash cut short; does nothing where there was none. True: it did.
bool finish_replacement(const std::string& path);

// Copies the replica as it is to "PATH-aside-YYYYMMDD-HHMMSS", or in the place of `earlier`, what
// was kept of it before an install that failed; the name.
[[nodiscard]] std::string keep_aside(const Database& live, const std::string& path,
                                     const std::string& earlier = {});
// All that were kept so, oldest first.
[[nodiscard]] std::vector<std::string> kept_aside(const std::string& path);

// Moves the whole WAL into the database file and cuts the WAL to nothing if no reader is in the
// way, else as far as readers let it; does not wait. True: everything is in the database file.
bool checkpoint_all(const Database& db);

}  // namespace csa
