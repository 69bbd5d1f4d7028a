// Digests of a copy's content that do not depend on the order of rows, and that follow a log entry
// without the rest of the rows that it changes. A cell's hash is taken over its row's physical key,
// its column and its value; a row has one more cell, which tells that it is there; digests add the
// hashes. They find damage and mistakes, not forgery. Pure; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/changeset.h"
#include "common/types.h"

namespace csa {

// Parts of a table, by the hash of a row's key: where tables differ, only these are looked at.
inline constexpr std::size_t kDigestBuckets = 1024;

struct DigestSum {
  std::uint64_t rows = 0;
  std::uint64_t low = 0;  // both modulo 2^64
  std::uint64_t high = 0;
  bool operator==(const DigestSum&) const = default;
};

struct TableDigest {
  std::string name;
  // False: a row got another key meanwhile, and what the rest of it held is not in the log.
  bool known = true;
  DigestSum sum;
  std::vector<DigestSum> buckets;  // kDigestBuckets, or none where there is no row
  bool operator==(const TableDigest&) const = default;
};

// sqlite_sequence is among the tables: its rows have the table's name as key, and the one column.
struct Digest {
  Position position;
  Id128 fingerprint;                // of the schema
  std::vector<TableDigest> tables;  // by name
  [[nodiscard]] TableDigest* find(std::string_view name);
  [[nodiscard]] const TableDigest* find(std::string_view name) const;
};

inline constexpr std::string_view kSequenceTable = "sqlite_sequence";

// The cells of one row after the other.
class RowDigest {
 public:
  // The row with this physical key, encoded one value after the other (change_bytes.h).
  void begin(ByteView key);
  [[nodiscard]] std::size_t bucket() const { return bucket_; }
  // Adds (or takes away) the cell that tells of the row itself.
  void row(TableDigest& table, bool add);
  void cell(TableDigest& table, std::uint32_t column, const Value& value, bool add);
  // The same where the value lies encoded already.
  void encoded_cell(TableDigest& table, std::uint32_t column, ByteView value, bool add);

 private:
  void take(TableDigest& table, bool add, std::uint64_t rows);

  Bytes bytes_;
  std::size_t key_ = 0;  // bytes of the key in it
  std::size_t bucket_ = 0;
};

// Whether the row with this key is in the digest already (of a scan that is under way).
using IsScanned = std::function<bool(const std::string& table, const Row& key)>;

// What `change` does to the digest, or undoes where `forward` is false. What belongs to tables that
// the digest lacks, or to rows that `scanned` denies, is left out; an empty `scanned`: all are in.
// REQUIRES: no schema statement.
void follow(Digest& digest, const Change& change, const std::vector<ChangeTable>& tables,
            bool forward, const IsScanned& scanned);

// Where two tables of equal Positions differ: buckets, in order. REQUIRES: both are known.
[[nodiscard]] std::vector<std::uint32_t> differing_buckets(const TableDigest& a,
                                                           const TableDigest& b);

}  // namespace csa
