// Simulated time, chance and network: events in the order of their time, and links between parties
// that delay, drop, duplicate and reorder, or are cut. Everything follows from one seed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "common/clock_anchor.h"
#include "common/types.h"

namespace csa::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;

class World;

// The clocks of one computer.
class Clocks {
 public:
  Clocks(const World& world, int party);
  // The wall clock is wrong by so much from now on.
  void set(milliseconds wrong_by) { wrong_by_ = wrong_by; }
  void put_on(milliseconds by) { wrong_by_ += by; }
  void reboot();
  // Its party runs on that computer from now on.
  void move_to(const Clocks& computer);
  [[nodiscard]] LocalTime read() const;

 private:
  const World& world_;
  milliseconds wrong_by_{0};
  std::uint64_t boot_;
  TimePoint booted_{};
};

struct Faults {
  double drop = 0;  // of a message
  double duplicate = 0;
  double drop_update = 0;  // of an UPDATE, which PUB may lose silently
  double slow = 0;         // takes up to slow_max, and later ones come before it
  milliseconds slow_max{400};
  double damage = 0;  // of a frame: a bit of it arrives wrong
  double rot = 0;     // of a piece of a full copy: the disk keeps a bit of what it has wrongly
};

class World {
 public:
  explicit World(std::uint64_t seed);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  // The thread's, one at a time; nullptr: none.
  [[nodiscard]] static World* present();

  [[nodiscard]] TimePoint now() const { return now_; }
  [[nodiscard]] WallTime wall() const;  // the right one

  [[nodiscard]] bool chance(double probability);
  [[nodiscard]] std::uint64_t random(std::uint64_t below);  // 0..below-1
  [[nodiscard]] Id128 random_id();
  void fill(void* bytes, std::size_t size);  // by chance
  [[nodiscard]] std::mt19937_64& engine() { return engine_; }

  void after(Duration delay, std::function<void()> event);
  // Runs the next event; false: there is none before `until`.
  bool step(TimePoint until);

  // Parties are numbers; the broker is 0. A message goes only if the pair is not cut.
  Faults faults;
  void cut(int a, int b, bool both_ways);
  // What is sent this way waits until then, and arrives in its order.
  void clog(int from, int to, milliseconds time);
  void mend(int a, int b);
  void heal();
  [[nodiscard]] bool connected(int from, int to) const;
  void send(int from, int to, std::function<void()> deliver);

  // Something went wrong for `party` now; whatever excuses trouble calls it, lost messages and cuts
  // do so by themselves.
  void disturb(int party) { disturbed_[party] = now_; }
  // When that was last; the beginning of time if never.
  [[nodiscard]] TimePoint disturbed(int party) const;

  // The transcript, for a seed that fails.
  void note(const std::string& line);
  bool prints_notes = false;  // as they come
  [[nodiscard]] const std::vector<std::string>& transcript() const { return transcript_; }
  std::map<std::string, std::uint64_t> counts;  // faults and progress by kind

 private:
  struct Event {
    TimePoint at;
    std::uint64_t order = 0;
    std::function<void()> run;
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };
  std::mt19937_64 engine_;
  TimePoint now_{std::chrono::hours{1}};
  std::uint64_t order_ = 0;
  std::priority_queue<Event> events_;
  std::set<std::pair<int, int>> cuts_;
  std::map<std::pair<int, int>, TimePoint> clogs_;    // until when
  std::map<std::pair<int, int>, TimePoint> arrived_;  // the last that goes this way
  std::map<int, TimePoint> disturbed_;
  std::vector<std::string> transcript_;
};

}  // namespace csa::sim
