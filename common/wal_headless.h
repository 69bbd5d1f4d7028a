// A -wal whose header has more than one wrong bit: SQLite takes it for empty, without a word.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/wal_frames.h"

namespace csa::wal {

// The commits in PATH-wal that PATH does not have. The frames go on from each other without a
// header; and a header is written only when the file has all that the old one led to, and is synced
// before what comes behind it, so that a power cut leaves none. Nothing: no commit shows itself
// without the header. Throws SqliteError.
[[nodiscard]] std::optional<std::int64_t> commits_without_header(const Wal& wal,
                                                                 const Header& header,
                                                                 const std::string& path);

}  // namespace csa::wal
