#include "common/row_sum.h"

#include <cstdint>
#include <new>

#include "common/bytes.h"

namespace csa {
namespace {

void append(Bytes& to, const void* from, int size) {
  const auto* const bytes = static_cast<const std::uint8_t*>(from);
  if (size > 0) to.insert(to.end(), bytes, bytes + size);
}

void append_number(Bytes& to, std::int64_t number) {
  for (unsigned shift = 0; shift < 64; shift += 8) {
    to.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(number) >> shift));
  }
}

// No row has a value of another type than these.
void append(Bytes& to, sqlite3_value* value) {
  const int type = sqlite3_value_type(value);
  to.push_back(static_cast<std::uint8_t>(type));
  if (type == SQLITE_INTEGER) append_number(to, sqlite3_value_int64(value));
  if (type == SQLITE_TEXT) {
    const void* const text = sqlite3_value_text16le(value);
    append_number(to, sqlite3_value_bytes16(value));
    append(to, text, sqlite3_value_bytes16(value));
  }
  if (type == SQLITE_BLOB) {
    append_number(to, sqlite3_value_bytes(value));
    append(to, sqlite3_value_blob(value), sqlite3_value_bytes(value));
  }
}

std::int64_t sum_of(const Bytes& values) { return static_cast<std::int64_t>(hash64(values)); }

void csa_sum(sqlite3_context* context, int count, sqlite3_value** values) {
  try {
    Bytes bytes;
    for (int i = 0; i < count; ++i) append(bytes, values[i]);
    sqlite3_result_int64(context, sum_of(bytes));
  } catch (const std::bad_alloc&) {
    sqlite3_result_error_nomem(context);
  }
}

}  // namespace

int add_row_sum(sqlite3* db) {
  constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY;
  return sqlite3_create_function_v2(db, "csa_sum", -1, kFlags, nullptr, csa_sum, nullptr, nullptr,
                                    nullptr);
}

bool is_row_sound(sqlite3_stmt* row, int values) {
  if (sqlite3_column_count(row) <= values) return true;
  if (sqlite3_column_type(row, values) == SQLITE_NULL) return true;
  Bytes bytes;
  for (int i = 0; i < values; ++i) append(bytes, sqlite3_column_value(row, i));
  return sqlite3_column_int64(row, values) == sum_of(bytes);
}

}  // namespace csa
