// The one place where csa reads a clock.
#pragma once

#include <chrono>

#include "common/types.h"

namespace csa {

[[nodiscard]] inline TimePoint monotonic_now() { return std::chrono::steady_clock::now(); }

[[nodiscard]] inline WallTime wall_now() {
  using namespace std::chrono;
  return WallTime{duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count()};
}

}  // namespace csa
