// The offline transactions of a replica, kept in its private tables csa_journal and
// csa_journal_part, and what became of the latest of them in csa_journal_outcome. Every entry has a
// checksum over header and changes, proved whenever it is read. Belongs to the thread of its
// Database; throws SqliteError for the disk; damage is a Result.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "common/changeset.h"
#include "common/message.h"
#include "common/result.h"
#include "common/spill.h"
#include "common/sqlite.h"
#include "node/jobs.h"

namespace csa {

class Journal {
 public:
  explicit Journal(const Database& db);  // must outlive this

  [[nodiscard]] JournalState state();

  // Inside the transaction that holds the entry's effect. REQUIRES: header.size == body.size() > 0,
  // and its counter is greater than those of the entries that are here.
  void append(const JournalHeader& header, const Spill& body);
  // What to send next: entries behind counter `after` (or the rest of the one at `after` from
  // `offset` > 0 on), in parts of at most kPieceMax, at most `max_bytes` together but one part at
  // least. kDamaged: an entry's bytes are not what was written; the sentence names it.
  [[nodiscard]] Result<std::vector<Replay>> read(std::uint64_t after, std::uint64_t offset,
                                                 std::size_t max_bytes);
  // The entry has its outcome; kept until clear(). Idempotent.
  void mark_answered(const Replayed& answer);
  // The inverse of every change, newest first, to `take` until it fails. Memory is bounded by the
  // largest row and one number a record of the largest entry.
  using Take = std::function<Status(const Change& change, const std::vector<ChangeTable>& tables)>;
  [[nodiscard]] Status undo(const Take& take);
  // Empties the journal; outcomes stay (the latest kOutcomesKept).
  void clear();
  static constexpr std::size_t kOutcomesKept = 10000;

 private:
  const Database& db_;
};

}  // namespace csa
