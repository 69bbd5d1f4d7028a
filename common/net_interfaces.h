// The IPv4 addresses of this computer, as discovery uses them: where to send a broadcast so that
// every LAN hears it, and which addresses are its own. Throws std::system_error where the kernel
// will not say.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace csa {

// Addresses in host order.
struct NetInterface {
  std::string name;
  std::uint32_t address = 0;
  std::uint32_t mask = 0;
  std::uint32_t broadcast = 0;  // where to send; loopback: 127.255.255.255
  bool loopback = false;
  bool operator==(const NetInterface&) const = default;
};

// UP interfaces, not point-to-point, with a prefix of at most 30 bits; loopback by 127.0.0.1.
[[nodiscard]] std::vector<NetInterface> broadcast_interfaces();
// 127/8, or an address of any interface.
[[nodiscard]] bool is_own_address(std::uint32_t address);

[[nodiscard]] std::string ip_text(std::uint32_t address);
// 0: not a dotted address.
[[nodiscard]] std::uint32_t parse_ip(const std::string& text);

}  // namespace csa
