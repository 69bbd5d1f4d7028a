// What the index of a -wal tells that no statement does.
#pragma once

#include <cstdint>

#include "common/sqlite.h"

namespace csa {

// One more with each commit of anybody, modulo 2^32; a checkpoint, which changes PRAGMA
// data_version too, leaves it. Begins anew when the last connection was closed. SQLite's
// walformat.html, "iChange". REQUIRES: `db` is in WAL mode and has been read from; nobody commits
// meanwhile, or the value may be of before or after. Throws SqliteError.
[[nodiscard]] std::uint32_t commits_in_wal_index(const Database& db);

}  // namespace csa
