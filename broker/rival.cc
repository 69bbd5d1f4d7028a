#include "broker/rival.h"

#include <algorithm>

#include "broker/peer.h"

namespace csa {
namespace {

using std::chrono::seconds;

constexpr std::size_t kRivalPlacesMax = 64;
constexpr seconds kGreetAgain{5};  // one that did not answer, or was no newer one

}  // namespace

RivalKind rival_kind(const OwnHistory& own, const Welcome& rival) {
  const std::uint64_t there = rival.head.epoch.generation;
  if (own.db != rival.db || own.generation == there) return RivalKind::kOther;
  return own.generation < there ? RivalKind::kNewer : RivalKind::kOlder;
}

Error outdated_error(const std::string& database, const OwnHistory& own, const Welcome& rival,
                     const Endpoint& at) {
  return {Errc::kRefused,
          database + " is an old one: it is generation " + std::to_string(own.generation) +
              " of this database, and the broker on " + shown(rival.hostname) + " (" +
              to_string(at) + ") serves generation " + std::to_string(rival.head.epoch.generation) +
              ". Nothing was changed. Keep the file; on this computer a node is enough now: "
              "csa-node run"};
}

Error rival_error(const std::string& group, const std::string& hostname, const Endpoint& at) {
  return {Errc::kRefused,
          "the group '" + group + "' is already served by the broker on " + shown(hostname) + " (" +
              to_string(at) +
              "). Two masters of one group would drift apart: stop that one, or give this one "
              "another --group."};
}

void RivalPlaces::add(const Endpoint& at, TimePoint now) {
  std::erase_if(greeted_, [&](const auto& one) { return now - one.second >= kGreetAgain; });
  if (waiting_.size() + greeted_.size() >= kRivalPlacesMax || greeted_.contains(at)) return;
  if (std::find(waiting_.begin(), waiting_.end(), at) == waiting_.end()) waiting_.push_back(at);
}

std::optional<Endpoint> RivalPlaces::take(TimePoint now) {
  if (waiting_.empty()) return std::nullopt;
  Endpoint at = std::move(waiting_.front());
  waiting_.pop_front();
  greeted_[at] = now;
  return at;
}

}  // namespace csa
