#include "tests/faults/kill_table.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

namespace csa::fault_test {

void KillTable::add(Killed row) {
  if (!row.reached) {
    row.cuts = 0;
    row.forgotten = {};
  }
  rows_.push_back(std::move(row));
}

std::size_t KillTable::reached() const {
  return static_cast<std::size_t>(
      std::count_if(rows_.begin(), rows_.end(), [](const Killed& row) { return row.reached; }));
}

std::size_t KillTable::reached(const std::string& when) const {
  return static_cast<std::size_t>(std::count_if(rows_.begin(), rows_.end(), [&](const Killed& row) {
    return row.reached && row.when == when;
  }));
}

Killed KillTable::total() const {
  Killed all{.place = "all", .when = "", .reached = true};
  for (const Killed& row : rows_) {
    all.before += row.before;
    all.acknowledged += row.acknowledged;
    all.found += row.found;
    all.cuts += row.cuts;
    all.forgotten.add(row.forgotten);
  }
  return all;
}

std::string KillTable::text() const {
  const Killed all = total();
  std::vector<Killed> rows = rows_;
  if (all.cuts > 0) rows.push_back(all);
  std::ostringstream text;
  text << std::left << std::setw(36) << "place" << std::setw(5) << "N" << std::setw(28) << "when"
       << std::setw(9) << "reached"
       << "acknowledged before, in all; found after"
       << (all.cuts > 0 ? "; power cuts, that forgot writes, bytes, names" : "");
  for (const Killed& row : rows) {
    text << "\n"
         << std::left << std::setw(36) << row.place << std::setw(5) << row.n << std::setw(28)
         << row.when << std::setw(9) << (row.reached ? "yes" : "no") << std::right << std::setw(6)
         << row.before << std::setw(8) << row.acknowledged << std::setw(8) << row.found;
    if (all.cuts == 0) continue;
    text << std::setw(6) << row.cuts << std::setw(8) << row.forgotten.changes << std::setw(10)
         << row.forgotten.bytes << std::setw(6) << row.forgotten.names;
  }
  return text.str();
}

}  // namespace csa::fault_test
