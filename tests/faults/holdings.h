// What programs and files of a place hold, looked at again and again: what must not grow.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "tests/faults/pace.h"
#include "tests/system/place.h"

namespace csa::fault_test {

struct Holdings {
  std::map<std::string, Held> programs;  // by the name they have in what is printed
  std::size_t master = 0;                // bytes, also where they are in the -wal alone yet
  std::size_t master_wal = 0;
  std::size_t replica = 0;
  std::size_t replica_wal = 0;
  std::size_t log = 0;
  std::size_t files = 0;  // in the folder, of all programs
  std::size_t bytes = 0;  // of them, without -wal and -shm
};

[[nodiscard]] Holdings holdings_of(const system_test::Place& place, const std::string& replica,
                                   const std::map<std::string, pid_t>& programs);
// The most of each. REQUIRES: not empty.
[[nodiscard]] Holdings most_of(const std::vector<Holdings>& looks);
[[nodiscard]] std::string words_of(const Holdings& holdings);

// Checks that the most of the last third of looks is no more than that of the first third, but for
// what a computer's own ways let differ.
void check_steady(const Holdings& first, const Holdings& last);

}  // namespace csa::fault_test
