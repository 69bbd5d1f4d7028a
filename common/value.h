// One SQLite value with its storage class, exact to the bit.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "common/bytes.h"

namespace csa {

// Text as SQLite stores it: UTF-8 bytes, which may be invalid or hold NUL.
struct Text {
  std::string utf8;
  bool operator==(const Text&) const = default;
};

// Text of a UTF-16 database: native-endian code units, which may be unpaired surrogates.
struct Text16 {
  std::u16string units;
  bool operator==(const Text16&) const = default;
};

struct Null {
  bool operator==(const Null&) const = default;
};

// Bytes is a blob.
using Value = std::variant<Null, std::int64_t, double, Text, Bytes, Text16>;
using Row = std::vector<Value>;

}  // namespace csa
