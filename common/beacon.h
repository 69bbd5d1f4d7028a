// The UDP datagram by which brokers and nodes find each other: 96 bytes, layout in
// schemas/protocol.md. Pure. A beacon is a hint and never proof of anything.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "common/bytes.h"
#include "common/result.h"
#include "common/types.h"

namespace csa {

enum class BeaconKind : std::uint8_t { kAnnounce = 1, kProbe = 2, kBye = 3 };

struct Beacon {
  BeaconKind kind = BeaconKind::kProbe;
  std::uint8_t flags = 0;  // bit 0: CURVE, bit 1: enrolment open; none in use yet
  std::uint8_t protocol_min = 0;
  std::uint8_t protocol_max = 0;
  Id128 cluster;                 // cluster_id(app, group)
  std::uint64_t generation = 0;  // of the broker's Epoch; 0 in a PROBE
  std::uint64_t boot = 0;        // first 8 bytes of the broker's boot id; a PROBE's sender: 0
  std::uint16_t port = 0;
  std::uint16_t pub_port = 0;
  std::uint32_t interval_ms = 0;
  std::array<std::uint8_t, 32> key{};  // broker's public key; zero: none
  Id128 nonce;  // a PROBE's, echoed in the ANNOUNCE that answers it; else zero
  bool operator==(const Beacon&) const = default;
};

inline constexpr std::size_t kBeaconSize = 96;

[[nodiscard]] std::array<std::uint8_t, kBeaconSize> encode(const Beacon& beacon);
// kMalformed: wrong length, magic, kind, or an ANNOUNCE with port 0.
[[nodiscard]] Result<Beacon> decode_beacon(ByteView datagram);
// Who may find whom: a hash of both names.
[[nodiscard]] Id128 cluster_id(std::string_view app, std::string_view group);

}  // namespace csa
