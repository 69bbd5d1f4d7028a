// Values as JSON, the way every csa command prints them: integers and reals as numbers, NULL as
// null, text as a string, a blob as {"base64":"..."}. JSON has no infinity: it is printed as the
// string "Infinity" or "-Infinity". Text that is not valid UTF-8 gets replacement characters.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "common/value.h"

namespace csa {

[[nodiscard]] nlohmann::ordered_json value_json(const Value& value);
// One line, never throwing for what text holds.
[[nodiscard]] std::string to_line(const nlohmann::ordered_json& json);
// For CSV: NULL empty, a blob as x'..', reals so that they read back equal.
[[nodiscard]] std::string value_text(const Value& value);
// On one line of a terminal: as value_text, NULL as NULL, control characters escaped.
[[nodiscard]] std::string people_text(const Value& value);
[[nodiscard]] std::string base64(ByteView bytes);
// UTF-16 to UTF-8; unpaired surrogates become U+FFFD.
[[nodiscard]] std::string to_utf8(const std::u16string& units);

}  // namespace csa
