// The messages by which copies are compared: read schemas/protocol.md, "Verification", first. Plain
// values; part of message.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/types.h"
#include "common/value.h"

namespace csa {

// Of a TableDigest, without its buckets.
struct TableSum {
  std::string name;
  bool known = true;
  std::uint64_t rows = 0;
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool operator==(const TableSum&) const = default;
};

// The sum of one row by its physical key, or of one bucket by its number.
struct RowSum {
  Row key;
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool operator==(const RowSum&) const = default;
};

// Rows of a table that differ, by the least and the greatest key as they were found.
struct KeyRange {
  std::string table;
  std::uint64_t rows = 0;  // 0: not looked at one by one
  Row from;
  Row to;
  bool operator==(const KeyRange&) const = default;
};

struct DigestGet {
  std::uint64_t request = 0;  // echoed
  bool operator==(const DigestGet&) const = default;
};

// DIGEST: what the master held at a Position. asked: a CHECKED is wanted under this number; 0: it
// answers a DIGEST_GET.
struct DigestReply {
  std::uint64_t request = 0;
  std::uint64_t asked = 0;
  Position position;
  Id128 fingerprint;  // of the schema
  std::vector<TableSum> tables;
  std::string text;  // not empty: why there is none
  bool operator==(const DigestReply&) const = default;
};

// No buckets: the sums of all buckets of the table in that DIGEST; else the rows of these.
struct RowsGet {
  std::uint64_t request = 0;  // echoed
  Position position;
  std::string table;
  std::vector<std::uint32_t> buckets;
  bool operator==(const RowsGet&) const = default;
};

// ROWS
struct RowsReply {
  std::uint64_t request = 0;
  Position position;  // of the rows
  std::vector<RowSum> rows;
  std::string text;  // not empty: why there are none
  bool operator==(const RowsReply&) const = default;
};

// What a node has found of itself. Without tables: text says why, or pending.
struct Checked {
  std::uint64_t asked = 0;
  Position position;
  Id128 fingerprint;
  std::vector<TableSum> tables;
  std::vector<KeyRange> differences;
  std::uint64_t pending = 0;  // offline transactions that it has not handed over
  std::string text;
  bool operator==(const Checked&) const = default;
};

}  // namespace csa
