// What the fuzz targets share. A target is one file with LLVMFuzzerTestOneInput, which proves a
// property of any bytes. It is linked to libFuzzer (preset fuzz) or to driver.cc, and named after
// its folder in tests/fuzz/corpus.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace csa::fuzz {

// Ends the process with `what` where the property does not hold.
void prove(bool holds, const std::string& what);
inline void prove_same(ByteView one, ByteView other, const std::string& what) {
  prove(to_hex(one) == to_hex(other), what);
}

// The frame with its length and checksum put right, which chance does not find.
[[nodiscard]] Bytes sealed_frame(ByteView input);

// The input's beginning as choices; 0 where nothing is left.
class Choices {
 public:
  explicit Choices(ByteView bytes) : rest_(bytes) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const std::uint8_t value = rest_[0];
    rest_ = rest_.subspan(1);
    return value;
  }
  std::size_t below(std::size_t count) { return byte() % count; }
  // The next `size` bytes, or what is left.
  ByteView take(std::size_t size) {
    const ByteView taken = rest_.first(size < rest_.size() ? size : rest_.size());
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  // Length in two bytes, then the bytes.
  ByteView block() {
    const std::size_t high = byte();
    return take(high << 8U | byte());
  }
  ByteView rest() { return take(rest_.size()); }

 private:
  ByteView rest_;
};

}  // namespace csa::fuzz
