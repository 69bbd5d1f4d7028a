// csa-admin: looks after a broker: status, nodes, migrate, backup, stop.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "common/limits.h"
#include "common/system_clock.h"
#include "tools/backup.h"
#include "tools/peer.h"

namespace csa {
namespace {

using Json = nlohmann::ordered_json;

struct AdminFlags {
  CommonFlags common;
  Duration discovery_timeout = std::chrono::seconds{2};
  Duration timeout = std::chrono::seconds{60};
  std::string file;
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
  std::printf("%-20s %-22s %-16s %-12s %-20s %6s  %s\n", "HOSTNAME", "ADDRESS", "VERSION", "STATE",
              "POSITION", "LAG", "LAST HEARTBEAT");
  for (const Json& node : nodes) {
    std::printf("%-20s %-22s %-16s %-12s %-20s %6s  %s ms ago\n", text_of(node["hostname"]).c_str(),
                text_of(node["address"]).c_str(), text_of(node["version"]).c_str(),
                text_of(node["state"]).c_str(), text_of(node["position"]).c_str(),
                text_of(node["lag"]).c_str(), text_of(node["last_heartbeat_ms"]).c_str());
  }
}

void print_fields(const Json& status) {
  for (const auto& [name, value] : status.items()) {
    std::cout << name << std::string(name.size() < 12 ? 12 - name.size() : 1, ' ') << text_of(value)
              << "\n";
  }
}

// The first message of one of the wanted kinds; kNothing when the link falls, kTimeout.
template <class... Wanted>
Result<Message> await(Peer& peer, Duration timeout) {
  const TimePoint deadline = monotonic_now() + timeout;
  while (monotonic_now() < deadline) {
    const Peer::Turn turn = peer.turn(limits::kPollMax);
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

int ask(Peer& peer, const AdminFlags& flags, AdminVerb verb) {
  peer.uplink().send(Admin{1, verb});
  const Result<Message> answer = await<AdminReply>(peer, flags.timeout);
  if (!answer) return report_error("csa-admin", answer.error());
  const auto& reply = std::get<AdminReply>(*answer);
  if (!reply.ok) {
    std::cerr << "csa-admin: " << reply.text << std::endl;
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

int migrate(Peer& peer, const AdminFlags& flags) {
  std::ifstream in(flags.file, std::ios::binary);
  if (!in) {
    std::cerr << "csa-admin: cannot read " << flags.file << std::endl;
    return 2;
  }
  Migrate request;
  request.tx = TxId{peer.node(), 1};
  request.sql.assign(std::istreambuf_iterator<char>(in), {});
  if (request.sql.size() > limits::kWriteMax) {
    std::cerr << "csa-admin: " << flags.file << " is larger than a write may be ("
              << limits::kWriteMax << " bytes)" << std::endl;
    return 5;
  }
  peer.uplink().send(request);
  const Result<Message> answer = await<Ack, Nack>(peer, flags.timeout);
  if (!answer) {
    std::cerr << "csa-admin: " << answer.error().what
              << ". Whether the schema changed is not known: look with csa-admin status."
              << std::endl;
    return 6;
  }
  if (const auto* const nack = std::get_if<Nack>(&*answer)) {
    std::cerr << "csa-admin: nothing was changed: statement " << nack->statement << ": "
              << nack->message << std::endl;
    return nack->code == NackCode::kForbidden ? 4 : 5;
  }
  const auto& ack = std::get<Ack>(*answer);
  if (flags.common.json) {
    std::cout << Json{{"seq", ack.seq.value}, {"schema_version", ack.schema_version}}.dump()
              << std::endl;
  } else {
    std::cout << "schema version " << ack.schema_version << ", seq " << ack.seq.value << std::endl;
  }
  return 0;
}

int with_broker(const AdminFlags& flags, int (*work)(Peer&, const AdminFlags&)) {
  const Log log = stderr_log("csa-admin", flags.common.log_level);
  auto peer = Peer::start(flags.common, {Role::kAdmin, "csa-admin", false, false}, log);
  if (!peer) return report_error("csa-admin", peer.error());
  if (const Status up = (*peer)->connect(flags.discovery_timeout); !up) {
    return report_error("csa-admin", up.error());
  }
  const int code = work(**peer, flags);
  (*peer)->leave();
  return code;
}

}  // namespace
}  // namespace csa

int main(int argc, char** argv) {
  using csa::AdminFlags;
  using csa::AdminVerb;
  using csa::Peer;
  AdminFlags flags;
  flags.common.log_level = csa::LogLevel::kWarn;
  CLI::App app{"Looks after a broker.\nExample: csa-admin nodes --json"};
  csa::add_common_flags(app, flags.common);
  csa::add_duration(app, "--discovery-timeout", flags.discovery_timeout,
                    "how long to look for the broker");
  csa::add_duration(app, "--timeout", flags.timeout, "how long to wait for the answer");
  app.require_subcommand(1);
  app.fallthrough();
  int (*work)(Peer&, const AdminFlags&) = nullptr;
  const auto add = [&app, &work](const char* name, const char* text,
                                 int (*run)(Peer&, const AdminFlags&)) {
    CLI::App* const command = app.add_subcommand(name, text);
    command->callback([&work, run] { work = run; });
    return command;
  };
  add("status", "the broker and its database",
      [](Peer& p, const AdminFlags& f) { return csa::ask(p, f, AdminVerb::kStatus); });
  add("nodes", "who is connected",
      [](Peer& p, const AdminFlags& f) { return csa::ask(p, f, AdminVerb::kNodes); });
  add("stop", "end the broker (from its own computer)",
      [](Peer& p, const AdminFlags& f) { return csa::ask(p, f, AdminVerb::kStop); });
  add("migrate", "change the schema on master and every node (from the broker's computer)",
      csa::migrate)
      ->add_option("FILE", flags.file, "SQL statements")
      ->required();
  add("backup", "a consistent copy, written on this computer",
      [](Peer& p, const AdminFlags& f) { return csa::backup(p, f.file, f.common.json); })
      ->add_option("FILE", flags.file, "must not exist yet")
      ->required();
  if (const auto code = csa::parse_cli(app, argc, argv)) return *code;
  return csa::with_broker(flags, work);
}
