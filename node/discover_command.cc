// csa-node discover: the network doctor. Listens and asks for a few seconds, greets whom it hears,
// and says what it saw and why something cannot be used.
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "common/dialer.h"
#include "common/limits.h"
#include "common/random.h"
#include "common/system_clock.h"
#include "common/terminal_text.h"
#include "node/commands.h"

namespace csa {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr milliseconds kListen{2500};
constexpr milliseconds kGreeting{1500};

struct FoundBroker {
  Endpoint endpoint;
  std::uint16_t pub_port = 0;
  bool ours = false;
  bool usable = false;
  std::string hostname;
  std::string why;
};

std::optional<std::string> protocol_problem(const Beacon& beacon) {
  if (beacon.protocol_min <= kProtocolVersion && beacon.protocol_max >= kProtocolVersion) {
    return std::nullopt;
  }
  return "it speaks protocol " + std::to_string(beacon.protocol_min) + " to " +
         std::to_string(beacon.protocol_max) + ", this program " + std::to_string(kProtocolVersion);
}

// Asks and listens.
std::map<Endpoint, FoundBroker> hear(const NodeOptions& options, BeaconPort& port) {
  const Id128 cluster = cluster_id(options.client.app, options.client.group);
  std::map<Endpoint, FoundBroker> found;
  const TimePoint end = monotonic_now() + kListen;
  TimePoint next = monotonic_now();
  while (monotonic_now() < end) {
    if (monotonic_now() >= next) {
      Beacon probe;
      probe.protocol_min = kProtocolVersion;
      probe.protocol_max = kProtocolVersion;
      probe.cluster = cluster;
      probe.nonce = random_id();
      port.broadcast(probe, monotonic_now());
      next += milliseconds{500};
    }
    std::vector<zmq::pollitem_t> items;
    for (const int file : port.fds()) items.push_back({nullptr, file, ZMQ_POLLIN, 0});
    zmq::poll(items.data(), items.size(), limits::kPollMax);
    for (const BeaconPort::Heard& heard : port.receive(limits::kDrainMax)) {
      const Beacon& beacon = heard.heard.beacon;
      if (beacon.kind != BeaconKind::kAnnounce) continue;
      FoundBroker& broker = found[{heard.heard.address, beacon.port}];
      broker.endpoint = {heard.heard.address, beacon.port};
      broker.pub_port = beacon.pub_port;
      broker.ours = beacon.cluster == cluster;
      if (!broker.ours) broker.why = "it serves another --app or --group";
      if (const auto problem = protocol_problem(beacon)) broker.why = *problem;
    }
  }
  return found;
}

// True: the greeting was answered, the subscription is opened.
bool carry_out_all(Uplink& uplink, Dialer& dialer) {
  bool subscribes = false;
  for (const UplinkAction& action : uplink.take_actions()) {
    subscribes = subscribes || std::holds_alternative<OpenSubscription>(action);
    dialer.carry_out(action);
  }
  return subscribes;
}

// Goes the whole way to one broker, as a node would, up to the proof of its PUB port.
void greet(const NodeOptions& options, FoundBroker& broker, const Log& log) {
  UplinkConfig config;
  config.hello.role = Role::kMonitor;
  config.hello.app = options.client.app;
  config.hello.group = options.client.group;
  config.hello.app_version = options.client.app_version;
  config.hello.program = "csa-node " CSA_VERSION;
  config.hello.incarnation = random_id();
  config.fixed = {broker.endpoint};
  config.seed = random_u64();
  Uplink uplink(config, log);
  Dialer dialer({cluster_id(options.client.app, options.client.group), 0, false}, log);
  uplink.start(monotonic_now());
  const TimePoint end = monotonic_now() + kGreeting;
  bool welcomed = false;
  broker.why = "TCP port " + std::to_string(broker.endpoint.port) +
               " does not answer: is it open in that computer's firewall?";
  while (monotonic_now() < end) {
    welcomed = carry_out_all(uplink, dialer) || welcomed;
    Received received = dialer.poll(limits::kPollMax, {});
    const TimePoint now = monotonic_now();
    for (Message& message : received.messages) (void)uplink.on_message(std::move(message), now);
    if (received.disconnected) uplink.on_disconnected(*received.disconnected, now);
    if (now >= uplink.deadline()) uplink.on_deadline(now);
    for (const LinkEvent& event : uplink.take_events()) {
      if (const auto* const ready = std::get_if<LinkReady>(&event)) {
        broker.usable = true;
        broker.why.clear();
        broker.hostname = ready->welcome.hostname;
        uplink.leave("only asked who is there", now);
      } else if (const auto* const refused = std::get_if<LinkRefused>(&event)) {
        broker.why = refused->refusal.text;
        return;
      }
    }
    welcomed = carry_out_all(uplink, dialer) || welcomed;
    if (broker.usable) return;
  }
  if (welcomed) {
    broker.why = "it answers, but nothing arrives from TCP port " +
                 std::to_string(broker.pub_port) +
                 ": is that one open in that computer's firewall?";
  }
}

void print_json(const NodeOptions& options, const BeaconPort* port,
                const std::map<Endpoint, FoundBroker>& found) {
  Json interfaces = Json::array();
  for (const InterfaceReport& one :
       port != nullptr ? port->report() : std::vector<InterfaceReport>{}) {
    Json error = nullptr;
    if (!one.error.empty()) error = one.error;
    interfaces.push_back({{"name", one.name},
                          {"address", one.address},
                          {"sent", one.sent},
                          {"heard", one.heard},
                          {"error", error}});
  }
  Json brokers = Json::array();
  for (const auto& [endpoint, broker] : found) {
    Json why = nullptr;
    if (!broker.why.empty()) why = broker.why;
    Json group = nullptr;
    if (broker.ours) group = options.client.group;
    brokers.push_back({{"group", group},
                       {"address", to_string(endpoint)},
                       {"hostname", broker.hostname},
                       {"usable", broker.usable},
                       {"why", why}});
  }
  std::cout << Json{{"interfaces", interfaces}, {"brokers", brokers}}.dump() << std::endl;
}

void print_text(const BeaconPort* port, const std::map<Endpoint, FoundBroker>& found) {
  if (port != nullptr) {
    std::cout << "Interfaces\n";
    for (const InterfaceReport& one : port->report()) {
      std::cout << "  " << one.name << "  " << one.address << "  sent " << one.sent << ", heard "
                << one.heard << (one.error.empty() ? "" : "  " + one.error) << "\n";
    }
    if (port->report().empty()) std::cout << "  none is up, not even loopback\n";
    if (!port->listen_error().empty()) {
      std::cout << "  cannot listen: " << port->listen_error() << "\n";
    }
  }
  std::cout << "Brokers\n";
  for (const auto& [endpoint, broker] : found) {
    std::cout << "  " << to_string(endpoint) << "  "
              << (broker.usable ? "usable" : "not usable: " + printable(broker.why))
              << (broker.hostname.empty() ? "" : "  (" + printable(broker.hostname) + ")") << "\n";
  }
  if (found.empty()) {
    std::cout << "  none heard. Is csa-broker running? Is UDP port 5775 open in its firewall? "
                 "Broadcasts do not\n  cross routers, VPNs and some Wi-Fi: name the broker with "
                 "--broker HOST[:PORT] there.\n";
  }
  std::cout.flush();
}

}  // namespace

int discover_command(const NodeOptions& options) {
  const Log log = stderr_log("csa-node", options.log_level);
  std::map<Endpoint, FoundBroker> found;
  std::optional<BeaconPort> port;
  if (options.client.brokers.empty()) {
    BeaconPort::Options beacon;
    beacon.port = options.client.beacon_port;
    beacon.interfaces = options.client.beacon_interfaces;
    port.emplace(beacon, log);
    found = hear(options, *port);
  }
  for (const std::string& text : options.client.brokers) {
    constexpr std::uint16_t kDefaultPort = 5775;
    const std::optional<Endpoint> endpoint = parse_endpoint(text, kDefaultPort);
    if (!endpoint) return report({2, "'" + text + "' is no broker's HOST[:PORT]"});
    found[*endpoint] = {*endpoint, static_cast<std::uint16_t>(endpoint->port + 1), true, false, {},
                        {}};
  }
  bool usable = false;
  for (auto& [endpoint, broker] : found) {
    if (broker.ours && broker.why.empty()) greet(options, broker, log);
    usable = usable || broker.usable;
  }
  if (options.json) {
    print_json(options, port ? &*port : nullptr, found);
  } else {
    print_text(port ? &*port : nullptr, found);
  }
  return usable ? 0 : 3;
}

}  // namespace csa
