// A bit of a -wal that a disk keeps wrongly. SQLite proves each frame by a checksum that continues
// the one before, and takes the first that does not fit for the end: that commit and all behind it
// are gone without a word, synced and answered or not. The checksum is a sum, so that one wrong bit
// can be told from a tail that was torn by a power cut, and mostly which one it is: then it is put
// right.
#pragma once

#include <cstdint>
#include <string>

#include "common/sqlite.h"

namespace csa {

// Whether a -wal holds more than SQLite has found in it: a tail of no commit, or commits behind one
// that is damaged. Reads one frame's header. REQUIRES: `db` has been read from.
[[nodiscard]] bool wal_holds_more(const Database& db, const std::string& path);

struct MendedWal {
  int bits = 0;             // put right
  std::int64_t behind = 0;  // at least so many commits are behind a frame that stays damaged
  bool certain = false;     // no power cut does that
};
// Puts single bits of PATH-wal right, in the file. REQUIRES: nobody has the database open. Throws
// SqliteError where the file cannot be read or written.
[[nodiscard]] MendedWal mend_wal(const std::string& path);

}  // namespace csa
