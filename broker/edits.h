// Who changed a row last, by the log: an index over the entries that a replay may meet, made when
// the first conflict asks and kept in a temporary database of SQLite's own, so that ordinary writes
// pay nothing for it and memory stays bounded. Belongs to the ledger's thread. Throws SqliteError.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/merge_row.h"
#include "broker/row_identity.h"
#include "common/schema.h"
#include "common/sqlite.h"
#include "common/store_meta.h"

namespace csa {

class EditIndex {
 public:
  // `db` is the ledger's connection and outlives this; entries of an open transaction are seen too.
  EditIndex(const Database& db, LogTable& log);
  ~EditIndex();
  EditIndex(const EditIndex&) = delete;
  EditIndex& operator=(const EditIndex&) = delete;

  struct RowEdits {
    bool known = false;  // false: nothing in the log since `after`; `last` is the floor's time
    Edit last;
    bool last_was_delete = false;
    bool born = false;          // deleted and inserted anew, or inserted, since `after`
    std::vector<Edit> columns;  // by carried column, as far as single ones were changed
    std::optional<Edit> whole;  // of the columns that are not in `columns`
    std::vector<Seq> entries;   // that touched it, ascending, at most kEntriesMax
    bool all_known = false;     // `entries` are all of them since `after`
  };
  static constexpr std::size_t kEntriesMax = 64;

  // What entries in (after, head] did to `row`. Reads what it has not seen of the log first.
  // `head` is the last entry that is in csa_log, also uncommitted.
  [[nodiscard]] RowEdits edits(const RowIdentity& row, Seq after, const Meta& head);
  // How many rows entry `seq` changed, and how many of them have an identity hash in `rows`.
  struct Overlap {
    std::uint64_t changed = 0;
    std::uint64_t among = 0;
  };
  [[nodiscard]] Overlap overlap(Seq seq, const std::vector<Id128>& rows);
  // After a rollback, or a new Epoch: what was read may be wrong.
  void forget();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace csa
