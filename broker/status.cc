#include "broker/status.h"

#include <chrono>
#include <nlohmann/json.hpp>

namespace csa {

namespace {

using Json = nlohmann::ordered_json;

std::int64_t second_of(TimePoint now) {
  return std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json position_json(const Position& position) {
  if (position.epoch == Epoch{}) return nullptr;  // no replica yet
  return {{"epoch", to_string(position.epoch)}, {"seq", position.seq.value}};
}

std::uint64_t lag(const Position& position, const Position& head) {
  if (position.epoch != head.epoch) return head.seq.value;
  return head.seq > position.seq ? head.seq.value - position.seq.value : 0;
}

}  // namespace

void RateMeter::add(std::uint64_t events, TimePoint now) {
  const std::int64_t second = second_of(now);
  Bucket& bucket = buckets_[static_cast<std::size_t>(second) % buckets_.size()];
  if (bucket.second != second) bucket = {second, 0};
  bucket.events += events;
}

double RateMeter::per_s(TimePoint now) const {
  const std::int64_t second = second_of(now);
  std::uint64_t events = 0;
  for (const Bucket& bucket : buckets_) {
    if (bucket.second < second && bucket.second >= second - kSeconds) events += bucket.events;
  }
  return static_cast<double>(events) / static_cast<double>(kSeconds);
}

std::string status_json(const BrokerStatus& status) {
  return dump({{"group", status.group},
               {"position", position_json(status.head)},
               {"nodes", status.nodes},
               {"database", status.database},
               {"bytes", status.database_bytes},
               {"log",
                {{"floor", status.floor.value},
                 {"head", status.head.seq.value},
                 {"bytes", status.log_bytes}}},
               {"writes_per_s", status.writes_per_s},
               {"uptime_s", status.uptime_s}});
}

std::string nodes_json(const std::vector<NodeStatus>& nodes, const Position& head, TimePoint now) {
  using std::chrono::milliseconds;
  Json list = Json::array();
  for (const NodeStatus& node : nodes) {
    list.push_back({{"node", to_string(node.node)},
                    {"hostname", shown(node.hostname)},
                    {"address", shown(node.address)},
                    {"version", shown(node.app_version.empty() ? node.program : node.app_version)},
                    {"state", to_string(node.state)},
                    {"position", position_json(node.position)},
                    {"lag", lag(node.position, head)},
                    {"last_heartbeat_ms",
                     std::chrono::duration_cast<milliseconds>(now - node.heard).count()}});
  }
  return dump(list);
}

}  // namespace csa
