// What one call of LogApplier has changed so far. Part of replica_apply.cc and replica_spool.cc.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "node/replica_apply.h"

namespace csa {

struct LogApplier::Changed {
  std::set<std::string, std::less<>> tables;
  bool schema = false;
  bool position = false;
};

}  // namespace csa
