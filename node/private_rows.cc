#include "node/private_rows.h"

#include <algorithm>
#include <cstdint>

#include "common/bytes.h"
#include "common/store_meta.h"

namespace csa {
namespace {

// Each bit of them is tried, with a sum over all. csa writes some hundred bytes.
constexpr std::size_t kMendedMax = 4096;
constexpr std::int64_t kRowsMax = 64;  // as in the statements
constexpr std::int64_t kBytesMax = 65536;

Error not_as_written() {
  return {Errc::kDamaged, "the replica's private rows are not what csa has written"};
}

void append(Bytes& to, std::string_view text) {
  for (unsigned shift = 0; shift < 64; shift += 8) {
    to.push_back(static_cast<std::uint8_t>(std::uint64_t{text.size()} >> shift));
  }
  const ByteView bytes = as_bytes(text);
  to.insert(to.end(), bytes.begin(), bytes.end());
}

}  // namespace

Result<PrivateRows> PrivateRows::read(const Database& db) {
  // Without an end, where it is somebody's view.
  Statement size = db.prepare(
      "SELECT count(*), ifnull(sum(ifnull(length(CAST(key AS BLOB)), 0) +"
      " ifnull(length(CAST(value AS BLOB)), 0)), 0)"
      " FROM (SELECT key, value FROM csa_private NOT INDEXED LIMIT 65)");
  if (size.step() && (size.column_int(0) > kRowsMax || size.column_int(1) > kBytesMax)) {
    return not_as_written();
  }
  size.reset();
  PrivateRows rows;
  // Not by their keys: a wrong one is not found by its own.
  Statement read = db.prepare("SELECT key, value FROM csa_private NOT INDEXED LIMIT 64");
  while (read.step()) {
    rows.rows_.push_back({read.column_text(0), std::string(as_text(read.column_blob(1)))});
  }
  if (rows.are_sound() || rows.mend() || !rows.find(kSum)) return rows;
  return not_as_written();
}

std::optional<std::string> PrivateRows::find(std::string_view key) const {
  const auto row = std::ranges::find(rows_, key, &Row::key);
  if (row == rows_.end()) return std::nullopt;
  return row->value;
}

void PrivateRows::add(std::string_view key, std::string_view value) {
  rows_.push_back({std::string(key), std::string(value)});
}

void PrivateRows::write(const Database& db) const {
  clear_private(db);
  for (const Row& row : rows_) write_private(db, row.key, row.value);
  write_private(db, kSum, sum());
}

std::string PrivateRows::sum() const {
  std::vector<const Row*> ordered;
  for (const Row& row : rows_) {
    if (row.key != kSum) ordered.push_back(&row);
  }
  std::ranges::sort(ordered, {}, &Row::key);
  Bytes bytes;
  for (const Row* row : ordered) {
    append(bytes, row->key);
    append(bytes, row->value);
  }
  return std::to_string(hash64(bytes));
}

bool PrivateRows::mend() {
  std::size_t size = 0;
  for (const Row& row : rows_) size += row.key.size() + row.value.size();
  if (size > kMendedMax) return false;
  const bool has_sum = find(kSum).has_value();
  for (Row& row : rows_) {
    for (std::string* text : {&row.key, &row.value}) {
      // Where there is none, it is its key that is wrong, or there never was one.
      if (!has_sum && text == &row.value) continue;
      for (std::size_t bit = 0; bit < text->size() * 8; ++bit) {
        char& byte = (*text)[bit / 8];
        const char was = byte;
        byte = static_cast<char>(static_cast<unsigned char>(byte) ^ (1U << (bit % 8)));
        if (are_sound()) return mended_ = true;
        byte = was;
      }
    }
  }
  return false;
}

}  // namespace csa
