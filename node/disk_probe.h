// Whether a disk has room, asked without writing anything that stays.
#pragma once

#include <cstdint>
#include <string>

#include "common/sqlite.h"

namespace csa {

// True: a file of `bytes` bytes can be had beside `path`. It has no name and is gone at once; a
// process that is killed leaves nothing. Also false where the folder cannot be written.
[[nodiscard]] bool disk_has_room(const std::string& path, std::uint64_t bytes);
// What SQLite reported about the database at `path` comes of a full disk. Where its shared memory
// finds no room, SQLite calls that an I/O error: then the disk is asked.
[[nodiscard]] bool is_disk_full(const SqliteError& error, const std::string& path);

}  // namespace csa
