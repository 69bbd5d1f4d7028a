#include "common/discovery.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>
#include <utility>

#include "common/limits.h"

namespace csa {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kSeenMax = 64;  // endpoints; a flood of beacons must not fill the memory
constexpr std::uint32_t kIntervalMinMs = 100;
constexpr std::uint32_t kIntervalMaxMs = 60000;
constexpr milliseconds kByeExpiry{500};
constexpr seconds kAlarmAfter{5};
constexpr std::array<milliseconds, 5> kProbeTimes{
    milliseconds{0}, milliseconds{250}, milliseconds{1000}, milliseconds{2000}, milliseconds{5000}};
constexpr seconds kProbeEach{10};
constexpr int kDoublingsMax = 16;
constexpr milliseconds kNamedRetryMax{1500};
// A broker that begins to announce itself where one had failed; each, also when beacons flood in.
constexpr milliseconds kHastenedMax{1000};
constexpr milliseconds kHastenEach{2000};
constexpr int kRankOld = 3;

std::optional<std::uint32_t> parse_ipv4(std::string_view text) {
  std::uint32_t address = 0;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  for (int i = 0; i < 4; ++i) {
    if (i > 0) {
      if (at == end || *at != '.') return std::nullopt;
      ++at;
    }
    std::uint8_t byte = 0;
    const auto [stop, error] = std::from_chars(at, end, byte);
    if (error != std::errc{}) return std::nullopt;
    address = (address << 8U) | byte;
    at = stop;
  }
  if (at != end) return std::nullopt;
  return address;
}

// 0 this computer, 1 the network it came in by, 2 anywhere else.
int rank_of(const HeardBeacon& heard) {
  const auto address = parse_ipv4(heard.address);
  if (!address) return 2;
  if ((*address >> 24U) == 127) return 0;
  const std::uint32_t mask = heard.interface_mask;
  if (mask == 0 || heard.interface_address == 0) return 2;
  return (*address & mask) == (heard.interface_address & mask) ? 1 : 2;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || stop != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

}  // namespace

std::string to_string(const Endpoint& endpoint) {
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  const std::string host = v6 ? "[" + endpoint.host + "]" : endpoint.host;
  return host + ":" + std::to_string(endpoint.port);
}

std::optional<Endpoint> parse_endpoint(std::string_view text, std::uint16_t default_port) {
  std::string_view host = text;
  std::string_view rest;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    host = text.substr(1, close - 1);
    rest = text.substr(close + 1);
  } else if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    rest = text.substr(colon);
  }
  if (host.empty() || host.size() > 255) return std::nullopt;
  if (host.find_first_of(" \t/@[]") != std::string_view::npos) return std::nullopt;
  if (rest.empty()) return Endpoint{std::string{host}, default_port};
  if (!rest.starts_with(':')) return std::nullopt;
  const auto port = parse_port(rest.substr(1));
  if (!port) return std::nullopt;
  return Endpoint{std::string{host}, *port};
}

Discovery::Discovery(Id128 cluster, std::vector<Endpoint> fixed, std::uint64_t seed)
    : cluster_(cluster), fixed_(std::move(fixed)), random_(seed) {}

bool Discovery::known(const Endpoint& endpoint) const {
  return endpoint == last_good_ || seen_.contains(endpoint) ||
         std::find(fixed_.begin(), fixed_.end(), endpoint) != fixed_.end();
}

void Discovery::forget_expired(TimePoint now) {
  std::erase_if(seen_, [&](const auto& entry) { return entry.second.expires <= now; });
  std::erase_if(failed_, [&](const auto& entry) { return !known(entry.first); });
}

void Discovery::on_beacon(const HeardBeacon& heard, TimePoint now) {
  const Beacon& beacon = heard.beacon;
  if (!fixed_.empty() || beacon.cluster != cluster_ || beacon.port == 0) return;
  if (beacon.kind == BeaconKind::kProbe) return;
  forget_expired(now);
  const Endpoint endpoint{heard.address, beacon.port};
  const auto found = seen_.find(endpoint);
  if (beacon.kind == BeaconKind::kBye) {
    // Anybody can send a BYE: it makes the endpoint expire sooner and does nothing else.
    if (found != seen_.end() && found->second.boot == beacon.boot)
      found->second.expires = std::min(found->second.expires, now + kByeExpiry);
    return;
  }
  if (found == seen_.end() && seen_.size() >= kSeenMax) return;
  Seen& seen = seen_[endpoint];
  if (found == seen_.end() || seen.boot != beacon.boot) {
    seen.first = now;
    hasten(endpoint, now);
  }
  seen.boot = beacon.boot;
  seen.generation = beacon.generation;
  seen.rank = rank_of(heard);
  const auto interval = std::clamp(beacon.interval_ms, kIntervalMinMs, kIntervalMaxMs);
  seen.expires = now + milliseconds{interval} * 7 / 2;
}

void Discovery::on_welcome(const Endpoint& endpoint, TimePoint now) {
  remember(endpoint);
  forget_expired(now);
}

void Discovery::remember(const Endpoint& endpoint) { last_good_ = endpoint; }

void Discovery::on_stable(const Endpoint& endpoint) { failed_.erase(endpoint); }

void Discovery::on_failed(const Endpoint& endpoint, TimePoint now, Duration at_least) {
  forget_expired(now);
  if (!known(endpoint)) return;
  Failures& failures = failed_[endpoint];
  failures.times = std::min(failures.times + 1, kDoublingsMax);
  // Full jitter: a restarted broker must not meet everybody in the same moment.
  // No beacon tells when a named one is back.
  const milliseconds longest = fixed_.empty() ? limits::kRetryMax : kNamedRetryMax;
  const std::int64_t most = std::min<std::int64_t>(
      longest.count(), limits::kRetryMin.count() << static_cast<unsigned>(failures.times));
  std::uniform_int_distribution<std::int64_t> delay(limits::kRetryMin.count(), most);
  const TimePoint next = now + at_least + milliseconds{delay(random_)};
  failures.not_before = std::max(failures.not_before, next);
}

// What failed there was another run of it, or the network. Jitter for the same reason as above.
void Discovery::hasten(const Endpoint& endpoint, TimePoint now) {
  const auto failed = failed_.find(endpoint);
  if (failed == failed_.end()) return;
  Failures& failures = failed->second;
  if (failures.hastened && now - *failures.hastened < kHastenEach) return;
  failures.hastened = now;
  std::uniform_int_distribution<std::int64_t> delay(0, kHastenedMax.count());
  failures.not_before = std::min(failures.not_before, now + milliseconds{delay(random_)});
}

std::vector<Endpoint> Discovery::candidates(TimePoint now) const {
  // Rank, later generations first, order of mention.
  using Key = std::tuple<int, std::uint64_t, std::size_t>;
  std::vector<std::pair<Key, Endpoint>> found;
  const auto add = [&](int rank, std::uint64_t generation, const Endpoint& endpoint) {
    const auto failed = failed_.find(endpoint);
    if (failed != failed_.end() && failed->second.not_before > now) return;
    found.emplace_back(Key{rank, ~generation, found.size()}, endpoint);
  };
  if (!fixed_.empty()) {
    for (const Endpoint& endpoint : fixed_) add(endpoint == last_good_ ? -1 : 0, 0, endpoint);
  } else {
    bool good_is_here = false;
    for (const auto& [endpoint, seen] : seen_) {
      if (seen.expires <= now) continue;
      const bool good = endpoint == last_good_;
      good_is_here = good_is_here || good;
      add(seen.generation < generation_ ? kRankOld
          : good                        ? -1
                                        : seen.rank,
          seen.generation, endpoint);
    }
    if (last_good_ && !good_is_here) add(-1, 0, *last_good_);
  }
  std::sort(found.begin(), found.end());
  std::vector<Endpoint> result;
  result.reserve(found.size());
  for (auto& [key, endpoint] : found) result.push_back(std::move(endpoint));
  return result;
}

std::optional<TimePoint> Discovery::next_candidate(TimePoint now) const {
  std::optional<TimePoint> next;
  for (const auto& [endpoint, failures] : failed_) {
    if (failures.not_before <= now || !known(endpoint)) continue;
    if (!next || failures.not_before < *next) next = failures.not_before;
  }
  return next;
}

bool Discovery::announced(const Endpoint& endpoint, TimePoint now) const {
  const auto found = seen_.find(endpoint);
  return found != seen_.end() && found->second.expires > now;
}

bool Discovery::heard_boot(std::uint64_t boot, TimePoint now) const {
  return std::any_of(seen_.begin(), seen_.end(), [&](const auto& entry) {
    return entry.second.boot == boot && entry.second.expires > now;
  });
}

void Discovery::start_search(TimePoint now) {
  searching_since_ = now;
  next_probe_ = now;
}

void Discovery::stop_search() { searching_since_.reset(); }

std::optional<TimePoint> Discovery::probe_due() const {
  if (!searching_since_ || !fixed_.empty()) return std::nullopt;
  return next_probe_;
}

void Discovery::probe_sent(TimePoint now) {
  if (!searching_since_) return;
  for (const milliseconds time : kProbeTimes) {
    if (*searching_since_ + time > now) {
      next_probe_ = *searching_since_ + time;
      return;
    }
  }
  next_probe_ = now + kProbeEach;
}

std::optional<std::string> Discovery::alarm(TimePoint now) const {
  std::map<std::uint64_t, std::pair<TimePoint, Endpoint>> runs;
  for (const auto& [endpoint, seen] : seen_) {
    if (seen.expires <= now) continue;
    const auto [at, added] = runs.try_emplace(seen.boot, seen.first, endpoint);
    if (!added && seen.first < at->second.first) at->second = {seen.first, endpoint};
  }
  std::vector<Endpoint> lasting;
  for (const auto& [boot, run] : runs) {
    if (now - run.first > kAlarmAfter) lasting.push_back(run.second);
  }
  if (lasting.size() < 2) return std::nullopt;
  return "two brokers announce themselves for this group, at " + to_string(lasting[0]) + " and " +
         to_string(lasting[1]) + ": stop one of them";
}

}  // namespace csa
