// csa-node: a node for people and scripts.
#include <sqlite3.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "common/abort_words.h"
#include "common/cli.h"
#include "common/file_link.h"
#include "node/commands.h"
#include "node/owner_lock.h"
#include "node/replica_file.h"

namespace {

struct Flags {
  csa::CommonFlags common;
  csa::NodeOptions node;
  std::vector<std::string> parameters;       // in the order of the command line: value, or
  std::vector<std::string> text_parameters;  // --param-text
  std::string on_disconnect = "standalone";
  std::string format = "table";
  int (*work)(const csa::NodeOptions&) = nullptr;
};

CLI::App* add(CLI::App& app, Flags& flags, const char* name, const char* text,
              int (*work)(const csa::NodeOptions&)) {
  CLI::App* const command = app.add_subcommand(name, text);
  command->callback([&flags, work] { flags.work = work; });
  command->fallthrough();
  return command;
}

void add_sql(CLI::App& command, Flags& flags) {
  command.add_option("SQL", flags.node.sql, "statements, or - for standard input");
  command.add_option("--file", flags.node.file, "read the SQL from this file");
  // Both kinds share one list, so that their order stays that of the command line.
  command
      .add_option_function<std::vector<std::string>>(
          "--param", [&flags](const std::vector<std::string>&) {},
          "the next parameter: a number, null, x'..', else text (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  command
      .add_option_function<std::vector<std::string>>(
          "--param-text", [&flags](const std::vector<std::string>&) {},
          "the next parameter, always text (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  command.add_option("--format", flags.format, "table, json or csv")
      ->check(CLI::IsMember({"table", "json", "csv"}));
}

// CLI11 keeps the order of the command line in parse_order().
void take_parameters(const CLI::App& command, csa::Row& out) {
  std::map<const CLI::Option*, std::size_t> used;
  for (const CLI::Option* const option : command.parse_order()) {
    const bool value = option->check_name("--param");
    const bool text = option->check_name("--param-text");
    if (!value && !text) continue;
    const std::string& word = option->results().at(used[option]++);
    out.push_back(text ? csa::Value{csa::Text{word}} : csa::parse_parameter(word));
  }
}

void add_commands(CLI::App& app, Flags& flags) {
  CLI::App* const run =
      add(app, flags, "run",
          "keep the replica live until told to stop\nExample: csa-node run --replica stock.db",
          csa::run_command);
  run->add_option("--on-disconnect", flags.on_disconnect, "standalone or shutdown")
      ->check(CLI::IsMember({"standalone", "shutdown"}));
  CLI::App* const exec =
      add(app, flags, "exec",
          "run SQL on the shared database as one transaction\nExample: csa-node exec --json "
          "\"UPDATE part SET qty = ? WHERE id = ?\" --param 5 --param 7",
          csa::exec_command);
  add_sql(*exec, flags);
  exec->add_option("--expect", flags.node.expect, "reject unless so many rows change");
  csa::add_duration(*exec, "--timeout", flags.node.timeout, "how long to wait for the outcome");
  CLI::App* const query =
      add(app, flags, "query",
          "read the replica\nExample: csa-node query --format csv \"SELECT * FROM part\"",
          csa::query_command);
  add_sql(*query, flags);
  CLI::App* const shell =
      add(app, flags, "shell", "type SQL\nExample: csa-node shell", csa::shell_command);
  shell->add_option("--format", flags.format, "table, json or csv")
      ->check(CLI::IsMember({"table", "json", "csv"}));
  csa::add_duration(*shell, "--timeout", flags.node.timeout, "how long to wait for an outcome");
  add(app, flags, "status", "how this node stands\nExample: csa-node status --json",
      csa::status_command);
  CLI::App* const outcome = add(app, flags, "outcome",
                                "what became of one write\nExample: csa-node outcome --json "
                                "3f2a90c1d4e5b6a7988776655443322f:12",
                                csa::outcome_command);
  outcome->add_option("TX", flags.node.tx, "as exec --json printed it")->required();
  csa::add_duration(*outcome, "--timeout", flags.node.timeout, "how long to wait for the answer");
  CLI::App* const journal =
      add(app, flags, "journal",
          "offline changes not yet handed over\nExample: csa-node journal --outcomes",
          csa::journal_command);
  journal->add_flag("--outcomes", flags.node.outcomes, "what became of those that were");
  CLI::App* const identity =
      add(app, flags, "identity",
          "which node this replica is\nExample: csa-node identity --new --replica copied.db",
          csa::identity_command);
  identity->add_flag("--new", flags.node.new_identity, "a new one, for a copied replica");
  add(app, flags, "discover",
      "what the network says, and why a broker cannot be used\nExample: csa-node discover --json",
      csa::discover_command);
}

}  // namespace

int main(int argc, char** argv) {
  csa::say_on_abort(
      "csa-node: it ends here, because it cannot tell what else is wrong; the lines above say what"
      " it met. What was answered is kept: start it again.\n");
  // Nobody asks SQLite how much memory it has; counting it takes a lock at every allocation.
  sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  Flags flags;
  flags.common.log_level = csa::LogLevel::kWarn;
  CLI::App app{
      "A node of a shared SQLite database.\n"
      "Example: csa-node exec \"UPDATE part SET qty = ? WHERE id = ?\" --param 5 --param 7"};
  csa::add_common_flags(app, flags.common);
  csa::ClientOptions& client = flags.node.client;
  app.add_option("--replica", client.replica,
                 "the replica's file (default: $XDG_DATA_HOME/csa/GROUP/replica.db)")
      ->envname("CSA_REPLICA");
  app.add_option("--app-version", client.app_version, "refused by a broker of another version")
      ->envname("CSA_APP_VERSION");
  csa::add_duration(app, "--discovery-timeout", client.discovery_timeout,
                    "how long to look for a broker before going standalone");
  app.require_subcommand(1);
  add_commands(app, flags);
  CLI::App* const run = app.get_subcommand("run");
  csa::add_duration(*run, "--verify-every", client.verify_every,
                    "how often to compare the replica with the master; 0: never");
  csa::add_size(*run, "--verify-rate", client.verify_bytes_per_s,
                "how much of it to read in a second for that; 0: any");
  if (const auto code = csa::parse_cli(app, argc, argv)) return *code;

  for (const CLI::App* const command : app.get_subcommands()) {
    take_parameters(*command, flags.node.parameters);
  }
  client.app = flags.common.app;
  client.group = flags.common.group;
  if (client.replica.empty()) client.replica = csa::default_replica_path(client.group);
  csa::Result<std::string> file = csa::follow_links(client.replica);
  if (!file) return csa::report_error("csa-node", file.error());
  client.replica = std::move(file).value();
  client.brokers = flags.common.brokers;
  client.beacon_port = flags.common.beacon_port;
  client.beacon_interfaces = flags.common.beacon_interfaces;
  client.stop_on_disconnect = flags.on_disconnect == "shutdown";
  client.program = "csa-node";
  // The other commands do one thing and leave: several at once take turns.
  client.admit_others = flags.work == csa::run_command || flags.work == csa::shell_command;
  flags.node.json = flags.common.json;
  flags.node.log_level = flags.common.log_level;
  flags.node.format = csa::parse_row_format(flags.format).value_or(csa::RowFormat::kTable);
  try {
    const int code = flags.work(flags.node);
    // What run prints is for whoever still reads it; the others print their result.
    return flags.work == csa::run_command ? code : csa::finish_output("csa-node", std::cout, code);
  } catch (const csa::SqliteError& error) {
    return csa::report_error("csa-node", csa::file_error(error, client.replica));
  } catch (const std::exception& error) {
    return csa::report_error("csa-node", {csa::Errc::kFailed, error.what()});
  }
}
