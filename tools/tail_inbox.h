// What a change of csa_inbox or csa_inbox_later means for rows of csa_conflicts. Pure.
#pragma once

#include <vector>

#include "common/named_change.h"

namespace csa {

// Insertions, or updates with the columns that have changed; nothing where it cannot be read.
[[nodiscard]] std::vector<NamedChange> conflicts_of(const NamedChange& stored);

}  // namespace csa
