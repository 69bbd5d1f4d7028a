#include "node/session_copy.h"

#include <algorithm>
#include <utility>

#include "common/limits.h"
#include "common/page_map.h"

namespace csa {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTroubleFirst{500};
constexpr milliseconds kTroubleMax{60000};
constexpr int kTroublesMax = 8;
constexpr std::size_t kAskedMax = limits::kPeerJobsMax / 2;  // the broker's readers serve all

}  // namespace

void CopyFetch::forget_wire() {
  for (auto range = asked_.rbegin(); range != asked_.rend(); ++range) {
    missing_.push_front({range->first, range->second});
    missing_bytes_ += range->second;
  }
  asked_.clear();
  asked_bytes_ = 0;
  map_asked_ = false;
  heard_.reset();
}

void CopyFetch::cancel() {
  phase_ = Phase::kOff;
  map_total_ = map_next_ = missing_bytes_ = 0;
  map_asked_ = planning_ = false;
  map_piece_.reset();
  missing_.clear();
  asked_.clear();
  chunks_.clear();
  asked_bytes_ = held_ = 0;
  total_ = here_ = fetched_ = 0;
  snapshot_ = {};
  end_.reset();
  heard_.reset();
  job_out_ = false;
}

void CopyFetch::want(TimePoint now, bool after_trouble) {
  cancel();
  phase_ = Phase::kAsking;
  if (!after_trouble) return;
  troubles_ = std::min(troubles_ + 1, kTroublesMax);
  const milliseconds most = std::min(kTroubleMax, kTroubleFirst * (1 << troubles_));
  std::uniform_int_distribution<std::int64_t> delay(most.count() / 2, most.count());
  phase_ = Phase::kWaiting;
  wait_until_ = now + milliseconds{delay(random_)};
}

void CopyFetch::link_up() {
  up_ = true;
  forget_wire();
}

void CopyFetch::link_down() {
  up_ = false;
  forget_wire();
}

void CopyFetch::on_chunk(SnapshotChunk chunk, TimePoint now) {
  if (phase_ == Phase::kAsking && heard_) {
    if (chunk.snapshot.is_zero()) return;
    snapshot_ = chunk.snapshot;
    total_ = chunk.total;
    page_size_ =
        is_page_size(chunk.page_size) && total_ % chunk.page_size == 0 ? chunk.page_size : 0;
    phase_ = Phase::kBeginning;
    return;
  }
  if (phase_ != Phase::kFetching || chunk.snapshot != snapshot_ || chunk.bytes.empty()) return;
  if (chunk.map) {
    on_map(std::move(chunk), now);
    return;
  }
  const auto asked = asked_.find(chunk.offset);
  if (asked == asked_.end() || chunk.bytes.size() > asked->second) return;
  const auto size = static_cast<std::uint32_t>(chunk.bytes.size());
  const std::uint32_t rest = asked->second - size;
  asked_.erase(asked);
  asked_bytes_ -= size;
  if (rest > 0) {
    asked_.emplace(chunk.offset + size, rest);
    heard_ = now - limits::kLogRetry;  // the rest is asked for again at once
  } else {
    heard_ = now;
  }
  held_ += size;
  chunks_.push_back({chunk.offset, std::move(chunk.bytes)});
}

void CopyFetch::on_map(SnapshotChunk chunk, TimePoint now) {
  const std::size_t size = chunk.bytes.size();
  const bool fits = chunk.offset == map_next_ && size % kPageHash == 0 &&
                    size <= limits::kChunkMax && size <= map_total_ - map_next_;
  if (!map_asked_ || !fits) return;
  map_asked_ = false;
  heard_ = now;
  map_piece_ = PlanCopy{map_next_ / kPageHash, std::move(chunk.bytes)};
  map_next_ += size;
}

void CopyFetch::finish_if_written() {
  const bool planned = map_next_ == map_total_ && !map_piece_ && !planning_;
  const bool fetched = missing_.empty() && asked_.empty() && chunks_.empty() && !job_out_;
  if (phase_ != Phase::kFetching || !planned || !fetched) return;
  phase_ = Phase::kEnding;
  heard_.reset();
}

void CopyFetch::on_end(const SnapshotEnd& end, bool older, TimePoint now) {
  if (phase_ != Phase::kEnding || end.snapshot != snapshot_) return;
  if (end.total != total_ || older) {
    want(now, true);
    return;
  }
  end_ = end;
  phase_ = Phase::kInstalling;
}

bool CopyFetch::on_gone(const SnapshotGone& gone, TimePoint now) {
  const bool asking = phase_ == Phase::kAsking && heard_.has_value();
  const bool fetching =
      phase_ == Phase::kBeginning || phase_ == Phase::kFetching || phase_ == Phase::kEnding;
  if (!asking && !(fetching && gone.snapshot == snapshot_)) return false;
  want(now, true);
  return true;
}

void CopyFetch::on_download(bool pages_here) {
  if (phase_ != Phase::kBeginning || !job_out_) return;
  job_out_ = false;
  phase_ = Phase::kFetching;
  heard_.reset();
  if (pages_here && page_size_ != 0) {
    map_total_ = total_ / page_size_ * kPageHash;
  } else if (total_ > 0) {
    missing_.push_back({0, total_});
    missing_bytes_ = total_;
  }
  finish_if_written();
}

bool CopyFetch::on_planned(const CopyPlan& plan) {
  if (!job_out_ || !planning_) return false;
  job_out_ = planning_ = false;
  here_ += plan.here;
  for (const CopyRange& range : plan.missing) {
    missing_.push_back(range);
    missing_bytes_ += range.length;
  }
  finish_if_written();
  return true;
}

bool CopyFetch::on_written(std::size_t bytes) {
  if (!job_out_ || planning_) return false;
  job_out_ = false;
  held_ -= std::min(held_, bytes);
  here_ += bytes;
  fetched_ += bytes;
  finish_if_written();
  return true;
}

std::optional<StoreJob> CopyFetch::take_job() {
  if (job_out_) return std::nullopt;
  if (phase_ == Phase::kBeginning) {
    job_out_ = true;
    return BeginDownload{snapshot_, total_, page_size_};
  }
  if (map_piece_) {
    job_out_ = planning_ = true;
    PlanCopy piece = std::move(*map_piece_);
    map_piece_.reset();
    return piece;
  }
  if (!chunks_.empty()) {
    job_out_ = true;
    WriteChunk chunk = std::move(chunks_.front());
    chunks_.pop_front();
    return chunk;
  }
  if (phase_ == Phase::kInstalling && end_) {
    job_out_ = true;
    const SnapshotEnd end = *end_;
    end_.reset();
    return InstallCopy{end};
  }
  return std::nullopt;
}

bool CopyFetch::expects_answer() const {
  return phase_ == Phase::kAsking || phase_ == Phase::kEnding ||
         (phase_ == Phase::kFetching && (map_asked_ || !asked_.empty()));
}

SnapshotGet CopyFetch::map_request() const {
  const auto length = std::min<std::uint64_t>(limits::kChunkMax, map_total_ - map_next_);
  return {snapshot_, map_next_, static_cast<std::uint32_t>(length), {}, true};
}

// What was asked for and does not come.
void CopyFetch::request_again(TimePoint now, std::vector<SnapshotGet>& requests) {
  if (!expects_answer() || !heard_ || *heard_ + limits::kLogRetry > now) return;
  for (const auto& [offset, length] : asked_) requests.push_back({snapshot_, offset, length});
  if (map_asked_) requests.push_back(map_request());
  heard_ = now;
}

void CopyFetch::request_map(TimePoint now, std::vector<SnapshotGet>& requests) {
  if (map_next_ == map_total_ || map_asked_ || map_piece_ || planning_) return;
  if (missing_bytes_ > limits::kSnapshotWindow) return;
  if (asked_.empty()) heard_ = now;
  map_asked_ = true;
  requests.push_back(map_request());
}

void CopyFetch::request_chunks(TimePoint now, std::vector<SnapshotGet>& requests) {
  while (!missing_.empty() && asked_.size() < kAskedMax) {
    CopyRange& range = missing_.front();
    const std::uint64_t length = std::min<std::uint64_t>(limits::kChunkMax, range.length);
    if (held_ + asked_bytes_ + length > limits::kSnapshotWindow) return;
    const auto size = static_cast<std::uint32_t>(length);
    if (asked_.empty() && !map_asked_) heard_ = now;
    asked_.emplace(range.offset, size);
    asked_bytes_ += size;
    requests.push_back({snapshot_, range.offset, size});
    missing_bytes_ -= size;
    range.offset += size;
    range.length -= size;
    if (range.length == 0) missing_.pop_front();
  }
}

std::vector<SnapshotGet> CopyFetch::take_requests(TimePoint now) {
  std::vector<SnapshotGet> requests;
  if (!up_) return requests;
  if (phase_ == Phase::kWaiting && wait_until_ <= now) {
    phase_ = Phase::kAsking;
    heard_.reset();
  }
  const bool silent = !heard_ || *heard_ + limits::kLogRetry <= now;
  const auto length = static_cast<std::uint32_t>(limits::kChunkMax);
  if (phase_ == Phase::kAsking && silent) {
    requests.push_back({Id128{}, 0, length, at_least_});
    heard_ = now;
  } else if (phase_ == Phase::kEnding && silent) {
    requests.push_back({snapshot_, total_, length});
    heard_ = now;
  } else if (phase_ == Phase::kFetching) {
    request_again(now, requests);
    request_map(now, requests);
    request_chunks(now, requests);
  }
  return requests;
}

std::optional<TimePoint> CopyFetch::deadline() const {
  if (!up_) return std::nullopt;
  if (phase_ == Phase::kWaiting) return wait_until_;
  if (!expects_answer() || !heard_) return std::nullopt;
  return *heard_ + limits::kLogRetry;
}

}  // namespace csa
