#include "common/log.h"

#include <unistd.h>

#include <cstdio>

#include "common/check.h"
#include "common/terminal_text.h"

namespace csa {

std::string_view to_string(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return "error";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kDebug:
      return "debug";
  }
  return "?";
}

std::optional<LogLevel> parse_log_level(std::string_view text) {
  for (const LogLevel level :
       {LogLevel::kError, LogLevel::kWarn, LogLevel::kInfo, LogLevel::kDebug}) {
    if (to_string(level) == text) return level;
  }
  return std::nullopt;
}

Log stderr_log(std::string program, LogLevel level) {
  return Log(level, [program = std::move(program)](LogLevel at, std::string_view line) {
    std::string text = program;
    text += ": ";
    if (at != LogLevel::kInfo) text.append(to_string(at)).append(": ");
    text.append(printable(line)).append("\n");
    // One write a line, so that lines of several threads do not mix.
    if (::write(STDERR_FILENO, text.data(), text.size()) < 0) return;
  });
}

[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "csa: internal error: %s is false (%s:%d). Please report this.\n", condition,
               file, line);
  std::abort();
}

}  // namespace csa
