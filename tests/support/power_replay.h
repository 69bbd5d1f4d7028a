// What a power cut leaves of files whose changes are in a power log (power_log.h): a choice of what
// disks and file systems may forget.
//
// Of a file's bytes: a write that no sync of its file followed is kept or forgotten, whole or by
// sectors or by blocks, in no order. Its sizes are the file system's: the first of them are kept,
// in their order, and with a size bytes that never came are zeros. Of names: the file system has
// one log of them, as ext4 and XFS have. All changes up to the last one in a folder that was synced
// last; of those after it the first ones may. A sync of a file alone makes no name last: POSIX says
// so, though ext4 is kinder. What the program did not touch stays: a write into one sector leaves
// its neighbours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace csa::test {

// A write or a change of the size, that is not synced.
struct FileChange {
  bool resize = false;
  std::uint64_t offset = 0;       // resize: the new size
  std::uint64_t length = 0;       // of what was written
  std::uint64_t size_before = 0;  // of the whole file
  std::string old;                // what was there: at `offset`, up to the end of write or file
};

using Inode = std::uint64_t;
using Names = std::map<std::string, Inode>;

// Names, and the inodes that they had before a call; 0: none.
using NameChange = std::vector<std::pair<std::string, Inode>>;

struct Recorded {
  std::map<Inode, std::vector<FileChange>> changes;
  std::vector<NameChange> names;
  std::size_t lasting = 0;  // so many changes of names last
  std::set<std::string> shared;
};

struct Forgotten {
  std::size_t changes = 0;  // not kept whole
  std::size_t bytes = 0;
  std::size_t names = 0;
  void add(const Forgotten& other);
};

class Forgetter {
 public:
  explicit Forgetter(std::uint64_t seed);
  // How much is forgotten, of one file: all; all after some moment; some writes; sectors of some;
  // blocks of some.
  enum class Way : std::uint8_t { kAll, kLast, kWrites, kSectors, kBlocks };
  // Of one file; every third cut forgets all that it may.
  [[nodiscard]] Way way();
  [[nodiscard]] bool everything() const { return everything_; }
  // How many changes of names are kept.
  [[nodiscard]] std::size_t kept_names(const Recorded& recorded);
  // The file's content after the cut. `content`: now, all changes made, the last one perhaps not.
  [[nodiscard]] std::string content(std::string content, const std::vector<FileChange>& changes,
                                    Way way);
  [[nodiscard]] const Forgotten& forgotten() const { return forgotten_; }

 private:
  [[nodiscard]] std::uint64_t below(std::uint64_t end) { return random_() % end; }
  void keep_pieces(std::string& content, const FileChange& change, const std::string& written,
                   std::uint64_t limit, Way way);

  std::mt19937_64 random_;
  bool everything_;
  Forgotten forgotten_;
};

// A record that is not whole ends it.
[[nodiscard]] Recorded read_power_log(std::string_view records);
// Takes them back, the last one first.
void undo_names(Names& names, const Recorded& recorded, std::size_t kept);

}  // namespace csa::test
