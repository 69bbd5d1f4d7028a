#include "common/text_table.h"

#include <algorithm>
#include <utility>

#include "common/terminal_text.h"

namespace csa {
namespace {

constexpr std::size_t kGap = 2;           // between columns
constexpr std::size_t kNarrowest = 8;     // to which a column is cut
constexpr std::size_t kPaddedMost = 40;   // one long cell does not move all others
constexpr std::size_t kWrappedMost = 20;  // lines of one cell

void print_line(std::ostream& out, const std::vector<std::string>& cells,
                const std::vector<std::size_t>& widths) {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) line.append(kGap, ' ');
    line += padded(cells[i], widths[i]);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  out << line << '\n';
}

std::vector<std::string> lines_of(const std::string& cell, std::size_t width) {
  std::vector<std::string> lines = wrapped(cell, width);
  if (lines.size() > kWrappedMost) {
    lines.resize(kWrappedMost);
    lines.back() = "…";
  }
  return lines;
}

}  // namespace

void TextTable::row(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = printable(cell);
  rows_.push_back(std::move(cells));
}

std::vector<std::size_t> TextTable::widths(std::size_t width) const {
  std::vector<std::size_t> widths(rows_.empty() ? 0 : rows_.front().size(), 0);
  std::size_t all = widths.empty() ? 0 : kGap * (widths.size() - 1);
  for (std::size_t i = 0; i < widths.size(); ++i) {
    for (const auto& row : rows_) widths[i] = std::max(widths[i], display_width(row[i]));
    if (width == 0) widths[i] = std::min(widths[i], kPaddedMost);
    all += widths[i];
  }
  // The widest columns give way, down to the next widest.
  while (width != 0 && all > width) {
    const auto widest = std::ranges::max_element(widths);
    if (*widest <= kNarrowest) break;
    std::size_t next = kNarrowest;
    for (const std::size_t one : widths) {
      if (one < *widest) next = std::max(next, one);
    }
    const std::size_t less = std::min(*widest - next, all - width);
    *widest -= less;
    all -= less;
  }
  return widths;
}

void TextTable::print(std::ostream& out, std::size_t width, Long beyond) const {
  const std::vector<std::size_t> wide = widths(width);
  for (const auto& row : rows_) {
    // Each cell's lines, one below the other.
    std::vector<std::vector<std::string>> cells;
    std::size_t most = 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::size_t columns = std::max<std::size_t>(wide[i], 2);
      if (width == 0) {
        cells.push_back({row[i]});
      } else if (beyond == Long::kCut) {
        cells.push_back({cut_to(row[i], columns)});
      } else {
        cells.push_back(lines_of(row[i], columns));
      }
      most = std::max(most, cells.back().size());
    }
    for (std::size_t n = 0; n < most; ++n) {
      std::vector<std::string> line;
      for (const auto& cell : cells) line.push_back(n < cell.size() ? cell[n] : std::string());
      print_line(out, line, wide);
    }
  }
}

}  // namespace csa
