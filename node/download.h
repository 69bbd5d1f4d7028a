// A full copy on its way: a side file "PATH-csa-copy", filled in any order, proved by its hash at
// the end. What an earlier try has left in it stays: pages that the copy's map may know again. Owns
// the file; one thread. The disk's failures are thrown as SqliteError (SQLITE_FULL, SQLITE_IOERR)
// with a sentence; the live replica is never touched.
#pragma once

#include <cstdint>
#include <string>

#include "common/bytes.h"
#include "common/message.h"
#include "common/result.h"

namespace csa {

class Download {
 public:
  explicit Download(const std::string& replica_path);
  ~Download();
  Download(const Download&) = delete;
  Download& operator=(const Download&) = delete;

  // Makes room for this copy; bytes of the file that are left from an earlier one, or from this.
  [[nodiscard]] std::uint64_t begin(const Id128& snapshot, std::uint64_t total);
  // Whether these bytes are here: left from an earlier try, or written.
  [[nodiscard]] bool holds(std::uint64_t offset, std::size_t length, std::uint64_t hash);
  // What goes beyond the total is ignored: finish() then finds the copy too short.
  void write(std::uint64_t offset, ByteView bytes);
  [[nodiscard]] bool active() const { return file_ >= 0; }

  // Syncs, proves size and hash, and closes the file, which stays at path(). kDamaged: not what END
  // says; what is there stays for the next try.
  [[nodiscard]] Status finish(const SnapshotEnd& end);
  // Removes every trace.
  void drop();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  [[nodiscard]] std::string hash_mismatch(const SnapshotEnd& end) const;
  void open_file();
  void close_file();

  std::string path_;
  Id128 snapshot_;
  std::uint64_t total_ = 0;
  std::uint64_t size_ = 0;  // of the file
  Bytes page_;              // last read by holds()
  int file_ = -1;
};

// Makes renames and new files in the folder of `path` last. Throws SqliteError.
void sync_folder_of(const std::string& path);

}  // namespace csa
