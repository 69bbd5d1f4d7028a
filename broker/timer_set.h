// Deadlines by key, the earliest at hand: set and clear cost O(log n). Not thread-safe.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "common/types.h"

namespace csa {

template <class Key>
class TimerSet {
 public:
  // Sets or moves the deadline of `key`.
  void set(const Key& key, TimePoint when) {
    const auto [place, fresh] = by_key_.try_emplace(key, when);
    if (!fresh) {
      by_time_.erase({place->second, key});
      place->second = when;
    }
    by_time_.insert({when, key});
  }
  void clear(const Key& key) {
    const auto place = by_key_.find(key);
    if (place == by_key_.end()) return;
    by_time_.erase({place->second, key});
    by_key_.erase(place);
  }
  // The key whose deadline is first, if that is not after `now`; it stays set.
  [[nodiscard]] std::optional<Key> due(TimePoint now) const {
    if (by_time_.empty() || by_time_.begin()->first > now) return std::nullopt;
    return by_time_.begin()->second;
  }
  // TimePoint::max(): none is set.
  [[nodiscard]] TimePoint deadline() const {
    return by_time_.empty() ? TimePoint::max() : by_time_.begin()->first;
  }
  // The key with the earliest deadline. REQUIRES: size() > 0.
  [[nodiscard]] const Key& first() const { return by_time_.begin()->second; }
  [[nodiscard]] std::size_t size() const { return by_key_.size(); }

 private:
  std::map<Key, TimePoint> by_key_;
  std::set<std::pair<TimePoint, Key>> by_time_;
};

}  // namespace csa
