// The disks of a simulated cluster: an SQLite VFS over real files that does to each computer what
// disks, kernels and power do to people. One lives at a time in a thread, and every database that
// is opened in it goes through it. Each computer has a folder of its own, named by its party.
//
// Not simulated: creation, renaming and removal of files that a power cut forgets; of the files
// that csa writes without SQLite downloads alone lose their end, or have bits flipped, in a power
// cut. Their reading and writing fails as SQLite's does (raw_calls.cc).
#pragma once

#include <sqlite3.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/mapped_file.h"
#include "tests/sim/world.h"

namespace csa::sim {

// Thrown where a computer dies at a crash point; not a std::exception, so that nothing which
// handles errors takes it for one.
struct SimCrash {};

class SimDisk {
 public:
  // `folder`: of the run, holds the computers' folders.
  SimDisk(World& world, std::string folder);
  ~SimDisk();
  SimDisk(const SimDisk&) = delete;
  SimDisk& operator=(const SimDisk&) = delete;
  [[nodiscard]] static SimDisk& present();

  // While one lives, what runs is `party`'s program: files that it opens meet what happens to that
  // computer, and it may die at crash points. Files that others open (checkers) never fail.
  class Work {
   public:
    Work(int party, double crash_probability);
    ~Work();
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;
  };

  // kill -9 or, half the time, a power cut: from now on all that its program asks of the disk
  // fails. Does nothing to the dead.
  void die(int party);
  [[nodiscard]] bool dead(int party) { return computers_[party].dead; }
  // Its last death was a power cut, which forgets what was not synced.
  [[nodiscard]] bool lost_power(int party) { return computers_[party].lost_power; }
  // REQUIRES: its program's objects are gone. Its files are what its death has left.
  void bury(int party);
  std::function<void(int party)> on_buried;

  // It dies at the operation after `operations` more.
  void die_after(int party, std::uint64_t operations) { computers_[party].dies_after = operations; }
  enum Kind : unsigned { kRead = 1, kWrite = 2, kSync = 4, kTruncate = 8, kOpen = 16 };
  struct Failure {
    unsigned kinds = 0;       // 0: the disk is sound
    std::uint64_t after = 0;  // so many more good ones
    bool for_good = false;    // until mend()
    bool full = false;        // writes answer SQLITE_FULL
  };
  void fail(int party, const Failure& failure) { computers_[party].failure = failure; }
  void mend();  // all of them
  void heal();  // and nobody dies
  // Whether an operation has failed since begin(): what excuses the errors of a program's job.
  [[nodiscard]] bool failed(int party) { return computers_[party].failed || rotten(party); }
  // The kernel has written all by itself, as it does within half a minute: no power cut takes it.
  void write_back(int party);
  // From now on it holds what nobody has written.
  void rot(int party) { computers_[party].rotten = true; }
  [[nodiscard]] bool rotten(int party) { return computers_[party].rotten; }
  // One, of a file at rest; its byte.
  std::uint64_t flip_bit(const std::string& path);
  // Of a computer that is off.
  void make_image(int party, const std::string& folder_to) const;
  void restore_image(int party, const std::string& folder_from);
  // Of a file that csa uses without SQLite, by the program that is at work: 0, or the errno.
  [[nodiscard]] static int raw(int file, Kind kind);
  void begin(int party) { computers_[party].failed = false; }
  [[nodiscard]] bool full(int party) { return computers_[party].failure.full; }

 private:
  struct Computer {
    bool dead = false;
    bool lost_power = false;
    bool failed = false;
    bool rotten = false;
    std::uint64_t dies_after = UINT64_MAX;
    Failure failure;
  };
  // What a file held before a write or a cut that is not synced yet.
  struct Unsynced {
    sqlite3_int64 offset = 0;
    sqlite3_int64 size = 0;  // of the whole file
    std::string bytes;
  };
  using History = std::vector<Unsynced>;
  struct Open {
    int party = 0;
    bool subject = false;
    ino_t inode = 0;
    std::shared_ptr<MappedFile> memory;  // null: by the kernel's calls
  };
  struct Methods;
  friend struct Methods;

  [[nodiscard]] static SimDisk*& living();
  [[nodiscard]] static ino_t inode_of(const std::string& path);
  // Of the file that SQLite has just opened there; null where it has none.
  [[nodiscard]] std::shared_ptr<MappedFile> memory_of(ino_t inode, const std::string& path);
  [[nodiscard]] int party_of(const char* path) const;  // -1: none's
  // SQLITE_OK, or how the operation fails.
  [[nodiscard]] int operate(int party, Kind kind, int code, const std::string& whose = "disk");
  void forget(const std::string& path, History history) const;
  void forget_tail(const std::string& path);
  void flip_bits(const std::string& path);
  void cross(std::string_view label);
  [[nodiscard]] std::string folder(int party) const;
  [[nodiscard]] std::string grave(int party) const { return folder(party) + "-grave"; }

  World& world_;
  const std::string folder_;
  sqlite3_vfs* real_;
  sqlite3_vfs vfs_;
  std::map<int, Computer> computers_;
  std::map<sqlite3_file*, Open> open_;
  std::map<ino_t, std::weak_ptr<MappedFile>> memory_;
  std::map<ino_t, History> unsynced_;
  int working_ = -1;
  double crash_probability_ = 0;
  std::map<std::string, int, std::less<>> crossed_;  // crash points
};

}  // namespace csa::sim
