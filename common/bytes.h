// Byte strings, their views, hexadecimal text, and the one hash of csa (XXH3, see xxhash.com).
// The hashes tell damage and forks apart; they are no protection against forgery.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/types.h"

namespace csa {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

[[nodiscard]] ByteView as_bytes(std::string_view text);
[[nodiscard]] std::string_view as_text(ByteView bytes);

// Lower-case hex digits, two a byte.
[[nodiscard]] std::string to_hex(ByteView bytes);
// Empty where `hex` has an odd length or another character.
[[nodiscard]] std::optional<Bytes> from_hex(std::string_view hex);

[[nodiscard]] std::uint64_t hash64(ByteView bytes);
[[nodiscard]] Id128 hash128(ByteView bytes);

// Hash of a stream of bytes: any split into updates gives hash128 of the whole.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  void update(ByteView bytes);
  [[nodiscard]] Id128 digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace csa
