#include "common/page_map.h"

#include <doctest/doctest.h>

namespace csa::page_map_test {
namespace {

Bytes header(std::uint8_t high, std::uint8_t low) {
  const std::string_view magic = "SQLite format 3";
  Bytes bytes(magic.begin(), magic.end());
  bytes.push_back(0);
  bytes.push_back(high);
  bytes.push_back(low);
  return bytes;
}

}  // namespace

TEST_CASE("page map: the page size by a file's header, 0 where it is no database") {
  CHECK(page_size_of(header(0x10, 0)) == 4096);
  CHECK(page_size_of(header(0x02, 0)) == 512);
  CHECK(page_size_of(header(0, 1)) == 65536);
  CHECK(page_size_of(header(0, 0)) == 0);
  CHECK(page_size_of(header(0x10, 1)) == 0);
  CHECK(page_size_of(header(0x01, 0)) == 0);
  Bytes other = header(0x10, 0);
  other[3] ^= 1;
  CHECK(page_size_of(other) == 0);
  other = header(0x10, 0);
  other.pop_back();
  CHECK(page_size_of(other) == 0);
  CHECK(page_size_of({}) == 0);
}

TEST_CASE("page map: hashes of pages, each at its place") {
  Bytes pages(3 * 512);
  for (std::size_t i = 0; i < pages.size(); ++i) pages[i] = static_cast<std::uint8_t>(i * 7 / 3);
  Bytes map;
  append_page_hashes(ByteView(pages).first(1024), 512, map);
  append_page_hashes(ByteView(pages).subspan(1024), 512, map);
  REQUIRE(map.size() == 3 * kPageHash);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(page_hash(map, i) == hash64(ByteView(pages).subspan(i * 512, 512)));
  }
}

}  // namespace csa::page_map_test
