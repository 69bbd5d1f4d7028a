// Broker's time at a node: measured while there is a link, told for offline edits without one, and
// told better on return. Pure, not thread-safe.
//
// Clocks that are read: broker's time (TimeScale: it never steps within a scale, and by an unknown
// amount to the next one); here the clock since the boot, which nobody sets and which counts sleep,
// but ends with the boot; and the wall clock, which anybody may set, but goes on over a boot.
//
// An edit is stamped from the last measurement before it (`old`), and its time follows once more
// from the measurement of the return (`anew`). Which of the two is right:
//   same boot as the return, both on one scale   both: the better one; they contradict: nothing is
//   same boot, after the present scale began     anew, whatever was set and when
//   stamped by the clock since boot, on the present scale, returned after a boot           old
//   so stamped, on the scale before, same boot   old, but not later than the present scale's begin
//   anything else hangs on a wall clock or on a scale that has ended: where both agree it was not
//   set and did not step; else, and where nothing was measured before, nothing is known.
// "Nothing is known" is kUnknownErrorMs: whatever such an edit wins or loses is flagged. Believed
// without a proof are: that the clock since boot does not stop (a virtual machine that was paused
// shows only on a return in the same boot), and clocks that were set while their computers were
// down so that one hides the other: here on and back again, or as far as broker's time stepped.
#pragma once

#include <cstdint>
#include <optional>

#include "common/clock_anchor.h"
#include "common/clock_limits.h"

namespace csa {

struct BrokerMoment {
  WallTime time;
  std::uint32_t error_ms = 0;
  std::uint64_t scale = 0;  // as JournalHeader::scale
};

class BrokerClock {
 public:
  // What was stored; nothing: never measured, then the wall clock is believed with kUnknownErrorMs.
  explicit BrokerClock(std::optional<ClockAnchor> anchor = std::nullopt);

  // A link begins: nothing has been measured on it. The broker may be another one.
  void begin_link() { measured_ = false; }
  [[nodiscard]] bool is_measured() const { return measured_; }
  // The local clocks, as often as they are read: what is measured goes on over a boot, and does not
  // hang on a wall clock that is set while somebody watches.
  void note(const LocalTime& now);
  // A PONG came `round_trip` after its PING. Keeps the better of this and what is known.
  void on_pong(WallTime broker, const TimeScale& scale, Duration round_trip, const LocalTime& now);
  // No edit waits any more that a wall clock may have stamped.
  void end_doubt();
  // anchor() has changed so that a stored one would mislead.
  [[nodiscard]] bool take_changed();
  // Broker's time at `local`, never before an earlier answer.
  [[nodiscard]] BrokerMoment stamp(const LocalTime& local);
  // Stamps go on behind this one (of the journal's last entry).
  void not_before(WallTime time);
  // What to add to a stamp of `edited` that was made at `local`, by what is known now.
  struct Correction {
    std::int64_t ms = 0;
    std::uint32_t error_ms = 0;
  };
  struct Stamped {
    BrokerMoment edited;
    LocalTime local;
  };
  // REQUIRES: is_measured()
  [[nodiscard]] Correction correction(const Stamped& entry) const;
  [[nodiscard]] const std::optional<ClockAnchor>& anchor() const { return anchor_; }

 private:
  [[nodiscard]] BrokerMoment at(const LocalTime& local) const;
  void follow_wall(const LocalTime& now);

  std::optional<ClockAnchor> anchor_;
  bool measured_ = false;
  bool changed_ = false;
  WallTime last_{INT64_MIN};
};

}  // namespace csa
