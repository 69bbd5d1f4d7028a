#include "tests/faults/kill_table.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

namespace csa::fault_test {

std::size_t KillTable::reached() const {
  return static_cast<std::size_t>(
      std::count_if(rows_.begin(), rows_.end(), [](const Killed& row) { return row.reached; }));
}

std::size_t KillTable::reached(const std::string& when) const {
  return static_cast<std::size_t>(std::count_if(rows_.begin(), rows_.end(), [&](const Killed& row) {
    return row.reached && row.when == when;
  }));
}

std::string KillTable::text() const {
  std::ostringstream text;
  text << std::left << std::setw(36) << "place" << std::setw(5) << "N" << std::setw(28) << "when"
       << std::setw(9) << "reached"
       << "acknowledged before, in all; found after";
  for (const Killed& row : rows_) {
    text << "\n"
         << std::left << std::setw(36) << row.place << std::setw(5) << row.n << std::setw(28)
         << row.when << std::setw(9) << (row.reached ? "yes" : "no") << std::right << std::setw(6)
         << row.before << std::setw(8) << row.acknowledged << std::setw(8) << row.found;
  }
  return text.str();
}

}  // namespace csa::fault_test
