#include "common/spill.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "common/check.h"

namespace csa {
namespace {

// Bytes gathered before a write to the file.
constexpr std::size_t kTailMax = std::size_t{64} << 10U;

[[noreturn]] void throw_errno(const std::string& step) {
  throw std::system_error(errno, std::generic_category(), step);
}

void write_all(int file, ByteView bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0) {
      if (errno == EINTR) continue;
      throw_errno("write the temporary file of a large change");
    }
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

void read_all(int file, std::span<std::uint8_t> bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t count = ::pread(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) errno = EIO;  // somebody cut a file that has no name
    if (count <= 0) throw_errno("read the temporary file of a large change");
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

int make_file(const std::string& directory) {
  std::string path =
      (directory.empty() ? std::string(".") : directory) + "/csa-spill-" + std::string(6, 'X');
  const int file = ::mkostemp(path.data(), O_CLOEXEC);
  if (file < 0) throw_errno("make a temporary file in " + directory);
  ::unlink(path.c_str());
  return file;
}

}  // namespace

Spill::Spill(std::string directory, std::size_t memory_max)
    : directory_(std::move(directory)), memory_max_(memory_max) {}

Spill::~Spill() {
  if (file_ >= 0) ::close(file_);
}

void Spill::append(ByteView bytes) {
  size_ += bytes.size();
  if (memory_.size() < memory_max_) {
    const ByteView front = bytes.first(std::min(bytes.size(), memory_max_ - memory_.size()));
    memory_.insert(memory_.end(), front.begin(), front.end());
    bytes = bytes.subspan(front.size());
  }
  if (bytes.empty()) return;
  tail_.insert(tail_.end(), bytes.begin(), bytes.end());
  if (tail_.size() >= kTailMax) flush();
}

void Spill::flush() {
  if (file_ < 0) file_ = make_file(directory_);
  write_all(file_, tail_, in_file_);
  in_file_ += tail_.size();
  tail_.clear();
  if (tail_.capacity() > 4 * kTailMax) Bytes().swap(tail_);
}

Bytes Spill::read(std::uint64_t offset, std::size_t length) const {
  if (offset >= size_) return {};
  Bytes bytes(static_cast<std::size_t>(std::min<std::uint64_t>(length, size_ - offset)));
  std::span<std::uint8_t> rest(bytes);
  // Memory, file, tail: in this order.
  const auto copy_from = [&](const Bytes& part, std::uint64_t start) {
    if (rest.empty() || offset < start || offset - start >= part.size()) return;
    const std::size_t skip = static_cast<std::size_t>(offset - start);
    const std::size_t count = std::min(rest.size(), part.size() - skip);
    std::copy_n(part.begin() + static_cast<std::ptrdiff_t>(skip), count, rest.begin());
    rest = rest.subspan(count);
    offset += count;
  };
  copy_from(memory_, 0);
  const std::uint64_t file_end = memory_.size() + in_file_;
  if (!rest.empty() && offset < file_end) {
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(rest.size(), file_end - offset));
    read_all(file_, rest.first(count), offset - memory_.size());
    rest = rest.subspan(count);
    offset += count;
  }
  copy_from(tail_, file_end);
  CSA_CHECK(rest.empty());
  return bytes;
}

void Spill::truncate(std::uint64_t size) {
  CSA_CHECK(size <= size_);
  size_ = size;
  const std::uint64_t file_end = memory_.size() + in_file_;
  if (size >= file_end) {
    tail_.resize(static_cast<std::size_t>(size - file_end));
    return;
  }
  tail_.clear();
  in_file_ = size > memory_.size() ? size - memory_.size() : 0;
  if (size < memory_.size()) memory_.resize(static_cast<std::size_t>(size));
  // Only gives room back: what lies behind is never read, and is written over.
  if (file_ >= 0) static_cast<void>(::ftruncate(file_, static_cast<off_t>(in_file_)) == 0);
}

}  // namespace csa
