// A full copy on its way: chunks into a side file "PATH-csa-copy", resumable after a restart,
// proved by its hash at the end. Owns the file; one thread. The disk's failures are thrown as
// SqliteError (SQLITE_FULL, SQLITE_IOERR) with a sentence; the live replica is never touched.
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

  // Goes on with the same snapshot where its file ends, or starts anew; the byte to ask for next.
  [[nodiscard]] std::uint64_t begin(const Id128& snapshot, std::uint64_t total);
  // Chunks in order. Bytes that are here already are ignored, and so is a chunk that leaves a gap
  // or goes beyond the total: finish() then finds the copy too short.
  void write(std::uint64_t offset, ByteView bytes);
  [[nodiscard]] bool active() const { return file_ >= 0; }
  [[nodiscard]] std::uint64_t size() const { return size_; }

  // Syncs, proves size and hash, and closes the file, which stays at path() and is no longer
  // resumable. kDamaged: not what END says; the file is gone.
  [[nodiscard]] Status finish(const SnapshotEnd& end);
  // Removes every trace.
  void drop();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  [[nodiscard]] std::string hash_mismatch(const SnapshotEnd& end) const;
  void open_file(bool resume);
  void write_record(const std::string& text) const;
  void close_file();

  std::string path_;
  std::string record_path_;  // names snapshot and total, so that a restart can go on
  Id128 snapshot_;
  std::uint64_t total_ = 0;
  std::uint64_t size_ = 0;
  int file_ = -1;
};

// Makes renames and new files in the folder of `path` last. Throws SqliteError.
void sync_folder_of(const std::string& path);

}  // namespace csa
