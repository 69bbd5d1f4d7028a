#include "broker/write_queue.h"

#include "common/check.h"
#include "common/codec.h"
#include "common/limits.h"

namespace csa {

namespace {

std::size_t size_of(const Value& value) {
  struct Visitor {
    std::size_t operator()(const Null&) const { return 0; }
    std::size_t operator()(std::int64_t) const { return 0; }
    std::size_t operator()(double) const { return 0; }
    std::size_t operator()(const Text& text) const { return text.utf8.size(); }
    std::size_t operator()(const Bytes& blob) const { return blob.size(); }
    std::size_t operator()(const Text16& text) const { return text.units.size() * 2; }
  };
  return sizeof(Value) + std::visit(Visitor{}, value);
}

// About what the request takes in memory.
std::size_t size_of(const WriteRequest& request) {
  if (const auto* const migrate = std::get_if<Migrate>(&request)) {
    return sizeof(WriteJob) + migrate->sql.size();
  }
  if (const auto* const replay = std::get_if<Replay>(&request)) {
    return sizeof(WriteJob) + replay->bytes.size();
  }
  if (const auto* const rules = std::get_if<Rules>(&request)) {
    std::size_t names = sizeof(WriteJob);
    for (const RuleSetting& one : rules->rules) {
      names += sizeof(one) + one.table.size() + one.column.size() + one.rule.size();
    }
    return names;
  }
  if (std::holds_alternative<Conflict>(request)) return sizeof(WriteJob);
  const Write& write = std::get<Write>(request);
  std::size_t size = sizeof(WriteJob) + write.sql.size();
  for (const Value& value : write.parameters) size += size_of(value);
  return size;
}

}  // namespace

WriteQueue::Key WriteQueue::key_of(const WriteRequest& request) {
  const auto* const replay = std::get_if<Replay>(&request);
  return {tx_of(request), replay == nullptr ? 0 : replay->offset + 1};
}

bool WriteQueue::has_room(const NodeId& node, std::size_t bytes) const {
  const auto line = lines_.find(node);
  const std::size_t own = line == lines_.end() ? 0 : line->second.entries.size();
  const std::size_t own_bytes = line == lines_.end() ? 0 : line->second.bytes;
  return own < limits::kWaitingWritesMax - waiting_ &&
         own_bytes + bytes <= limits::kWaitingBytesMax - bytes_;
}

WriteQueue::Added WriteQueue::add(WriteRequest request, std::string hostname, const PeerKey& peer,
                                  TimePoint begin_by) {
  const Key key = key_of(request);
  const TxId& tx = key.tx;
  const Id128 hash = hash_of(request);
  if (const auto place = known_.find(key); place != known_.end()) {
    if (place->second.hash != hash) return Added::kMismatch;
    place->second.peer = peer;
    return Added::kKnown;
  }
  const std::size_t bytes = size_of(request);
  if (!has_room(tx.node, bytes)) return Added::kFull;
  known_.emplace(key, Known{hash, peer});
  Line& line = lines_[tx.node];
  if (line.entries.empty()) turns_.push_back(tx.node);
  line.entries.push_back({{std::move(request), std::move(hostname), 0, begin_by, peer}, bytes});
  line.bytes += bytes;
  ++waiting_;
  bytes_ += bytes;
  return Added::kQueued;
}

bool WriteQueue::redirect(const TxId& tx, const PeerKey& peer) {
  const auto place = known_.find(Key{tx, 0});
  if (place == known_.end()) return false;
  place->second.peer = peer;
  return true;
}

std::vector<WriteJob> WriteQueue::take_group() {
  std::vector<WriteJob> group;
  std::size_t group_bytes = 0;
  while (group.size() < limits::kGroupMax && !turns_.empty()) {
    const NodeId node = turns_.front();
    const auto place = lines_.find(node);
    CSA_CHECK(place != lines_.end());
    Line& line = place->second;
    Entry& entry = line.entries.front();
    // What does not go with this group ends it and is the next one: its node keeps the turn.
    const bool alone = std::holds_alternative<Migrate>(entry.job.request);
    const bool fits = group_bytes + entry.bytes <= limits::kGroupBytesMax;
    const bool fitting_kind =
        group.empty() || (!alone && std::holds_alternative<Replay>(entry.job.request) ==
                                        std::holds_alternative<Replay>(group.front().request));
    if (!fitting_kind || (!group.empty() && !fits)) break;
    group_bytes += entry.bytes;
    bytes_ -= entry.bytes;
    line.bytes -= entry.bytes;
    --waiting_;
    entry.job.ticket = next_ticket_++;
    in_ledger_.emplace(entry.job.ticket, Given{key_of(entry.job.request), entry.job.begin_by});
    group.push_back(std::move(entry.job));
    line.entries.pop_front();
    turns_.pop_front();
    if (line.entries.empty()) {
      lines_.erase(place);
    } else {
      turns_.push_back(node);
    }
    if (alone) break;
  }
  return group;
}

WriteQueue::Asked WriteQueue::settle(std::uint64_t ticket) {
  const auto place = in_ledger_.find(ticket);
  CSA_CHECK(place != in_ledger_.end());
  const Key key = place->second.key;
  in_ledger_.erase(place);
  auto known = known_.extract(key);
  CSA_CHECK(!known.empty());
  return {key.tx, key.part, std::move(known.mapped().peer)};
}

WriteQueue::Asked WriteQueue::take_back(const Entry& entry) {
  const Key key = key_of(entry.job.request);
  auto known = known_.extract(key);
  CSA_CHECK(!known.empty());
  return {key.tx, key.part, std::move(known.mapped().peer)};
}

std::vector<WriteQueue::Asked> WriteQueue::take_overdue(TimePoint now, std::uint64_t begun) {
  std::vector<Asked> asked;
  for (auto& [node, queued] : lines_) {
    auto& line = queued;  // clang 14 captures no binding
    std::erase_if(line.entries, [&](const Entry& entry) {
      if (entry.job.begin_by > now) return false;
      asked.push_back(take_back(entry));
      line.bytes -= entry.bytes;
      bytes_ -= entry.bytes;
      --waiting_;
      return true;
    });
  }
  std::erase_if(turns_, [&](const NodeId& node) { return lines_.at(node).entries.empty(); });
  std::erase_if(lines_, [](const auto& one) { return one.second.entries.empty(); });
  for (auto given = in_ledger_.upper_bound(begun); given != in_ledger_.end(); ++given) {
    auto& [key, begin_by] = given->second;
    if (begin_by > now) continue;
    begin_by = TimePoint::max();
    asked.push_back({key.tx, key.part, std::exchange(known_.at(key).peer, {})});
  }
  return asked;
}

std::vector<WriteQueue::Asked> WriteQueue::clear() {
  std::vector<Asked> asked;
  for (const auto& [node, line] : lines_) {
    for (const Entry& entry : line.entries) asked.push_back(take_back(entry));
  }
  lines_.clear();
  turns_.clear();
  waiting_ = 0;
  bytes_ = 0;
  return asked;
}

}  // namespace csa
