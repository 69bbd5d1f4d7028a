// Rows of cells in columns for people, each as wide as its widest cell, the first row being the
// heading. What does not fit a terminal is cut or wrapped; elsewhere nothing is. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

namespace csa {

class TextTable {
 public:
  enum class Long : std::uint8_t { kCut, kWrap };

  // Every row has as many cells; they are made printable.
  void row(std::vector<std::string> cells);
  // `width`: the terminal's columns; 0: there is none.
  void print(std::ostream& out, std::size_t width, Long beyond) const;

 private:
  [[nodiscard]] std::vector<std::size_t> widths(std::size_t width) const;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace csa
