// Levelled lines for people, to an injected sink (stderr in programs, a buffer in tests).
// A Log is a value to pass by reference; its sink must be callable from the threads that use it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace csa {

enum class LogLevel : std::uint8_t { kError = 0, kWarn = 1, kInfo = 2, kDebug = 3 };

[[nodiscard]] std::string_view to_string(LogLevel level);
[[nodiscard]] std::optional<LogLevel> parse_log_level(std::string_view text);

class Log {
 public:
  using Sink = std::function<void(LogLevel, std::string_view line)>;

  Log() = default;  // drops everything
  Log(LogLevel level, Sink sink) : level_(level), sink_(std::move(sink)) {}

  [[nodiscard]] bool enabled(LogLevel level) const { return sink_ && level <= level_; }
  // One line, without a newline, in the form "who: what (values)".
  void write(LogLevel level, std::string_view line) const {
    if (enabled(level)) sink_(level, line);
  }
  void error(std::string_view line) const { write(LogLevel::kError, line); }
  void warn(std::string_view line) const { write(LogLevel::kWarn, line); }
  void info(std::string_view line) const { write(LogLevel::kInfo, line); }
  void debug(std::string_view line) const { write(LogLevel::kDebug, line); }

 private:
  LogLevel level_ = LogLevel::kInfo;
  Sink sink_;
};

// Lines to stderr, whole, from any thread: "csa-broker: warn: ...".
[[nodiscard]] Log stderr_log(std::string program, LogLevel level);

}  // namespace csa
