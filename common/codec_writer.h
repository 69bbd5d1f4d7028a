// Values to msgpack, for codec*.cc. Always the shortest form, so equal values have equal bytes: the
// chain and the request hash depend on that.
#pragma once

#include <msgpack/pack.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "common/codec_fields.h"
#include "common/limits.h"

namespace csa::codec {

inline constexpr std::int8_t kExtText16 = 1;

class Writer {
 public:
  template <class T>
  using Ref = const T&;

  // Appends to `out`, which must outlive this.
  explicit Writer(Bytes& out) : sink_{out}, packer_(sink_) {}

  template <class T>
  void operator()(std::string_view /*name*/, const T& field) {
    put(field);
  }
  // Cut to kTextMax, at a character's border: words of ours are never a reason to fail.
  void sentence(std::string_view /*name*/, const std::string& text);

  // Nil where the reader can tell it from the piece written before, which must live as long.
  void chain_of(const LogPiece& piece);

  void array(std::uint32_t count) { packer_.pack_array(count); }

  template <class T>
  std::enable_if_t<std::is_unsigned_v<T>> put(T value) {
    if constexpr (std::is_same_v<T, bool>) {
      value ? packer_.pack_true() : packer_.pack_false();
    } else {
      packer_.pack_uint64(value);
    }
  }
  template <class T>
  std::enable_if_t<std::is_enum_v<T>> put(T value) {
    put(static_cast<std::underlying_type_t<T>>(value));
  }
  template <class T>
  std::enable_if_t<kNested<T>> put(const T& value) {
    array(field_count(value));
    fields(*this, value);
  }
  template <class T>
  void put(const std::optional<T>& value) {
    if (value) {
      put(*value);
    } else {
      packer_.pack_nil();
    }
  }
  template <class T>
  void put(const std::vector<T>& list) {
    array(static_cast<std::uint32_t>(list.size()));
    for (const T& element : list) put(element);
  }
  void put(std::int64_t value) { packer_.pack_int64(value); }
  void put(std::string_view text);
  void put(const std::string& text) { put(std::string_view(text)); }
  void put(ByteView bytes);
  void put(const Bytes& bytes) { put(ByteView(bytes)); }
  void put(const Id128& id) { put(ByteView(id.bytes)); }
  void put(const NodeId& id) { put(id.value); }
  void put(const DbId& id) { put(id.value); }
  void put(const Chain& chain) { put(chain.value); }
  void put(Seq seq) { put(seq.value); }
  void put(WallTime time) { put(time.ms); }
  void put(const Value& value);

 private:
  struct Sink {
    Bytes& out;
    void write(const char* bytes, std::size_t size) { out.insert(out.end(), bytes, bytes + size); }
  };
  Sink sink_;
  msgpack::packer<Sink> packer_;
  const LogPiece* before_ = nullptr;
};

}  // namespace csa::codec
