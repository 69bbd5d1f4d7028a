#include "broker/held_frames.h"

#include <utility>

namespace csa {

HeldFrames::Sent HeldFrames::send(const PeerKey& peer, Bytes frame, const Try& attempt) {
  const auto place = lines_.find(peer);
  if (place == lines_.end()) {
    const Sent sent = attempt(peer, frame);
    if (sent != Sent::kFull) return sent;
  }
  const std::size_t bytes = frame.size() + kFrameCost;
  const std::size_t own = place == lines_.end() ? 0 : place->second.bytes;
  if (own + bytes > peer_bytes_max_ || bytes_ + bytes > bytes_max_) return Sent::kFull;
  Line& line = lines_[peer];
  line.frames.push_back(std::move(frame));
  line.bytes += bytes;
  bytes_ += bytes;
  return Sent::kYes;
}

bool HeldFrames::retry(const Try& attempt) {
  bool changed = false;
  for (auto place = lines_.begin(); place != lines_.end();) {
    Line& line = place->second;
    Sent sent = Sent::kYes;
    while (!line.frames.empty()) {
      sent = attempt(place->first, line.frames.front());
      if (sent != Sent::kYes) break;
      const std::size_t bytes = line.frames.front().size() + kFrameCost;
      line.bytes -= bytes;
      bytes_ -= bytes;
      line.frames.pop_front();
      changed = true;
    }
    if (sent == Sent::kFull) {
      ++place;
      continue;
    }
    changed = changed || sent == Sent::kGone;
    bytes_ -= line.bytes;
    place = lines_.erase(place);
  }
  return changed;
}

}  // namespace csa
