// Who changed a row last, by the log: an index over the entries that a replay may meet, made when
// the first conflict asks and kept in a temporary database of SQLite's own, so that ordinary writes
// pay nothing for it and memory stays bounded. Belongs to the ledger's thread. Throws SqliteError.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/merge_row.h"
#include "broker/row_identity.h"
#include "common/schema.h"
#include "common/sqlite.h"
#include "common/store_meta.h"

namespace csa {

// csa_touch, which is always empty: a merge writes a row and deletes it, and the log entry then
// tells what the changed rows cannot: that a row was edited again, to what it was already, or that
// a row is the one that was deleted before.
inline constexpr std::string_view kTouchTable = "csa_touch";
enum class TouchOp : std::uint8_t {
  kBorn = 1,
  kChanged = 2,  // the columns of the mask
  kGone = 3,
  kBack = 4,  // with values of its own in the columns of the mask
};

// Writes to csa_touch.
class TouchMarks {
 public:
  explicit TouchMarks(const Database& db);  // must outlive this
  // REQUIRES: a transaction is open, whose log entry this is for; kBack comes before the row.
  void add(const RowIdentity& row, TouchOp op, const Bytes& mask);

 private:
  Statement insert_, erase_;
};

class EditIndex {
 public:
  // `db` is the ledger's connection and outlives this; entries of an open transaction are seen too.
  EditIndex(const Database& db, LogTable& log);
  ~EditIndex();
  EditIndex(const EditIndex&) = delete;
  EditIndex& operator=(const EditIndex&) = delete;

  struct RowEdits {
    bool known = false;  // false: nothing in the log since `after`; `last` is the floor's time
    Edit last;           // the greatest (time, node), not the last in the log
    // Deleted since `after` and another row of that key since then.
    bool born = false;
    bool absent = false;        // the last of them deleted it
    bool by_others = false;     // others than `node` changed it, whatever of that is left
    std::optional<Row> gone;    // deleted: what it was, by carried column, if nobody moved columns
    std::vector<Edit> columns;  // by carried column, as far as single ones were changed
    std::optional<Edit> whole;  // of the columns that are not in `columns`
    std::vector<Seq> entries;   // that touched it, ascending, at most kEntriesMax
    bool all_known = false;     // `entries` are all of them since `after`
  };
  static constexpr std::size_t kEntriesMax = 64;

  // Whether an entry in (after, head] is not `node`'s. Reads headers only, each once.
  [[nodiscard]] bool others_wrote(Seq after, const NodeId& node, const Meta& head);
  // What entries in (after, head] did to `row`. Reads what it has not seen of the log first.
  // `head` is the last entry that is in csa_log, also uncommitted; `node` is who asks.
  [[nodiscard]] RowEdits edits(const RowIdentity& row, Seq after, const Meta& head,
                               const NodeId& node);
  // How many rows entry `seq` changed, and how many of them have an identity hash in `rows`.
  struct Overlap {
    std::uint64_t changed = 0;
    std::uint64_t among = 0;
  };
  [[nodiscard]] Overlap overlap(Seq seq, const std::vector<Id128>& rows);
  // As TouchMarks::add().
  void touch(const RowIdentity& row, TouchOp op, const Bytes& mask);
  // After a rollback, or a new Epoch: what was read may be wrong.
  void forget();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace csa
