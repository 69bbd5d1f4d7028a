// How values and numbers lie in changesets; the grammar stands in changeset.cc. Shared by the
// encoder, the reader and capture, which encodes SQLite's values without a copy in between.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/changeset.h"
#include "common/value.h"

namespace csa {

// Kinds of records.
inline constexpr std::uint8_t kRecordTable = 'T';
inline constexpr std::uint8_t kRecordInsert = 'I';
inline constexpr std::uint8_t kRecordAssigned = 'A';  // an insert whose rowid SQLite chose
inline constexpr std::uint8_t kRecordDelete = 'D';
inline constexpr std::uint8_t kRecordUpdate = 'U';
inline constexpr std::uint8_t kRecordMove = 'K';
inline constexpr std::uint8_t kRecordSequence = 'Q';
inline constexpr std::uint8_t kRecordSchema = 'S';
// Flags of a table's definition.
inline constexpr std::uint8_t kTableWithoutRowid = 1;
inline constexpr std::uint8_t kTableNames = 2;
inline constexpr std::uint8_t kTableOwner = 4;

// Two rows of SQLite's largest size and their keys fit.
inline constexpr std::uint64_t kRecordMax = std::uint64_t{1} << 32U;
// SQLite's largest compile-time bound of columns.
inline constexpr std::uint32_t kColumnsMax = 32767;
// Of all tables of a changeset; a definition takes a few bytes, its columns memory at the reader.
inline constexpr std::uint64_t kColumnsTogetherMax = std::uint64_t{1} << 24U;

void append_varint(std::uint64_t value, Bytes& out);
void append_absent(Bytes& out);
void append_null(Bytes& out);
void append_integer(std::int64_t value, Bytes& out);
void append_real(double value, Bytes& out);
void append_text(std::string_view utf8, Bytes& out);
void append_blob(ByteView blob, Bytes& out);
void append_text16(std::u16string_view units, Bytes& out);
void append_value(const Value& value, Bytes& out);
// A string without a tag: length and bytes.
void append_string(std::string_view text, Bytes& out);
// The record around its body.
void append_record(ByteView body, Bytes& out);

// What a carried column is in its table.
enum class ColumnRole : std::uint8_t {
  kPlain,
  kKey,       // of the physical key: travels in the key, never in the values
  kDeclared,  // of a declared key that is not physical: updates always carry its old value
};
// One role a carried column. REQUIRES: positions of `table` lie below its column_count.
[[nodiscard]] std::vector<ColumnRole> column_roles(const ChangeTable& table);
// Values in a physical key.
[[nodiscard]] std::size_t key_size(const ChangeTable& table);

// Takes values off the front of bytes that nobody vouches for. After the first failure ok() is
// false and every answer is empty.
class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : rest_(bytes) {}
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  std::uint8_t byte();
  std::uint64_t varint();
  ByteView bytes(std::uint64_t count);
  std::string string();
  Value value();
  // The value, or nullopt for "absent".
  std::optional<Value> optional_value();
  void fail();

 private:
  Value tagged(std::uint8_t tag);
  ByteView rest_;
  bool ok_ = true;
};

}  // namespace csa
