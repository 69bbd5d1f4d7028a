#include "broker/strangers.h"

#include "common/limits.h"

namespace csa {

namespace {

bool is_over(TimePoint since, Duration interval, TimePoint now) {
  return since == TimePoint::min() || now - since >= interval;
}

}  // namespace

Strangers::Stranger* Strangers::note(const PeerKey& key, TimePoint now) {
  if (!all_.contains(key) && all_.size() >= limits::kStrangersMax) {
    // Forgetting one that was answered just now would undo the bound on answers.
    if (!heard_.due(now - limits::kRehelloInterval)) return nullptr;
    const PeerKey oldest = heard_.first();
    all_.erase(oldest);
    heard_.clear(oldest);
  }
  heard_.set(key, now);
  return &all_[key];
}

bool Strangers::ask_to_greet(const PeerKey& key, TimePoint now) {
  Stranger* const stranger = note(key, now);
  if (stranger == nullptr || stranger->refused) return false;
  if (!is_over(stranger->answered, limits::kRehelloInterval, now)) return false;
  stranger->answered = now;
  return true;
}

bool Strangers::may_complain(const PeerKey& key, TimePoint now) {
  Stranger* const stranger = note(key, now);
  if (stranger == nullptr) return false;
  if (!is_over(stranger->complained, limits::kComplaintInterval, now)) return false;
  stranger->complained = now;
  return true;
}

void Strangers::refuse(const PeerKey& key, TimePoint now) {
  if (Stranger* const stranger = note(key, now)) stranger->refused = true;
}

void Strangers::forget(const PeerKey& key) {
  const auto place = all_.find(key);
  if (place != all_.end()) place->second.refused = false;
}

}  // namespace csa
