// Random ids from the kernel. For shells and mains; cores are given an engine with a seed.
#pragma once

#include <cstdint>

#include "common/types.h"

namespace csa {

[[nodiscard]] Id128 random_id();
[[nodiscard]] std::uint64_t random_u64();

}  // namespace csa
