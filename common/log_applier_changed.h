// What one call of LogApplier has changed so far. Part of log_applier.cc and log_applier_spool.cc.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "common/log_applier.h"

namespace csa {

struct LogApplier::Changed {
  std::set<std::string, std::less<>> tables;
  bool schema = false;
  bool position = false;
};

}  // namespace csa
