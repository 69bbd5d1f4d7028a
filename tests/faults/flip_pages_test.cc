// Every bit of the pages that hold csa's own tables in a replica, one at a time.
#include <doctest/doctest.h>

#include "tests/faults/flips.h"
#include "tests/support/replica_flips.h"

namespace csa::fault_test::flip_pages_test {

TEST_CASE("shown: flips: each bit of csa's own pages in a replica, as it is opened") {
  const FlippedReplica replica;
  std::map<std::string, std::size_t> pages = replica.pages();
  pages["sqlite_schema"] = 0;
  REQUIRE(pages.size() > 15);
  FlipTable table("each bit of the first pages of csa's tables, but for empty bytes");
  // CSA_FLIPS: fewer, each so many bits.
  const std::size_t step = flips_wanted(48) < 48 ? 97 : 1;
  for (const auto& [name, first] : pages) {
    for (std::size_t bit = 0; bit < FlippedReplica::kPage * 8; bit += step) {
      const std::size_t at = first + bit / 8;
      if (bit / 8 >= 128 && replica.sound()[at] == 0) continue;
      const std::string came = replica.open_with(at, bit % 8);
      CAPTURE(name);
      CAPTURE(bit);
      CHECK_MESSAGE(!came.starts_with("WRONG"), came);
      table.add(name, came.substr(0, came.find(',')));
    }
  }
  MESSAGE(table.text());
}

}  // namespace csa::fault_test::flip_pages_test
