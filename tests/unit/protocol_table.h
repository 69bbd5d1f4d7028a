// The state tables of schemas/protocol.md, read from its text, and their comparison with what the
// code does. Each test drives the real core through every row.
#pragma once

#include <doctest/doctest.h>

#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace csa::protocol_table {

// What came of an event: messages and the like in their order, or "nothing"; and the state then.
struct Outcome {
  std::string action;
  std::string next;
  bool operator==(const Outcome&) const = default;
};
// State and event, as the table words them.
using Cell = std::pair<std::string, std::string>;
using Driver = std::function<Outcome()>;

inline std::vector<std::string> split(const std::string& text, const std::string& by) {
  std::vector<std::string> parts;
  std::size_t from = 0;
  for (std::size_t at = 0; (at = text.find(by, from)) != std::string::npos; from = at + by.size()) {
    parts.push_back(text.substr(from, at - from));
  }
  parts.push_back(text.substr(from));
  return parts;
}

inline std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text.empty() ? "nothing" : text;
}

// The rows of the table whose head begins with "| `head` |". A state cell may name several states
// ("a, b"), an event cell several events ("a; b").
inline std::map<Cell, Outcome> table_of(const std::string& head) {
  std::ifstream file(std::string(CSA_SOURCE_DIR) + "/schemas/protocol.md");
  REQUIRE(file);
  std::map<Cell, Outcome> rows;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("| " + head + " |", 0) == 0) {
      inside = true;
    } else if (line.rfind('|', 0) != 0) {
      inside = false;
    } else if (inside && line.rfind("|---", 0) != 0) {
      const std::vector<std::string> cells = split(line, "|");
      REQUIRE_MESSAGE(cells.size() == 6, line);
      const auto cell = [&cells](std::size_t i) {
        const std::string& text = cells[i];
        REQUIRE_MESSAGE(text.size() > 2, text);
        return text.substr(1, text.size() - 2);
      };
      for (const std::string& state : split(cell(1), ", ")) {
        for (const std::string& event : split(cell(2), "; ")) {
          const bool fresh = rows.emplace(Cell{state, event}, Outcome{cell(3), cell(4)}).second;
          CHECK_MESSAGE(fresh, "two rows for " << state << " | " << event);
        }
      }
    }
  }
  REQUIRE_MESSAGE(!rows.empty(), "schemas/protocol.md has no table of " << head);
  return rows;
}

inline void compare(const std::string& head, const std::map<Cell, Driver>& drivers) {
  const std::map<Cell, Outcome> rows = table_of(head);
  for (const auto& [cell, row] : rows) {
    CHECK_MESSAGE(drivers.contains(cell),
                  "no code is known for the row " << cell.first << " | " << cell.second);
  }
  for (const auto& [cell, drive] : drivers) {
    const Outcome found = drive();
    const auto row = rows.find(cell);
    const std::string should =
        row == rows.end() ? "(no row)" : row->second.action + " | " + row->second.next;
    CHECK_MESSAGE(should == found.action + " | " + found.next, cell.first << " | " << cell.second);
  }
}

}  // namespace csa::protocol_table
