// What the fuzz targets share. A target is one file with CSA_FUZZ_TARGET, which proves a property
// of any bytes, and is named after its folder in tests/fuzz/corpus. In the preset fuzz each is a
// program with libFuzzer; elsewhere all are in the one of driver.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/bytes.h"

namespace csa::fuzz {

using Target = int (*)(const std::uint8_t* data, std::size_t size);

// As a static object: the driver knows the target from then on.
struct Registered {
  Registered(const char* name, Target target);
};

// CSA_FUZZ_TARGET(name) { what is done with `data` and `size`; return 0; }
#ifdef CSA_LIBFUZZER
#define CSA_FUZZ_TARGET(name) \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
#else
#define CSA_FUZZ_TARGET(name)                                              \
  static int run_##name(const std::uint8_t* data, std::size_t size);       \
  static const csa::fuzz::Registered registered_##name(#name, run_##name); \
  static int run_##name(const std::uint8_t* data, std::size_t size)
#endif

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
