// Whether the file of a master or replica and the -wal beside it belong together. SQLite replays a
// -wal over whatever file lies there: over an older copy of it the result is a mixture of both.
//
// The proof: csa counts its commits in csa_meta, and a -wal holds every commit since it was begun,
// over a file that had all earlier ones. So the file alone is at most as many commits behind as the
// -wal holds. Commits that are not counted, of other programs or of csa's own upkeep, only weaken
// it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/sqlite.h"

namespace csa {

// Counts the commit that is under way; at most once in each. REQUIRES: csa_meta is filled.
class CommitCount {
 public:
  explicit CommitCount(const Database& db);  // must outlive this
  void add() { add_.run(); }

 private:
  Statement add_;
};

[[nodiscard]] std::int64_t commits_of(const Database& db);
// For a file whose content is about to replace another's: it has at least that many.
void raise_commits(const Database& db, std::int64_t least);

// A master is one database, and knows all epochs that its file can have; what a full copy leaves of
// a replica in its -wal may be of another.
enum class WalOf : std::uint8_t { kMaster, kReplica };
// A sentence where they do not belong together. `db` is the database at `path`, with its -wal;
// others may write to it meanwhile. Where the file alone cannot be read (a
// checkpoint that was cut short) nothing is known, and told. Writes nothing.
[[nodiscard]] std::optional<std::string> wal_mismatch(const Database& db, const std::string& path,
                                                      WalOf of);

}  // namespace csa
