// A file that a person named on the command line, whole.
#pragma once

#include <string>

#include "common/result.h"

namespace csa {

// kFailed: it cannot be read, a directory for instance; the sentence names it and says why.
[[nodiscard]] Result<std::string> read_text_file(const std::string& path);

}  // namespace csa
