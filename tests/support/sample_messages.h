// Messages to test the wire with: fixed ones, whose bytes are pinned in tests/golden, and random
// ones that are valid.
#pragma once

#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "common/beacon.h"
#include "common/message.h"

namespace csa::testing {

struct Sample {
  std::string name;  // of its golden file
  Message message;
};
// At least one of every type.
[[nodiscard]] std::vector<Sample> sample_messages();
// One whose body is compressed on the wire; its golden file is read, not compared.
[[nodiscard]] Sample compressed_sample();
[[nodiscard]] Beacon sample_beacon();

// A valid message of the type at `index` of the variant.
[[nodiscard]] Message random_message(std::size_t index, std::mt19937_64& random);

}  // namespace csa::testing
