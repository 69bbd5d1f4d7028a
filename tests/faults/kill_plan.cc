#include "tests/faults/kill_plan.h"

#include <doctest/doctest.h>

#include "tests/faults/injected.h"
#include "tests/faults/pace.h"

namespace csa::fault_test {

bool can_kill(const Plan& plan) {
  const bool can = can_inject();
  if (plan.shown) REQUIRE(can);
  return can;
}

void check_cuts(const Plan& plan, const KillTable& table) {
  if (!plan.power) return;
  const Killed all = table.total();
  CHECK(all.cuts > 0);
  if (plan.shown) CHECK(all.forgotten.changes > 0);
}

std::vector<int> promised_numbers() {
  std::vector<int> all;
  const int last = static_cast<int>(setting("CSA_KILLS", 20));
  for (int n = 1; n <= last; ++n) all.push_back(n);
  return all;
}

std::size_t rows_of(const system_test::Place& place, const std::string& writers) {
  return static_cast<std::size_t>(
      system_test::count_of(place.master(), "SELECT count(*) FROM entry WHERE " + writers));
}

}  // namespace csa::fault_test
