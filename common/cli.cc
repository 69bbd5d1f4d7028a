#include "common/cli.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <ostream>
#include <utility>

namespace csa {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array<Unit, 4> kDurations = {{{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}}};
constexpr std::array<Unit, 10> kSizes = {{{"", 1},
                                          {"B", 1},
                                          {"KiB", 1ULL << 10U},
                                          {"MiB", 1ULL << 20U},
                                          {"GiB", 1ULL << 30U},
                                          {"TiB", 1ULL << 40U},
                                          {"KB", 1000},
                                          {"MB", 1000000},
                                          {"GB", 1000000000},
                                          {"TB", 1000000000000}}};

template <std::size_t N>
std::optional<std::uint64_t> parse_with_unit(std::string_view text,
                                             const std::array<Unit, N>& units) {
  std::uint64_t number = 0;
  const auto [stop, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc{}) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<std::size_t>(stop - text.data()));
  for (const Unit& known : units) {
    if (known.name != unit) continue;
    constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (number > kMax / known.factor) return std::nullopt;
    return number * known.factor;
  }
  return std::nullopt;
}

// CLI11 parses on, and shows what this says where it is not empty.
std::string parse_level(const std::string& text, LogLevel& level) {
  const std::optional<LogLevel> parsed = parse_log_level(text);
  if (!parsed) return "--log-level: error, warn, info or debug, not \"" + text + "\"";
  level = *parsed;
  return {};
}

CLI::Option* add_text_option(CLI::App& app, const std::string& name,
                             std::function<std::string(const std::string&)> take,
                             const std::string& text) {
  CLI::Option* const option = app.add_option_function<std::string>(
      name,
      [take = std::move(take)](const std::string& value) {
        if (const std::string wrong = take(value); !wrong.empty()) {
          throw CLI::ValidationError(wrong);
        }
      },
      text);
  return option;
}

template <class T>
CLI::Option* add_duration_as(CLI::App& app, const std::string& name, T& value,
                             const std::string& text) {
  const auto take = [&value, name](const std::string& typed) -> std::string {
    const std::optional<Duration> parsed = parse_duration(typed);
    if (!parsed) return name + ": a duration such as 500ms, 10s or 5m, not \"" + typed + "\"";
    value = std::chrono::duration_cast<T>(*parsed);
    return {};
  };
  return add_text_option(app, name, take, text)
      ->default_str(to_string(Duration(value)))
      ->type_name("DURATION");
}

}  // namespace

void add_common_flags(CLI::App& app, CommonFlags& flags) {
  app.fallthrough();
  app.set_version_flag("--version", std::string(CSA_VERSION));
  // CLI11 reads the file before it looks at variables, so that this one comes as the default; it
  // is required as a file that was named on the command line is.
  const char* const config = std::getenv("CSA_CONFIG");
  const std::string file = config == nullptr ? "" : config;
  app.set_config("--config", file, "read defaults of these flags from a TOML file", !file.empty())
      ->envname("CSA_CONFIG");
  app.add_option("--app", flags.app, "the application whose brokers and nodes find each other")
      ->envname("CSA_APP")
      ->capture_default_str();
  app.add_option("--group", flags.group, "the group inside the application")
      ->envname("CSA_GROUP")
      ->capture_default_str();
  app.add_option("--broker", flags.brokers, "HOST[:PORT] of a broker instead of discovery")
      ->allow_extra_args(false)  // one a flag, so that a word after it is not taken for another
      ->envname("CSA_BROKER")
      ->type_name("HOST[:PORT]");
  app.add_option("--beacon-port", flags.beacon_port, "UDP port of discovery")
      ->check(CLI::Range(1, 65535))
      ->envname("CSA_BEACON_PORT")
      ->capture_default_str();
  app.add_option("--beacon-if", flags.beacon_interfaces,
                 "send beacons on these interfaces alone (repeatable, or NAME,NAME)")
      ->allow_extra_args(false)
      ->delimiter(',')
      ->envname("CSA_BEACON_IF")
      ->type_name("NAME");
  add_text_option(
      app, "--log-level",
      [&flags](const std::string& text) { return parse_level(text, flags.log_level); },
      "what is logged on stderr: error, warn, info or debug")
      ->envname("CSA_LOG_LEVEL")
      ->default_str(std::string(to_string(flags.log_level)))
      ->type_name("LEVEL");
  app.add_flag("--json", flags.json, "results as JSON");
}

std::optional<Duration> parse_duration(std::string_view text) {
  const std::optional<std::uint64_t> ms = parse_with_unit(text, kDurations);
  constexpr auto kMax = std::chrono::duration_cast<std::chrono::milliseconds>(Duration::max());
  if (!ms || *ms > static_cast<std::uint64_t>(kMax.count())) return std::nullopt;
  return std::chrono::milliseconds(static_cast<std::int64_t>(*ms));
}

std::string to_string(Duration duration) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  if (ms == 0) return "0s";
  if (ms % 3600000 == 0) return std::to_string(ms / 3600000) + "h";
  if (ms % 60000 == 0) return std::to_string(ms / 60000) + "m";
  if (ms % 1000 == 0) return std::to_string(ms / 1000) + "s";
  return std::to_string(ms) + "ms";
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  return parse_with_unit(text, kSizes);
}

std::string size_text(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kNames = {"", "KiB", "MiB", "GiB", "TiB"};
  std::size_t power = 0;
  while (bytes != 0 && bytes % 1024 == 0 && power + 1 < kNames.size()) {
    bytes /= 1024;
    ++power;
  }
  return std::to_string(bytes) + std::string(kNames[power]);
}

CLI::Option* add_duration(CLI::App& app, const std::string& name, Duration& value,
                          const std::string& text) {
  return add_duration_as(app, name, value, text);
}

CLI::Option* add_duration(CLI::App& app, const std::string& name, std::chrono::milliseconds& value,
                          const std::string& text) {
  return add_duration_as(app, name, value, text);
}

CLI::Option* add_size(CLI::App& app, const std::string& name, std::uint64_t& value,
                      const std::string& text) {
  const auto take = [&value, name](const std::string& typed) -> std::string {
    const std::optional<std::uint64_t> parsed = parse_size(typed);
    if (!parsed) return name + ": a size such as 512KiB, 64MiB or 1GiB, not \"" + typed + "\"";
    value = *parsed;
    return {};
  };
  return add_text_option(app, name, take, text)->default_str(size_text(value))->type_name("SIZE");
}

std::optional<int> parse_cli(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    // exit() prints help and version on stdout, and what is wrong on stderr.
    return app.exit(error) == 0 ? 0 : 2;
  }
}

int report_error(std::string_view program, const Error& error) {
  std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(program.size()), program.data(),
               error.what.c_str());
  return exit_code(error.code);
}

int finish_output(std::string_view program, std::ostream& out, int code) {
  if (out.flush()) return code;
  const int wrong = report_error(program, {Errc::kFailed, "the output could not all be written"});
  return code == 0 ? wrong : code;
}

bool is_terminal(int file) { return ::isatty(file) == 1; }

std::size_t terminal_width(int file) {
  constexpr std::size_t kUsual = 80;
  if (!is_terminal(file)) return 0;
  winsize size{};
  return ::ioctl(file, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kUsual;
}

bool colour_wanted(int file) {
  // no-color.org: any value counts but the empty one.
  const char* const off = std::getenv("NO_COLOR");
  const char* const terminal = std::getenv("TERM");
  if (off != nullptr && *off != '\0') return false;
  return is_terminal(file) && (terminal == nullptr || std::string_view(terminal) != "dumb");
}

}  // namespace csa
