#include "broker/server_rivals.h"

#include <algorithm>
#include <map>

#include "common/blocked_signals.h"
#include "common/host.h"
#include "common/random.h"
#include "common/system_clock.h"

namespace csa {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kRivalAnswer{1};
constexpr milliseconds kSearch{700};
constexpr milliseconds kProbeEach{250};
constexpr milliseconds kLastProbe{200};   // for its answers
constexpr milliseconds kGreetings{2300};  // more, where some were heard
constexpr milliseconds kTurn{20};

DialerConfig rival_dialer(const ServeConfig& config, bool listen) {
  DialerConfig dialer;
  dialer.cluster = cluster_id(config.app, config.group);
  dialer.beacon_port = config.beacon_port;
  dialer.beacon = listen;
  dialer.beacon_interfaces = config.beacon_interfaces;
  return dialer;
}

}  // namespace

RivalGreeter::RivalGreeter(const ServeConfig& config, bool listen, const Log& log)
    : dialer_(rival_dialer(config, listen), log) {
  // Without a database it is welcome whatever its own one is, and WELCOME tells the rival's.
  hello_.role = Role::kMonitor;
  hello_.app = config.app;
  hello_.group = config.group;
  hello_.program = "csa-broker " CSA_VERSION;
  hello_.hostname = host_name();
  hello_.incarnation = random_id();
  hello_.proof_nonce = random_id();
}

void RivalGreeter::probe() { dialer_.carry_out(SendProbe{random_id()}); }

void RivalGreeter::greet(const Endpoint& at, TimePoint now) {
  at_ = at;
  until_ = now + kRivalAnswer;
  dialer_.carry_out(OpenRequest{at});
  dialer_.carry_out(SendRequest{hello_});
}

void RivalGreeter::hang_up() {
  at_.reset();
  dialer_.carry_out(CloseLinks{});
}

std::optional<RivalGreeter::Answer> RivalGreeter::turn(std::chrono::milliseconds limit) {
  if (!at_) {
    const TimePoint now = monotonic_now();
    if (const std::optional<Endpoint> next = places_.take(now)) greet(*next, now);
  }
  Received received = dialer_.poll(limit, {});
  const TimePoint now = monotonic_now();
  for (const HeardBeacon& heard : received.beacons) {
    if (heard.beacon.kind != BeaconKind::kAnnounce) continue;
    suspect({heard.address, heard.beacon.port}, now);
  }
  if (!at_) return std::nullopt;
  std::optional<Answer> answer;
  for (Message& message : received.messages) {
    if (answer) break;
    if (auto* const welcome = std::get_if<Welcome>(&message)) {
      dialer_.carry_out(SendRequest{Goodbye{"only asked who is there"}});
      answer = Answer{*at_, std::move(*welcome)};
    } else if (auto* const refused = std::get_if<Refused>(&message)) {
      answer = Answer{*at_, std::move(*refused)};
    }
  }
  if (answer || received.disconnected || now >= until_) hang_up();
  return answer;
}

RivalSearch::~RivalSearch() {
  given_up_ = true;
  if (found_.valid()) found_.wait();
}

void RivalSearch::begin(const ServeConfig& config) {
  if (!config.beacon || found_.valid()) return;
  const BlockedSignals blocked;  // they are for the thread that serves
  found_ = std::async(std::launch::async, [this, config] { return look(config); });
}

std::vector<RivalGreeter::Answer> RivalSearch::end() {
  wanted_ = true;
  return found_.valid() ? found_.get() : std::vector<RivalGreeter::Answer>{};
}

std::vector<RivalGreeter::Answer> RivalSearch::look(const ServeConfig& config) const {
  const Log silent;  // how it searches is nobody's business
  RivalGreeter greeter(config, true, silent);
  std::map<Endpoint, RivalGreeter::Answer> answers;
  TimePoint now = monotonic_now();
  TimePoint probe_due = now;
  TimePoint enough = now + kSearch;
  for (bool wanted = false; !given_up_; now = monotonic_now()) {
    if (wanted && now >= enough && (!greeter.busy() || now >= enough + kGreetings)) break;
    if (!wanted && wanted_) {
      wanted = true;
      enough = std::max(enough, now + kLastProbe);
      probe_due = now;
    }
    if (now >= probe_due) {
      greeter.probe();
      probe_due = now + kProbeEach;
    }
    std::optional<RivalGreeter::Answer> answer = greeter.turn(kTurn);
    if (answer) answers.insert_or_assign(answer->at, std::move(*answer));
  }
  std::vector<RivalGreeter::Answer> all;
  for (auto& [at, answer] : answers) all.push_back(std::move(answer));
  return all;
}

}  // namespace csa
