// Files that people are told are kept, so that a power cut does not take them.
#pragma once

#include <string>

#include "common/result.h"

namespace csa {

// Forces a file to the disk, and the folder in which it has its name. kFailed: the disk refuses it;
// the sentence names what.
[[nodiscard]] Status sync_with_folder(const std::string& path);

}  // namespace csa
