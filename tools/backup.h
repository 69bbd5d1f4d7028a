// csa-admin backup: a full copy of the master into a file on the computer where it is typed.
#pragma once

#include <string>

#include "tools/caller.h"

namespace csa {

// The exit code. The file appears whole under its name, or not at all.
[[nodiscard]] int backup(Caller& caller, const std::string& file, bool json);

}  // namespace csa
