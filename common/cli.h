// The command line as all programs of csa share it: common flags, durations and sizes, a config
// file and CSA_* variables as defaults, exit codes, and what a terminal wants. Flags may stand
// before or after a subcommand: give subcommands with add_subcommand after add_common_flags.
#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/exit_code.h"
#include "common/log.h"
#include "common/result.h"
#include "common/types.h"

// CLI11 is large: only who builds a command line includes <CLI/CLI.hpp>.
namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace csa {

struct CommonFlags {
  std::string app = "csa";
  std::string group = "default";
  std::vector<std::string> brokers;  // HOST[:PORT], as typed
  std::uint16_t beacon_port = 5775;
  std::vector<std::string> beacon_interfaces;  // by name; empty: all
  LogLevel log_level = LogLevel::kInfo;
  bool json = false;
};

// Adds --app, --group, --broker, --beacon-port, --log-level, --json, --config and --version.
// `flags` must outlive the parsing; what it holds is the default.
void add_common_flags(CLI::App& app, CommonFlags& flags);

// "500ms", "10s", "5m", "2h"; a bare number is refused, as nobody can know its unit.
[[nodiscard]] std::optional<Duration> parse_duration(std::string_view text);
// The shortest text that parse_duration reads back, to the millisecond.
[[nodiscard]] std::string to_string(Duration duration);
// "1024", "64KiB", "64MiB", "1GiB", "2TiB"; KB, MB, GB are powers of ten.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);
// "256MiB" where that is exact, else bytes.
[[nodiscard]] std::string size_text(std::uint64_t bytes);

// Options of these kinds; the help shows the present value as the default.
CLI::Option* add_duration(CLI::App& app, const std::string& name, Duration& value,
                          const std::string& text);
CLI::Option* add_duration(CLI::App& app, const std::string& name, std::chrono::milliseconds& value,
                          const std::string& text);
CLI::Option* add_size(CLI::App& app, const std::string& name, std::uint64_t& value,
                      const std::string& text);

// Parses. nullopt: go on. Else the exit code: 0 after --help or --version, 2 for a wrong call,
// which is explained on stderr.
[[nodiscard]] std::optional<int> parse_cli(CLI::App& app, int argc, const char* const* argv);

// Prints "PROGRAM: what" on stderr and returns the exit code.
[[nodiscard]] int report_error(std::string_view program, const Error& error);

// The exit code at the end: `code`, but of what was well not 0 where the results in `out` could not
// be written, a full disk for instance; that is said on stderr.
[[nodiscard]] int finish_output(std::string_view program, std::ostream& out, int code);

[[nodiscard]] bool is_terminal(int file);
// Its columns, 80 where it does not say; 0: no terminal.
[[nodiscard]] std::size_t terminal_width(int file);
// A terminal that shows colours, and NO_COLOR is not set.
[[nodiscard]] bool colour_wanted(int file);

}  // namespace csa
