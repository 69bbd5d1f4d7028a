// What a merge or a migration tells the log beside changed values. Belongs to the ledger's thread;
// throws SqliteError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "broker/row_identity.h"
#include "common/bytes.h"
#include "common/sqlite.h"

namespace csa {

// csa_touch, which is always empty: a merge or a migration writes a row and deletes it, and the log
// entry then tells what the changed rows cannot: that a row was edited again, to what it was
// already, that a row is the one that was deleted before, or that it is not, or what became of a
// table's rows.
inline constexpr std::string_view kTouchTable = "csa_touch";
enum class TouchOp : std::uint8_t {
  kBorn = 1,     // marked: another row than the one of that key before
  kChanged = 2,  // the columns of the mask
  kGone = 3,
  kBack = 4,  // with values of its own in the columns of the mask
  // Of a whole table that is dropped or renamed in this entry. From here on the entry tells what
  // becomes of its rows by marks alone;
  kLeft = 5,
  // what has their names from here on are others, as far as their values do not tell.
  kOthers = 6,
};

// Of a mask: one bit a carried column.
[[nodiscard]] inline bool has_bit(const Bytes& mask, std::size_t column) {
  return column / 8 < mask.size() && ((std::uint32_t{mask[column / 8]} >> (column % 8)) & 1U) != 0;
}

// Writes to csa_touch.
class TouchMarks {
 public:
  explicit TouchMarks(const Database& db);  // must outlive this
  // REQUIRES: a transaction is open, whose log entry this is for; kBack and kBorn come before the
  // row.
  void add(const RowIdentity& row, TouchOp op, const Bytes& mask);

 private:
  Statement insert_, erase_;
};

}  // namespace csa
