#include "broker/broker_beacon.h"

#include "common/limits.h"

namespace csa {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kQuickInterval{150};
constexpr int kAnswersASecond = 10;  // to one source
constexpr std::size_t kSourcesMax = 1000;
constexpr std::size_t kOthersMax = 64;
constexpr seconds kAlarmAfter{5};
constexpr seconds kAlarmAgain{60};

}  // namespace

BrokerBeacon::BrokerBeacon(BeaconPort::Options options, const Beacon& beacon, std::uint64_t seed,
                           const Log& log)
    : log_(log), port_(std::move(options), log), beacon_(beacon), jitter_(seed) {}

void BrokerBeacon::turn(TimePoint now) {
  if (now >= next_) {
    port_.broadcast(beacon_, now);
    // Between 0.8 and 1.2 of the interval, so that brokers do not fall into step.
    jitter_ = jitter_ * 6364136223846793005U + 1442695040888963407U;
    const auto spread = static_cast<std::int64_t>((jitter_ >> 33U) % 401) - 200;
    next_ = now + (quick_ > 0 ? kQuickInterval : limits::kBeaconInterval + milliseconds{spread});
    if (quick_ > 0) --quick_;
  }
  for (const BeaconPort::Heard& heard : port_.receive(limits::kDrainMax)) {
    if (heard.heard.beacon.cluster != beacon_.cluster) continue;
    if (heard.heard.beacon.kind == BeaconKind::kProbe) answer(heard, now);
    if (heard.heard.beacon.kind == BeaconKind::kAnnounce) watch(heard, now);
  }
}

void BrokerBeacon::answer(const BeaconPort::Heard& heard, TimePoint now) {
  if (rates_.size() >= kSourcesMax) rates_.clear();  // a flood of sources: forget, do not grow
  Rate& rate = rates_[heard.source];
  if (now - rate.since > seconds{1}) rate = {now, 0};
  if (++rate.count > kAnswersASecond) return;
  Beacon reply = beacon_;
  reply.nonce = heard.heard.beacon.nonce;
  port_.answer(reply, heard);
}

void BrokerBeacon::watch(const BeaconPort::Heard& heard, TimePoint now) {
  const Beacon& found = heard.heard.beacon;
  if (found.boot == beacon_.boot) return;
  if (found.generation > beacon_.generation && newer_.size() < kOthersMax) {
    newer_.push_back({heard.heard.address, found.port});
  }
  // Perhaps broadcasts do not reach it.
  if (found.generation < beacon_.generation) answer(heard, now);
  if (others_.size() >= kOthersMax && others_.count(found.boot) == 0) return;
  Other& other = others_.try_emplace(found.boot, Other{now, now, {}}).first->second;
  if (now - other.last > kAlarmAfter) other.first = now;  // it was gone meanwhile
  other.last = now;
  if (now - other.first < kAlarmAfter || (other.told && now - *other.told < kAlarmAgain)) return;
  other.told = now;
  log_.error("beacon: another broker serves this group at " + heard.heard.address + ":" +
             std::to_string(found.port) + ", at generation " + std::to_string(found.generation) +
             "; this one is at " + std::to_string(beacon_.generation) +
             ". Two masters of one group drift apart: stop one of them (of one database the lower "
             "generation), or give it another --group");
}

void BrokerBeacon::say_bye(TimePoint now) {
  beacon_.kind = BeaconKind::kBye;
  port_.broadcast(beacon_, now);
}

}  // namespace csa
