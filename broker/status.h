// What `csa-admin status` and `csa-admin nodes` show, as JSON, and the rate of commits.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "broker/hub.h"

namespace csa {

// Events a second over the last whole ten seconds. Pure.
class RateMeter {
 public:
  void add(std::uint64_t events, TimePoint now);
  [[nodiscard]] double per_s(TimePoint now) const;

 private:
  static constexpr std::int64_t kSeconds = 10;
  struct Bucket {
    std::int64_t second = -1;  // since the clock's origin
    std::uint64_t events = 0;
  };
  std::array<Bucket, kSeconds + 1> buckets_{};  // one more: the present second is not whole
};

struct BrokerStatus {
  std::string group;
  std::string database;
  Position head;
  Seq floor;
  std::size_t nodes = 0;
  std::uint64_t database_bytes = 0;
  std::uint64_t log_bytes = 0;
  double writes_per_s = 0;
  std::int64_t uptime_s = 0;
};

[[nodiscard]] std::string status_json(const BrokerStatus& status);
// Peers' words are cut to kShownTextMax bytes and repaired where they are no UTF-8, so that any
// number of peers up to kPeersMax fits one frame.
[[nodiscard]] std::string nodes_json(const std::vector<NodeStatus>& nodes, const Position& head,
                                     TimePoint now);

}  // namespace csa
