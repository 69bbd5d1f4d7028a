// What csa takes for the error of a clock.
#pragma once

#include <cstdint>

namespace csa {

// Of the time of an edit: nothing is known of it, so whatever it wins or loses is flagged.
inline constexpr std::uint32_t kUnknownErrorMs = UINT32_MAX;

}  // namespace csa
