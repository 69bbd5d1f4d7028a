#include "common/beacon.h"

#include <algorithm>
#include <string>

namespace csa {
namespace {

constexpr std::array<std::uint8_t, 4> kMagic = {'C', 'S', 'A', 0x01};

// Fills a datagram from the front.
class Datagram {
 public:
  void put(std::uint64_t value, std::size_t octets) {
    for (std::size_t i = octets; i-- > 0;) {
      out_.at(at_++) = static_cast<std::uint8_t>(value >> (8 * i));
    }
  }
  void put(ByteView bytes) {
    for (const std::uint8_t byte : bytes) out_.at(at_++) = byte;
  }
  [[nodiscard]] const std::array<std::uint8_t, kBeaconSize>& datagram() const {
    CSA_CHECK(at_ == kBeaconSize);
    return out_;
  }

 private:
  std::array<std::uint8_t, kBeaconSize> out_{};
  std::size_t at_ = 0;
};

// Takes numbers and bytes off the front. REQUIRES: as many are there.
std::uint64_t take(ByteView& rest, std::size_t octets) {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : rest.first(octets)) value = value << 8U | byte;
  rest = rest.subspan(octets);
  return value;
}

void take(ByteView& rest, std::span<std::uint8_t> out) {
  std::copy_n(rest.begin(), out.size(), out.begin());
  rest = rest.subspan(out.size());
}

Error no_beacon(const std::string& why) {
  return {Errc::kMalformed, "Not a beacon of csa: " + why + "."};
}

}  // namespace

std::array<std::uint8_t, kBeaconSize> encode(const Beacon& beacon) {
  Datagram out;
  out.put(kMagic);
  out.put(static_cast<std::uint8_t>(beacon.kind), 1);
  out.put(beacon.flags, 1);
  out.put(beacon.protocol_min, 1);
  out.put(beacon.protocol_max, 1);
  out.put(beacon.cluster.bytes);
  out.put(beacon.generation, 8);
  out.put(beacon.boot, 8);
  out.put(beacon.port, 2);
  out.put(beacon.pub_port, 2);
  out.put(beacon.interval_ms, 4);
  out.put(beacon.key);
  out.put(beacon.nonce.bytes);
  return out.datagram();
}

Result<Beacon> decode_beacon(ByteView datagram) {
  if (datagram.size() != kBeaconSize) {
    return no_beacon(std::to_string(datagram.size()) + " bytes instead of " +
                     std::to_string(kBeaconSize));
  }
  if (!std::equal(kMagic.begin(), kMagic.end(), datagram.begin())) return no_beacon("wrong magic");
  ByteView rest = datagram.subspan(kMagic.size());
  Beacon beacon;
  const auto kind = static_cast<std::uint8_t>(take(rest, 1));
  if (kind < 1 || kind > 3) return no_beacon("unknown kind " + std::to_string(kind));
  beacon.kind = static_cast<BeaconKind>(kind);
  beacon.flags = static_cast<std::uint8_t>(take(rest, 1));
  beacon.protocol_min = static_cast<std::uint8_t>(take(rest, 1));
  beacon.protocol_max = static_cast<std::uint8_t>(take(rest, 1));
  take(rest, beacon.cluster.bytes);
  beacon.generation = take(rest, 8);
  beacon.boot = take(rest, 8);
  beacon.port = static_cast<std::uint16_t>(take(rest, 2));
  beacon.pub_port = static_cast<std::uint16_t>(take(rest, 2));
  beacon.interval_ms = static_cast<std::uint32_t>(take(rest, 4));
  take(rest, beacon.key);
  take(rest, beacon.nonce.bytes);
  if (beacon.kind == BeaconKind::kAnnounce && beacon.port == 0) {
    return no_beacon("an ANNOUNCE with port 0");
  }
  return beacon;
}

Id128 cluster_id(std::string_view app, std::string_view group) {
  // The length keeps ("ab", "c") and ("a", "bc") apart.
  std::string names;
  for (std::size_t shift = 32; shift > 0; shift -= 8) {
    names += static_cast<char>(static_cast<std::uint8_t>(app.size() >> (shift - 8)));
  }
  names.append(app).append(group);
  return hash128(as_bytes(names));
}

}  // namespace csa
