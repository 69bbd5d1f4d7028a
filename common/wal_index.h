// What the index of a -wal tells that no statement does (SQLite's walformat.html).
#pragma once

#include <cstdint>
#include <optional>

#include "common/sqlite.h"

namespace csa {

struct WalIndex {
  // One more with each commit of anybody, modulo 2^32; a checkpoint, which changes PRAGMA
  // data_version too, leaves it. Begins anew when the last connection was closed. "iChange".
  std::uint32_t commits = 0;
  std::uint32_t last_frame = 0;  // of the last commit. "mxFrame"
  std::uint32_t pages = 0;       // of the database after the last commit. "nPage"
};

// Nothing: the index cannot be looked at. REQUIRES: `db` is in WAL mode and has been read from;
// where somebody commits meanwhile, the values may be of before or after. Throws SqliteError.
[[nodiscard]] std::optional<WalIndex> look_at_wal_index(const Database& db);

}  // namespace csa
