// SQLite's own check of a database file, without what it is wrong about.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/sqlite.h"

namespace csa {

enum class IntegrityCheck : std::uint8_t { kQuick, kFull };

// The faults that it finds, as it words them, at most `lines_max`; empty: the file is sound. SQLite
// 3.40 finds a NULL in each NOT NULL column of each row of a WITHOUT ROWID table whose key comes
// last; such a line is kept only where there is one. Throws SqliteError.
[[nodiscard]] std::vector<std::string> integrity_faults(const Database& db, IntegrityCheck kind,
                                                        std::size_t lines_max);

// Whether the database ends where its first page says, by the last commit in its -wal, else by the
// file's length. SQLite finds it out where the page says too much; where it says too little, what
// lies behind is overwritten by the next commits that grow the database. That may be nothing: some
// programs let their files grow in advance. integrity_faults() tells. REQUIRES: `db`, the database
// at `path`, has been read from. Throws SqliteError.
[[nodiscard]] bool ends_as_it_says(const Database& db, const std::string& path);

}  // namespace csa
