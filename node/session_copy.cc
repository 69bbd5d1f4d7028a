#include "node/session_copy.h"

#include <algorithm>
#include <utility>

#include "common/limits.h"

namespace csa {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTroubleFirst{500};
constexpr milliseconds kTroubleMax{60000};
constexpr int kTroublesMax = 8;

}  // namespace

void CopyFetch::forget_wire() {
  asked_.clear();
  for (const auto& [offset, bytes] : arrived_) held_ -= bytes.size();
  arrived_.clear();
  next_ask_ = queued_to_;
  heard_.reset();
}

void CopyFetch::cancel() {
  phase_ = Phase::kOff;
  chunks_.clear();
  asked_.clear();
  arrived_.clear();
  held_ = 0;
  total_ = next_ask_ = queued_to_ = written_to_ = 0;
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

void CopyFetch::link_up(TimePoint now) {
  (void)now;
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
    phase_ = Phase::kBeginning;
    return;
  }
  if (phase_ != Phase::kFetching || chunk.snapshot != snapshot_ || chunk.bytes.empty()) return;
  const auto asked = asked_.find(chunk.offset);
  if (asked == asked_.end() || chunk.bytes.size() > asked->second) return;
  const auto size = static_cast<std::uint32_t>(chunk.bytes.size());
  const std::uint32_t rest = asked->second - size;
  asked_.erase(asked);
  if (rest > 0) {
    asked_.emplace(chunk.offset + size, rest);
    heard_ = now - limits::kLogRetry;  // the rest is asked for again at once
  } else {
    heard_ = now;
  }
  held_ += size;
  arrived_.emplace(chunk.offset, std::move(chunk.bytes));
  queue_arrived();
}

void CopyFetch::queue_arrived() {
  while (!arrived_.empty() && arrived_.begin()->first == queued_to_) {
    const auto first = arrived_.begin();
    queued_to_ += first->second.size();
    chunks_.push_back({first->first, std::move(first->second)});
    arrived_.erase(first);
  }
}

void CopyFetch::finish_if_written() {
  if (phase_ != Phase::kFetching || written_to_ < total_) return;
  phase_ = Phase::kEnding;
  heard_.reset();
}

void CopyFetch::on_end(const SnapshotEnd& end, TimePoint now) {
  if (phase_ != Phase::kEnding || end.snapshot != snapshot_) return;
  if (end.total != total_) {
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

void CopyFetch::on_download(std::uint64_t from_offset, TimePoint now) {
  (void)now;
  if (phase_ != Phase::kBeginning || !job_out_) return;
  job_out_ = false;
  phase_ = Phase::kFetching;
  next_ask_ = queued_to_ = written_to_ = std::min(from_offset, total_);
  heard_.reset();
  finish_if_written();
}

bool CopyFetch::on_written(std::uint64_t offset, std::size_t bytes) {
  if (!job_out_) return false;
  job_out_ = false;
  held_ -= std::min(held_, bytes);
  written_to_ = std::max(written_to_, offset + bytes);
  finish_if_written();
  return true;
}

std::optional<StoreJob> CopyFetch::take_job() {
  if (job_out_) return std::nullopt;
  if (phase_ == Phase::kBeginning) {
    job_out_ = true;
    return BeginDownload{snapshot_, total_};
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
         (phase_ == Phase::kFetching && !asked_.empty());
}

void CopyFetch::request_chunks(TimePoint now, std::vector<SnapshotGet>& requests) {
  if (!asked_.empty() && heard_ && *heard_ + limits::kLogRetry <= now) {
    for (const auto& [offset, length] : asked_) requests.push_back({snapshot_, offset, length});
    heard_ = now;
  }
  while (next_ask_ < total_) {
    const std::uint64_t out = next_ask_ - written_to_;  // not yet here, or not yet written
    const std::uint64_t length = std::min<std::uint64_t>(limits::kChunkMax, total_ - next_ask_);
    if (out + length > limits::kSnapshotWindow) return;
    const auto size = static_cast<std::uint32_t>(length);
    if (asked_.empty()) heard_ = now;
    asked_.emplace(next_ask_, size);
    requests.push_back({snapshot_, next_ask_, size});
    next_ask_ += length;
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
