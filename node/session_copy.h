// A node's download of a full copy: asks by the copy's page map what of it is not here, and for
// that on byte credit; survives the loss of the link, begins anew when the broker no longer holds
// it. Part of Session. Pure, not thread-safe.
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

  void link_up();
  void link_down();
  void on_chunk(SnapshotChunk chunk, TimePoint now);
  // `older`: than what was asked for.
  void on_end(const SnapshotEnd& end, bool older, TimePoint now);
  // True: it concerns this copy, which begins anew after a while.
  bool on_gone(const SnapshotGone& gone, TimePoint now);

  // Answers of the store. True: there is progress to tell.
  void on_download(bool pages_here);
  bool on_planned(const CopyPlan& plan);
  bool on_written(std::size_t bytes);

  [[nodiscard]] std::optional<StoreJob> take_job();
  [[nodiscard]] std::vector<SnapshotGet> take_requests(TimePoint now);
  [[nodiscard]] std::optional<TimePoint> deadline() const;
  [[nodiscard]] CopyProgress progress() const { return {here_, total_, fetched_}; }
  // Bytes in memory; never more than the window, and one piece of the map.
  [[nodiscard]] std::size_t held_bytes() const { return held_; }

 private:
  enum class Phase : std::uint8_t {
    kOff,
    kWaiting,    // until wait_until_
    kAsking,     // SNAPSHOT_GET without a name is out
    kBeginning,  // the store looks whether some of it may be here
    kFetching,
    kEnding,      // all is written, the END is asked for
    kInstalling,  // the store proves and installs it
  };
  void forget_wire();
  void on_map(SnapshotChunk chunk, TimePoint now);
  void request_again(TimePoint now, std::vector<SnapshotGet>& requests);
  void request_map(TimePoint now, std::vector<SnapshotGet>& requests);
  void request_chunks(TimePoint now, std::vector<SnapshotGet>& requests);
  void finish_if_written();
  [[nodiscard]] bool expects_answer() const;
  [[nodiscard]] SnapshotGet map_request() const;

  Phase phase_ = Phase::kOff;
  bool up_ = false;
  std::mt19937_64 random_;
  int troubles_ = 0;
  TimePoint wait_until_;
  Seq at_least_;
  Id128 snapshot_;
  std::uint64_t total_ = 0;
  std::uint32_t page_size_ = 0;
  // The page map: asked for piece by piece, each when little is left to fetch of those before.
  std::uint64_t map_total_ = 0;  // 0: all is fetched
  std::uint64_t map_next_ = 0;   // bytes that have come
  bool map_asked_ = false;
  std::optional<PlanCopy> map_piece_;             // for the store
  bool planning_ = false;                         // the store is at it
  std::deque<CopyRange> missing_;                 // not yet asked for
  std::uint64_t missing_bytes_ = 0;               // their sum
  std::map<std::uint64_t, std::uint32_t> asked_;  // offset, length: not yet here
  std::size_t asked_bytes_ = 0;                   // their sum
  std::deque<WriteChunk> chunks_;
  std::size_t held_ = 0;  // bytes that the store has not written
  std::uint64_t here_ = 0;
  std::uint64_t fetched_ = 0;  // of here_, from the broker
  std::optional<SnapshotEnd> end_;
  std::optional<TimePoint> heard_;  // last answer, or when it was asked for; nothing: ask now
  bool job_out_ = false;            // of this copy; an answer to another one's job is ignored
};

}  // namespace csa
