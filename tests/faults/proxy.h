// A bad network between a node and a broker, made of a thread that passes bytes on: late, some much
// later, in single bytes, in one direction only, or up to a byte in the midst of a message. It
// listens on the broker's port numbers at another address of this computer, so that what the broker
// tells of its ports is true there too.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <list>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/system/place.h"

namespace csa::fault_test {

class Proxy {
 public:
  enum Way : std::uint8_t { kUp, kDown };  // to the broker, to the node
  struct Manner {
    std::chrono::milliseconds delay{0};
    bool black_hole = false;    // taken, and never passed on
    bool by_bytes = false;      // one a segment
    std::size_t cut_after = 0;  // bytes of a connection; 0: never
    std::size_t flip_each = 0;  // one wrong bit in about so many bytes; 0: none
    // One piece in about so many comes 0.2 to 1 s late, and all behind it, which is what TCP makes
    // of a lost one that it sends again; 0: none.
    std::size_t stall_each = 0;
  };
  // REQUIRES: the broker listens on 127.0.0.1 alone.
  explicit Proxy(const system_test::Ready& ready, std::uint64_t seed = 1);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  // Of what comes from now on, in all connections. What a black hole has swallowed is lost, so its
  // connections are cut when it ends.
  void set(Way way, Manner manner);
  // Every connection that there is.
  void cut();
  [[nodiscard]] std::size_t accepted() const;
  // Bits that were passed on wrongly.
  [[nodiscard]] std::size_t flipped() const;
  // Pieces that were passed on late.
  [[nodiscard]] std::size_t stalled() const;
  // Cut by cut_after.
  [[nodiscard]] std::size_t cut_short() const;

  // A launch of csa-node that knows no other way to the broker.
  [[nodiscard]] system_test::Launch through(system_test::Launch launch) const;
  [[nodiscard]] ClientOptions through(ClientOptions options) const;
  static constexpr const char* kHost = "127.0.0.2";

 private:
  struct Piece {
    std::chrono::steady_clock::time_point due;
    std::string bytes;
  };
  struct Stream {
    std::deque<Piece> waiting;
    std::size_t size = 0;
    std::size_t passed = 0;
    bool swallowed = false;
  };
  struct Link {
    std::array<int, 2> ends{-1, -1};  // the node's, the broker's
    std::array<Stream, 2> ways;
    bool over = false;
  };
  void run();
  void accept_at(int listener, std::uint16_t port);
  void take(Link& link, Way way);
  void flip(std::string& bytes, std::size_t each);
  void pass(Link& link, Way way);

  std::string port_;
  std::array<int, 2> listeners_{-1, -1};
  std::array<std::uint16_t, 2> ports_{};
  int wake_ = -1;
  mutable std::mutex mutex_;
  bool stop_ = false;  // all from here on guarded by mutex_
  std::array<Manner, 2> manners_;
  std::list<Link> links_;
  std::size_t accepted_ = 0;
  std::size_t cut_short_ = 0;
  std::size_t flipped_ = 0;
  std::size_t stalled_ = 0;
  std::mt19937_64 random_;
  std::thread thread_;
};

}  // namespace csa::fault_test
