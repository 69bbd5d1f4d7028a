#include "common/codec_reader.h"

#include <algorithm>
#include <array>
#include <bit>

#include "common/codec_pieces.h"
#include "common/codec_writer.h"

// First bytes of msgpack's forms: github.com/msgpack/msgpack/blob/master/spec.md

namespace csa::codec {

namespace {

// What follows a first byte from C0 to DF: a number of so many octets, which counts the bytes
// behind it or, times `elements`, the elements; and `fixed` bytes.
struct Form {
  std::uint8_t number = 0;
  std::uint8_t fixed = 0;
  std::uint8_t elements = 0;
  bool legal = true;
};
// clang-format off
constexpr std::array<Form, 32> kForms{{
    {}, {0, 0, 0, false}, {}, {},             // nil, unused, false, true
    {1}, {2}, {4},                            // bin
    {1, 1}, {2, 1}, {4, 1},                   // ext: its type and its bytes
    {0, 4}, {0, 8},                           // float
    {0, 1}, {0, 2}, {0, 4}, {0, 8},           // unsigned
    {0, 1}, {0, 2}, {0, 4}, {0, 8},           // signed
    {0, 2}, {0, 3}, {0, 5}, {0, 9}, {0, 17},  // ext of a fixed size
    {1}, {2}, {4},                            // str
    {2, 0, 1}, {4, 0, 1},                     // array
    {2, 0, 2}, {4, 0, 2},                     // map
}};
// clang-format on

}  // namespace

bool Reader::get(std::vector<LogPiece>& list) {
  const std::optional<std::size_t> count = array();
  if (!count || *count > kCountMax<LogPiece>) return false;
  list.clear();
  list.reserve(std::min<std::size_t>(*count, 256));
  for (std::size_t i = 0; i < *count; ++i) {
    if (!get(list.emplace_back())) return false;
    if (!chain_ && i > 0) chain_ = following_chain(list[i - 1], list[i]);
    if (!chain_) {
      field_ = "chain";
      fail("is missing");
      return false;
    }
    list[i].chain = *chain_;
  }
  return true;
}

bool Reader::next(std::uint8_t& byte) {
  if (rest_.empty()) return false;
  byte = rest_[0];
  rest_ = rest_.subspan(1);
  return true;
}

bool Reader::next(std::size_t octets, std::uint64_t& number) {
  if (rest_.size() < octets) return false;
  number = 0;
  for (std::size_t i = 0; i < octets; ++i) number = number << 8U | rest_[i];
  rest_ = rest_.subspan(octets);
  return true;
}

bool Reader::next(std::uint64_t size, ByteView& bytes) {
  if (rest_.size() < size) return false;
  bytes = rest_.first(size);
  rest_ = rest_.subspan(size);
  return true;
}

std::optional<std::size_t> Reader::array() {
  std::uint8_t byte = 0;
  std::uint64_t count = 0;
  if (!next(byte)) return std::nullopt;
  if ((byte & 0xF0U) == 0x90U) {
    count = byte & 0x0FU;
  } else if (byte == 0xDC || byte == 0xDD) {
    if (!next(byte == 0xDC ? 2 : 4, count)) return std::nullopt;
  } else {
    return std::nullopt;
  }
  if (count > rest_.size()) return std::nullopt;
  return count;
}

bool Reader::integer(std::uint64_t& bits, bool& negative) {
  std::uint8_t byte = 0;
  if (!next(byte)) return false;
  negative = false;
  if (byte < 0x80) {
    bits = byte;
    return true;
  }
  if (byte >= 0xE0) {
    bits = static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int8_t>(byte)));
    negative = true;
    return true;
  }
  if (byte >= 0xCC && byte <= 0xCF) return next(std::size_t{1} << (byte - 0xCCU), bits);
  if (byte < 0xD0 || byte > 0xD3) return false;
  if (!next(std::size_t{1} << (byte - 0xD0U), bits)) return false;
  // Widens the sign.
  const std::uint64_t sign = std::uint64_t{1} << ((8U << (byte - 0xD0U)) - 1U);
  negative = (bits & sign) != 0;
  if (negative) bits |= ~(sign - 1);
  return true;
}

bool Reader::text(std::string_view& view) {
  std::uint8_t byte = 0;
  std::uint64_t size = 0;
  ByteView bytes;
  if (!next(byte)) return false;
  if ((byte & 0xE0U) == 0xA0U) {
    size = byte & 0x1FU;
  } else if (byte < 0xD9 || byte > 0xDB || !next(std::size_t{1} << (byte - 0xD9U), size)) {
    return false;
  }
  if (!next(size, bytes)) return false;
  view = as_text(bytes);
  return true;
}

bool Reader::binary(ByteView& view) {
  std::uint8_t byte = 0;
  std::uint64_t size = 0;
  return next(byte) && byte >= 0xC4 && byte <= 0xC6 &&
         next(std::size_t{1} << (byte - 0xC4U), size) && next(size, view);
}

bool Reader::text16(std::u16string& units) {
  std::uint8_t byte = 0;
  std::uint64_t size = 0;
  if (!next(byte)) return false;
  if (byte >= 0xD4 && byte <= 0xD8) {
    size = std::uint64_t{1} << (byte - 0xD4U);
  } else if (byte < 0xC7 || byte > 0xC9 || !next(std::size_t{1} << (byte - 0xC7U), size)) {
    return false;
  }
  std::uint8_t type = 0;
  ByteView bytes;
  if (!next(type) || type != kExtText16 || size % 2 != 0 || !next(size, bytes)) return false;
  units.resize(size / 2);
  for (std::size_t i = 0; i < units.size(); ++i) {
    units[i] = static_cast<char16_t>(bytes[2 * i] | bytes[2 * i + 1] << 8U);
  }
  return true;
}

// Without recursion: the depth of what others send is theirs to choose.
bool Reader::skip() {
  for (std::uint64_t pending = 1; pending > 0; --pending) {
    std::uint8_t byte = 0;
    std::uint64_t count = 0;
    std::uint64_t size = 0;
    ByteView skipped;
    if (!next(byte) || !extent(byte, count, size) || !next(size, skipped)) return false;
    pending += count;
    if (pending > rest_.size() + 1) return false;  // every element has a byte
  }
  return true;
}

bool Reader::extent(std::uint8_t byte, std::uint64_t& count, std::uint64_t& size) {
  if (byte >= 0xC0 && byte < 0xE0) {
    const Form& form = kForms.at(byte - 0xC0U);
    std::uint64_t given = 0;
    if (!form.legal || !next(form.number, given)) return false;
    count = form.elements * given;
    size = form.elements == 0 ? form.fixed + given : 0;
  } else if (byte >= 0x80 && byte < 0x90) {
    count = 2 * std::uint64_t{byte & 0x0FU};
  } else if (byte >= 0x90 && byte < 0xA0) {
    count = byte & 0x0FU;
  } else if (byte >= 0xA0 && byte < 0xC0) {
    size = byte & 0x1FU;
  }
  return true;
}

bool Reader::get(std::int64_t& value) {
  std::uint64_t bits = 0;
  bool negative = false;
  if (!integer(bits, negative) || (!negative && bits > INT64_MAX)) return false;
  value = static_cast<std::int64_t>(bits);
  return true;
}

bool Reader::get(std::string& value) {
  std::string_view view;
  if (!text(view)) return false;
  value = view;
  return true;
}

bool Reader::get(Bytes& value) {
  ByteView view;
  if (!binary(view)) return false;
  value.assign(view.begin(), view.end());
  return true;
}

bool Reader::get(Id128& value) {
  ByteView view;
  if (!binary(view) || view.size() != value.bytes.size()) return false;
  std::copy(view.begin(), view.end(), value.bytes.begin());
  return true;
}

bool Reader::get(Value& value) {
  if (rest_.empty()) return false;
  const std::uint8_t byte = rest_[0];
  if (byte == 0xC0) {
    value = Null{};
    rest_ = rest_.subspan(1);
    return true;
  }
  if (byte == 0xCB) {
    std::uint64_t bits = 0;
    rest_ = rest_.subspan(1);
    if (!next(8, bits)) return false;
    value = std::bit_cast<double>(bits);
    return true;
  }
  if ((byte >= 0xA0 && byte < 0xC0) || (byte >= 0xD9 && byte <= 0xDB)) {
    return get(value.emplace<Text>().utf8);
  }
  if (byte >= 0xC4 && byte <= 0xC6) return get(value.emplace<Bytes>());
  if ((byte >= 0xC7 && byte <= 0xC9) || (byte >= 0xD4 && byte <= 0xD8)) {
    return text16(value.emplace<Text16>().units);
  }
  return get(value.emplace<std::int64_t>());
}

}  // namespace csa::codec
