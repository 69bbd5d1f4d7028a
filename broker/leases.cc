#include "broker/leases.h"

#include "common/limits.h"

namespace csa {

void Leases::hold(const std::string& holder, const LeasePlace& place, TimePoint now,
                  TimePoint until) {
  const auto found = holders_.find(holder);
  if (found == holders_.end()) {
    if (holders_.size() >= holders_max_) {
      std::erase_if(holders_, [now](const auto& one) { return one.second.until <= now; });
    }
    if (holders_.size() < holders_max_) holders_.emplace(holder, Lease{place, until});
    return;
  }
  Lease& lease = found->second;
  // Before the place it holds: it began anew. That is no progress either, or going to and fro
  // would hold the log for ever.
  if (place > lease.place) lease.until = until;
  if (place > lease.place || place.seq < lease.place.seq) lease.place = place;
}

void Leases::advance(const std::string& holder, Seq seq) {
  const auto found = holders_.find(holder);
  if (found == holders_.end() || seq <= found->second.place.seq) return;
  found->second.place = {seq, LeasePlace::Stage::kLog, 0};
}

std::optional<Seq> Leases::lowest(TimePoint now) {
  std::optional<Seq> first;
  for (auto at = holders_.begin(); at != holders_.end();) {
    const Lease& lease = at->second;
    if (lease.until + limits::kLeaseMemory <= now) {
      at = holders_.erase(at);
      continue;
    }
    if (lease.until > now && (!first || lease.place.seq < *first)) first = lease.place.seq;
    ++at;
  }
  return first;
}

}  // namespace csa
