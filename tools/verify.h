// csa-admin verify: asks whether every node equals the master, and prints what the broker says.
#pragma once

#include <string>

#include "tools/caller.h"

namespace csa {

struct VerifyFlags {
  bool json = false;
  Duration timeout{};
  std::string table;  // tell of this one alone; empty: of all
};

// The exit code: 0 all equal, 1 one differs, 6 one was not compared.
[[nodiscard]] int verify(Caller& caller, const VerifyFlags& flags);

}  // namespace csa
