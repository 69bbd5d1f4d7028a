// Single bits of files that a disk, a cable or a memory keeps wrongly: chosen by seed, by the part
// of a database that they lie in, and counted by what became of them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/system/place.h"

namespace csa::fault_test {

// From the environment: CSA_FLIPS, how many of each kind; CSA_FLIP_SEED.
[[nodiscard]] int flips_wanted(int by_default);
[[nodiscard]] std::uint64_t flip_seed();

void flip_bit(const std::string& file, std::uint64_t offset, unsigned bit);

// A file and its -wal as they are now, to be put back again and again.
class KeptFiles {
 public:
  explicit KeptFiles(const std::string& database);
  void put_back() const;
  // The main file is left alone under this name.
  [[nodiscard]] std::string copy() const { return database_ + ".kept"; }

 private:
  std::string database_;
};

// Where the bytes of a database file lie, by what they are part of: "header", "table", "index",
// "csa", "log", "journal", "free".
class FileParts {
 public:
  explicit FileParts(const std::string& database);
  // A byte of this part; 0 where there is none.
  [[nodiscard]] std::uint64_t pick(const std::string& part, std::mt19937_64& random) const;
  static constexpr std::array<const char*, 6> kAll{"header", "table", "index",
                                                   "csa",    "log",   "free"};

 private:
  std::int64_t page_size_ = 0;
  std::map<std::string, std::vector<std::int64_t>> pages_;
};

// Printed as a table: a line for each part, a column for each outcome.
class FlipTable {
 public:
  explicit FlipTable(std::string title) : title_(std::move(title)) {}
  void add(const std::string& part, const std::string& outcome) { ++counts_[part][outcome]; }
  [[nodiscard]] int count(const std::string& outcome) const;
  [[nodiscard]] int count(const std::string& part, const std::string& outcome) const;
  [[nodiscard]] int all() const;
  [[nodiscard]] std::string text() const;

 private:
  std::string title_;
  std::map<std::string, std::map<std::string, int>> counts_;
};

// What comes after "move it away: " in a refusal is done.
void do_as_told(const std::string& errors);
[[nodiscard]] bool says_what_to_do(const std::string& errors);

// Empty: rows, log and file of the replica are the master's, and so are what it keeps of histories,
// schema versions and writers (csa_epoch, csa_layout, csa_outcome above its floors and those).
[[nodiscard]] std::string whole_difference(const system_test::Place& place,
                                           const std::string& replica,
                                           system_test::milliseconds timeout);

}  // namespace csa::fault_test
