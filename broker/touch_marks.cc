#include "broker/touch_marks.h"

namespace csa {

TouchMarks::TouchMarks(const Database& db)
    : insert_(db, "INSERT INTO main.csa_touch VALUES (?1, ?2, ?3)"),
      erase_(db, "DELETE FROM main.csa_touch WHERE key_hash = ?1") {}

void TouchMarks::add(const RowIdentity& row, TouchOp op, const Bytes& mask) {
  const Id128 hash = hash_of(row);
  insert_.bind_blob(1, hash.bytes).bind(2, static_cast<std::int64_t>(op)).bind_blob(3, mask);
  insert_.run();
  erase_.bind_blob(1, hash.bytes).run();
}

}  // namespace csa
