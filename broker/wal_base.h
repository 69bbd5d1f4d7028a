// Whether a master's file and the -wal beside it belong together. SQLite replays a -wal over
// whatever file lies there: over an older copy of it the result is a mixture of both.
//
// The proof: the master counts its commits in csa_meta, and a -wal holds every commit since it was
// begun, over a file that had all earlier ones. So the file alone is at most as many commits behind
// as the -wal holds. Commits of other programs are not counted and only weaken it, as do those of a
// csa that did not count yet.
#pragma once

#include <optional>
#include <string>

#include "common/sqlite.h"

namespace csa {

// Counts the commit that is under way; once in each of the master's.
class CommitCount {
 public:
  explicit CommitCount(const Database& db);  // must outlive this
  void add() { add_.run(); }

 private:
  Statement add_;
};

// A sentence where they do not belong together. `db` is the master at `path`, with its -wal. Where
// the file alone cannot be read (a checkpoint that was cut short) nothing is known, and told.
// Writes nothing.
[[nodiscard]] std::optional<std::string> wal_mismatch(const Database& db, const std::string& path);

}  // namespace csa
