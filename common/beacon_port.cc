#include "common/beacon_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace csa {
namespace {

constexpr std::chrono::seconds kRefresh{10};

sockaddr_in socket_address(std::uint32_t address, std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_addr.s_addr = htonl(address);
  out.sin_port = htons(port);
  return out;
}

bool bind_to(int file, std::uint32_t address, std::uint16_t port) {
  const sockaddr_in where = socket_address(address, port);
  return ::bind(file, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0;
}

bool send_to(int file, const Beacon& beacon, std::uint32_t address, std::uint16_t port) {
  const auto bytes = encode(beacon);
  const sockaddr_in to = socket_address(address, port);
  return ::sendto(file, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                  reinterpret_cast<const sockaddr*>(&to),
                  sizeof to) == static_cast<ssize_t>(bytes.size());
}

void set_flag(int file, int level, int option) {
  const int on = 1;
  // Not decisive: what a missing option costs shows itself in the doctor.
  if (::setsockopt(file, level, option, &on, sizeof on) != 0) return;
}

std::string reason(int error) {
  if (error == EPERM) return "not permitted: a firewall on this computer stops it";
  return std::strerror(error);
}

}  // namespace

Socket::Socket(Socket&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(file_, other.file_);
  return *this;
}
Socket::~Socket() {
  if (file_ >= 0) ::close(file_);
}

BeaconPort::BeaconPort(Options options, const Log& log) : options_(std::move(options)), log_(log) {
  if (options_.listen) listen();
}

void BeaconPort::listen() {
  Socket socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) {
    listen_error_ = reason(errno);
    return;
  }
  // SO_REUSEADDR alone: broadcasts reach every listener of the host, also of other users.
  set_flag(socket.get(), SOL_SOCKET, SO_REUSEADDR);
  set_flag(socket.get(), IPPROTO_IP, IP_PKTINFO);
  if (!bind_to(socket.get(), INADDR_ANY, options_.port)) {
    listen_error_ = "UDP port " + std::to_string(options_.port) + ": " + reason(errno);
    log_.warn("beacon: cannot listen on " + listen_error_ + "; answers to own probes still arrive");
    return;
  }
  listener_ = std::move(socket);
}

std::vector<int> BeaconPort::fds() const {
  std::vector<int> files;
  if (listener_) files.push_back(listener_.get());
  for (const Sender& sender : senders_) {
    if (sender.socket) files.push_back(sender.socket.get());
  }
  return files;
}

void BeaconPort::refresh(TimePoint now) {
  if (refreshed_ && !again_ && now - *refreshed_ < kRefresh) return;
  refreshed_ = now;
  again_ = false;
  std::vector<NetInterface> present;
  try {
    present = broadcast_interfaces();
  } catch (const std::exception& error) {
    if (listed_error_ != error.what()) log_.warn(std::string("beacon: ") + error.what());
    listed_error_ = error.what();
    return;
  }
  listed_error_.clear();
  senders_.erase(std::remove_if(senders_.begin(), senders_.end(),
                                [&present](const Sender& sender) {
                                  // One that could not be opened is tried again.
                                  return !sender.socket ||
                                         std::find(present.begin(), present.end(),
                                                   sender.interface) == present.end();
                                }),
                 senders_.end());
  for (const NetInterface& interface : present) {
    const bool known =
        std::any_of(senders_.begin(), senders_.end(),
                    [&interface](const Sender& sender) { return sender.interface == interface; });
    if (!known) open_sender(interface);
  }
}

void BeaconPort::open_sender(const NetInterface& interface) {
  const std::uint32_t only = parse_ip(options_.only_address);
  if (only != 0 && interface.address != only) return;
  const std::vector<std::string>& names = options_.interfaces;
  if (!names.empty() && std::find(names.begin(), names.end(), interface.name) == names.end())
    return;
  Sender sender;
  sender.interface = interface;
  sender.report.name = interface.name;
  sender.report.address = ip_text(interface.address);
  sender.socket = Socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (sender.socket) {
    set_flag(sender.socket.get(), SOL_SOCKET, SO_BROADCAST);
    set_flag(sender.socket.get(), IPPROTO_IP, IP_PKTINFO);
  }
  // Bound to the address, so that the datagram's source is right on computers with several.
  if (!sender.socket || !bind_to(sender.socket.get(), interface.address, 0)) {
    note_error(sender, reason(errno));
    sender.socket = Socket();
  }
  senders_.push_back(std::move(sender));
}

void BeaconPort::note_error(Sender& sender, const std::string& error) {
  if (sender.report.error == error) return;
  sender.report.error = error;
  const std::string who = "beacon: " + sender.report.name + " (" + sender.report.address + "): ";
  if (error.empty()) {
    log_.info(who + "works again");
  } else {
    log_.warn(who + error);
  }
}

void BeaconPort::broadcast(const Beacon& beacon, TimePoint now) {
  refresh(now);
  for (Sender& sender : senders_) {
    if (!sender.socket) continue;
    if (send_to(sender.socket.get(), beacon, sender.interface.broadcast, options_.port)) {
      ++sender.report.sent;
      note_error(sender, "");
    } else {
      note_error(sender, reason(errno));
      again_ = true;
    }
  }
  for (const Endpoint& endpoint : options_.also) {
    const std::uint16_t port = endpoint.port == 0 ? options_.port : endpoint.port;
    const bool sent = unicast(beacon, parse_ip(endpoint.host), port);
    std::string& error = also_errors_[endpoint];
    const std::string now_error = sent ? "" : reason(errno);
    if (error != now_error) {
      log_.warn("beacon: to " + to_string(endpoint) + ": " + (sent ? "works again" : now_error));
    }
    error = now_error;
  }
}

// From an unbound socket: the kernel chooses the source address by its routes.
bool BeaconPort::unicast(const Beacon& beacon, std::uint32_t address, std::uint16_t port) {
  if (!unicast_) {
    unicast_ = Socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  }
  return unicast_ && send_to(unicast_.get(), beacon, address, port);
}

const NetInterface* BeaconPort::interface_of(std::uint32_t source, std::uint32_t local) const {
  for (const Sender& sender : senders_) {
    if (sender.interface.address == local) return &sender.interface;
  }
  for (const Sender& sender : senders_) {
    if ((source & sender.interface.mask) == (sender.interface.address & sender.interface.mask)) {
      return &sender.interface;
    }
  }
  return nullptr;
}

void BeaconPort::receive_from(int file, std::size_t max, std::vector<Heard>& out) {
  for (std::size_t i = 0; i < max; ++i) {
    std::array<std::uint8_t, 2 * kBeaconSize> bytes{};
    alignas(cmsghdr) std::array<char, 256> control{};
    sockaddr_in from{};
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(file, &message, MSG_DONTWAIT);
    if (got < 0) return;
    const Result<Beacon> beacon =
        decode_beacon(ByteView(bytes.data(), static_cast<std::size_t>(got)));
    if (!beacon) {
      ++nonsense_;
      continue;
    }
    Heard heard;
    heard.source = ntohl(from.sin_addr.s_addr);
    heard.source_port = ntohs(from.sin_port);
    for (cmsghdr* one = CMSG_FIRSTHDR(&message); one != nullptr; one = CMSG_NXTHDR(&message, one)) {
      if (one->cmsg_level != IPPROTO_IP || one->cmsg_type != IP_PKTINFO) continue;
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(one), sizeof info);
      heard.arrived_at = ntohl(info.ipi_spec_dst.s_addr);
    }
    heard.heard.beacon = *beacon;
    heard.heard.address = ip_text(heard.source);
    if (const NetInterface* const interface = interface_of(heard.source, heard.arrived_at)) {
      heard.heard.interface_address = interface->address;
      heard.heard.interface_mask = interface->mask;
      for (Sender& sender : senders_) {
        if (&sender.interface == interface) ++sender.report.heard;
      }
    }
    out.push_back(std::move(heard));
  }
}

std::vector<BeaconPort::Heard> BeaconPort::receive(std::size_t max) {
  std::vector<Heard> out;
  for (const int file : fds()) receive_from(file, max, out);
  return out;
}

void BeaconPort::answer(const Beacon& beacon, const Heard& to) {
  const NetInterface* const interface = interface_of(to.source, to.arrived_at);
  for (const Sender& sender : senders_) {
    if (sender.socket && &sender.interface == interface) {
      (void)send_to(sender.socket.get(), beacon, to.source, to.source_port);
      return;
    }
  }
  (void)unicast(beacon, to.source, to.source_port);
}

std::vector<InterfaceReport> BeaconPort::report() const {
  std::vector<InterfaceReport> all;
  for (const Sender& sender : senders_) all.push_back(sender.report);
  return all;
}

}  // namespace csa
