#include "tests/fuzz/fuzz.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

namespace csa::fuzz {
namespace {

// The tests' support proves what it needs by doctest's macros: here there is no test case, and one
// that fails ends the process.
struct Asserts {
  doctest::Context context;
  Asserts() {
    context.setAsDefaultForAssertsOutOfTestCases();
    context.setAssertHandler([](const doctest::AssertData& data) {
      if (data.m_failed) prove(false, std::string(data.m_expr) + " at " + data.m_file);
    });
  }
};
const Asserts asserts;

constexpr std::size_t kBody = 8;
constexpr std::size_t kChecksum = 8;

}  // namespace

Bytes sealed_frame(ByteView input) {
  Bytes frame(input.begin(), input.end());
  if (frame.size() < kBody + kChecksum) return frame;
  const std::size_t end = frame.size() - kChecksum;
  // A payload stands behind the body in SNAPSHOT_CHUNK only.
  std::size_t length = frame[3] == 24 ? std::min<std::size_t>(frame[7], end - kBody) : end - kBody;
  for (std::size_t i = 4; i > 0; --i) {
    frame[3 + i] = static_cast<std::uint8_t>(length);
    length >>= 8U;
  }
  std::uint64_t hash = hash64(ByteView(frame).first(end));
  for (std::size_t i = kChecksum; i > 0; --i) {
    frame[end + i - 1] = static_cast<std::uint8_t>(hash);
    hash >>= 8U;
  }
  return frame;
}

void prove(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: %s\n", what.c_str());
  std::abort();
}

}  // namespace csa::fuzz
