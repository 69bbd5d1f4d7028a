// A file that a person named by a symbolic link.
#pragma once

#include <string>

#include "common/result.h"

namespace csa {

// The name of the file itself, which need not be there. SQLite follows links too and keeps its -wal
// beside the file, so whatever csa keeps or looks for beside a database must be named after that.
// Where no link is the last part of `path`, it stays as it was spelled. kFailed: links lead in a
// circle.
[[nodiscard]] Result<std::string> follow_links(const std::string& path);

}  // namespace csa
