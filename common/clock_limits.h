// What csa takes for the time of a clock, and for the error of one.
#pragma once

#include <cstdint>

namespace csa {

// Of the time of an edit: nothing is known of it, so whatever it wins or loses is flagged.
inline constexpr std::uint32_t kUnknownErrorMs = UINT32_MAX;

// No clock shows more. Sums and differences of a few such times do not overflow.
inline constexpr std::int64_t kClockMostMs = std::int64_t{1} << 52U;
[[nodiscard]] constexpr bool is_clock_ms(std::int64_t ms) {
  return ms > -kClockMostMs && ms < kClockMostMs;
}

}  // namespace csa
