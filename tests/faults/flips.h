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
// "csa" (what csa keeps beside log and journal), "log", "journal", "free".
class FileParts {
 public:
  explicit FileParts(const std::string& database);
  // A byte of this part; 0 where there is none. Of "csa" as pick_used(), of any of its tables:
  // their pages are nearly empty.
  [[nodiscard]] std::uint64_t pick(const std::string& part, std::mt19937_64& random) const;
  // Of the part "csa" those that hold rows.
  [[nodiscard]] std::vector<std::string> own_tables() const;
  // A byte of a row of this one, or of its index.
  [[nodiscard]] std::uint64_t pick_used(const std::string& own_table,
                                        std::mt19937_64& random) const;
  static constexpr std::array<const char*, 6> kAll{"header", "table", "index",
                                                   "csa",    "log",   "free"};

 private:
  struct Bytes {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };
  std::int64_t page_size_ = 0;
  std::map<std::string, std::vector<std::int64_t>> pages_;
  std::map<std::string, std::vector<Bytes>> used_;  // by table of csa's own
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

// What comes after "move it away: " in a refusal is done. False: done, and the command says that it
// failed: it names a -wal or a -shm that went away as the program ended.
[[nodiscard]] bool do_as_told(const std::string& errors, const std::string& replica);
[[nodiscard]] bool says_what_to_do(const std::string& errors);

// Empty: rows, those of csa's tables that travel too, log, position and file of the replica are the
// master's.
[[nodiscard]] std::string whole_difference(const system_test::Place& place,
                                           const std::string& replica,
                                           system_test::milliseconds timeout);
// Empty: so is what csa derives from them and keeps beside them, of histories, schema versions and
// writers (csa_epoch, csa_layout, csa_outcome above its floors and those, csa_meta); and who the
// replica is, is what `before`, an earlier state of it, says.
[[nodiscard]] std::string own_difference(const system_test::Place& place,
                                         const std::string& replica, const std::string& before);

}  // namespace csa::fault_test
