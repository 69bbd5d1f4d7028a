#include "common/page_map.h"

#include <bit>
#include <string_view>

#include "common/check.h"

namespace csa {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kFileMagic = "SQLite format 3\0"sv;
constexpr std::uint64_t kPageMin = 512;
constexpr std::uint64_t kPageMax = 65536;

}  // namespace

bool is_page_size(std::uint64_t bytes) {
  return bytes >= kPageMin && bytes <= kPageMax && std::has_single_bit(bytes);
}

std::uint32_t page_size_of(ByteView start_of_file) {
  if (start_of_file.size() < kFileMagic.size() + 2) return 0;
  if (as_text(start_of_file.first(kFileMagic.size())) != kFileMagic) return 0;
  const std::uint32_t told = start_of_file[16] * 256U + start_of_file[17];
  const std::uint32_t size = told == 1 ? static_cast<std::uint32_t>(kPageMax) : told;
  return is_page_size(size) ? size : 0;
}

void append_page_hashes(ByteView pages, std::uint32_t page_size, Bytes& map) {
  CSA_CHECK(page_size > 0 && pages.size() % page_size == 0);
  for (std::size_t at = 0; at < pages.size(); at += page_size) {
    const std::uint64_t hash = hash64(pages.subspan(at, page_size));
    for (unsigned i = 0; i < kPageHash; ++i) {
      map.push_back(static_cast<std::uint8_t>(hash >> (8 * i)));
    }
  }
}

std::uint64_t page_hash(ByteView map, std::size_t index) {
  const ByteView bytes = map.subspan(index * kPageHash, kPageHash);
  std::uint64_t hash = 0;
  for (unsigned i = 0; i < kPageHash; ++i) hash |= std::uint64_t{bytes[i]} << (8 * i);
  return hash;
}

}  // namespace csa
