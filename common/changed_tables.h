// Which tables a changeset changes. Throws std::system_error where a file of the Spill cannot be
// read.
#pragma once

#include <set>
#include <string>

#include "common/spill.h"

namespace csa {

// Of the rows in it, up to what cannot be read.
[[nodiscard]] std::set<std::string> changed_tables(const Spill& changeset);

}  // namespace csa
