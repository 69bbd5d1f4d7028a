// Numbers in sentences: "1 offline change waits", "2 offline changes wait".
#pragma once

#include <concepts>
#include <string>
#include <string_view>

namespace csa {

[[nodiscard]] std::string counted(std::integral auto number, std::string_view one,
                                  std::string_view many) {
  return std::to_string(number) + " " + std::string(number == 1 ? one : many);
}

}  // namespace csa
