#include "common/codec_writer.h"

#include <bit>

#include "common/codec_pieces.h"

namespace csa::codec {

void Writer::sentence(std::string_view /*name*/, const std::string& text) {
  std::size_t size = text.size();
  if (size > limits::kTextMax) {
    size = limits::kTextMax;
    while (size > limits::kTextMax - 4 && (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U)
      --size;
  }
  put(std::string_view(text).substr(0, size));
}

void Writer::chain_of(const LogPiece& piece) {
  if (before_ != nullptr && following_chain(*before_, piece) == piece.chain) {
    packer_.pack_nil();
  } else {
    put(piece.chain);
  }
  before_ = &piece;
}

void Writer::put(std::string_view text) {
  packer_.pack_str(static_cast<std::uint32_t>(text.size()));
  packer_.pack_str_body(text.data(), static_cast<std::uint32_t>(text.size()));
}

void Writer::put(ByteView bytes) {
  packer_.pack_bin(static_cast<std::uint32_t>(bytes.size()));
  sink_.out.insert(sink_.out.end(), bytes.begin(), bytes.end());
}

void Writer::put(const Value& value) {
  struct Visitor {
    Writer& writer;
    void operator()(const Null&) const { writer.packer_.pack_nil(); }
    void operator()(std::int64_t number) const { writer.put(number); }
    // The library's pack_double() turns 1.0 into the integer 1 and loses the sign of -0.0.
    void operator()(double number) const {
      const auto bits = std::bit_cast<std::uint64_t>(number);
      writer.sink_.out.push_back(0xCB);
      for (std::size_t i = 8; i-- > 0;) {
        writer.sink_.out.push_back(static_cast<std::uint8_t>(bits >> (8 * i)));
      }
    }
    void operator()(const Text& text) const { writer.put(text.utf8); }
    void operator()(const Bytes& blob) const { writer.put(blob); }
    void operator()(const Text16& text) const {
      writer.packer_.pack_ext(text.units.size() * 2, kExtText16);
      for (const char16_t unit : text.units) {
        writer.sink_.out.push_back(static_cast<std::uint8_t>(unit & 0xFFU));
        writer.sink_.out.push_back(static_cast<std::uint8_t>(unit >> 8U));
      }
    }
  };
  std::visit(Visitor{*this}, value);
}

}  // namespace csa::codec
