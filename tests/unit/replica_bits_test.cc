// Bits of the pages that hold what a replica says of itself, as a disk keeps them wrongly.
#include <doctest/doctest.h>

#include "tests/support/replica_flips.h"

namespace csa::replica_bits_test {

TEST_CASE(
    "replica: a wrong bit in csa's own pages, put right, marked or refused with the way out") {
  const FlippedReplica replica;
  std::map<std::string, int> seen;
  std::map<std::string, std::size_t> pages;
  for (const char* const name : {"csa_private", "csa_meta", "csa_epoch", "csa_journal"}) {
    pages[name] = replica.pages().at(name);
  }
  pages["sqlite_schema"] = 0;
  for (const auto& [name, first] : pages) {
    CAPTURE(name);
    for (std::size_t bit = 0; bit < FlippedReplica::kPage * 8; ++bit) {
      const std::size_t at = first + bit / 8;
      // The page's header and its cells' places whole, of the cells some.
      const bool header = bit / 8 < (first == 0 ? 108 : 24);
      if (!header && (replica.sound()[at] == 0 || bit % 13 != 0)) continue;
      CAPTURE(bit);
      const std::string came = replica.open_with(at, bit % 8);
      REQUIRE_MESSAGE(!came.starts_with("WRONG"), came);
      ++seen[came];
    }
  }
  for (const char* const some : {"as it was", "put right", "marked", "refused"}) {
    CAPTURE(some);
    CHECK(seen[some] > 0);
  }
}

}  // namespace csa::replica_bits_test
