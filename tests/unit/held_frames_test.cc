#include "broker/held_frames.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace csa::held_frames_test {
namespace {

using Sent = HeldFrames::Sent;

constexpr std::size_t kPeerMax = 1000;
constexpr std::size_t kAllMax = 1500;

// A socket with so much room a peer, and what went out.
struct Pipes {
  std::map<PeerKey, int> room;  // -1: gone
  std::vector<std::pair<PeerKey, std::size_t>> out;
  HeldFrames held{kPeerMax, kAllMax};

  HeldFrames::Try attempt() {
    return [this](const PeerKey& peer, const Bytes& frame) {
      if (room[peer] < 0) return Sent::kGone;
      if (room[peer] == 0) return Sent::kFull;
      --room[peer];
      out.emplace_back(peer, frame.size());
      return Sent::kYes;
    };
  }
  Sent send(const PeerKey& peer, std::size_t size) {
    return held.send(peer, Bytes(size), attempt());
  }
};

}  // namespace

TEST_CASE("held frames: more than the pipe takes, all go out in order once there is room") {
  Pipes p;
  p.room["a"] = 1;
  for (std::size_t size = 1; size <= 4; ++size) CHECK(p.send("a", size) == Sent::kYes);
  CHECK(p.out.size() == 1);
  CHECK_FALSE(p.held.retry(p.attempt()));
  p.room["a"] = 2;
  CHECK(p.held.retry(p.attempt()));
  p.room["a"] = 9;
  CHECK(p.send("a", 5) == Sent::kYes);  // behind what is held
  CHECK(p.held.retry(p.attempt()));
  CHECK(p.held.empty());
  REQUIRE(p.out.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) CHECK(p.out[i].second == i + 1);
}

TEST_CASE("held frames: a peer that does not read is held up to its bound, others go on") {
  Pipes p;
  p.room["b"] = 100;
  int kept = 0;
  while (p.send("a", 200) == Sent::kYes) ++kept;
  CHECK(kept == 3);
  CHECK(p.send("b", 200) == Sent::kYes);
  CHECK(p.out.size() == 1);
  kept = 0;
  while (p.send("c", 200) == Sent::kYes) ++kept;  // the bound of all
  CHECK(kept == 2);
}

TEST_CASE("held frames: a peer that is gone gives its room back") {
  Pipes p;
  while (p.send("a", 200) == Sent::kYes) {
  }
  p.room["a"] = -1;
  CHECK(p.held.retry(p.attempt()));
  CHECK(p.held.empty());
  CHECK(p.send("a", 200) == Sent::kGone);
  int kept = 0;
  while (p.send("b", 200) == Sent::kYes) ++kept;
  CHECK(kept == 3);
}

}  // namespace csa::held_frames_test
