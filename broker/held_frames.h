// Frames that ROUTER had no room for, by peer, in order, until it has. A burst of answers is larger
// than a pipe; a peer that does not read at all must not fill the memory. Pure, not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>

#include "broker/hub.h"
#include "common/bytes.h"

namespace csa {

class HeldFrames {
 public:
  enum class Sent : std::uint8_t { kYes, kFull, kGone };
  // One try to hand a frame to the socket; never waits.
  using Try = std::function<Sent(const PeerKey& peer, const Bytes& frame)>;

  HeldFrames(std::size_t peer_bytes_max, std::size_t bytes_max)
      : peer_bytes_max_(peer_bytes_max), bytes_max_(bytes_max) {}

  // Behind what is held for the peer. kFull: over the bounds, the frame is dropped. kGone: there is
  // no such peer (any more), and nothing is held for it.
  [[nodiscard]] Sent send(const PeerKey& peer, Bytes frame, const Try& attempt);
  // Tries what is held. Returns whether anything went out or a peer was gone.
  bool retry(const Try& attempt);
  [[nodiscard]] bool empty() const { return lines_.empty(); }

 private:
  struct Line {
    std::deque<Bytes> frames;
    std::size_t bytes = 0;
  };
  // Memory of a frame beside its bytes.
  static constexpr std::size_t kFrameCost = 64;

  std::size_t peer_bytes_max_;
  std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  std::map<PeerKey, Line> lines_;  // none is empty
};

}  // namespace csa
