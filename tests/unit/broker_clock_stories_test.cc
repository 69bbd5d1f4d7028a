// Clocks that are set, computers that boot, and edits that compete meanwhile: by the broker's time
// of both, the later edit wins, or the win is flagged. Never wrong and unflagged.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/broker_time.h"
#include "node/broker_clock.h"

namespace csa::broker_clock_stories_test {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kMinute = 60'000;
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kDay = 24 * kHour;
constexpr std::int64_t kTrueBegin = 1'770'000'000'000;

// Times are true ones.
struct Computer {
  std::uint64_t boot = 1;
  std::int64_t booted = -kHour;
  std::int64_t wall_ahead = 0;
  std::int64_t paused = 0;  // so long its clock since the boot stood
  std::int64_t ppm = 0;

  void reboot(std::int64_t t) {
    ++boot;
    booted = t;
    paused = 0;
  }
  [[nodiscard]] LocalTime read(std::int64_t t) const {
    const std::int64_t drift = t / 1000 * ppm / 1000;
    return {WallTime{kTrueBegin + t + wall_ahead + drift}, boot, t + drift - booted - paused};
  }
};

struct Broker {
  Computer computer;
  std::optional<BrokerTime> time;
  std::optional<ClockAnchor> kept;
  WallTime logged;
  std::uint64_t scales = 40;

  void start(std::int64_t t) {
    time.emplace(kept, logged, computer.read(t), ++scales);
    kept = time->reading(computer.read(t));
  }
  void look(std::int64_t t) {
    const LocalTime now = computer.read(t);
    if (time->is_due(*kept, now)) kept = time->reading(now);
  }
  WallTime commit(std::int64_t t) {
    look(t);
    return logged = time->at(computer.read(t));
  }
};

struct Node {
  Computer computer;
  BrokerClock clock;
  std::optional<ClockAnchor> stored;
  std::optional<BrokerClock::Stamped> edit;

  void look(std::int64_t t) {
    clock.note(computer.read(t));
    if (clock.take_changed()) stored = clock.anchor();
  }
  void restart(std::int64_t t) {
    clock = BrokerClock(stored);
    if (edit) clock.not_before(edit->edited.time);
    look(t);
  }
  void meet(const Broker& broker, std::int64_t t) {
    clock.begin_link();
    clock.on_pong(broker.time->at(broker.computer.read(t - 2)), broker.time->scale(),
                  milliseconds{4}, computer.read(t));
    if (clock.take_changed()) stored = clock.anchor();
  }
  void make_edit(std::int64_t t) {
    look(t);
    edit = {clock.stamp(computer.read(t)), computer.read(t)};
  }
  [[nodiscard]] BrokerMoment handed_over(const Broker& broker, std::int64_t t) const {
    const BrokerClock::Correction better = clock.correction(*edit);
    const std::int64_t now = broker.time->at(broker.computer.read(t)).ms;
    return {WallTime{std::min(edit->edited.time.ms + better.ms, now)}, better.error_ms, 0};
  }
};

enum class Event : std::uint8_t {
  kNothing,
  kNodeAhead,  // its wall clock is set
  kNodeBehind,
  kNodeReboots,
  kNodeRebootsAhead,  // set while it is down
  kNodeRebootsBehind,
  kNodeRebootsEmpty,  // an empty battery; set right a while later
  kBrokerAhead,
  kBrokerBehind,
  kBrokerRestarts,
  kBrokerReboots,
  kBrokerRebootsAhead,
  kBrokerRebootsBehind,
  kBrokerRebootsEmpty,
  kLast = kBrokerRebootsEmpty
};

const char* name_of(Event event) {
  constexpr const char* kNames[] = {
      "nothing",         "node ahead",      "node behind",       "node reboots",  "node boots on",
      "node boots back", "node battery",    "broker ahead",      "broker behind", "broker restarts",
      "broker reboots",  "broker boots on", "broker boots back", "broker battery"};
  return kNames[static_cast<int>(event)];
}

bool reboots_node(Event event) {
  return event >= Event::kNodeReboots && event <= Event::kNodeRebootsEmpty;
}
bool reboots_broker(Event event) {
  return event >= Event::kBrokerReboots && event <= Event::kBrokerRebootsEmpty;
}

struct Verdict {
  bool right = false;
  bool flagged = false;
};

// The node parts at 0, one edits, then the other, and it returns; an event between each two.
struct Story {
  std::vector<Event> events;   // three
  bool node_is_later = false;  // than who competes
  bool of_nodes = false;       // another node competes, else it is made at the master
  std::int64_t step = 3 * kHour;
  std::int64_t between = 10 * kMinute;

  Broker broker;
  Node node, other;

  [[nodiscard]] std::string told() const {
    std::string text = node_is_later ? "node later: " : "node earlier: ";
    for (const Event event : events) text += std::string(name_of(event)) + ", ";
    return text + (of_nodes ? "two nodes" : "at the master");
  }

  // Takes 4 minutes.
  void happen(Event event, std::int64_t t) {
    Computer& set = event >= Event::kBrokerAhead ? broker.computer : node.computer;
    const std::int64_t back = t + 2 * kMinute;
    switch (event) {
      case Event::kNothing:
        break;
      case Event::kNodeAhead:
      case Event::kBrokerAhead:
        set.wall_ahead += step;
        broker.look(t);
        break;
      case Event::kNodeBehind:
      case Event::kBrokerBehind:
        set.wall_ahead -= step;
        broker.look(t);
        break;
      case Event::kBrokerRestarts:
        return broker.start(back);
      case Event::kNodeReboots:
      case Event::kBrokerReboots:
        boot(event, 0, back);
        break;
      case Event::kNodeRebootsAhead:
      case Event::kBrokerRebootsAhead:
        boot(event, step, back);
        break;
      case Event::kNodeRebootsBehind:
      case Event::kBrokerRebootsBehind:
        boot(event, -step, back);
        break;
      case Event::kNodeRebootsEmpty:
      case Event::kBrokerRebootsEmpty:
        boot(event, -50 * kDay, back);
        node.look(back + kMinute);
        set.wall_ahead += 50 * kDay;
        break;
    }
    node.look(back + 2 * kMinute);
  }
  void boot(Event event, std::int64_t set, std::int64_t back) {
    Computer& computer = reboots_node(event) ? node.computer : broker.computer;
    computer.reboot(back - kMinute);
    computer.wall_ahead += set;
    if (reboots_node(event)) {
      node.restart(back);
    } else {
      broker.start(back);
    }
  }

  Verdict run() {
    broker.start(-kMinute);
    broker.commit(-1000);
    node.meet(broker, 0);
    other.meet(broker, 0);
    std::int64_t t = 10 * kMinute;
    happen(events[0], t);
    t += 5 * kMinute;
    std::optional<BrokerMoment> rival;
    const auto edit = [&](bool by_node) {
      if (by_node) {
        node.make_edit(t);
      } else if (of_nodes) {
        other.make_edit(t);
      } else {
        rival = BrokerMoment{broker.commit(t), 0, 0};
      }
    };
    edit(!node_is_later);
    t += between;
    happen(events[1], t - between / 2 - 2 * kMinute);
    edit(node_is_later);
    t += 10 * kMinute;
    happen(events[2], t);
    t += kHour;
    node.look(t);
    node.meet(broker, t);
    other.meet(broker, t);
    if (of_nodes) rival = other.handed_over(broker, t);
    const BrokerMoment made = node.handed_over(broker, t);
    const std::int64_t ahead = made.time.ms - rival->time.ms;
    Verdict verdict;
    verdict.right = node_is_later == (ahead > 0);
    verdict.flagged = std::abs(ahead) <= std::int64_t{made.error_ms} + rival->error_ms ||
                      made.error_ms == UINT32_MAX || rival->error_ms == UINT32_MAX;
    return verdict;
  }
};

std::vector<Story> all_stories() {
  std::vector<Story> stories;
  const int count = static_cast<int>(Event::kLast) + 1;
  for (int i = 0; i < count * count * count; ++i) {
    for (int variant = 0; variant < 8; ++variant) {
      Story story;
      story.events = {Event(i % count), Event(i / count % count), Event(i / count / count)};
      story.node_is_later = variant % 2 == 1;
      story.of_nodes = variant / 2 % 2 == 1;
      story.step = variant < 4 ? 3 * kHour : 20 * kMinute;
      stories.push_back(std::move(story));
    }
  }
  return stories;
}

int count_of(const Story& story, bool (*is)(Event)) {
  return static_cast<int>(std::ranges::count_if(story.events, is));
}

// What broker_clock.h believes without a proof: two clocks that were set while their computers were
// down so that the one hides the other.
bool is_believed(const Story& story) {
  const auto has = [&](Event event) { return std::ranges::count(story.events, event) > 0; };
  const bool node_ahead = has(Event::kNodeRebootsAhead);
  const bool node_back = has(Event::kNodeRebootsBehind);
  const bool broker_ahead = has(Event::kBrokerRebootsAhead);
  const bool broker_back = has(Event::kBrokerRebootsBehind);
  return (node_ahead && (node_back || broker_ahead)) ||
         (broker_back && (node_back || broker_ahead));
}

}  // namespace

TEST_CASE("broker clock: whatever is set and whoever boots, the later edit wins or it is flagged") {
  int wrong = 0;
  for (Story& story : all_stories()) {
    const Verdict verdict = story.run();
    if (verdict.right || verdict.flagged || is_believed(story)) continue;
    if (++wrong <= 20) MESSAGE(story.told());
  }
  CHECK(wrong == 0);
}

TEST_CASE(
    "broker clock: a node that did not boot is always right, whatever the broker's clock did") {
  int flagged = 0;
  for (Story& story : all_stories()) {
    if (count_of(story, reboots_node) > 0 || count_of(story, reboots_broker) > 1) continue;
    if (story.of_nodes)
      continue;  // two edits may fall to one moment that broker's time stood still
    const Verdict verdict = story.run();
    if (verdict.right && !verdict.flagged) continue;
    if (++flagged <= 20) MESSAGE(story.told());
  }
  CHECK(flagged == 0);
}

TEST_CASE("broker clock: with a broker that did not boot, one boot of the node is always right") {
  int flagged = 0;
  for (Story& story : all_stories()) {
    if (count_of(story, reboots_node) > 1 || count_of(story, reboots_broker) > 0) continue;
    const Verdict verdict = story.run();
    if (verdict.right && !verdict.flagged) continue;
    if (++flagged <= 20) MESSAGE(story.told());
  }
  CHECK(flagged == 0);
}

TEST_CASE("broker clock: boots of nodes and broker, and no clock set: right and not flagged") {
  int flagged = 0;
  for (Story& story : all_stories()) {
    const auto is_plain = [](Event event) {
      return event == Event::kNothing || event == Event::kNodeReboots ||
             event == Event::kBrokerRestarts || event == Event::kBrokerReboots;
    };
    if (!std::ranges::all_of(story.events, is_plain)) continue;
    const Verdict verdict = story.run();
    if (verdict.right && !verdict.flagged) continue;
    if (++flagged <= 20) MESSAGE(story.told());
  }
  CHECK(flagged == 0);
}

TEST_CASE(
    "broker clock: one clock since the boot stops for an hour, on a return in the same boot") {
  for (const bool at_node : {true, false}) {
    for (const bool node_is_later : {true, false}) {
      for (int slot = 0; slot < 3; ++slot) {
        Story story;
        story.events = {Event::kNothing, Event::kNothing, Event::kNothing};
        story.node_is_later = node_is_later;
        Computer& stopped = at_node ? story.node.computer : story.broker.computer;
        CAPTURE(at_node);
        CAPTURE(node_is_later);
        CAPTURE(slot);
        // As long as one of the three: before the first edit, between both, before the return.
        const std::int64_t from[] = {5 * kMinute, 15 * kMinute, 25 * kMinute};
        Broker& broker = story.broker;
        Node& node = story.node;
        broker.start(-kMinute);
        node.meet(broker, 0);
        std::optional<WallTime> rival;
        for (const std::int64_t t : {10 * kMinute, 20 * kMinute, 30 * kMinute}) {
          const std::int64_t true_t = t + (t > from[slot] ? kHour : 0);
          if (t > from[slot]) stopped.paused = kHour;
          if (t == 30 * kMinute) {
            node.meet(broker, true_t);
          } else if ((t == 20 * kMinute) == node_is_later) {
            node.make_edit(true_t);
          } else {
            rival = broker.commit(true_t);
          }
        }
        const BrokerMoment made = node.handed_over(broker, 30 * kMinute + kHour);
        const bool right = node_is_later == (made.time > *rival);
        CHECK((right || made.error_ms == kUnknownErrorMs));
      }
    }
  }
}

TEST_CASE("broker clock: quartzes 100 ppm apart for three weeks, right or flagged") {
  for (const std::int64_t ppm : {-100, 100}) {
    for (const std::int64_t day : {0, 1, 10, 20}) {
      for (const std::int64_t later : {-kHour, -20000L, 20000L, kHour}) {
        CAPTURE(ppm);
        CAPTURE(day);
        CAPTURE(later);
        Broker broker;
        Node node;
        node.computer.ppm = ppm;
        broker.start(-kMinute);
        node.meet(broker, 0);
        const std::int64_t made = day * kDay + 2 * kHour;
        const WallTime rival = broker.commit(made - later);
        node.make_edit(made);
        node.meet(broker, 21 * kDay);
        const BrokerMoment moment = node.handed_over(broker, 21 * kDay);
        const std::int64_t ahead = moment.time.ms - rival.ms;
        const bool flagged = std::abs(ahead) <= moment.error_ms;
        CHECK(((later > 0) == (ahead > 0) || flagged));
        if (std::abs(later) == kHour || day == 0) CHECK_FALSE(flagged);
      }
    }
  }
}

}  // namespace csa::broker_clock_stories_test
