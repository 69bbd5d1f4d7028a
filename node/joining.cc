#include "node/joining.h"

#include "common/blocked_signals.h"
#include "common/exit_code.h"
#include "common/host.h"
#include "common/random.h"
#include "node/link.h"
#include "node/owner_lock.h"

namespace csa {
namespace {

using std::chrono::milliseconds;

constexpr std::uint16_t kDefaultPort = 5775;
constexpr milliseconds kKnock{1000};

ClientFailure failure_of(const Error& error) { return {exit_code(error.code), error.what}; }

LinkConfig link_config(const ClientOptions& options, const Replica& replica) {
  LinkConfig config;
  config.app = options.app;
  config.group = options.group;
  config.hostname = host_name();
  config.replica_path = options.replica;
  config.session.discovery_timeout = options.discovery_timeout;
  config.session.verify_every = options.verify_every;
  config.verify_bytes_per_s = options.verify_bytes_per_s;
  config.session.stop_on_disconnect = options.stop_on_disconnect;
  UplinkConfig& uplink = config.session.uplink;
  uplink.hello.role = Role::kNode;
  uplink.hello.app = options.app;
  uplink.hello.group = options.group;
  uplink.hello.app_version = options.app_version;
  uplink.hello.program = options.program + " " CSA_VERSION;
  uplink.hello.hostname = config.hostname;
  uplink.hello.incarnation = random_id();
  uplink.seed = random_u64();
  if (const auto last = replica.last_endpoint()) {
    uplink.last_good = parse_endpoint(*last, kDefaultPort);
  }
  config.dialer.cluster = cluster_id(options.app, options.group);
  config.dialer.beacon_port = options.beacon_port;
  config.dialer.beacon_interfaces = options.beacon_interfaces;
  config.dialer.beacon = options.brokers.empty();
  return config;
}

std::optional<ClientFailure> add_endpoints(const ClientOptions& options, LinkConfig& config) {
  for (const std::string& text : options.brokers) {
    const std::optional<Endpoint> endpoint = parse_endpoint(text, kDefaultPort);
    if (!endpoint) return ClientFailure{2, "'" + text + "' is no broker's HOST[:PORT]"};
    config.session.uplink.fixed.push_back(*endpoint);
  }
  return std::nullopt;
}

// The link with the lock that entitles to it.
class Owner final : public Backend {
 public:
  Owner(OwnerLock lock, LinkConfig config, std::unique_ptr<Replica> replica, const Log& log)
      : lock_(std::move(lock)),
        door_(config.door),
        link_(std::move(config), std::move(replica), log) {
    lock_->note_replica();
    lock_->announce(door_);
  }
  ~Owner() override { leave(); }

  void submit(Request request, milliseconds timeout, Done done) override {
    link_.submit(std::move(request), timeout, std::move(done));
  }
  [[nodiscard]] ClientStatus status() override { return link_.status(); }
  [[nodiscard]] bool wait(Condition reached, Condition given_up, milliseconds timeout) override {
    return link_.wait(std::move(reached), std::move(given_up), timeout);
  }
  void leave() override {
    if (lock_) lock_->announce("");  // who comes now waits for the lock, not at a closing door
    link_.leave();
    lock_.reset();
  }

 private:
  std::optional<OwnerLock> lock_;
  const std::string door_;
  Link link_;
};

Joined own(const ClientOptions& options, OwnerLock lock, const Joining::Hooks& hooks,
           const Log& log) {
  Joined joined;
  lock.announce("");
  const Earlier earlier = lock.had_replica() ? Earlier::kThere : Earlier::kUnknown;
  Result<std::unique_ptr<Replica>> replica =
      Replica::open(options.replica, options.app, options.group, log, earlier);
  if (!replica) {
    joined.failure = failure_of(replica.error());
    return joined;
  }
  LinkConfig config = link_config(options, **replica);
  if (auto failure = add_endpoints(options, config)) {
    joined.failure = std::move(*failure);
    return joined;
  }
  config.on_event = hooks.on_event;
  if (options.admit_others) {
    if (Result<std::string> path = door_path(options.replica); path) {
      config.door = *path;
    } else {
      log.warn("door: " + path.error().what);
    }
  }
  if (hooks.before_start) hooks.before_start((*replica)->state());
  const BlockedSignals blocked;
  joined.owner =
      std::make_unique<Owner>(std::move(lock), std::move(config), std::move(*replica), log);
  return joined;
}

}  // namespace

Joining::Joining(ClientOptions options, const Log& log) : options_(std::move(options)), log_(log) {}

Joined Joining::attempt(const Hooks& hooks) const {
  Joined joined;
  Result<std::optional<OwnerLock>> lock = OwnerLock::try_take(options_.replica);
  if (!lock) {
    joined.failure = failure_of(lock.error());
    return joined;
  }
  if (*lock) return own(options_, std::move(**lock), hooks, log_);
  const std::optional<OwnerLock::Owner> owner = OwnerLock::owner_of(options_.replica);
  if (owner && !owner->door.empty()) {
    const BlockedSignals blocked;
    joined.door = DoorClient::enter(owner->door, kKnock, log_);
  }
  return joined;
}

bool Joining::has_door() const {
  const std::optional<OwnerLock::Owner> owner = OwnerLock::owner_of(options_.replica);
  return owner && !owner->door.empty();
}

ClientFailure Joining::not_let_in() const {
  const std::optional<OwnerLock::Owner> owner = OwnerLock::owner_of(options_.replica);
  return {4, "the replica " + options_.replica + " is owned by another program" +
                 (owner ? " (process " + std::to_string(owner->pid) + ")" : std::string()) +
                 " that this one cannot work through. End that one, run as its user, or name "
                 "another --replica."};
}

}  // namespace csa
