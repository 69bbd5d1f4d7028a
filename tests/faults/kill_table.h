// What became of programs that were killed at chosen places: a row for each, to be printed.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tests/support/power_replay.h"

namespace csa::fault_test {

struct Killed {
  std::string place;
  int n = 0;
  std::string when;
  bool reached = false;
  std::size_t before = 0;        // acknowledged before the kill
  std::size_t acknowledged = 0;  // in all, also after it
  std::size_t found = 0;         // of the same writers, in the master, once all had come back
  std::size_t cuts = 0;          // of the power, where programs had recorded something
  test::Forgotten forgotten{};   // by them
};

class KillTable {
 public:
  // Of a row that was not reached no power cut counts: it came after a clean end.
  void add(Killed row);
  [[nodiscard]] const std::vector<Killed>& rows() const { return rows_; }
  [[nodiscard]] std::size_t reached() const;
  // How many were reached of those that `when` says.
  [[nodiscard]] std::size_t reached(const std::string& when) const;
  [[nodiscard]] Killed total() const;
  // Power cuts are shown where there were any.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<Killed> rows_;
};

}  // namespace csa::fault_test
