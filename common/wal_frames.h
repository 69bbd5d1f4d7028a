// The -wal as bytes: its header, its frames and their checksums. For common/wal_mend.cc and
// common/wal_headless.cc.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "common/bytes.h"
#include "common/sqlite.h"

namespace csa::wal {

// SQLite's fileformat2.html, "The WAL File Format".
inline constexpr std::size_t kFileHeader = 32;
inline constexpr std::size_t kHeaderProved = 24;  // then its checksum
inline constexpr std::size_t kSaltsAt = 16;
inline constexpr std::size_t kFrameHead = 24;
inline constexpr std::size_t kFrameProved = 8;  // page number, size after a commit
inline constexpr std::size_t kSaltsOfFrameAt = 8;
inline constexpr std::size_t kSumOfFrameAt = 16;
inline constexpr std::uint32_t kMagic = 0x377f0682;  // + 1: sums of big-endian words

struct Sum {
  std::uint32_t a = 0, b = 0;
  bool operator==(const Sum&) const = default;
};

inline std::uint32_t big_word(const std::uint8_t* at) {
  return std::uint32_t{at[0]} << 24U | std::uint32_t{at[1]} << 16U | std::uint32_t{at[2]} << 8U |
         std::uint32_t{at[3]};
}

inline std::uint32_t word(const std::uint8_t* at, bool big) {
  if (big) return big_word(at);
  return std::uint32_t{at[3]} << 24U | std::uint32_t{at[2]} << 16U | std::uint32_t{at[1]} << 8U |
         std::uint32_t{at[0]};
}

inline Sum stored_sum(const std::uint8_t* at) { return {big_word(at), big_word(at + 4)}; }

// REQUIRES: a multiple of eight bytes.
inline Sum sum_of(Sum sum, ByteView bytes, bool big) {
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    sum.a += word(bytes.data() + at, big) + sum.b;
    sum.b += word(bytes.data() + at + 4, big) + sum.a;
  }
  return sum;
}

class Wal {
 public:
  Wal(const std::string& path, int flags)
      : path_(path + "-wal"), file_(::open(path_.c_str(), flags | O_CLOEXEC)) {}
  ~Wal() {
    if (file_ >= 0) ::close(file_);
  }
  Wal(const Wal&) = delete;
  Wal& operator=(const Wal&) = delete;
  [[nodiscard]] bool read(std::uint64_t at, std::span<std::uint8_t> to) const {
    if (file_ < 0) return false;
    const ssize_t got = ::pread(file_, to.data(), to.size(), static_cast<off_t>(at));
    if (got < 0) fail("read");
    return got == static_cast<ssize_t>(to.size());
  }
  void turn(std::uint64_t at, std::size_t bit, std::span<std::uint8_t> bytes) const {
    std::uint8_t& byte = bytes[bit / 8];
    byte = static_cast<std::uint8_t>(byte ^ (1U << (bit % 8)));
    if (::pwrite(file_, &byte, 1, static_cast<off_t>(at + bit / 8)) != 1) fail("mend");
  }
  void sync() const {
    if (::fsync(file_) != 0) fail("sync");
  }

 private:
  [[noreturn]] void fail(const std::string& step) const {
    throw SqliteError(SQLITE_IOERR, step + " " + path_ + ": " + std::strerror(errno));
  }
  std::string path_;
  int file_;
};

struct Header {
  std::array<std::uint8_t, kFileHeader> bytes{};
  [[nodiscard]] bool big() const { return (big_word(bytes.data()) & 1U) != 0; }
  [[nodiscard]] std::size_t page_size() const { return big_word(bytes.data() + 8); }
  [[nodiscard]] Sum stored() const { return stored_sum(bytes.data() + kHeaderProved); }
  [[nodiscard]] bool is_sound() const {
    const std::size_t page = page_size();
    return (big_word(bytes.data()) & ~1U) == kMagic && page >= 512 && page <= 65536 &&
           std::has_single_bit(page) &&
           sum_of({}, ByteView(bytes).first(kHeaderProved), big()) == stored();
  }
  [[nodiscard]] ByteView salts() const { return ByteView(bytes).subspan(kSaltsAt, 8); }
};

}  // namespace csa::wal
