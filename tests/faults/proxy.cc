#include "tests/faults/proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/check.h"
#include "common/system_clock.h"

namespace csa::fault_test {
namespace {

constexpr std::size_t kWaitingMax = 1U << 20U;  // bytes of a connection, one way
constexpr int kTurn = 2;                        // milliseconds at most between two looks
constexpr int kSingleBytes = 200;               // of a connection in one turn

sockaddr_in address_of(const char* host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  CSA_CHECK(::inet_pton(AF_INET, host, &address.sin_addr) == 1);
  return address;
}

int tcp_socket() {
  const int file = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CSA_CHECK(file >= 0);
  const int yes = 1;
  (void)::setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  (void)::setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return file;
}

void no_waiting(int file) { (void)::fcntl(file, F_SETFL, O_NONBLOCK); }

}  // namespace

Proxy::Proxy(const system_test::Ready& ready, std::uint64_t seed)
    : port_(ready.port), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), random_(seed) {
  ports_ = {static_cast<std::uint16_t>(std::stoul(ready.port)),
            static_cast<std::uint16_t>(std::stoul(ready.pub_port))};
  for (std::size_t i = 0; i < 2; ++i) {
    listeners_.at(i) = tcp_socket();
    const sockaddr_in at = address_of(kHost, ports_.at(i));
    CSA_CHECK(::bind(listeners_.at(i), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
    CSA_CHECK(::listen(listeners_.at(i), 100) == 0);
    no_waiting(listeners_.at(i));
  }
  thread_ = std::thread([this] { run(); });
}

Proxy::~Proxy() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  (void)::eventfd_write(wake_, 1);
  thread_.join();
  for (const int file : listeners_) ::close(file);
  ::close(wake_);
}

void Proxy::set(Way way, Manner manner) {
  const std::lock_guard lock(mutex_);
  manners_.at(way) = manner;
  for (Link& link : links_) {
    if (link.ways.at(way).swallowed && !manner.black_hole) link.over = true;
  }
  (void)::eventfd_write(wake_, 1);
}

void Proxy::cut() {
  const std::lock_guard lock(mutex_);
  for (Link& link : links_) link.over = true;
  (void)::eventfd_write(wake_, 1);
}

std::size_t Proxy::accepted() const {
  const std::lock_guard lock(mutex_);
  return accepted_;
}

std::size_t Proxy::flipped() const {
  const std::lock_guard lock(mutex_);
  return flipped_;
}

std::size_t Proxy::stalled() const {
  const std::lock_guard lock(mutex_);
  return stalled_;
}

std::size_t Proxy::cut_short() const {
  const std::lock_guard lock(mutex_);
  return cut_short_;
}

system_test::Launch Proxy::through(system_test::Launch launch) const {
  launch.command.insert(launch.command.end(), {"--broker", kHost + (":" + port_)});
  launch.environment["CSA_BEACON_PORT"] = "9";  // hears no beacon
  return launch;
}

ClientOptions Proxy::through(ClientOptions options) const {
  options.brokers = {kHost + (":" + port_)};
  return options;
}

void Proxy::accept_at(int listener, std::uint16_t port) {
  const int node = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (node < 0) return;
  const int broker = tcp_socket();
  const sockaddr_in to = address_of("127.0.0.1", port);
  if (::connect(broker, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    ::close(broker);
    ::close(node);
    return;
  }
  const int yes = 1;
  (void)::setsockopt(node, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  no_waiting(node);
  no_waiting(broker);
  links_.emplace_back().ends = {node, broker};
  ++accepted_;
}

void Proxy::take(Link& link, Way way) {
  Stream& stream = link.ways.at(way);
  std::array<char, 16384> piece{};
  const ssize_t size = ::recv(link.ends.at(way), piece.data(), piece.size(), 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) {
    link.over = true;
    return;
  }
  const Manner& manner = manners_.at(way);
  stream.swallowed = stream.swallowed || manner.black_hole;
  if (stream.swallowed) return;
  const auto count = static_cast<std::size_t>(size);
  std::string bytes(piece.data(), count);
  if (manner.flip_each > 0) flip(bytes, manner.flip_each);
  std::chrono::milliseconds delay = manner.delay;
  if (manner.stall_each > 0 && random_() % manner.stall_each == 0) {
    delay += std::chrono::milliseconds{200 + random_() % 800};
    ++stalled_;
  }
  stream.waiting.push_back({monotonic_now() + delay, std::move(bytes)});
  stream.size += count;
}

void Proxy::flip(std::string& bytes, std::size_t each) {
  if (random_() % each >= bytes.size()) return;
  char& byte = bytes[random_() % bytes.size()];
  byte = static_cast<char>(static_cast<unsigned char>(byte) ^ (1U << (random_() % 8)));
  ++flipped_;
}

void Proxy::pass(Link& link, Way way) {
  Stream& stream = link.ways.at(way);
  const Manner& manner = manners_.at(way);
  for (int sent = 0; !stream.waiting.empty() && sent < kSingleBytes; ++sent) {
    Piece& piece = stream.waiting.front();
    if (piece.due > monotonic_now()) return;
    std::size_t count = manner.by_bytes ? 1 : piece.bytes.size();
    if (manner.cut_after > 0) {
      count = std::min(count, manner.cut_after - std::min(manner.cut_after, stream.passed));
      if (count == 0) {
        link.over = true;
        ++cut_short_;
        return;
      }
    }
    const ssize_t done = ::send(link.ends.at(1U - way), piece.bytes.data(), count, MSG_NOSIGNAL);
    if (done < 0 && errno != EAGAIN && errno != EINTR) link.over = true;
    if (done <= 0) return;
    stream.passed += static_cast<std::size_t>(done);
    stream.size -= static_cast<std::size_t>(done);
    piece.bytes.erase(0, static_cast<std::size_t>(done));
    if (piece.bytes.empty()) stream.waiting.pop_front();
  }
}

void Proxy::run() {
  while (true) {
    std::vector<pollfd> files{
        {wake_, POLLIN, 0}, {listeners_[0], POLLIN, 0}, {listeners_[1], POLLIN, 0}};
    bool waits = false;
    {
      const std::lock_guard lock(mutex_);
      if (stop_) break;
      for (const Link& link : links_) {
        for (const Way way : {kUp, kDown}) {
          const short in = link.ways.at(way).size < kWaitingMax ? POLLIN : 0;
          files.push_back({link.ends.at(way), in, 0});
          waits = waits || link.ways.at(way).size > 0;
        }
      }
    }
    (void)::poll(files.data(), files.size(), waits ? kTurn : -1);
    const std::lock_guard lock(mutex_);
    eventfd_t woken = 0;
    (void)::eventfd_read(wake_, &woken);
    for (Link& link : links_) {
      for (const Way way : {kUp, kDown}) {
        if (link.ways.at(way).size < kWaitingMax && !link.over) take(link, way);
        if (!link.over) pass(link, way);
      }
    }
    links_.remove_if([](const Link& link) {
      if (!link.over) return false;
      for (const int file : link.ends) ::close(file);
      return true;
    });
    for (std::size_t i = 0; i < 2; ++i) accept_at(listeners_.at(i), ports_.at(i));
  }
  for (const Link& link : links_) {
    for (const int file : link.ends) ::close(file);
  }
}

}  // namespace csa::fault_test
