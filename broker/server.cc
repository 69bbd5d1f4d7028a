#include "broker/server.h"

#include <sys/resource.h>

#include <iostream>

#include "broker/server_front.h"
#include "broker/server_stores.h"
#include "common/dialer.h"
#include "common/host.h"
#include "common/limits.h"
#include "common/net_interfaces.h"
#include "common/random.h"
#include "common/system_clock.h"
#include "common/thread_priority.h"

namespace csa {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kRivalSearch{700};
constexpr milliseconds kRivalGreeting{1500};  // once something was heard

// Every peer takes two connections.
void raise_file_limit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  const rlim_t wanted = std::min<rlim_t>(files.rlim_max, 4 * limits::kPeersMax + 256);
  if (files.rlim_cur >= wanted) return;
  files.rlim_cur = wanted;
  if (::setrlimit(RLIMIT_NOFILE, &files) != 0) return;  // then fewer peers fit
}

// A database that was restored elsewhere meanwhile: this file is the past of the one that is
// served.
std::optional<Error> outdated(const ServeConfig& config, const Welcome& rival, const Endpoint& at) {
  try {
    const Database db(config.database, Database::Mode::kReadOnly);
    const Result<Meta> own = read_meta(db);
    if (!own || own->db != rival.db) return std::nullopt;
    const std::uint64_t here = own->position.epoch.generation;
    const std::uint64_t there = rival.head.epoch.generation;
    if (here >= there) return std::nullopt;
    return Error{Errc::kRefused,
                 config.database + " is an old one: it is generation " + std::to_string(here) +
                     " of this database, and the broker on " + rival.hostname + " (" +
                     to_string(at) + ") serves generation " + std::to_string(there) +
                     ". Nothing was changed. Keep the file; on this computer a node is enough now: "
                     "csa-node run"};
  } catch (const SqliteError&) {
    return std::nullopt;
  }
}

Error rival_error(const ServeConfig& config, const std::string& hostname, const Endpoint& at) {
  return Error{Errc::kRefused,
               "the group '" + config.group + "' is already served by the broker on " + hostname +
                   " (" + to_string(at) +
                   "). Two masters of one group would drift apart: stop that one, or give this one "
                   "another --group."};
}

// The uplink's actions go out, what arrives within a moment goes in. True: a beacon of a broker
// came.
bool exchange(Uplink& uplink, Dialer& dialer) {
  for (const UplinkAction& action : uplink.take_actions()) dialer.carry_out(action);
  Received received = dialer.poll(milliseconds{20}, {});
  const TimePoint now = monotonic_now();
  bool announced = false;
  for (const HeardBeacon& heard : received.beacons) {
    uplink.on_beacon(heard, now);
    announced = announced || heard.beacon.kind == BeaconKind::kAnnounce;
  }
  for (Message& message : received.messages) (void)uplink.on_message(std::move(message), now);
  if (received.disconnected) uplink.on_disconnected(*received.disconnected, now);
  if (now >= uplink.deadline()) uplink.on_deadline(now);
  return announced;
}

// Looks whether another broker serves the group. Only an answer to HELLO proves it, never a beacon.
Status look_for_rival(const ServeConfig& config) {
  const Log log;  // its search is nobody's business
  UplinkConfig uplink_config;
  uplink_config.hello.role = Role::kMonitor;
  uplink_config.hello.app = config.app;
  uplink_config.hello.group = config.group;
  uplink_config.hello.program = "csa-broker " CSA_VERSION;
  uplink_config.hello.incarnation = random_id();
  uplink_config.subscribe = false;
  uplink_config.seed = random_u64();
  Uplink uplink(uplink_config, log);
  DialerConfig dialer_config;
  dialer_config.cluster = cluster_id(config.app, config.group);
  dialer_config.beacon_port = config.beacon_port;
  dialer_config.beacon_interfaces = config.beacon_interfaces;
  Dialer dialer(dialer_config, log);
  const TimePoint start = monotonic_now();
  uplink.start(start);
  TimePoint end = start + kRivalSearch;
  while (monotonic_now() < end) {
    if (exchange(uplink, dialer)) end = start + kRivalGreeting;
    for (const LinkEvent& event : uplink.take_events()) {
      if (const auto* const ready = std::get_if<LinkReady>(&event)) {
        uplink.leave("only asked who is there", monotonic_now());
        for (const UplinkAction& action : uplink.take_actions()) dialer.carry_out(action);
        if (auto old = outdated(config, ready->welcome, ready->endpoint)) return std::move(*old);
        return rival_error(config, ready->welcome.hostname, ready->endpoint);
      }
      if (const auto* const refused = std::get_if<LinkRefused>(&event)) {
        return rival_error(config, "another computer", refused->endpoint);
      }
    }
  }
  return Ok{};
}

LedgerOptions ledger_options(const ServeConfig& config) {
  LedgerOptions options;
  options.max_changes = config.max_changes;
  options.log_keep = config.log_keep;
  options.rows_max = limits::kRowsMax;
  options.statement_timeout = config.statement_timeout;
  options.monotonic_now = [] { return monotonic_now(); };
  options.local_now = [boot = boot_hash()] { return local_now(boot); };
  options.random_id = [] { return random_id(); };
  return options;
}

}  // namespace

Status serve(const ServeConfig& config, const Log& log) {
  for (const std::string& text : config.announce_to) {
    const std::optional<Endpoint> endpoint = parse_endpoint(text, config.beacon_port);
    if (!endpoint || parse_ip(endpoint->host) == 0) {
      return Error{Errc::kUsage, "--announce-to takes an IPv4 address, not '" + text + "'"};
    }
  }
  const StopSignals signals;
  raise_file_limit();
  if (config.beacon) CSA_TRY(look_for_rival(config));
  Stores stores(config.database, ledger_options(config), log);
  // The front, and the socket threads that it starts, go before the stores' long work: whether the
  // broker lives must not depend on what else keeps this computer busy.
  set_thread_priority(ThreadPriority::kFirst);
  Front front(config, stores, log);
  CSA_TRY(front.bind());
  front.start(random_id(), random_u64());
  std::cout << "csa-broker: ready group=" << config.group << " port=" << front.port()
            << " pub-port=" << front.pub_port() << " position=" << to_string(stores.master().head)
            << std::endl;
  const Status ended = front.run(signals);
  stores.stop();
  if (!ended) return ended.error();
  if (stores.fatal()) return *stores.fatal();
  return Ok{};
}

}  // namespace csa
