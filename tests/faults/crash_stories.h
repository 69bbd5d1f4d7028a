// What leads to the labelled places (common/planted_names.h) that no ordinary day comes to: a node
// that joins, a large -wal, other programs' writes, create, restore, a new identity. The program
// ends there, is started again, and all is compared.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tests/faults/injected.h"
#include "tests/faults/kill_table.h"

namespace csa::fault_test {

// The same launch, which ends at LABEL[:N].
[[nodiscard]] Launch crashing(Launch launch, const std::string& at);

// Where programs end, and the seed of the power cut that follows, if any.
struct Ending {
  std::string at;
  std::optional<std::uint64_t> power;
};

using Story = void (*)(const Ending& ending, Killed& row);
// Null: no story comes there, an ordinary day does.
[[nodiscard]] Story story_of(std::string_view label);

}  // namespace csa::fault_test
