// From where, at which calls and how often programs are killed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/faults/kill_table.h"
#include "tests/system/place.h"

namespace csa::fault_test {

// From where calls are counted: of a program from its start, or from the midst of its work.
enum class From : std::uint8_t { kStart, kLoad };

struct Plan {
  std::vector<std::string> calls{"fdatasync", "pwrite64", "sendto"};
  std::vector<From> froms{From::kStart, From::kLoad};
  std::vector<int> numbers;
  std::optional<std::uint64_t> power{};  // the first seed, where each kill is a power cut
  bool shown = false;  // what README promises: not left out where nothing can be injected
  [[nodiscard]] std::size_t each() const { return froms.size() * numbers.size(); }
};

[[nodiscard]] bool can_kill(const Plan& plan);
// A cut that forgets nothing shows nothing.
void check_cuts(const Plan& plan, const KillTable& table);
// 1 to 20, as README says, or to CSA_KILLS.
[[nodiscard]] std::vector<int> promised_numbers();
// Of the load's table in the master.
[[nodiscard]] std::size_t rows_of(const system_test::Place& place, const std::string& writers);

}  // namespace csa::fault_test
