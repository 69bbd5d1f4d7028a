#include "common/spill.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <random>
#include <string>
#include <system_error>

#include "tests/support/scratch_folder.h"

namespace csa::spill_test {

TEST_CASE("spill: bytes beyond memory, read back at any offset and after any truncation") {
  const ScratchFolder folder;
  std::mt19937 random(1);
  for (const std::size_t memory : {std::size_t{0}, std::size_t{100}, std::size_t{200000}}) {
    CAPTURE(memory);
    Spill spill(folder.path(), memory);
    Bytes expected;
    for (int step = 0; step < 400; ++step) {
      if (step % 40 == 39) {
        const std::size_t size = random() % (expected.size() + 1);
        spill.truncate(size);
        expected.resize(size);
      }
      Bytes piece(random() % 4000);
      for (std::uint8_t& byte : piece) byte = static_cast<std::uint8_t>(random());
      spill.append(piece);
      expected.insert(expected.end(), piece.begin(), piece.end());
      REQUIRE(spill.size() == expected.size());
      const std::size_t offset = random() % (expected.size() + 10);
      const std::size_t length = random() % 100000;
      const std::size_t start = std::min(offset, expected.size());
      const std::size_t end = std::min(expected.size(), start + length);
      REQUIRE(spill.read(offset, length) ==
              Bytes(expected.begin() + static_cast<std::ptrdiff_t>(start),
                    expected.begin() + static_cast<std::ptrdiff_t>(end)));
    }
    REQUIRE(spill.read(0, expected.size()) == expected);
    spill.truncate(0);
    CHECK(spill.read(0, 10).empty());
  }
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("spill: directory that is not there, an error at the first byte beyond memory") {
  Spill spill("/nowhere/at/all", 10);
  const Bytes small(10, 1);
  CHECK_NOTHROW(spill.append(small));
  const Bytes large(1U << 17U, 1);
  CHECK_THROWS_AS(spill.append(large), std::system_error);
}

TEST_CASE("spill: its file cannot be shortened, it goes on; a rollback has nobody to tell") {
  const ScratchFolder folder;
  Spill spill(folder.path(), 10);
  spill.append(Bytes(1U << 17U, 1));
  const std::string file = folder.path() + "/csa-spill-";
  int spilled = -1;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string to = std::filesystem::read_symlink(entry.path(), gone).string();
    if (to.starts_with(file)) spilled = std::stoi(entry.path().filename().string());
  }
  REQUIRE(spilled >= 0);
  const int kept = ::dup(spilled);
  const int closed = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  REQUIRE(::dup2(closed, spilled) == spilled);
  CHECK_NOTHROW(spill.truncate(70000));
  REQUIRE(::dup2(kept, spilled) == spilled);
  ::close(kept);
  ::close(closed);
  spill.append(Bytes(1U << 17U, 2));
  CHECK(spill.size() == 70000 + (1U << 17U));
  CHECK(spill.read(69999, 2) == Bytes{1, 2});
  CHECK(spill.read(spill.size() - 1, 2) == Bytes{2});
}

}  // namespace csa::spill_test
