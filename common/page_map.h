// The page map of a database file: hash64 of each of its pages, in order. By it a node finds out
// which pages of a full copy it has already, wherever they lie in its own file. Pure.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/bytes.h"

namespace csa {

inline constexpr std::size_t kPageHash = sizeof(std::uint64_t);  // bytes of one in a map

// By the file's header (sqlite.org/fileformat2.html, "Page Size"); 0: this is no SQLite file.
[[nodiscard]] std::uint32_t page_size_of(ByteView start_of_file);
// A power of two from 512 to 65536.
[[nodiscard]] bool is_page_size(std::uint64_t bytes);

// REQUIRES: `pages` is a multiple of page_size long.
void append_page_hashes(ByteView pages, std::uint32_t page_size, Bytes& map);
// Little-endian. REQUIRES: the map holds hash `index`.
[[nodiscard]] std::uint64_t page_hash(ByteView map, std::size_t index);

}  // namespace csa
