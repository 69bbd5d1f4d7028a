#include "common/terminal_text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>

namespace csa {
namespace {

struct Point {
  std::uint32_t code = 0;
  std::size_t size = 0;  // bytes; 0: no UTF-8 begins here
};

Point point_at(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return std::uint32_t{static_cast<unsigned char>(text[i])};
  };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  constexpr std::array<std::uint32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
  if (lead < 0xC2 || lead > 0xF4 || text.size() < size) return {};
  std::uint32_t code = lead & (0x7FU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return {};
    code = (code << 6U) | (byte(i) & 0x3FU);
  }
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < kLeast[size] || code > 0x10FFFF || surrogate) return {};
  return {code, size};
}

struct Range {
  std::uint32_t first;
  std::uint32_t last;
};

template <std::size_t N>
bool in(const std::array<Range, N>& ranges, std::uint32_t code) {
  return std::ranges::any_of(
      ranges, [code](const Range& range) { return code >= range.first && code <= range.last; });
}

constexpr std::array<Range, 4> kControl = {
    {{0, 0x1F}, {0x7F, 0x9F}, {0x202A, 0x202E}, {0x2066, 0x2069}}};
// The usual marks that stand over another character, and what is invisible.
constexpr std::array<Range, 15> kNarrow = {{{0x300, 0x36F},
                                            {0x483, 0x489},
                                            {0x591, 0x5BD},
                                            {0x610, 0x61A},
                                            {0x64B, 0x65F},
                                            {0xE31, 0xE31},
                                            {0xE34, 0xE3A},
                                            {0xE47, 0xE4E},
                                            {0x1AB0, 0x1AFF},
                                            {0x200B, 0x200F},
                                            {0x2060, 0x2064},
                                            {0x20D0, 0x20FF},
                                            {0xFE00, 0xFE0F},
                                            {0xFE20, 0xFE2F},
                                            {0xE0100, 0xE01EF}}};
// East Asian wide and full-width characters, and pictures.
constexpr std::array<Range, 12> kWide = {{{0x1100, 0x115F},
                                          {0x2E80, 0x303E},
                                          {0x3041, 0x4DBF},
                                          {0x4E00, 0xA4CF},
                                          {0xA960, 0xA97F},
                                          {0xAC00, 0xD7A3},
                                          {0xF900, 0xFAFF},
                                          {0xFE30, 0xFE6F},
                                          {0xFF00, 0xFF60},
                                          {0xFFE0, 0xFFE6},
                                          {0x1F300, 0x1FAFF},
                                          {0x20000, 0x3FFFD}}};

std::size_t width_of(std::uint32_t code) {
  if (in(kNarrow, code)) return 0;
  return in(kWide, code) ? 2 : 1;
}

void append_escape(std::string& out, const char* format, std::uint32_t code) {
  std::array<char, 12> text{};
  std::snprintf(text.data(), text.size(), format, static_cast<unsigned>(code));
  out += text.data();
}

// Bytes of `text` that take at most `width` columns.
std::size_t fitting(std::string_view text, std::size_t width) {
  std::size_t columns = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    const Point point = point_at(text.substr(at));
    columns += width_of(point.code);
    if (columns > width) break;
    at += std::max<std::size_t>(point.size, 1);
  }
  return at;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Point point = point_at(text.substr(at));
    if (point.size == 0) {
      append_escape(out, "\\x%02x", static_cast<unsigned char>(text[at]));
    } else if (point.code == '\n' || point.code == '\r' || point.code == '\t') {
      out += point.code == '\n' ? "\\n" : point.code == '\r' ? "\\r" : "\\t";
    } else if (in(kControl, point.code)) {
      append_escape(out, point.size == 1 ? "\\x%02x" : "\\u%04x", point.code);
    } else {
      out += text.substr(at, point.size);
    }
    at += std::max<std::size_t>(point.size, 1);
  }
  return out;
}

std::size_t display_width(std::string_view text) {
  std::size_t columns = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Point point = point_at(text.substr(at));
    columns += width_of(point.code);
    at += std::max<std::size_t>(point.size, 1);
  }
  return columns;
}

std::string cut_to(std::string_view text, std::size_t width) {
  if (fitting(text, width) == text.size()) return std::string(text);
  return std::string(text.substr(0, fitting(text, width - 1))) + "…";
}

std::string padded(std::string_view text, std::size_t width, bool right) {
  const std::size_t have = display_width(text);
  const std::string space(have < width ? width - have : 0, ' ');
  return right ? space + std::string(text) : std::string(text) + space;
}

std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  do {
    std::size_t end = fitting(text, width);
    if (end < text.size()) {
      const std::size_t blank = text.substr(0, end).rfind(' ');
      if (blank != std::string_view::npos) end = blank + 1;
    }
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  } while (!text.empty());
  return lines;
}

}  // namespace csa
