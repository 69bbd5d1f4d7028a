#include "common/net_interfaces.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>

namespace csa {
namespace {

constexpr std::uint32_t kLoopback = 0x7F000001;
constexpr std::uint32_t kLoopbackBroadcast = 0x7FFFFFFF;
constexpr std::uint32_t kPrefix30 = 0xFFFFFFFC;

struct FreeAddresses {
  void operator()(ifaddrs* list) const noexcept { ::freeifaddrs(list); }
};
using Addresses = std::unique_ptr<ifaddrs, FreeAddresses>;

Addresses addresses() {
  ifaddrs* raw = nullptr;
  if (::getifaddrs(&raw) != 0) {
    throw std::system_error(errno, std::generic_category(), "getifaddrs");
  }
  return Addresses(raw);
}

std::uint32_t host_order(const sockaddr* address) {
  if (address == nullptr || address->sa_family != AF_INET) return 0;
  sockaddr_in in{};
  std::memcpy(&in, address, sizeof in);
  return ntohl(in.sin_addr.s_addr);
}

}  // namespace

std::vector<NetInterface> broadcast_interfaces() {
  const Addresses list = addresses();
  std::vector<NetInterface> found;
  bool loopback = false;
  for (const ifaddrs* one = list.get(); one != nullptr; one = one->ifa_next) {
    if ((one->ifa_flags & IFF_UP) == 0) continue;
    const std::uint32_t address = host_order(one->ifa_addr);
    if (address == 0) continue;
    const std::uint32_t mask = host_order(one->ifa_netmask);
    if ((one->ifa_flags & IFF_LOOPBACK) != 0) {
      // One datagram reaches every listener of the host, whatever 127/8 addresses it has.
      if (!loopback) found.push_back({one->ifa_name, kLoopback, mask, kLoopbackBroadcast, true});
      loopback = true;
      continue;
    }
    if ((one->ifa_flags & IFF_POINTOPOINT) != 0 || mask > kPrefix30) continue;
    // An address added without a broadcast address reports its own in that place.
    std::uint32_t broadcast = 0;
    if ((one->ifa_flags & IFF_BROADCAST) != 0) broadcast = host_order(one->ifa_broadaddr);
    if (broadcast == 0 || broadcast == address) broadcast = address | ~mask;
    found.push_back({one->ifa_name, address, mask, broadcast, false});
  }
  return found;
}

bool is_own_address(std::uint32_t address) {
  if ((address >> 24U) == 127) return true;
  const Addresses list = addresses();
  for (const ifaddrs* one = list.get(); one != nullptr; one = one->ifa_next) {
    if (address != 0 && host_order(one->ifa_addr) == address) return true;
  }
  return false;
}

std::string ip_text(std::uint32_t address) {
  const in_addr in{htonl(address)};
  std::array<char, INET_ADDRSTRLEN> text{};
  return ::inet_ntop(AF_INET, &in, text.data(), text.size()) != nullptr ? text.data() : "";
}

std::uint32_t parse_ip(const std::string& text) {
  in_addr in{};
  return ::inet_pton(AF_INET, text.c_str(), &in) == 1 ? ntohl(in.s_addr) : 0;
}

}  // namespace csa
