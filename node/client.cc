#include "node/client.h"

#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <future>

#include "common/host.h"
#include "common/random.h"
#include "common/system_clock.h"
#include "node/backend.h"
#include "node/guest.h"
#include "node/link.h"
#include "node/owner_lock.h"
#include "node/read_only.h"
#include "node/results.h"

namespace csa {
namespace {

using std::chrono::milliseconds;

constexpr std::uint16_t kDefaultPort = 5775;
constexpr milliseconds kOwnerWait{60000};    // for a short-lived owner to finish its work
constexpr milliseconds kDoorTimeout{1000};   // one knock
constexpr milliseconds kDoorPatience{5000};  // for an owner that says it has a door

ClientFailure failure_of(const Error& error) {
  int code = 1;
  if (error.code == Errc::kNothing) code = 3;
  if (error.code == Errc::kRefused) code = 4;
  if (error.code == Errc::kDamaged) code = 7;
  return {code, error.what};
}

Log log_of(const ClientOptions& options) {
  if (!options.on_log) return {};
  return Log(LogLevel::kDebug, [sink = options.on_log](LogLevel level, std::string_view line) {
    sink(static_cast<ClientLogLevel>(level), line);
  });
}

// Tells the application that a guest has lost its owner.
std::function<void()> owner_gone(const ClientOptions& options) {
  return [tell = options.on_event] {
    ClientEvent event;
    event.kind = ClientEvent::Kind::kStopped;
    event.text = "the program that owned the replica has ended";
    if (tell) tell(event);
  };
}

// Signals belong to the application's threads.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

class Client::Impl {
 public:
  explicit Impl(ClientOptions options) : options_(std::move(options)), log_(log_of(options_)) {}

  // Owner where the lock is free, else a guest of the owner.
  ClientFailure open();
  std::optional<ClientFailure> own(OwnerLock lock);
  [[nodiscard]] std::optional<ClientFailure> endpoints(LinkConfig& config) const;
  [[nodiscard]] LinkConfig link_config(const Replica& replica, const std::string& door) const;

  ClientOptions options_;
  Log log_;
  std::optional<OwnerLock> lock_;
  std::unique_ptr<Backend> backend_;
  bool guest_ = false;
};

LinkConfig Client::Impl::link_config(const Replica& replica, const std::string& door) const {
  LinkConfig config;
  config.app = options_.app;
  config.group = options_.group;
  config.hostname = host_name();
  config.replica_path = options_.replica;
  config.door = door;
  config.on_event = options_.on_event;
  config.session.discovery_timeout = options_.discovery_timeout;
  config.session.stop_on_disconnect = options_.stop_on_disconnect;
  UplinkConfig& uplink = config.session.uplink;
  uplink.hello.role = Role::kNode;
  uplink.hello.app = options_.app;
  uplink.hello.group = options_.group;
  uplink.hello.app_version = options_.app_version;
  uplink.hello.program = options_.program + " " CSA_VERSION;
  uplink.hello.hostname = config.hostname;
  uplink.hello.incarnation = random_id();
  uplink.seed = random_u64();
  if (const auto last = replica.last_endpoint(); last && options_.brokers.empty()) {
    uplink.last_good = parse_endpoint(*last, kDefaultPort);
  }
  config.dialer.cluster = cluster_id(options_.app, options_.group);
  config.dialer.beacon_port = options_.beacon_port;
  config.dialer.beacon_interfaces = options_.beacon_interfaces;
  config.dialer.beacon = options_.brokers.empty();
  return config;
}

std::optional<ClientFailure> Client::Impl::endpoints(LinkConfig& config) const {
  for (const std::string& text : options_.brokers) {
    const std::optional<Endpoint> endpoint = parse_endpoint(text, kDefaultPort);
    if (!endpoint) return ClientFailure{2, "'" + text + "' is no broker's HOST[:PORT]"};
    config.session.uplink.fixed.push_back(*endpoint);
  }
  return std::nullopt;
}

std::optional<ClientFailure> Client::Impl::own(OwnerLock lock) {
  lock.announce("");
  Result<std::unique_ptr<Replica>> replica =
      Replica::open(options_.replica, options_.app, options_.group, log_);
  if (!replica) return failure_of(replica.error());
  std::string door;
  if (options_.admit_others) {
    if (Result<std::string> path = door_path(options_.replica); path) {
      door = *path;
    } else {
      log_.warn("door: " + path.error().what);
    }
  }
  LinkConfig config = link_config(**replica, door);
  if (auto failure = endpoints(config)) return failure;
  lock_ = std::move(lock);
  {
    const BlockedSignals blocked;
    backend_ = std::make_unique<Link>(std::move(config), std::move(*replica), log_);
  }
  lock_->announce(door);
  return std::nullopt;
}

ClientFailure Client::Impl::open() {
  if (options_.replica.empty()) options_.replica = default_replica_path(options_.group);
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(options_.replica).parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  if (error) {
    return {1, "cannot make the replica's folder " + folder.string() + ": " + error.message()};
  }
  const TimePoint start = monotonic_now();
  std::optional<TimePoint> knocked;
  while (true) {
    Result<std::optional<OwnerLock>> lock = OwnerLock::try_take(options_.replica);
    if (!lock) return failure_of(lock.error());
    if (*lock) return own(std::move(**lock)).value_or(ClientFailure{0, ""});
    const std::optional<OwnerLock::Owner> owner = OwnerLock::owner_of(options_.replica);
    const TimePoint now = monotonic_now();
    if (owner && !owner->door.empty()) {
      if (!knocked) knocked = now;
      const BlockedSignals blocked;
      backend_ =
          Guest::enter({owner->door, options_.on_event, owner_gone(options_)}, kDoorTimeout, log_);
      guest_ = backend_ != nullptr;
      if (guest_) return {0, ""};
    }
    const bool patient = knocked ? now - *knocked < kDoorPatience : now - start < kOwnerWait;
    if (!patient) {
      return {4, "the replica " + options_.replica + " is owned by another program" +
                     (owner ? " (process " + std::to_string(owner->pid) + ")" : std::string()) +
                     " that this one cannot work through. End that one, run as its user, or name "
                     "another --replica."};
    }
    // The owner is about to open its door or to end: look again soon.
    std::promise<void>().get_future().wait_for(milliseconds{50});
  }
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

OpenedClient Client::open(ClientOptions options) {
  OpenedClient opened;
  auto impl = std::make_unique<Impl>(std::move(options));
  try {
    opened.failure = impl->open();
  } catch (const std::exception& error) {
    opened.failure = {1, std::string("cannot open the replica: ") + error.what()};
  }
  if (impl->backend_) opened.client.reset(new Client(std::move(impl)));
  return opened;
}

Client::~Client() { leave(); }

bool Client::wait_until_readable(milliseconds timeout) {
  const auto readable = [](const ClientStatus& s) {
    return s.state == ClientState::kLive ||
           (!s.epoch.empty() &&
            (s.state == ClientState::kStandalone || s.state == ClientState::kRefused));
  };
  const auto hopeless = [](const ClientStatus& s) {
    return s.epoch.empty() &&
           (s.state == ClientState::kStandalone || s.state == ClientState::kRefused);
  };
  return impl_->backend_->wait(readable, hopeless, timeout);
}

bool Client::settle(milliseconds timeout) {
  return impl_->backend_->wait([](const ClientStatus& s) { return s.state == ClientState::kLive; },
                               [](const ClientStatus& s) {
                                 return s.state == ClientState::kStandalone ||
                                        s.state == ClientState::kRefused ||
                                        s.state == ClientState::kLeaving;
                               },
                               timeout);
}

bool Client::wait_for(ClientState state, milliseconds timeout) {
  return impl_->backend_->wait([state](const ClientStatus& s) { return s.state == state; }, nullptr,
                               timeout);
}

void Client::exec_async(std::string_view sql, Row parameters, WriteOptions options,
                        std::function<void(WriteResult)> done) {
  Write write;
  write.sql = std::string(sql);
  write.parameters = std::move(parameters);
  write.expect = options.expect;
  impl_->backend_->submit(std::move(write), options.timeout, std::move(done));
}

namespace {

WriteResult submit_and_wait(Backend& backend, Backend::Request request, milliseconds timeout) {
  auto promise = std::make_shared<std::promise<WriteResult>>();
  std::future<WriteResult> answer = promise->get_future();
  backend.submit(std::move(request), timeout,
                 [promise](WriteResult result) { promise->set_value(std::move(result)); });
  return answer.get();
}

}  // namespace

WriteResult Client::exec(std::string_view sql, Row parameters, WriteOptions options) {
  Write write;
  write.sql = std::string(sql);
  write.parameters = std::move(parameters);
  write.expect = options.expect;
  return submit_and_wait(*impl_->backend_, std::move(write), options.timeout);
}

WriteResult Client::migrate(std::string_view sql, std::optional<std::uint64_t> version,
                            WriteOptions options) {
  Migrate migrate;
  migrate.sql = std::string(sql);
  migrate.version = version;
  return submit_and_wait(*impl_->backend_, std::move(migrate), options.timeout);
}

WriteResult Client::outcome(std::string_view tx, milliseconds timeout) {
  const std::optional<TxId> id = parse_tx_id(tx);
  if (!id) {
    WriteResult result = failed_result(WriteResult::Status::kRejected,
                                       "'" + std::string(tx) + "' is no TX: NODE:N is expected");
    result.code = "sql";
    return result;
  }
  return submit_and_wait(*impl_->backend_, OutcomeGet{*id}, timeout);
}

ClientStatus Client::status() {
  ClientStatus status = impl_->backend_->status();
  if (status.replica.empty()) status.replica = impl_->options_.replica;
  return status;
}

const std::string& Client::replica_path() const { return impl_->options_.replica; }

Reader Client::open_reader() const { return open_read_only(impl_->options_.replica); }

bool Client::works_through_owner() const { return impl_->guest_; }

void Client::leave() {
  if (impl_->backend_) impl_->backend_->leave();
  impl_->lock_.reset();
}

}  // namespace csa
