// What a merge tells the log beside changed values. Belongs to the ledger's thread; throws
// SqliteError.
#pragma once

#include <cstdint>
#include <string_view>

#include "broker/row_identity.h"
#include "common/bytes.h"
#include "common/sqlite.h"

namespace csa {

// csa_touch, which is always empty: a merge writes a row and deletes it, and the log entry then
// tells what the changed rows cannot: that a row was edited again, to what it was already, that a
// row is the one that was deleted before, or that it is not.
inline constexpr std::string_view kTouchTable = "csa_touch";
enum class TouchOp : std::uint8_t {
  kBorn = 1,     // marked: another row than the one of that key that the entry deleted before
  kChanged = 2,  // the columns of the mask
  kGone = 3,
  kBack = 4,  // with values of its own in the columns of the mask
};

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
