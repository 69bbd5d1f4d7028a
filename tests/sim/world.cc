#include "tests/sim/world.h"

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "common/check.h"

namespace csa::sim {
namespace {

constexpr std::size_t kTranscriptMax = 20000;
constexpr milliseconds kWallOffset{1767225600000};

World*& present_world() {
  static thread_local World* world = nullptr;
  return world;
}

}  // namespace

World::World(std::uint64_t seed) : engine_(seed) {
  CSA_CHECK(present_world() == nullptr);
  present_world() = this;
}

World::~World() { present_world() = nullptr; }

World* World::present() { return present_world(); }

Clocks::Clocks(const World& world, int party)
    : world_(world), boot_(1000 * (static_cast<std::uint64_t>(party) + 1)) {}

void Clocks::reboot() {
  ++boot_;
  booted_ = world_.now();
}

void Clocks::move_to(const Clocks& computer) {
  wrong_by_ = computer.wrong_by_;
  boot_ = computer.boot_;
  booted_ = computer.booted_;
}

LocalTime Clocks::read() const {
  const auto up = std::chrono::duration_cast<milliseconds>(world_.now() - booted_);
  return {WallTime{world_.wall().ms + wrong_by_.count()}, boot_, up.count()};
}

WallTime World::wall() const {
  const auto passed = std::chrono::duration_cast<milliseconds>(now_.time_since_epoch());
  return WallTime{(passed + kWallOffset).count()};
}

bool World::chance(double probability) {
  return static_cast<double>(engine_() >> 11U) * 0x1.0p-53 < probability;
}

std::uint64_t World::random(std::uint64_t below) { return below == 0 ? 0 : engine_() % below; }

Id128 World::random_id() {
  Id128 id;
  fill(id.bytes.data(), id.bytes.size());
  return id;
}

void World::fill(void* bytes, std::size_t size) {
  const auto draw = [this] { return static_cast<std::uint8_t>(engine_()); };
  std::generate_n(static_cast<std::uint8_t*>(bytes), size, draw);
}

void World::after(Duration delay, std::function<void()> event) {
  events_.push({now_ + delay, order_++, std::move(event)});
}

bool World::step(TimePoint until) {
  if (events_.empty() || events_.top().at > until) {
    now_ = std::max(now_, until);
    return false;
  }
  // The queue gives only const access to what it is about to drop.
  auto run = events_.top().run;
  now_ = std::max(now_, events_.top().at);
  events_.pop();
  run();
  return true;
}

void World::cut(int a, int b, bool both_ways) {
  cuts_.insert({a, b});
  if (both_ways) cuts_.insert({b, a});
  ++counts[both_ways ? "partition" : "one-way partition"];
}

void World::clog(int from, int to, milliseconds time) {
  clogs_[{from, to}] = now_ + time;
  disturb(from);
  disturb(to);
  ++counts["clogged link"];
  after(time, [this, from, to] {
    disturb(from);
    disturb(to);
  });
}

void World::mend(int a, int b) {
  for (const auto& pair : {std::pair(a, b), std::pair(b, a)}) {
    if (cuts_.erase(pair) == 0) continue;
    disturb(a);
    disturb(b);
  }
}

void World::heal() {
  for (const auto& [from, to] : cuts_) {
    disturb(from);
    disturb(to);
  }
  cuts_.clear();
  clogs_.clear();
}

TimePoint World::disturbed(int party) const {
  for (const auto& [from, to] : cuts_) {
    if (from == party || to == party) return now_;
  }
  for (const auto& [link, until] : clogs_) {
    if (until > now_ && (link.first == party || link.second == party)) return now_;
  }
  const auto found = disturbed_.find(party);
  return found == disturbed_.end() ? TimePoint::min() : found->second;
}

bool World::connected(int from, int to) const { return cuts_.count({from, to}) == 0; }

void World::send(int from, int to, std::function<void()> deliver) {
  if (!connected(from, to)) return;
  if (chance(faults.drop)) {
    ++counts["drop"];
    disturb(from);
    disturb(to);
    return;
  }
  const bool twice = chance(faults.duplicate);
  const bool to_broker = to == 0;
  if (twice) ++counts["duplicate"];
  if (twice && to_broker) {
    // Of what a broker has refused it keeps nothing: a second one that came after others would be
    // new, and no transport has that. What comes again over another link is the session's.
    deliver = [once = std::move(deliver)] {
      once();
      once();
    };
  }
  const int copies = twice && !to_broker ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    Duration delay = microseconds{100 + random(2000)};
    const auto clogged = clogs_.find({from, to});
    if (clogged != clogs_.end() && clogged->second > now_) {
      after(clogged->second - now_, deliver);
      continue;
    }
    if (chance(faults.slow)) {
      delay += microseconds{random(static_cast<std::uint64_t>(faults.slow_max.count()) * 1000)};
      ++counts["delay"];
      after(delay, deliver);
      continue;
    }
    // What is not held up arrives in the order in which it was sent.
    TimePoint& last = arrived_[{from, to}];
    last = std::max(last, now_ + delay);
    after(last - now_, deliver);
  }
}

void World::note(const std::string& line) {
  if (transcript_.size() >= kTranscriptMax) return;
  const auto ms = std::chrono::duration_cast<milliseconds>(now_.time_since_epoch()).count();
  char stamp[32];
  std::snprintf(stamp, sizeof stamp, "%10.3f ", static_cast<double>(ms - 3600000) / 1000.0);
  transcript_.push_back(stamp + line);
  if (prints_notes) std::cout << transcript_.back() << std::endl;
}

}  // namespace csa::sim
