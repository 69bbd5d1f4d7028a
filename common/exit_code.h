// The exit code of csa's programs for each kind of failure; the library's ClientFailure has the
// same numbers.
#pragma once

#include "common/result.h"

namespace csa {

[[nodiscard]] constexpr int exit_code(Errc code) {
  switch (code) {
    case Errc::kFailed:
    case Errc::kTimeout:
    case Errc::kMalformed:
    case Errc::kUnknownType:
      return 1;
    case Errc::kUsage:
      return 2;
    case Errc::kNothing:
      return 3;
    case Errc::kRefused:
      return 4;
    case Errc::kRejected:
      return 5;
    case Errc::kUnknownOutcome:
      return 6;
    case Errc::kDamaged:
      return 7;
  }
  return 1;
}

}  // namespace csa
