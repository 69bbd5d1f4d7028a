// Bytes that grow without bound on memory: the first part in memory, the rest in an unlinked
// temporary file. Owned by one thread. Throws std::system_error where the file cannot be written.
#pragma once

#include <cstdint>
#include <string>

#include "common/bytes.h"

namespace csa {

class Spill {
 public:
  // `directory` is where the file is made, at the first byte beyond `memory_max`.
  Spill(std::string directory, std::size_t memory_max);
  ~Spill();
  Spill(const Spill&) = delete;
  Spill& operator=(const Spill&) = delete;

  void append(ByteView bytes);
  [[nodiscard]] std::uint64_t size() const { return size_; }
  // Up to `length` bytes from `offset`; fewer at the end.
  [[nodiscard]] Bytes read(std::uint64_t offset, std::size_t length) const;
  // Forgets everything from `size` on. REQUIRES: size <= this->size().
  void truncate(std::uint64_t size);

 private:
  void flush();

  std::string directory_;
  std::size_t memory_max_;
  Bytes memory_;               // the first bytes
  std::uint64_t in_file_ = 0;  // bytes after them, in the file
  Bytes tail_;                 // the last bytes, not yet written
  int file_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace csa
