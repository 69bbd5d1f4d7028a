// What was done to rows, found by row: in memory, and where it is much in a temporary database of
// SQLite's own. Belongs to the ledger's thread; throws SqliteError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "broker/row_identity.h"
#include "broker/touch_marks.h"
#include "common/bytes.h"
#include "common/sqlite.h"
#include "common/types.h"

namespace csa {

struct StoredTouch {
  Id128 row;
  Seq seq;
  std::int64_t n = 0;  // in that entry
  TouchOp op = TouchOp::kChanged;
  Bytes mask, content;
  std::uint64_t version = 0;
  Bytes given = {};
};

class TouchStore {
 public:
  static constexpr std::size_t kMemoryMax = std::size_t{8} << 20U;
  explicit TouchStore(std::size_t memory_max = kMemoryMax) : memory_max_(memory_max) {}

  void clear();
  // REQUIRES: later, by seq and n, than all that is there.
  void add(StoredTouch touch);
  // Begins at what comes after `seq` and `n`; what was done to `table` is told as done to the row.
  void ask(const Id128& row, const std::optional<Id128>& table, Seq seq, std::int64_t n);
  // REQUIRES: ask(), and nothing added since. Valid until the next call; nullptr: the end.
  [[nodiscard]] const StoredTouch* next();
  void end_asking();

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  struct Held {
    StoredTouch touch;
    std::uint32_t before = kNone;  // the row's one before
  };
  void find(const Id128& row, Seq seq, std::int64_t n);
  [[nodiscard]] std::uint32_t last_of(const Id128& row) const;
  void store(const StoredTouch& touch);
  void move_out();

  const std::size_t memory_max_;
  std::vector<Held> held_;
  std::unordered_map<Id128, std::uint32_t, Id128Hash> rows_;  // the last of each
  std::size_t memory_ = 0;
  std::vector<std::uint32_t> found_;  // of held_, the first one last
  std::optional<Database> db_;        // holds all instead, if it is there
  Statement add_, of_row_, of_table_too_;
  Statement* asked_ = nullptr;
  StoredTouch told_;
};

}  // namespace csa
