#include "broker/touch_marks.h"

namespace csa {

TouchMarks::TouchMarks(const Database& db)
    : insert_(db, "INSERT INTO main.csa_touch VALUES (?1, ?2, ?3)"),
      erase_(db, "DELETE FROM main.csa_touch WHERE key_hash = ?1") {}

Bytes packed_masks(TouchOp op, const Bytes& mask, const Bytes& given) {
  Bytes packed = mask;
  if (op == TouchOp::kBack) packed.insert(packed.end(), given.begin(), given.end());
  return packed;
}

TouchMasks unpacked_masks(TouchOp op, const Bytes& packed) {
  if (op != TouchOp::kBack) return {packed, {}};
  const auto half = packed.begin() + static_cast<std::ptrdiff_t>(packed.size() / 2);
  return {Bytes(packed.begin(), half), Bytes(half, packed.end())};
}

void TouchMarks::add(const RowIdentity& row, TouchOp op, const Bytes& mask, const Bytes& given) {
  const Id128 hash = hash_of(row);
  insert_.bind_blob(1, hash.bytes).bind(2, static_cast<std::int64_t>(op));
  insert_.bind_blob(3, packed_masks(op, mask, given));
  insert_.run();
  erase_.bind_blob(1, hash.bytes).run();
}

}  // namespace csa
