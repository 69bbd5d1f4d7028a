// A node's download of a full copy: asks for chunks on byte credit, puts them in order for the
// store, survives the loss of the link, begins anew when the broker no longer holds it. Part of
// Session. Pure, not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include "common/message.h"
#include "node/session.h"

namespace csa {

class CopyFetch {
 public:
  explicit CopyFetch(std::uint64_t seed) : random_(seed) {}

  // Begins a copy from nothing; each trouble since the last on_good() delays it more.
  void want(TimePoint now, bool after_trouble);
  // Copies cut before this Seq will not do: this node has handed over what lies there.
  void set_at_least(Seq seq) { at_least_ = seq; }
  // No copy is wanted (any more).
  void cancel();
  // What is installed has proved to be good.
  void on_good() { troubles_ = 0; }
  [[nodiscard]] bool wanted() const { return phase_ != Phase::kOff; }

  void link_up(TimePoint now);
  void link_down();
  void on_chunk(SnapshotChunk chunk, TimePoint now);
  void on_end(const SnapshotEnd& end, TimePoint now);
  // True: it concerns this copy, which begins anew after a while.
  bool on_gone(const SnapshotGone& gone, TimePoint now);

  // Answers of the store.
  void on_download(std::uint64_t from_offset, TimePoint now);
  // True: there is progress to tell.
  bool on_written(std::uint64_t offset, std::size_t bytes);

  [[nodiscard]] std::optional<StoreJob> take_job();
  [[nodiscard]] std::vector<SnapshotGet> take_requests(TimePoint now);
  [[nodiscard]] std::optional<TimePoint> deadline() const;
  [[nodiscard]] CopyProgress progress() const { return {written_to_, total_}; }
  [[nodiscard]] bool installing() const { return phase_ == Phase::kInstalling; }
  // Bytes in memory; never more than the window.
  [[nodiscard]] std::size_t held_bytes() const { return held_; }

 private:
  enum class Phase : std::uint8_t {
    kOff,
    kWaiting,    // until wait_until_
    kAsking,     // SNAPSHOT_GET without a name is out
    kBeginning,  // the store looks how much of it is here already
    kFetching,
    kEnding,      // all is written, the END is asked for
    kInstalling,  // the store proves and installs it
  };
  void forget_wire();
  void request_chunks(TimePoint now, std::vector<SnapshotGet>& requests);
  void queue_arrived();
  void finish_if_written();
  [[nodiscard]] bool expects_answer() const;

  Phase phase_ = Phase::kOff;
  bool up_ = false;
  std::mt19937_64 random_;
  int troubles_ = 0;
  TimePoint wait_until_;
  Seq at_least_;
  Id128 snapshot_;
  std::uint64_t total_ = 0;
  std::uint64_t next_ask_ = 0;                    // bytes asked for
  std::uint64_t queued_to_ = 0;                   // bytes given to chunks_, in order
  std::uint64_t written_to_ = 0;                  // bytes the store has written
  std::map<std::uint64_t, std::uint32_t> asked_;  // offset, length: not yet here
  std::map<std::uint64_t, Bytes> arrived_;        // behind a hole
  std::deque<WriteChunk> chunks_;
  std::size_t held_ = 0;
  std::optional<SnapshotEnd> end_;
  std::optional<TimePoint> heard_;  // last answer, or when it was asked for; nothing: ask now
  bool job_out_ = false;            // of this copy; an answer to another one's job is ignored
};

}  // namespace csa
