// The digest of a copy that others write to meanwhile: its tables are read in slices, each in a
// short read transaction of its own, and what the log tells between two slices of rows that were
// read already is followed. For a reader's connection; one thread. Throws SqliteError.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/digest.h"
#include "common/result.h"
#include "common/sqlite.h"
#include "common/verification.h"

namespace csa {

// What one slice may read. Tables WITHOUT ROWID are read whole in one.
struct SliceBudget {
  std::uint64_t rows = 20000;
  std::uint64_t bytes = std::uint64_t{4} << 20U;
};

class DigestScan {
 public:
  explicit DigestScan(const Database& db);  // must outlive this, and is in no transaction
  ~DigestScan();
  DigestScan(const DigestScan&) = delete;
  DigestScan& operator=(const DigestScan&) = delete;

  // True: all is read, digest() is of the moment of this call. After an Error begin anew: the
  // schema changed (kRejected), the log does not tell what happened meanwhile (kNothing), changes
  // were made offline (kRefused), the file is damaged (kDamaged).
  [[nodiscard]] Result<bool> step(const SliceBudget& budget);
  // Bytes that the last step has read, for who keeps a pace.
  [[nodiscard]] std::uint64_t step_bytes() const;
  // REQUIRES: step() has said true.
  [[nodiscard]] const Digest& digest() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Of the rows of one answer.
inline constexpr std::size_t kRowSumBytesMax = std::size_t{2} << 20U;
// The sums of the rows of these buckets, by key, as the file is now: for the few that differ.
// nullopt: they take more than `bytes_max`; the scan ended there. Inside a read transaction.
[[nodiscard]] std::optional<std::vector<RowSum>> row_sums(const Database& db,
                                                          const std::string& table,
                                                          const std::vector<std::uint32_t>& buckets,
                                                          std::size_t bytes_max);
// For messages: the sums of tables, and of the buckets that hold rows, by number.
[[nodiscard]] std::vector<TableSum> table_sums(const Digest& digest);
[[nodiscard]] std::vector<RowSum> bucket_sums(const TableDigest& table);

// Leads a whole digest along the log of `db` to entry `to` of the same history, forward or back.
// Errors as DigestScan::step(); kTimeout: this copy has not got there yet. Inside a read
// transaction.
[[nodiscard]] Status lead(const Database& db, Digest& digest, Seq to);

}  // namespace csa
