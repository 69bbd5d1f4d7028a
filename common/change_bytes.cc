#include "common/change_bytes.h"

#include <bit>
#include <cstring>

namespace csa {
namespace {

enum Tag : std::uint8_t {
  kTagAbsent = 0,
  kTagNull = 1,
  kTagInteger = 2,
  kTagReal = 3,
  kTagText = 4,
  kTagBlob = 5,
  kTagText16 = 6,
};

void append_all(ByteView bytes, Bytes& out) { out.insert(out.end(), bytes.begin(), bytes.end()); }

}  // namespace

void append_varint(std::uint64_t value, Bytes& out) {
  while (value >= 0x80U) {
    out.push_back(static_cast<std::uint8_t>(value | 0x80U));
    value >>= 7U;
  }
  out.push_back(static_cast<std::uint8_t>(value));
}

void append_absent(Bytes& out) { out.push_back(kTagAbsent); }

void append_null(Bytes& out) { out.push_back(kTagNull); }

void append_integer(std::int64_t value, Bytes& out) {
  out.push_back(kTagInteger);
  // Zigzag: small negative numbers stay short.
  const auto bits = static_cast<std::uint64_t>(value);
  append_varint((bits << 1U) ^ (value < 0 ? ~std::uint64_t{0} : 0), out);
}

void append_real(double value, Bytes& out) {
  out.push_back(kTagReal);
  auto bits = std::bit_cast<std::uint64_t>(value);
  for (int i = 0; i < 8; ++i) {
    out.push_back(static_cast<std::uint8_t>(bits));
    bits >>= 8U;
  }
}

void append_string(std::string_view text, Bytes& out) {
  append_varint(text.size(), out);
  append_all(as_bytes(text), out);
}

void append_text(std::string_view utf8, Bytes& out) {
  out.push_back(kTagText);
  append_string(utf8, out);
}

void append_blob(ByteView blob, Bytes& out) {
  out.push_back(kTagBlob);
  append_varint(blob.size(), out);
  append_all(blob, out);
}

void append_text16(std::u16string_view units, Bytes& out) {
  out.push_back(kTagText16);
  append_varint(units.size(), out);
  for (const char16_t unit : units) {
    out.push_back(static_cast<std::uint8_t>(unit & 0xFFU));
    out.push_back(static_cast<std::uint8_t>(unit >> 8U));
  }
}

void append_value(const Value& value, Bytes& out) {
  struct Appender {
    Bytes& out;
    void operator()(const Null&) const { append_null(out); }
    void operator()(std::int64_t v) const { append_integer(v, out); }
    void operator()(double v) const { append_real(v, out); }
    void operator()(const Text& v) const { append_text(v.utf8, out); }
    void operator()(const Bytes& v) const { append_blob(v, out); }
    void operator()(const Text16& v) const { append_text16(v.units, out); }
  };
  std::visit(Appender{out}, value);
}

void append_record(ByteView body, Bytes& out) {
  append_varint(body.size(), out);
  append_all(body, out);
}

std::vector<ColumnRole> column_roles(const ChangeTable& table) {
  std::vector<ColumnRole> roles(table.column_count, ColumnRole::kPlain);
  for (const std::uint32_t position : table.declared_key) {
    roles[position] = ColumnRole::kDeclared;
  }
  for (const std::uint32_t position : table.key_columns) roles[position] = ColumnRole::kKey;
  return roles;
}

std::size_t key_size(const ChangeTable& table) {
  return table.without_rowid ? table.key_columns.size() : 1;
}

void ByteReader::fail() {
  ok_ = false;
  rest_ = {};
}

std::uint8_t ByteReader::byte() {
  if (rest_.empty()) {
    fail();
    return 0;
  }
  const std::uint8_t first = rest_.front();
  rest_ = rest_.subspan(1);
  return first;
}

std::uint64_t ByteReader::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const std::uint8_t next = byte();
    if (!ok_) return 0;
    // The tenth byte has room for one bit.
    if (shift == 63 && next > 1) break;
    value |= std::uint64_t{next & 0x7FU} << shift;
    if ((next & 0x80U) == 0) return value;
  }
  fail();
  return 0;
}

ByteView ByteReader::bytes(std::uint64_t count) {
  if (count > rest_.size()) {
    fail();
    return {};
  }
  const ByteView front = rest_.first(count);
  rest_ = rest_.subspan(count);
  return front;
}

std::string ByteReader::string() { return std::string(as_text(bytes(varint()))); }

Value ByteReader::value() { return tagged(byte()); }

std::optional<Value> ByteReader::optional_value() {
  const std::uint8_t tag = byte();
  if (!ok_ || tag == kTagAbsent) return std::nullopt;
  return tagged(tag);
}

Value ByteReader::tagged(std::uint8_t tag) {
  if (!ok_) return Null{};
  switch (tag) {
    case kTagNull:
      return Null{};
    case kTagInteger: {
      const std::uint64_t zigzag = varint();
      return static_cast<std::int64_t>((zigzag >> 1U) ^ (~(zigzag & 1U) + 1U));
    }
    case kTagReal: {
      std::uint64_t bits = 0;
      const ByteView raw = bytes(8);
      for (std::size_t i = 0; i < raw.size(); ++i) bits |= std::uint64_t{raw[i]} << (8U * i);
      return std::bit_cast<double>(bits);
    }
    case kTagText:
      return Text{string()};
    case kTagBlob: {
      const ByteView blob = bytes(varint());
      return Bytes(blob.begin(), blob.end());
    }
    case kTagText16: {
      const std::uint64_t count = varint();
      if (count > rest_.size() / 2) break;
      const ByteView raw = bytes(count * 2);
      std::u16string units(count, u'\0');
      for (std::size_t i = 0; i < count; ++i) {
        units[i] = static_cast<char16_t>(raw[2 * i] | (unsigned{raw[2 * i + 1]} << 8U));
      }
      return Text16{std::move(units)};
    }
    default:
      break;
  }
  fail();
  return Null{};
}

}  // namespace csa
