#include "common/cli.h"

#include <CLI/CLI.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "broker/config.h"
#include "common/limits.h"
#include "common/progress.h"
#include "tests/support/scratch_folder.h"

namespace csa::cli_test {
namespace {

using std::chrono::milliseconds;

struct Parsed {
  BrokerFlags flags;
  std::optional<int> code;
  std::string wrong;
};

// As main() does it.
Parsed parse(std::vector<const char*> words) {
  Parsed parsed;
  words.insert(words.begin(), "csa-broker");
  const auto cli = broker_cli(parsed.flags);
  parsed.code = parse_cli(*cli, static_cast<int>(words.size()), words.data());
  if (parsed.code) return parsed;
  if (const Status settled = settle(parsed.flags); !settled) {
    parsed.code = exit_code(settled.error().code);
    parsed.wrong = settled.error().what;
  }
  return parsed;
}

}  // namespace

TEST_CASE("cli: durations, with a unit and nothing else") {
  CHECK(parse_duration("500ms") == milliseconds(500));
  CHECK(parse_duration("10s") == milliseconds(10000));
  CHECK(parse_duration("5m") == milliseconds(300000));
  CHECK(parse_duration("2h") == milliseconds(7200000));
  CHECK(parse_duration("0s") == milliseconds(0));
  for (const char* const wrong :
       {"", "10", "s", "-1s", "1.5s", "10 s", "10sec", "10s ", "99999999999999999999s",
        "9223372036854775807h", "9223372036854775807ms"}) {
    CAPTURE(wrong);
    CHECK(!parse_duration(wrong).has_value());
  }
  for (const char* const text : {"0s", "500ms", "10s", "5m", "2h", "61s"}) {
    CHECK(to_string(*parse_duration(text)) == text);
  }
}

TEST_CASE("cli: sizes, binary and decimal") {
  CHECK(parse_size("1024") == 1024);
  CHECK(parse_size("64MiB") == 64 * limits::kMiB);
  CHECK(parse_size("1GiB") == 1024 * limits::kMiB);
  CHECK(parse_size("2KB") == 2000);
  CHECK(parse_size("7B") == 7);
  for (const char* const wrong : {"", "MiB", "-1", "1.5GiB", "64 MiB", "64mib", "64M",
                                  "9223372036854775807KiB", "99999999999999999999"}) {
    CAPTURE(wrong);
    CHECK(!parse_size(wrong).has_value());
  }
  for (const char* const text : {"0", "1023", "1KiB", "256MiB", "3GiB"}) {
    CHECK(size_text(*parse_size(text)) == text);
  }
}

TEST_CASE("cli: flags stand before or after the subcommand") {
  for (const auto& words :
       {std::vector<const char*>{"--db", "a.db", "--group", "shop", "restore", "--from", "b.db"},
        std::vector<const char*>{"restore", "--from", "b.db", "--db", "a.db", "--group", "shop"},
        std::vector<const char*>{"--from", "b.db", "restore", "--group=shop", "--db=a.db"}}) {
    const Parsed parsed = parse(words);
    REQUIRE(!parsed.code.has_value());
    CHECK(parsed.flags.verb == BrokerVerb::kRestore);
    CHECK(parsed.flags.name().path == "a.db");
    CHECK(parsed.flags.name().group == "shop");
    CHECK(parsed.flags.from == "b.db");
    CHECK_FALSE(parsed.flags.as_is);
  }
  CHECK(parse({"restore", "--db", "a.db", "--from", "b.db", "--as-is"}).flags.as_is);
  CHECK(parse({"adopt", "--db", "a.db", "--as-is"}).wrong == "--as-is belongs to restore");
}

TEST_CASE("cli: serve is the default, with the documented defaults") {
  const Parsed parsed = parse({"--db", "a.db"});
  REQUIRE(!parsed.code.has_value());
  CHECK(parsed.flags.verb == BrokerVerb::kServe);
  const ServeConfig& serve = parsed.flags.serve;
  CHECK(serve.app == "csa");
  CHECK(serve.group == "default");
  CHECK(serve.port == 5775);
  CHECK(serve.pub_port == 5776);
  CHECK(serve.beacon_port == 5775);
  CHECK(serve.beacon);
  CHECK(serve.heartbeat == milliseconds(10000));
  CHECK(serve.node_timeout == milliseconds(30000));
  CHECK(serve.statement_timeout == milliseconds(30000));
  CHECK(serve.log_keep == 256 * limits::kMiB);
  CHECK(serve.max_changes == 1024 * limits::kMiB);
}

TEST_CASE("cli: serve's flags arrive") {
  const Parsed parsed = parse(
      {"serve",          "--db", "a.db",       "--port", "7000",        "--heartbeat", "500ms",
       "--node-timeout", "2s",   "--log-keep", "1MiB",   "--no-beacon", "--listen",    "127.0.0.1",
       "--app-version",  "3",    "--app",      "till",   "--log-level", "debug",       "--json"});
  REQUIRE(!parsed.code.has_value());
  const ServeConfig& serve = parsed.flags.serve;
  CHECK(serve.pub_port == 7001);
  CHECK(serve.heartbeat == milliseconds(500));
  CHECK(serve.node_timeout == milliseconds(2000));
  CHECK(serve.log_keep == limits::kMiB);
  CHECK(!serve.beacon);
  CHECK(serve.listen == "127.0.0.1");
  CHECK(serve.app_version == "3");
  CHECK(serve.app == "till");
  CHECK(parsed.flags.common.log_level == LogLevel::kDebug);
  CHECK(parsed.flags.common.json);
}

TEST_CASE("cli: port 0 means free ports for both") {
  const Parsed parsed = parse({"--db", "a.db", "--port", "0"});
  REQUIRE(!parsed.code.has_value());
  CHECK(parsed.flags.serve.port == 0);
  CHECK(parsed.flags.serve.pub_port == 0);
}

TEST_CASE("cli: wrong calls end with 2") {
  using Words = std::vector<const char*>;
  for (const Words& words :
       {Words{"serve"}, Words{"--db", "a", "--bad"}, Words{"--db", "a", "--heartbeat", "10"},
        Words{"--db", "a", "--log-keep", "lots"}, Words{"--db", "a", "--port", "70000"},
        Words{"--db", "a", "--port", "65535"}, Words{"--db", "a", "--port", "-1"},
        Words{"create", "--db", "a"}, Words{"restore", "--db", "a"},
        Words{"adopt", "--db", "a", "--from", "b"}, Words{"check", "--db", "a", "--schema", "b"},
        Words{"--db", "a", "--heartbeat", "10s", "--node-timeout", "15s"},
        Words{"--db", "a", "--log-level", "loud"},
        Words{"--db", "a", "--port", "9", "--pub-port", "9"},
        Words{"create", "adopt", "--db", "a", "--schema", "b"}}) {
    CAPTURE(words.back());
    CHECK(parse(words).code == 2);
  }
  CHECK(parse({"--help"}).code == 0);
  CHECK(parse({"create", "--help"}).code == 0);
  CHECK(parse({"--version"}).code == 0);
}

TEST_CASE("cli: a config file and the environment give defaults, a flag wins") {
  ScratchFolder folder;
  std::ofstream(folder.file("c.toml")) << "db = \"file.db\"\ngroup = \"fromfile\"\n"
                                       << "heartbeat = \"3s\"\n";
  const std::string path = folder.file("c.toml");
  const Parsed from_file = parse({"--config", path.c_str()});
  REQUIRE(!from_file.code.has_value());
  CHECK(from_file.flags.serve.database == "file.db");
  CHECK(from_file.flags.serve.group == "fromfile");
  CHECK(from_file.flags.serve.heartbeat == milliseconds(3000));
  const Parsed flag_wins = parse({"--config", path.c_str(), "--group", "typed"});
  CHECK(flag_wins.flags.serve.group == "typed");
  ::setenv("CSA_GROUP", "fromenv", 1);
  const Parsed from_env = parse({"--db", "a.db"});
  const Parsed env_and_flag = parse({"--db", "a.db", "--group", "typed"});
  ::unsetenv("CSA_GROUP");
  CHECK(from_env.flags.serve.group == "fromenv");
  CHECK(env_and_flag.flags.serve.group == "typed");
}

TEST_CASE("cli: every kind of failure has its exit code") {
  CHECK(exit_code(Errc::kFailed) == 1);
  CHECK(exit_code(Errc::kUsage) == 2);
  CHECK(exit_code(Errc::kNothing) == 3);
  CHECK(exit_code(Errc::kRefused) == 4);
  CHECK(exit_code(Errc::kRejected) == 5);
  CHECK(exit_code(Errc::kUnknownOutcome) == 6);
  CHECK(exit_code(Errc::kDamaged) == 7);
}

TEST_CASE("cli: the progress line fills up and never overflows") {
  CHECK(progress_line("copy", 0, 0) == "copy  0.0 MiB");
  CHECK(progress_line("copy", 524288, 1048576) ==
        "copy  [###############               ]  50 %  0.5 of 1.0 MiB");
  CHECK(progress_line("copy", 3, 2).find("100 %") != std::string::npos);
}

TEST_CASE("cli: the config file may be named by CSA_CONFIG, one on the command line comes first") {
  const ScratchFolder folder;
  std::ofstream(folder.file("one.toml")) << "group = \"one\"\n";
  std::ofstream(folder.file("two.toml")) << "group = \"two\"\n";
  const std::string two = folder.file("two.toml");
  const char* const before = std::getenv("CSA_CONFIG");
  const std::optional<std::string> kept =
      before == nullptr ? std::nullopt : std::optional<std::string>(before);
  ::setenv("CSA_CONFIG", folder.file("one.toml").c_str(), 1);
  CHECK(parse({"--db", "a"}).flags.common.group == "one");
  CHECK(parse({"--db", "a", "--group", "three"}).flags.common.group == "three");
  CHECK(parse({"--db", "a", "--config", two.c_str()}).flags.common.group == "two");
  ::setenv("CSA_CONFIG", folder.file("none.toml").c_str(), 1);
  CHECK(parse({"--db", "a"}).code == 2);
  ::unsetenv("CSA_CONFIG");
  if (kept) ::setenv("CSA_CONFIG", kept->c_str(), 1);
}

TEST_CASE("cli: output that could not be written makes a success a failure") {
  std::ostringstream good;
  CHECK(finish_output("csa-test", good, 0) == 0);
  CHECK(finish_output("csa-test", good, 5) == 5);
  std::ostringstream bad;
  bad.setstate(std::ios::badbit);
  CHECK(finish_output("csa-test", bad, 0) == 1);
  CHECK(finish_output("csa-test", bad, 5) == 5);
}

}  // namespace csa::cli_test
