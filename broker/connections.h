// The broker's TCP connections, each an open file, and which of them belong to nobody. When files
// run short, strangers' connections are cut first, and beyond a bound nobody new is let in, so
// that the stores can always open theirs. Pure, not thread-safe.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/types.h"

namespace csa {

class Connections {
 public:
  // At most `most` of them are wanted.
  Connections(std::size_t most, Duration silence) : most_(most), silence_(silence) {}

  enum class Side : std::uint8_t { kRequests, kChanges };
  // Files are the kernel's numbers: a connection with a number that is known replaces that one.
  // False: there are `most` already, and it is to be cut at once.
  [[nodiscard]] bool accepted(int file, Side side, TimePoint now);
  void closed(int file) { all_.erase(file); }
  // It brought a sound frame.
  void heard(int file, TimePoint now);
  // It subscribed to `topic`: the first that is `known` to the hub tells whose it is.
  void subscribed(int file, std::string_view topic);

  // True while more than three quarters are taken.
  [[nodiscard]] bool scarce() const { return all_.size() > most_ - most_ / 4; }
  // To be cut, the oldest first; none where they are not scarce. A connection for requests is a
  // stranger's that was silent for `silence`, or has said nothing within kStrangerGrace of
  // its beginning; one for changes that within this time was of no peer whose nonce is `known`.
  using Known = std::function<bool(std::string_view topic)>;
  [[nodiscard]] std::vector<int> strangers(TimePoint now, const Known& known) const;
  [[nodiscard]] std::size_t size() const { return all_.size(); }

 private:
  struct One {
    Side side = Side::kRequests;
    TimePoint since;
    std::optional<TimePoint> heard;
    std::string proof;  // the topic of a nonce
  };
  std::size_t most_;
  Duration silence_;
  std::map<int, One> all_;
};

}  // namespace csa
