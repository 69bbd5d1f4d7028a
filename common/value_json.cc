#include "common/value_json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "common/terminal_text.h"

namespace csa {
namespace {

void append_utf8(std::string& out, std::uint32_t code) {
  const auto byte = [&out](std::uint32_t b) { out += static_cast<char>(b); };
  if (code < 0x80) {
    byte(code);
  } else if (code < 0x800) {
    byte(0xC0U | (code >> 6U));
    byte(0x80U | (code & 0x3FU));
  } else if (code < 0x10000) {
    byte(0xE0U | (code >> 12U));
    byte(0x80U | ((code >> 6U) & 0x3FU));
    byte(0x80U | (code & 0x3FU));
  } else {
    byte(0xF0U | (code >> 18U));
    byte(0x80U | ((code >> 12U) & 0x3FU));
    byte(0x80U | ((code >> 6U) & 0x3FU));
    byte(0x80U | (code & 0x3FU));
  }
}

std::string real_text(double value) {
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  std::array<char, 32> text{};
  const auto result = std::to_chars(text.data(), text.data() + text.size(), value);
  std::string out(text.data(), result.ptr);
  // A real stays recognizable as one.
  if (out.find_first_of(".en") == std::string::npos) out += ".0";
  return out;
}

}  // namespace

std::string to_utf8(const std::u16string& units) {
  constexpr std::uint32_t kReplacement = 0xFFFD;
  std::string out;
  for (std::size_t i = 0; i < units.size(); ++i) {
    const std::uint32_t unit = units[i];
    if (unit < 0xD800 || unit > 0xDFFF) {
      append_utf8(out, unit);
    } else if (unit < 0xDC00 && i + 1 < units.size() && units[i + 1] >= 0xDC00 &&
               units[i + 1] <= 0xDFFF) {
      append_utf8(out, 0x10000U + ((unit - 0xD800U) << 10U) + (units[++i] - 0xDC00U));
    } else {
      append_utf8(out, kReplacement);
    }
  }
  return out;
}

std::string base64(ByteView bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = std::uint32_t{bytes[i]} << 16U;
    if (count > 1) group |= std::uint32_t{bytes[i + 1]} << 8U;
    if (count > 2) group |= bytes[i + 2];
    for (std::size_t k = 0; k < 4; ++k) {
      out += k <= count ? kAlphabet[(group >> (18U - 6U * k)) & 0x3FU] : '=';
    }
  }
  return out;
}

nlohmann::ordered_json value_json(const Value& value) {
  struct Visitor {
    nlohmann::ordered_json operator()(const Null&) const { return nullptr; }
    nlohmann::ordered_json operator()(std::int64_t v) const { return v; }
    nlohmann::ordered_json operator()(double v) const {
      if (std::isinf(v)) return real_text(v);
      return v;
    }
    nlohmann::ordered_json operator()(const Text& v) const { return v.utf8; }
    nlohmann::ordered_json operator()(const Bytes& v) const { return {{"base64", base64(v)}}; }
    nlohmann::ordered_json operator()(const Text16& v) const { return to_utf8(v.units); }
  };
  return std::visit(Visitor{}, value);
}

std::string to_line(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string value_text(const Value& value) {
  struct Visitor {
    std::string operator()(const Null&) const { return {}; }
    std::string operator()(std::int64_t v) const { return std::to_string(v); }
    std::string operator()(double v) const { return real_text(v); }
    std::string operator()(const Text& v) const { return v.utf8; }
    std::string operator()(const Bytes& v) const { return "x'" + to_hex(v) + "'"; }
    std::string operator()(const Text16& v) const { return to_utf8(v.units); }
  };
  return std::visit(Visitor{}, value);
}

std::string people_text(const Value& value) {
  return std::holds_alternative<Null>(value) ? "NULL" : printable(value_text(value));
}

}  // namespace csa
