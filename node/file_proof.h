// What comparing rows with the master does not show of a replica's file: its indexes, its free
// pages, its log.
#pragma once

#include <optional>
#include <string>

#include "common/sqlite.h"

namespace csa {

struct FileFault {
  std::string part;  // "its file", "its log"
  std::string text;  // a sentence for people
};

// As far as SQLite's own check and the log's chain tell; nothing: it is sound. What the rows hold
// is not judged. Reads all of the file, under one lock for reading that lets everybody work on.
// Throws SqliteError.
[[nodiscard]] std::optional<FileFault> fault_of_file(const Database& db);

}  // namespace csa
