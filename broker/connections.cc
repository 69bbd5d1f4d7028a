#include "broker/connections.h"

#include <algorithm>

#include "common/limits.h"

namespace csa {

bool Connections::accepted(int file, Side side, TimePoint now) {
  all_.erase(file);
  if (all_.size() >= most_) return false;
  all_.emplace(file, One{side, now, std::nullopt, {}});
  return true;
}

void Connections::heard(int file, TimePoint now) {
  if (const auto known = all_.find(file); known != all_.end()) known->second.heard = now;
}

void Connections::subscribed(int file, std::string_view topic) {
  constexpr std::size_t kProofTopic = 1 + sizeof(Id128);
  if (topic.size() != kProofTopic || topic[0] != 'n') return;
  if (const auto known = all_.find(file); known != all_.end()) known->second.proof = topic;
}

std::vector<int> Connections::strangers(TimePoint now, const Known& known) const {
  std::vector<std::pair<TimePoint, int>> found;
  if (!scarce()) return {};
  for (const auto& [file, one] : all_) {
    if (now - one.since < limits::kStrangerGrace) continue;
    const bool of_peer = one.side == Side::kChanges
                             ? !one.proof.empty() && known(one.proof)
                             : one.heard.has_value() && now - *one.heard < silence_;
    if (!of_peer) found.emplace_back(one.since, file);
  }
  std::sort(found.begin(), found.end());
  std::vector<int> files;
  for (const auto& [since, file] : found) files.push_back(file);
  return files;
}

}  // namespace csa
