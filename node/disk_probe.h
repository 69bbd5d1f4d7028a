// Whether a disk has room, asked without writing anything that stays.
#pragma once

#include <cstdint>
#include <string>

namespace csa {

// True: a file of `bytes` bytes can be had beside `path`. It has no name and is gone at once; a
// process that is killed leaves nothing. Also false where the folder cannot be written.
[[nodiscard]] bool disk_has_room(const std::string& path, std::uint64_t bytes);

}  // namespace csa
