#include "tools/caller.h"

#include <unistd.h>

#include <array>

#include "common/host.h"
#include "common/limits.h"
#include "common/random.h"
#include "common/system_clock.h"

namespace csa {
namespace {

constexpr std::uint16_t kDefaultPort = 5775;

}  // namespace

Result<std::unique_ptr<Caller>> Caller::start(const CommonFlags& flags, const Options& options,
                                              const Log& log) {
  UplinkConfig config;
  config.hello.role = options.role;
  config.hello.app = flags.app;
  config.hello.group = flags.group;
  config.hello.program = options.program + " " CSA_VERSION;
  config.hello.hostname = host_name();
  config.hello.incarnation = random_id();
  if (options.role == Role::kAdmin) config.hello.node = NodeId{random_id()};
  config.subscribe = options.subscribe;
  config.presence = options.presence;
  config.seed = random_u64();
  for (const std::string& text : flags.brokers) {
    const std::optional<Endpoint> endpoint = parse_endpoint(text, kDefaultPort);
    if (!endpoint) return Error{Errc::kUsage, "'" + text + "' is no broker's HOST[:PORT]"};
    config.fixed.push_back(*endpoint);
  }
  DialerConfig dialer;
  dialer.cluster = cluster_id(flags.app, flags.group);
  dialer.beacon_port = flags.beacon_port;
  dialer.beacon_interfaces = flags.beacon_interfaces;
  dialer.beacon = config.fixed.empty();
  std::unique_ptr<Caller> caller(new Caller(std::move(config), dialer, log));
  caller->uplink_.start(monotonic_now());
  return caller;
}

Caller::Caller(UplinkConfig config, DialerConfig dialer, const Log& log)
    : log_(log),
      node_(config.hello.node),
      uplink_(std::move(config), log_),
      dialer_(std::move(dialer), log_) {}

Caller::Turn Caller::turn(Duration limit, int signals) {
  dialer_.carry_out(uplink_.take_actions());
  const TimePoint now = monotonic_now();
  const auto wait = std::min<Duration>({limit, uplink_.deadline() - now, limits::kPollMax});
  std::vector<int> wake;
  if (signals >= 0) wake.push_back(signals);
  Received received =
      dialer_.poll(std::max(std::chrono::duration_cast<std::chrono::milliseconds>(wait),
                            std::chrono::milliseconds{0}),
                   wake);
  const TimePoint later = monotonic_now();
  Turn turn;
  for (Message& message : received.messages) {
    if (auto mine = uplink_.on_message(std::move(message), later)) {
      turn.messages.push_back(std::move(*mine));
    }
  }
  for (const HeardBeacon& heard : received.beacons) uplink_.on_beacon(heard, later);
  if (received.disconnected) uplink_.on_disconnected(*received.disconnected, later);
  if (later >= uplink_.deadline()) uplink_.on_deadline(later);
  dialer_.carry_out(uplink_.take_actions());
  turn.events = uplink_.take_events();
  return turn;
}

Status Caller::connect(Duration timeout) {
  const TimePoint deadline = monotonic_now() + timeout;
  while (!uplink_.ready()) {
    const Turn now = turn(limits::kPollMax);
    for (const LinkEvent& event : now.events) {
      if (const auto* const refused = std::get_if<LinkRefused>(&event)) {
        return Error{Errc::kRefused, "refused by the broker at " + to_string(refused->endpoint) +
                                         ": " + refused->refusal.text};
      }
    }
    if (monotonic_now() >= deadline) {
      return Error{Errc::kNothing,
                   "no broker found. Is one running for this --app and --group? Name it with "
                   "--broker HOST[:PORT]; `csa-node discover` shows what the network says."};
    }
  }
  return Ok{};
}

TxId Caller::next_tx() {
  if (uplink_.ready()) {
    counter_ = std::max(counter_, std::min(uplink_.welcome().last_counter, limits::kForgottenMax));
  }
  // Where it greets again, its word for what it has used.
  uplink_.set_counters(node_, ++counter_, 0);
  return {node_, counter_};
}

void Caller::leave() {
  uplink_.leave("done", monotonic_now());
  dialer_.carry_out(uplink_.take_actions());
}

}  // namespace csa
