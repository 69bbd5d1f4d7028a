// CSA_CHECK: what only csa itself can get wrong. On in every build; ends the process, because a
// broken invariant beside somebody's data is worse than a restart.
#pragma once

namespace csa {

[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace csa

#define CSA_CHECK(condition)                                               \
  do {                                                                     \
    if (!(condition)) ::csa::check_failed(#condition, __FILE__, __LINE__); \
  } while (false)
