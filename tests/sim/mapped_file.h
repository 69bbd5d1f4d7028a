// A file that SQLite has open, to be read as memory. A simulated cluster reads its files so often
// that the kernel's calls were a third of a run.
//
// REQUIRES: while one lives, its file's size changes as lengthen() and cut() are told. Its content
// may change in any way: the mapping is the kernel's own memory of it.
#pragma once

#include <sqlite3.h>

#include <string>

namespace csa::sim {

class MappedFile {
 public:
  // A file that cannot be opened or mapped has no memory: works() is false.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  [[nodiscard]] bool works() const { return memory_ != nullptr; }
  [[nodiscard]] sqlite3_int64 size() const { return size_; }
  // As sqlite3_io_methods.xRead: what lies behind the end is zeros, and told.
  int read(void* bytes, int length, sqlite3_int64 offset) const;
  // After the kernel has done it.
  void lengthen(sqlite3_int64 end) { size_ = end > size_ ? end : size_; }
  void cut(sqlite3_int64 size) { size_ = size; }

 private:
  const char* memory_ = nullptr;
  sqlite3_int64 size_ = 0;
};

}  // namespace csa::sim
