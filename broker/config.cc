#include "broker/config.h"

#include <CLI/CLI.hpp>
#include <chrono>

#include "common/file_link.h"
#include "common/limits.h"

namespace csa {
namespace {

constexpr std::chrono::hours kDurationMax{24};

constexpr const char* kDescription =
    "Keeps the master copy of a shared SQLite database and serves it to the nodes on the LAN.\n"
    "Example: csa-broker create --db shop.db --schema shop.sql && csa-broker --db shop.db";

void add_serve_flags(CLI::App& app, BrokerFlags& flags) {
  ServeConfig& serve = flags.serve;
  const std::string group = "serve";
  app.add_option("--listen", serve.listen, "address to listen on (default: all)")
      ->envname("CSA_LISTEN")
      ->type_name("ADDR")
      ->group(group);
  app.add_option("--port", serve.port, "TCP port of requests; 0: free ports for both")
      ->check(CLI::Range(0, 65535))
      ->envname("CSA_PORT")
      ->capture_default_str()
      ->group(group);
  app.add_option("--pub-port", serve.pub_port, "TCP port of updates (default: port + 1)")
      ->check(CLI::Range(0, 65535))
      ->envname("CSA_PUB_PORT")
      ->group(group);
  app.add_flag("--no-beacon", flags.no_beacon, "do not announce this broker")->group(group);
  app.add_option("--announce-to", serve.announce_to, "also announce to this address (repeatable)")
      ->allow_extra_args(false)
      ->type_name("HOST[:PORT]")
      ->group(group);
  app.add_option("--app-version", serve.app_version, "serve only nodes of this version")
      ->group(group);
  add_duration(app, "--heartbeat", serve.heartbeat, "how often a node shows that it is there")
      ->group(group);
  add_duration(app, "--node-timeout", serve.node_timeout, "silence after which a node is gone")
      ->group(group);
  add_duration(app, "--statement-timeout", serve.statement_timeout,
               "how long the statements of one write may run")
      ->group(group);
  add_size(app, "--log-keep", serve.log_keep, "log kept for nodes that were away")->group(group);
  add_size(app, "--max-changes", serve.max_changes, "row changes of one write, as bytes")
      ->group(group);
}

void add_verb(CLI::App& app, BrokerFlags& flags, BrokerVerb verb, const char* name,
              const char* text) {
  CLI::App* const command = app.add_subcommand(name, text);
  command->fallthrough();
  command->callback([&flags, verb] { flags.verb = verb; });
}

Error usage(const std::string& what) { return {Errc::kUsage, what}; }

Status check_times(const ServeConfig& serve) {
  for (const Duration given : {serve.heartbeat, serve.node_timeout, serve.statement_timeout}) {
    if (given <= Duration::zero() || given > kDurationMax) {
      return usage("--heartbeat, --node-timeout and --statement-timeout: more than 0, at most 24h");
    }
  }
  if (serve.node_timeout < 2 * serve.heartbeat) {
    return usage("--node-timeout must be at least twice --heartbeat, or one late packet is a loss");
  }
  return Ok{};
}

}  // namespace

BrokerFlags::BrokerFlags() {
  serve.heartbeat = limits::kHeartbeat;
  serve.node_timeout = limits::kNodeTimeout;
  serve.statement_timeout = limits::kStatementTimeout;
  serve.log_keep = limits::kLogKeepDefault;
  serve.max_changes = limits::kMaxChangesDefault;
}

std::unique_ptr<CLI::App> broker_cli(BrokerFlags& flags) {
  auto app = std::make_unique<CLI::App>(kDescription, "csa-broker");
  add_common_flags(*app, flags.common);
  app->add_option("--db", flags.serve.database, "the database file")
      ->envname("CSA_DB")
      ->type_name("FILE");
  app->add_option("--schema", flags.schemas, "create: SQL file that makes the tables (repeatable)")
      ->allow_extra_args(false)
      ->type_name("FILE.sql");
  app->add_option("--rules", flags.rules,
                  "create, adopt: by which rules offline work is merged, one TABLE[.COLUMN] RULE a"
                  " line")
      ->type_name("FILE");
  app->add_option("--from", flags.from, "restore: the backup, or a node's replica")
      ->type_name("FILE");
  app->add_flag(
      "--as-is", flags.as_is,
      "restore: of a replica whose journal is damaged, the tables as they stand; of a -wal,"
      " what can be read");
  add_serve_flags(*app, flags);
  app->require_subcommand(0, 1);
  add_verb(*app, flags, BrokerVerb::kServe, "serve", "serve the database (the default command)");
  add_verb(*app, flags, BrokerVerb::kCreate, "create",
           "make a new shared database\n"
           "Example: csa-broker create --db shop.db --schema shop.sql");
  add_verb(*app, flags, BrokerVerb::kAdopt, "adopt",
           "share an existing SQLite file; what cannot be shared is listed first\n"
           "Example: csa-broker adopt --db shop.db");
  add_verb(*app, flags, BrokerVerb::kRestore, "restore",
           "make the database anew from a backup or a node's replica\n"
           "Example: csa-broker restore --db shop.db --from replica.db");
  add_verb(*app, flags, BrokerVerb::kCheck, "check",
           "say what serve would find\n"
           "Example: csa-broker check --db shop.db --json");
  return app;
}

Status settle(BrokerFlags& flags) {
  ServeConfig& serve = flags.serve;
  if (serve.database.empty()) return usage("--db FILE is missing: which database?");
  if (flags.verb == BrokerVerb::kCreate && flags.schemas.empty()) {
    return usage("create needs --schema FILE.sql: the statements that make the tables");
  }
  if (flags.verb != BrokerVerb::kCreate && !flags.schemas.empty()) {
    return usage("--schema belongs to create");
  }
  if (flags.verb != BrokerVerb::kCreate && flags.verb != BrokerVerb::kAdopt &&
      !flags.rules.empty()) {
    return usage("--rules belongs to create and adopt; later: csa-admin rule load FILE");
  }
  if (flags.verb == BrokerVerb::kRestore && flags.from.empty()) {
    return usage("restore needs --from FILE: a backup, or a node's replica");
  }
  if (flags.verb != BrokerVerb::kRestore && !flags.from.empty()) {
    return usage("--from belongs to restore");
  }
  if (flags.verb != BrokerVerb::kRestore && flags.as_is) {
    return usage("--as-is belongs to restore");
  }
  for (std::string* const file : {&serve.database, &flags.from}) {
    Result<std::string> real = follow_links(*file);
    if (!real) return real.error();
    *file = std::move(real).value();
  }
  if (serve.pub_port == 0 && serve.port != 0) {
    if (serve.port == 65535) return usage("--port 65535 leaves no port + 1; name a --pub-port");
    serve.pub_port = static_cast<std::uint16_t>(serve.port + 1);
  }
  if (serve.port != 0 && serve.port == serve.pub_port) {
    return usage("--port and --pub-port must differ");
  }
  CSA_TRY(check_times(serve));
  if (serve.max_changes == 0) return usage("--max-changes 0 would refuse every write");
  serve.app = flags.common.app;
  serve.group = flags.common.group;
  serve.beacon_port = flags.common.beacon_port;
  serve.beacon_interfaces = flags.common.beacon_interfaces;
  serve.beacon = !flags.no_beacon;
  return Ok{};
}

}  // namespace csa
