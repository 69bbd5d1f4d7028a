// csa-admin: looks after a broker: status, nodes, verify, rule, conflicts, recover, migrate,
// backup, stop.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/limits.h"
#include "common/rules_text.h"
#include "common/system_clock.h"
#include "common/terminal_text.h"
#include "common/text_file.h"
#include "common/text_table.h"
#include "common/value_json.h"
#include "tools/backup.h"
#include "tools/caller.h"
#include "tools/settle.h"
#include "tools/verify.h"

namespace csa {
namespace {

using Json = nlohmann::ordered_json;

struct AdminFlags {
  CommonFlags common;
  Duration discovery_timeout = std::chrono::seconds{2};
  Duration timeout = std::chrono::seconds{60};
  std::string file;
  std::string place, rule, table;
  bool row_alone = false;
  std::int64_t conflict = 0;
  std::vector<std::string> lost;
};

std::string text_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("epoch")) {
    return value["epoch"].get<std::string>() + ":" +
           std::to_string(value["seq"].get<std::uint64_t>());
  }
  return value.dump();
}

void print_nodes(const Json& nodes) {
  TextTable table;
  table.row({"HOSTNAME", "ADDRESS", "VERSION", "STATE", "POSITION", "LAG", "LAST HEARTBEAT"});
  for (const Json& node : nodes) {
    table.row({text_of(node["hostname"]), text_of(node["address"]), text_of(node["version"]),
               text_of(node["state"]), text_of(node["position"]), text_of(node["lag"]),
               text_of(node["last_heartbeat_ms"]) + " ms ago"});
  }
  table.print(std::cout, terminal_width(STDOUT_FILENO), TextTable::Long::kCut);
}

void print_fields(const Json& status) {
  for (const auto& [name, value] : status.items()) {
    std::cout << padded(printable(name), 12) << " " << printable(text_of(value)) << "\n";
  }
}

// The first message of one of the wanted kinds; kNothing when the link falls, kTimeout.
template <class... Wanted>
Result<Message> await(Caller& caller, Duration timeout) {
  const TimePoint deadline = monotonic_now() + timeout;
  while (monotonic_now() < deadline) {
    const Caller::Turn turn = caller.turn(limits::kPollMax);
    for (const Message& message : turn.messages) {
      if ((std::holds_alternative<Wanted>(message) || ...)) return message;
    }
    for (const LinkEvent& event : turn.events) {
      if (const auto* const lost = std::get_if<LinkLost>(&event)) {
        return Error{Errc::kNothing, "the broker went away: " + lost->why};
      }
    }
  }
  return Error{Errc::kTimeout, "the broker did not answer in time"};
}

int ask(Caller& caller, const AdminFlags& flags, AdminVerb verb) {
  caller.uplink().send(Admin{1, verb});
  const Result<Message> answer = await<AdminReply>(caller, flags.timeout);
  if (!answer) return report_error("csa-admin", answer.error());
  const auto& reply = std::get<AdminReply>(*answer);
  if (!reply.ok) {
    std::cerr << "csa-admin: " << printable(reply.text) << std::endl;
    return 4;
  }
  if (verb == AdminVerb::kStop) {
    std::cerr << "csa-admin: " << (reply.text.empty() ? "the broker stops" : reply.text)
              << std::endl;
    return 0;
  }
  const Json json = Json::parse(reply.json, nullptr, false);
  if (flags.common.json || json.is_discarded()) {
    std::cout << reply.json << std::endl;
  } else if (verb == AdminVerb::kNodes) {
    print_nodes(json);
  } else {
    print_fields(json);
  }
  return 0;
}

void print_migrated(const Ack& ack, bool json) {
  Json rules = Json::array();
  for (const Row& row : ack.rows) {
    for (const Value& sentence : row) rules.push_back(value_json(sentence));
  }
  if (json) {
    Json done{{"seq", ack.seq.value}, {"schema_version", ack.schema_version}};
    if (!rules.empty()) done["rules"] = std::move(rules);
    std::cout << to_line(done) << std::endl;
    return;
  }
  std::cout << "schema version " << ack.schema_version << ", seq " << ack.seq.value << std::endl;
  for (const Json& sentence : rules) std::cerr << text_of(sentence) << std::endl;
}

int migrate(Caller& caller, const AdminFlags& flags) {
  Result<std::string> text = read_text_file(flags.file);
  if (!text) {
    std::cerr << "csa-admin: " << text.error().what << std::endl;
    return 2;
  }
  Migrate request;
  request.tx = caller.next_tx();
  request.sql = std::move(text).value();
  if (request.sql.size() > limits::kWriteMax) {
    std::cerr << "csa-admin: " << flags.file << " is larger than a write may be ("
              << limits::kWriteMax << " bytes)" << std::endl;
    return 5;
  }
  caller.uplink().send(request);
  const Result<Message> answer = await<Ack, Nack>(caller, flags.timeout);
  if (!answer) {
    std::cerr << "csa-admin: " << answer.error().what
              << ". Whether the schema changed is not known: look with csa-admin status."
              << std::endl;
    return 6;
  }
  if (const auto* const nack = std::get_if<Nack>(&*answer)) {
    std::cerr << "csa-admin: nothing was changed: statement " << nack->statement << ": "
              << printable(nack->message) << std::endl;
    return nack->code == NackCode::kForbidden ? 4 : 5;
  }
  print_migrated(std::get<Ack>(*answer), flags.common.json);
  return 0;
}

SettleFlags settle_flags(const AdminFlags& flags) { return {flags.common.json, flags.timeout}; }

int set_rule(Caller& caller, const AdminFlags& flags) {
  const Result<RuleSetting> rule = parse_rule(flags.place, flags.rule);
  if (!rule) {
    std::cerr << "csa-admin: " << rule.error().what << std::endl;
    return 2;
  }
  return set_rules(caller, settle_flags(flags), {{*rule, 1}}, {});
}

int load_rules(Caller& caller, const AdminFlags& flags) {
  Result<std::string> text = read_text_file(flags.file);
  if (!text) {
    std::cerr << "csa-admin: " << text.error().what << std::endl;
    return 2;
  }
  const Result<std::vector<RuleLine>> lines = parse_rules(*text, flags.file);
  if (!lines) {
    std::cerr << "csa-admin: " << lines.error().what << std::endl;
    return 2;
  }
  return set_rules(caller, settle_flags(flags), *lines, flags.file);
}

int with_broker(const AdminFlags& flags, int (*work)(Caller&, const AdminFlags&)) {
  const Log log = stderr_log("csa-admin", flags.common.log_level);
  auto caller = Caller::start(flags.common, {Role::kAdmin, "csa-admin", false, false}, log);
  if (!caller) return report_error("csa-admin", caller.error());
  if (const Status up = (*caller)->connect(flags.discovery_timeout); !up) {
    return report_error("csa-admin", up.error());
  }
  const int code = work(**caller, flags);
  (*caller)->leave();
  return code;
}

using Work = int (*)(Caller&, const AdminFlags&);

// "all", or numbers; empty stands for all.
std::optional<std::vector<std::int64_t>> lost_ids(const std::vector<std::string>& words) {
  std::vector<std::int64_t> ids;
  if (words == std::vector<std::string>{"all"}) return ids;
  for (const std::string& word : words) {
    std::int64_t id = 0;
    const char* const end = word.data() + word.size();
    const auto [stop, code] = std::from_chars(word.data(), end, id);
    if (code != std::errc{} || stop != end || id <= 0) {
      std::cerr << "csa-admin: " << word << " is no number of a lost transaction; csa-admin recover"
                << " lists them, all stands for all of them" << std::endl;
      return std::nullopt;
    }
    ids.push_back(id);
  }
  return ids;
}

int settle_lost_of(Caller& caller, const AdminFlags& flags, ConflictVerb verb) {
  std::optional<std::vector<std::int64_t>> ids = lost_ids(flags.lost);
  return ids ? settle_lost(caller, settle_flags(flags), std::move(*ids), verb) : 2;
}

void add_recovery(CLI::App& app, AdminFlags& flags, Work& work) {
  const Work list = [](Caller& p, const AdminFlags& f) { return list_lost(p, settle_flags(f)); };
  CLI::App* const recover =
      app.add_subcommand("recover",
                         "what a restored master has lost and nodes have offered back\nExample: "
                         "csa-admin recover apply 3 4");
  recover->callback([&work, list] {
    if (work == nullptr) work = list;
  });
  recover->require_subcommand(0, 1);
  recover->add_subcommand("list", "all of it\nExample: csa-admin recover list");
  const auto of_some = [&](const char* name, const char* text, Work run) {
    CLI::App* const command = recover->add_subcommand(name, text);
    command->add_option("ID", flags.lost, "numbers, or all")->required();
    command->callback([&work, run] { work = run; });
  };
  of_some(
      "apply",
      "merge it now, as offline work is merged (from the broker's computer)\nExample: csa-admin "
      "recover apply 3 4",
      [](Caller& p, const AdminFlags& f) { return settle_lost_of(p, f, ConflictVerb::kRecover); });
  of_some("forget",
          "throw it away (from the broker's computer)\nExample: csa-admin recover forget all",
          [](Caller& p, const AdminFlags& f) {
            return settle_lost_of(p, f, ConflictVerb::kForgetLost);
          });
}

void add_rules(CLI::App& app, AdminFlags& flags, Work& work) {
  const auto add = [&work](CLI::App* parent, const char* name, const char* text, Work run) {
    CLI::App* const command = parent->add_subcommand(name, text);
    command->callback([&work, run] { work = run; });
    return command;
  };
  CLI::App* const rule = app.add_subcommand(
      "rule", "by which rules offline work is merged\nExample: csa-admin rule list");
  rule->require_subcommand(1);
  add(rule, "list", "the rules that are set\nExample: csa-admin rule list > shop.rules",
      [](Caller& p, const AdminFlags& f) { return set_rules(p, settle_flags(f), {}, {}); });
  CLI::App* const set = add(
      rule, "set",
      "one rule (from the broker's computer)\nExample: csa-admin rule set part.qty sum", set_rule);
  set->add_option("TABLE[.COLUMN]", flags.place, "in double quotes where a name has dots")
      ->required();
  set->add_option("RULE", flags.rule,
                  "of a table: newest (the default), merge, broker, node, manual, and atomic or "
                  "rowwise; of a column: sum, max, min, append, newest, broker, node, or table for "
                  "what the table's rule says")
      ->required();
  add(rule, "load",
      "the rules of a file, one a line (from the broker's computer)\nExample: csa-admin rule load "
      "shop.rules",
      load_rules)
      ->add_option("FILE", flags.file)
      ->required();
}

void add_conflicts(CLI::App& app, AdminFlags& flags, Work& work) {
  const Work list = [](Caller& p, const AdminFlags& f) {
    return show_conflicts(p, settle_flags(f), std::nullopt);
  };
  CLI::App* const conflicts = app.add_subcommand(
      "conflicts",
      "what lost when offline work was merged\nExample: csa-admin conflicts list --json");
  // Whichever callback CLI11 calls first, the subcommand's own work stands.
  conflicts->callback([&work, list] {
    if (work == nullptr) work = list;
  });
  conflicts->require_subcommand(0, 1);
  const auto of_one = [&](const char* name, const char* text, Work run) {
    CLI::App* const command = conflicts->add_subcommand(name, text);
    command->add_option("ID", flags.conflict)->required();
    command->callback([&work, run] { work = run; });
  };
  conflicts->add_subcommand("list", "all of them\nExample: csa-admin conflicts list");
  of_one("show", "its three versions side by side\nExample: csa-admin conflicts show 7",
         [](Caller& p, const AdminFlags& f) {
           return show_conflicts(p, settle_flags(f), f.conflict);
         });
  of_one("restore",
         "write the loser's row anew; of a transaction that was kept whole, all of it (from the"
         " broker's computer)\nExample: csa-admin conflicts restore 7",
         [](Caller& p, const AdminFlags& f) {
           return settle_conflict(p, settle_flags(f), f.conflict,
                                  f.row_alone ? ConflictVerb::kRestoreRow : ConflictVerb::kRestore);
         });
  conflicts->get_subcommand("restore")->add_flag(
      "--row", flags.row_alone, "that row alone, without the rest of its transaction");
  of_one(
      "dismiss",
      "mark it as looked at (from the broker's computer)\nExample: csa-admin conflicts dismiss 7",
      [](Caller& p, const AdminFlags& f) {
        return settle_conflict(p, settle_flags(f), f.conflict, ConflictVerb::kDismiss);
      });
}

}  // namespace
}  // namespace csa

int main(int argc, char** argv) {
  using csa::AdminFlags;
  using csa::AdminVerb;
  using csa::Caller;
  AdminFlags flags;
  flags.common.log_level = csa::LogLevel::kWarn;
  CLI::App app{"Looks after a broker.\nExample: csa-admin nodes --json"};
  csa::add_common_flags(app, flags.common);
  csa::add_duration(app, "--discovery-timeout", flags.discovery_timeout,
                    "how long to look for the broker");
  csa::add_duration(app, "--timeout", flags.timeout, "how long to wait for the answer");
  app.require_subcommand(1);
  app.fallthrough();
  int (*work)(Caller&, const AdminFlags&) = nullptr;
  const auto add = [&app, &work](const char* name, const char* text,
                                 int (*run)(Caller&, const AdminFlags&)) {
    CLI::App* const command = app.add_subcommand(name, text);
    command->callback([&work, run] { work = run; });
    return command;
  };
  add("status", "the broker and its database\nExample: csa-admin status --json",
      [](Caller& p, const AdminFlags& f) { return csa::ask(p, f, AdminVerb::kStatus); });
  add("nodes", "who is connected\nExample: csa-admin nodes",
      [](Caller& p, const AdminFlags& f) { return csa::ask(p, f, AdminVerb::kNodes); });
  add("verify",
      "whether every node equals the master (0: all do, 1: one differs, 6: one was not compared)\n"
      "Example: csa-admin verify --json",
      [](Caller& p, const AdminFlags& f) {
        return csa::verify(p, {f.common.json, f.timeout, f.table});
      })
      ->add_option("--table", flags.table, "tell of this table alone");
  add("stop", "end the broker (from its own computer)\nExample: csa-admin stop",
      [](Caller& p, const AdminFlags& f) { return csa::ask(p, f, AdminVerb::kStop); });
  add("migrate",
      "change the schema on master and every node (from the broker's computer)\nExample: csa-admin "
      "migrate add-shelf.sql",
      csa::migrate)
      ->add_option("FILE", flags.file, "SQL statements")
      ->required();
  add("backup",
      "a consistent copy, written on this computer\nExample: csa-admin backup shop-monday.db",
      [](Caller& p, const AdminFlags& f) { return csa::backup(p, f.file, f.common.json); })
      ->add_option("FILE", flags.file, "must not exist yet")
      ->required();
  csa::add_rules(app, flags, work);
  csa::add_conflicts(app, flags, work);
  csa::add_recovery(app, flags, work);
  if (const auto code = csa::parse_cli(app, argc, argv)) return *code;
  try {
    return csa::finish_output("csa-admin", std::cout, csa::with_broker(flags, work));
  } catch (const std::exception& error) {
    return csa::report_error("csa-admin", {csa::Errc::kFailed, error.what()});
  }
}
