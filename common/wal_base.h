// Whether the file of a master or replica and the -wal beside it belong together. SQLite replays a
// -wal over whatever file lies there: over an older copy of it the result is a mixture of both.
//
// The proof: csa counts its commits in csa_meta, and a -wal holds every commit since it was begun,
// over a file that had all earlier ones. So the file alone is at most as many commits behind as the
// -wal holds. Every commit of csa's is counted; those of other programs are not, and weaken it by
// as many as lie in the -wal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/sqlite.h"

namespace csa {

// Counts the commit that is under way; exactly once in each. REQUIRES: csa's tables are there.
class CommitCount {
 public:
  explicit CommitCount(const Database& db);  // must outlive this
  void add() { add_.run(); }

 private:
  Statement add_;
};

// BEGIN IMMEDIATE now, ROLLBACK in the destructor unless committed. commit() counts, except where
// nothing was written, and so nothing is committed. What writes to a replica is one of these.
class CountedTransaction {
 public:
  CountedTransaction(const Database& db, CommitCount& count);  // both outlive this
  void commit();

 private:
  const Database& db_;
  CommitCount& count_;
  Transaction transaction_;
  std::int64_t written_before_;
};

// What a program that has ended left in the -wal without a sync is on the disk then, before anybody
// is told of it. REQUIRES: `db` has been read from.
void sync_wal(const Database& db);

[[nodiscard]] std::int64_t commits_of(const Database& db);
// Of the database at `path`; where a disk keeps that wrongly, what it can be at most, so that a
// copy that takes its place counts on. 0: nothing is known, nor will wal_mismatch() know.
[[nodiscard]] std::int64_t commits_at_most(const Database& db, const std::string& path);
// In the transaction that makes a file, or content that is to replace another's.
void set_commits(const Database& db, std::int64_t commits);

// A master is one database, and knows all epochs that its file can have; what a full copy leaves of
// a replica in its -wal may be of another.
enum class WalOf : std::uint8_t { kMaster, kReplica };
// A sentence where they do not belong together. `db` is the database at `path`, with its -wal;
// others may write to it meanwhile. Where the file alone cannot be read (a
// checkpoint that was cut short) nothing is known, and told. Writes nothing.
[[nodiscard]] std::optional<std::string> wal_mismatch(const Database& db, const std::string& path,
                                                      WalOf of);

}  // namespace csa
