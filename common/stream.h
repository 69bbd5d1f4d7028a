// The log as one gapless stream: pieces from PUB and from LOG answers in, the same pieces out in
// order, each once; asks for what is missing. Shared by node and csa-sub. Pure, not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "common/message.h"

namespace csa {

class Stream {
 public:
  explicit Stream(std::uint64_t seed);

  // Follows from the end of `after` (and, inside the entry behind it, from byte `offset`). With a
  // zero Epoch: whatever the broker's is. Asks the log at once, which proves the place.
  void start(const Position& after, std::uint64_t offset, TimePoint now);
  void stop();

  void on_update(Update update, TimePoint now);
  // False: answer to another question than the last one, dropped.
  [[nodiscard]] bool on_log(LogSlice slice, TimePoint now);
  // True: the log cannot go on from here; the owner takes a copy or gives up. Stops.
  [[nodiscard]] bool on_gone(const LogGone& gone);
  // From HEAD, PONG, WELCOME.
  void on_head(const Position& head, TimePoint now);

  // The log holds `seq`, and only this node waits for it: what is missing up to there is asked for
  // at once, where what concerns all nodes is asked for at random times.
  void ask_through(Seq seq, TimePoint now);

  // Pieces that follow each other without gap from the start on, at most about `max_bytes` at a
  // time. Taken is taken: they are not given twice.
  [[nodiscard]] std::vector<LogPiece> take(std::size_t max_bytes);
  [[nodiscard]] bool has_ready() const;
  // The request to send now, if any; the caller sends it.
  [[nodiscard]] std::optional<LogGet> take_request(TimePoint now);
  [[nodiscard]] std::optional<TimePoint> deadline() const;

  // The last complete entry given out, and the newest head heard of.
  [[nodiscard]] const Position& position() const;
  [[nodiscard]] const Position& head() const;
  // The first LOG answer has come and everything up to head() was given out.
  [[nodiscard]] bool caught_up() const;
  [[nodiscard]] std::size_t buffered_bytes() const;

 private:
  struct Impl;

 public:
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace csa
