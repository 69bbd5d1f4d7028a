// csa-broker: the command line, and nothing else.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>

#include "broker/commands.h"
#include "broker/server_rivals.h"
#include "common/abort_words.h"
#include "common/sqlite.h"

int main(int argc, char** argv) {
  csa::say_on_abort(
      "csa-broker: it ends here, because it cannot tell what else is wrong; the lines above say "
      "what"
      " it met. Nothing that was acknowledged is affected: start csa-broker again.\n");
  // Nobody asks SQLite how much memory it has; counting it takes a lock at every allocation.
  sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  try {
    csa::BrokerFlags flags;
    const auto cli = csa::broker_cli(flags);
    if (const auto code = csa::parse_cli(*cli, argc, argv)) return *code;
    if (const csa::Status settled = csa::settle(flags); !settled) {
      return csa::report_error("csa-broker", settled.error());
    }
    const bool interactive = csa::is_terminal(STDIN_FILENO) && csa::is_terminal(STDERR_FILENO);
    const csa::Terminal terminal{std::cin, std::cout, std::cerr, interactive};
    csa::RivalSearch search;
    const auto serve = [&](const csa::ServeConfig& config, std::unique_ptr<csa::Database> held,
                           const csa::Log& log) {
      return csa::serve(config, search, std::move(held), log);
    };
    const auto look = [&](const csa::ServeConfig& config) { search.begin(config); };
    return csa::run(flags, terminal, {look, serve});
  } catch (const csa::SqliteError& error) {
    const csa::Errc code = csa::is_damage(error) ? csa::Errc::kDamaged : csa::Errc::kFailed;
    return csa::report_error("csa-broker", {code, std::string("the database: ") + error.what()});
  } catch (const std::exception& error) {
    return csa::report_error("csa-broker", {csa::Errc::kFailed, error.what()});
  }
}
