#include "tests/threads/served.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <future>

#include "broker/server_rivals.h"
#include "common/host.h"
#include "common/limits.h"
#include "common/random.h"
#include "common/system_clock.h"

namespace csa::threads_test {
namespace {

using std::chrono::milliseconds;

constexpr const char* kSchema =
    "CREATE TABLE entry (id INTEGER PRIMARY KEY, writer INTEGER NOT NULL, number INTEGER NOT NULL)";

std::uint16_t free_udp_port() {
  const int file = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const plain = reinterpret_cast<sockaddr*>(&address);
  REQUIRE(::bind(file, plain, size) == 0);
  REQUIRE(::getsockname(file, plain, &size) == 0);
  ::close(file);
  return ntohs(address.sin_port);
}

}  // namespace

Served::Served() : beacon_port_(free_udp_port()) {
  group_ = "threads-" + std::to_string(::getpid()) + "-" +
           folder_.path().substr(folder_.path().size() - 6);
  REQUIRE(::setenv("XDG_RUNTIME_DIR", folder_.path().c_str(), 1) == 0);
  const Result<Meta> made =
      create({master(), "csa", group_}, {kSchema},
             {[] { return random_id(); }, [boot = boot_hash()] { return local_now(boot); }});
  REQUIRE_MESSAGE(made, made.error().what);
  start();
}

Served::~Served() { stop(); }

void Served::start() {
  ServeConfig config;
  config.database = master();
  config.group = group_;
  config.listen = "127.0.0.1";
  config.port = 0;
  config.beacon_port = beacon_port_;
  config.beacon_interfaces = {"lo"};
  config.heartbeat = limits::kHeartbeat;
  config.node_timeout = limits::kNodeTimeout;
  config.statement_timeout = limits::kStatementTimeout;
  config.log_keep = limits::kLogKeepDefault;
  config.max_changes = limits::kMaxChangesDefault;
  broker_ = std::thread([config] {
    const Result<BrokerLock> lock = BrokerLock::take(config.database);
    CHECK(lock);
    const Log log;
    RivalSearch search;
    search.begin(config);
    const Status ended = serve(config, search, nullptr, log);
    CHECK_MESSAGE(ended, ended.error().what);
  });
}

void Served::stop() {
  if (!broker_.joinable()) return;
  REQUIRE(::kill(::getpid(), SIGTERM) == 0);
  broker_.join();
}

std::unique_ptr<Client> Served::open(const std::string& replica,
                                     std::function<void(const ClientEvent&)> on_event) const {
  ClientOptions options;
  options.replica = folder_.file(replica);
  options.group = group_;
  options.beacon_port = beacon_port_;
  options.beacon_interfaces = {"lo"};
  options.discovery_timeout = std::chrono::seconds{20};
  options.on_event = std::move(on_event);
  OpenedClient opened = Client::open(std::move(options));
  REQUIRE_MESSAGE(opened.client, opened.failure.text);
  return std::move(opened.client);
}

void breathe() { std::promise<void>().get_future().wait_for(milliseconds{5}); }

bool eventually(const std::function<bool()>& condition) {
  const TimePoint end = monotonic_now() + std::chrono::seconds{60};
  while (!condition()) {
    if (monotonic_now() >= end) return false;
    breathe();
  }
  return true;
}

}  // namespace csa::threads_test
