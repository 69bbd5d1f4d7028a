// How many of a test's cases are tried: all, or under a sanitizer, where each takes many times as
// long, a fifth of them.
#pragma once

#include <algorithm>
#include <cstdint>

namespace csa::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr int kOneOf = 5;
#else
inline constexpr int kOneOf = 1;
#endif

constexpr std::uint64_t cases(std::uint64_t all) {
  return std::max<std::uint64_t>(all / std::uint64_t{kOneOf}, 1);
}

}  // namespace csa::test
