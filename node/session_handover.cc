#include "node/session_handover.h"

#include <algorithm>
#include <utility>

#include "common/limits.h"
#include "common/planted.h"

namespace csa {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMarkMax = 256;  // outcomes marked by one local commit
constexpr int kSetbacksMax = 6;
constexpr int kAgainsDoubt = 2;  // one may come of a part that was lost
constexpr int kAgainsMax = 4;    // restarts of a broker; more of them and it does not get on
constexpr milliseconds kAgainDelay{50};
// A part may have to wait for a long statement of somebody else.
constexpr milliseconds kSilence = limits::kStatementTimeout + limits::kLogRetry;

}  // namespace

void Handover::start(TimePoint now, std::uint64_t known_to) {
  stop();
  running_ = true;
  known_to_ = known_to;
  heard_ = now;
}

void Handover::stop() {
  running_ = false;
  begin_again(0, TimePoint{});
  wait_until_.reset();
  troubles_ = agains_ = 0;
  doubted_ = doubt_ = false;
  trouble_.clear();
  answers_.clear();
}

void Handover::begin_again(std::uint64_t after, TimePoint at) {
  after_ = after;
  offset_ = 0;
  end_read_ = false;
  drop_read_ = reading_;
  ready_.clear();
  sent_.clear();
  sent_bytes_ = 0;
  wait_until_ = at;
}

void Handover::on_store_failed(TimePoint now) {
  reading_ = marking_ = false;
  if (running_) begin_again(0, now + limits::kRetryMax);
}

void Handover::on_read(std::vector<Replay> replays) {
  reading_ = false;
  if (std::exchange(drop_read_, false) || !running_) return;
  if (replays.empty()) {
    end_read_ = true;
    return;
  }
  if (after_ < known_to_) {
    take_questions(std::move(replays));
    return;
  }
  for (Replay& replay : replays) {
    if (replay.completes()) {
      after_ = replay.header.tx.counter;
      offset_ = 0;
    } else {
      offset_ = replay.offset + replay.bytes.size();
    }
    ready_.push_back(std::move(replay));
  }
}

void Handover::take_questions(std::vector<Replay> questions) {
  for (Replay& question : questions) {
    const JournalHeader& header = question.header;
    // What was sent before under its TxId, or has come from another one, the broker wants to see.
    const bool before = !header.request_hash.is_zero() || header.is_lost();
    if (header.tx.counter > known_to_ || before) {
      known_to_ = after_;
      return;
    }
    after_ = header.tx.counter;
    ready_.push_back(std::move(question));
  }
}

bool Handover::asks() const {
  if (!running_ || !trouble_.empty() || known_to_ == 0) return false;
  const bool to_send = !ready_.empty() && ready_.front().header.tx.counter <= known_to_;
  const bool sent = !sent_.empty() && sent_.front().asks;
  return after_ < known_to_ || to_send || sent || !all_marked();
}

void Handover::on_replayed(const Replayed& answer, TimePoint now) {
  // An answer to what is not out (any more) was given before the present attempt.
  const auto first = std::find_if(sent_.begin(), sent_.end(),
                                  [&](const Part& part) { return part.tx == answer.tx; });
  if (!running_ || first == sent_.end()) return;
  heard_ = now;
  const bool refused = answer.result == ReplayResult::kAgain;
  const bool settled =
      is_outcome(answer.result) || (refused && planted("take a refusal for an outcome"));
  if (first->asks && !settled) {
    known_to_ = 0;
    if (answer.result != ReplayResult::kBusy) {
      begin_again(sent_.front().previous, now + kAgainDelay);
      return;
    }
  }
  if (refused && !settled) {
    if (++agains_ > kAgainsMax) {
      be_patient(sent_.front().previous,
                 "the broker asks for the same offline changes again and again; they are kept, and"
                 " it is tried more slowly. Look into the broker's log, and restart the broker",
                 now);
      return;
    }
    if (agains_ == kAgainsDoubt && !std::exchange(doubted_, true)) {
      doubt_ = true;
      begin_again(0, now + kAgainDelay);
      return;
    }
    // Long enough for the answers to what was sent behind it to arrive before it is sent anew.
    begin_again(sent_.front().previous, now + kAgainDelay);
    return;
  }
  if (answer.result == ReplayResult::kBusy) {
    be_patient(sent_.front().previous, answer.text, now);
    return;
  }
  const bool nonsense = std::any_of(sent_.begin(), sent_.end(), [&](const Part& part) {
    return part.tx == answer.tx && part.last && part.end <= answer.offset;
  });
  if (answer.result == ReplayResult::kMore && nonsense) {
    be_patient(sent_.front().previous,
               "the broker asks for more of an offline change that is whole; it is kept, and tried"
               " again. Look into the broker's log, and restart the broker",
               now);
    return;
  }
  const bool overtaken = first->tx != sent_.front().tx;
  std::erase_if(sent_, [&](const Part& part) {
    const bool done = part.tx == answer.tx && (settled || part.end <= answer.offset);
    if (done) sent_bytes_ -= part.bytes;
    return done;
  });
  if (!settled) return;
  troubles_ = agains_ = 0;
  trouble_.clear();
  answers_.push_back(answer);
  skip_rest(answer.tx.counter);
  // Answers come in order: those that were left out are lost.
  if (overtaken) begin_again(sent_.front().previous, now);
}

void Handover::be_patient(std::uint64_t previous, std::string text, TimePoint now) {
  troubles_ = std::min(troubles_ + 1, kSetbacksMax);
  trouble_ = std::move(text);
  const milliseconds most = std::min(limits::kRetryMax, limits::kRetryMin * (1 << troubles_));
  std::uniform_int_distribution<std::int64_t> delay(most.count() / 2, most.count());
  begin_again(previous, now + milliseconds{delay(random_)});
}

void Handover::skip_rest(std::uint64_t counter) {
  std::erase_if(ready_, [&](const Replay& part) { return part.header.tx.counter == counter; });
  if (after_ >= counter) return;
  after_ = counter;
  offset_ = 0;
  end_read_ = false;
  drop_read_ = reading_;
}

std::optional<StoreJob> Handover::take_job(TimePoint now) {
  if (!marking_ && !answers_.empty()) {
    const std::size_t count = std::min(kMarkMax, answers_.size());
    const auto end = answers_.begin() + static_cast<std::ptrdiff_t>(count);
    MarkAnswered mark{{answers_.begin(), end}};
    answers_.erase(answers_.begin(), end);
    marking_ = true;
    return mark;
  }
  if (!running_ || reading_ || end_read_ || !ready_.empty()) return std::nullopt;
  if (wait_until_ && *wait_until_ > now) return std::nullopt;
  reading_ = true;
  if (after_ < known_to_) return ReadJournal{after_, 0, 0};
  return ReadJournal{after_, offset_, limits::kReplayWindow / 2};
}

std::vector<Replay> Handover::take_requests(TimePoint now) {
  std::vector<Replay> requests;
  if (!running_) return requests;
  if (!sent_.empty() && heard_ + kSilence <= now) begin_again(sent_.front().previous, now);
  if (wait_until_ && *wait_until_ > now) return requests;
  wait_until_.reset();
  while (!ready_.empty() && sent_.size() < limits::kReplayEntriesMax &&
         (sent_.empty() || sent_bytes_ + ready_.front().bytes.size() <= limits::kReplayWindow)) {
    Replay& next = ready_.front();
    if (sent_.empty()) heard_ = now;
    sent_.push_back({next.header.tx, next.previous, next.offset + next.bytes.size(),
                     next.bytes.size(), next.completes(), next.header.tx.counter <= known_to_});
    sent_bytes_ += next.bytes.size();
    requests.push_back(std::move(next));
    ready_.pop_front();
  }
  return requests;
}

std::optional<TimePoint> Handover::deadline() const {
  if (!running_) return std::nullopt;
  if (wait_until_) return wait_until_;
  if (!sent_.empty()) return heard_ + kSilence;
  return std::nullopt;
}

}  // namespace csa
