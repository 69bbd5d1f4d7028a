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
  kBack = 4,  // the columns of the mask are the edit's now; which of them it gave is told too
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
inline void set_bit(Bytes& mask, std::size_t column) {
  if (column / 8 >= mask.size()) return;
  mask[column / 8] = static_cast<std::uint8_t>(mask[column / 8] | (1U << (column % 8)));
}

// As a mark has its masks: of kBack both, one behind the other.
[[nodiscard]] Bytes packed_masks(TouchOp op, const Bytes& mask, const Bytes& given);
struct TouchMasks {
  Bytes mask, given;
};
[[nodiscard]] TouchMasks unpacked_masks(TouchOp op, const Bytes& packed);

// Writes to csa_touch.
class TouchMarks {
 public:
  explicit TouchMarks(const Database& db);  // must outlive this
  // `given`: of kBack, as long as `mask`: columns that have a value of the edit's own; the others
  // came back with the row. REQUIRES: a transaction is open, whose log entry this is for; kBack and
  // kBorn come before the row.
  void add(const RowIdentity& row, TouchOp op, const Bytes& mask, const Bytes& given = {});

 private:
  Statement insert_, erase_;
};

}  // namespace csa
