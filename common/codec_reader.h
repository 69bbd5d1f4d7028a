// msgpack to values, for codec*.cc. Reads straight into the fields instead of through msgpack's
// object tree: a tree allocates 24 bytes for every element that a header merely declares, so six
// nested headers of 5 bytes would cost hundreds of megabytes before their first element is missed.
// Here nothing is allocated for what is not there. Never throws for what the bytes hold.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "common/codec_fields.h"
#include "common/limits.h"

namespace csa::codec {

// The most elements a list of T may have.
template <class T>
inline constexpr std::size_t kCountMax = limits::kRowsMax;  // rows: one byte at least
template <>
inline constexpr std::size_t kCountMax<LogPiece> = limits::kPiecesMax;
template <>
inline constexpr std::size_t kCountMax<KeyChange> = limits::kKeyChangesMax;
template <>
inline constexpr std::size_t kCountMax<RuleSetting> = limits::kRuleSettingsMax;
template <>
inline constexpr std::size_t kCountMax<Value> = 32767;  // SQLite's bounds of columns, parameters
template <>
inline constexpr std::size_t kCountMax<std::string> = 32767;

class Reader {
 public:
  template <class T>
  using Ref = T&;

  // Views into `bytes`, which must outlive this.
  explicit Reader(ByteView bytes) : rest_(bytes) {}

  // Reads the array of fields of `value`. Tail: elements behind the known ones are skipped (a later
  // program's), else they are an error.
  template <class T>
  void record(T& value, bool tail) {
    const std::size_t outer = left_;
    const std::optional<std::size_t> count = array();
    if (!count) return fail("is no array");
    left_ = *count;
    fields(*this, value);
    if (ok() && !tail && left_ != 0) fail("has too many elements");
    while (ok() && left_ > 0) {
      --left_;
      if (!skip()) fail("has a damaged tail");
    }
    left_ = outer;
  }

  template <class T>
  void operator()(std::string_view name, T& field) {
    if (!ok()) return;
    field_ = name;
    if (left_ == 0) return fail("is missing");
    --left_;
    if (!get(field) && ok()) fail("has a wrong type or value");
  }
  void sentence(std::string_view name, std::string& field) {
    (*this)(name, field);
    if (ok() && field.size() > limits::kTextMax) fail("is too long");
  }

  // Nil is made up for when the piece is here: get().
  void chain_of(LogPiece& /*piece*/) { (*this)("chain", chain_); }

  // All of the record's elements have been read.
  [[nodiscard]] bool nothing_left() const { return ok() && left_ == 0; }

  [[nodiscard]] bool ok() const { return why_.empty(); }
  // "FIELD WHY", of the first failure.
  [[nodiscard]] std::string error() const {
    return std::string(field_) + (field_.empty() ? "" : " ") + std::string(why_);
  }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

 private:
  void fail(std::string_view why) {
    if (ok()) why_ = why;
  }

  [[nodiscard]] bool next(std::uint8_t& byte);
  [[nodiscard]] bool next(std::size_t octets, std::uint64_t& number);
  [[nodiscard]] bool next(std::uint64_t size, ByteView& bytes);
  // Elements of the array that starts here; nullopt: no array, or fewer bytes than elements.
  [[nodiscard]] std::optional<std::size_t> array();
  [[nodiscard]] bool is_nil() const { return !rest_.empty() && rest_[0] == 0xC0; }
  [[nodiscard]] bool skip();
  // Of the element that began with `byte`: elements inside it, or bytes of its content.
  [[nodiscard]] bool extent(std::uint8_t byte, std::uint64_t& count, std::uint64_t& size);

  // Any integer form. `negative`: `bits` is two's complement.
  [[nodiscard]] bool integer(std::uint64_t& bits, bool& negative);
  [[nodiscard]] bool text(std::string_view& view);
  [[nodiscard]] bool binary(ByteView& view);
  [[nodiscard]] bool text16(std::u16string& units);

  template <class T>
  [[nodiscard]] std::enable_if_t<std::is_unsigned_v<T>, bool> get(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      std::uint8_t byte = 0;
      if (!next(byte) || (byte != 0xC2 && byte != 0xC3)) return false;
      value = byte == 0xC3;
      return true;
    } else {
      std::uint64_t bits = 0;
      bool negative = false;
      if (!integer(bits, negative) || negative || bits > std::numeric_limits<T>::max()) {
        return false;
      }
      value = static_cast<T>(bits);
      return true;
    }
  }
  template <class T>
  [[nodiscard]] std::enable_if_t<std::is_enum_v<T>, bool> get(T& value) {
    std::underlying_type_t<T> number = 0;  // invalid() knows which values there are
    if (!get(number)) return false;
    value = static_cast<T>(number);
    return true;
  }
  template <class T>
  [[nodiscard]] std::enable_if_t<kNested<T>, bool> get(T& value) {
    record(value, false);
    return ok();
  }
  template <class T>
  [[nodiscard]] bool get(std::optional<T>& value) {
    value.reset();
    if (is_nil()) {
      rest_ = rest_.subspan(1);
      return true;
    }
    return get(value.emplace());
  }
  template <class T>
  [[nodiscard]] bool get(std::vector<T>& list) {
    const std::optional<std::size_t> count = array();
    if (!count || *count > kCountMax<T>) return false;
    list.clear();
    // No more than a first helping: elements are larger here than their bytes.
    list.reserve(std::min<std::size_t>(*count, 256));
    for (std::size_t i = 0; i < *count; ++i) {
      if (!get(list.emplace_back())) return false;
    }
    return true;
  }
  [[nodiscard]] bool get(std::vector<LogPiece>& list);
  [[nodiscard]] bool get(std::int64_t& value);
  [[nodiscard]] bool get(std::string& value);
  [[nodiscard]] bool get(Bytes& value);
  [[nodiscard]] bool get(Id128& value);
  [[nodiscard]] bool get(NodeId& value) { return get(value.value); }
  [[nodiscard]] bool get(DbId& value) { return get(value.value); }
  [[nodiscard]] bool get(Chain& value) { return get(value.value); }
  [[nodiscard]] bool get(Seq& value) { return get(value.value); }
  [[nodiscard]] bool get(WallTime& value) { return get(value.ms); }
  [[nodiscard]] bool get(Value& value);

  ByteView rest_;
  std::size_t left_ = 0;  // elements of the present array that were not read
  std::string_view field_;
  std::string_view why_;
  std::optional<Chain> chain_;  // of the present piece
};

}  // namespace csa::codec
