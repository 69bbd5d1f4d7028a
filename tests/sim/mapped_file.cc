#include "tests/sim/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace csa::sim {
namespace {

// Of addresses: what a file does not have takes no memory.
constexpr std::size_t kLongest = std::size_t{1} << 30;

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  struct stat about {};
  void* const memory = ::fstat(file, &about) == 0 ? ::mmap(nullptr, kLongest, PROT_READ,
                                                           MAP_SHARED | MAP_NORESERVE, file, 0)
                                                  : MAP_FAILED;
  ::close(file);
  if (memory == MAP_FAILED) return;
  memory_ = static_cast<const char*>(memory);
  size_ = about.st_size;
}

MappedFile::~MappedFile() {
  if (memory_ != nullptr) ::munmap(const_cast<char*>(memory_), kLongest);
}

int MappedFile::read(void* bytes, int length, sqlite3_int64 offset) const {
  const sqlite3_int64 there = std::clamp<sqlite3_int64>(size_ - offset, 0, length);
  auto* const to = static_cast<char*>(bytes);
  if (there > 0) std::memcpy(to, memory_ + offset, static_cast<std::size_t>(there));
  if (there == length) return SQLITE_OK;
  std::memset(to + there, 0, static_cast<std::size_t>(length - there));
  return SQLITE_IOERR_SHORT_READ;
}

}  // namespace csa::sim
