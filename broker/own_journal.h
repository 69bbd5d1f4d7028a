// The unsent journal of a replica that becomes the master: undone in the copy, and merged into it
// as the journal of any node is, under its own TxIds, so that each entry counts once also when the
// node hands it over again. For restore(); throws SqliteError for the disk.
#pragma once

#include <cstdint>
#include <string>

#include "broker/opening.h"
#include "common/result.h"
#include "common/sqlite.h"
#include "common/store_meta.h"

namespace csa {

// Content and Position of the copy at `path` without its journal, and with what of the log's tail
// lies beside it; the entries stay for merge_own_journal(). Nothing where there is no journal.
// kDamaged: an entry is damaged, or is not what was made on this content.
[[nodiscard]] Status undo_own_journal(const std::string& path);

struct OwnJournal {
  std::uint64_t entries = 0;
  std::uint64_t inbox = 0;  // rows of them that are in the inbox now
};
// Every entry, in order, into the master at `path`, which has begun its history; empties the
// journal. REQUIRES: nobody else has the file open; `db` is a connection to it.
[[nodiscard]] Result<OwnJournal> merge_own_journal(const Database& db, const std::string& path,
                                                   const Randomness& from);

}  // namespace csa
