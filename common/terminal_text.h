// Text for people: what values and names of others hold must not tell a terminal what to do, and
// columns line up by the columns that characters take. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace csa {

// The same text on one line: control characters (C0, DEL, C1), those that turn the direction of
// writing, and bytes that are no UTF-8 are escaped, as \n, \x1b, \u0085.
[[nodiscard]] std::string printable(std::string_view text);

// Columns that it takes on a terminal. REQUIRES of all that follows: printable text.
[[nodiscard]] std::size_t display_width(std::string_view text);
// At most `width` columns, the last of them "…" where something is missing. REQUIRES: width > 0.
[[nodiscard]] std::string cut_to(std::string_view text, std::size_t width);
[[nodiscard]] std::string padded(std::string_view text, std::size_t width, bool right = false);
// In lines of at most `width` columns, broken behind blanks where there are some; nothing is left
// out. One line at least. REQUIRES: width > 1.
[[nodiscard]] std::vector<std::string> wrapped(std::string_view text, std::size_t width);

}  // namespace csa
