#include "common/stream.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "common/limits.h"
#include "common/planted.h"

namespace csa {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kGapJitterMin{20};
constexpr milliseconds kTailDelay{200};  // a HEAD without its UPDATE: the UPDATE may be on its way
constexpr std::size_t kReadyMax = 4 * limits::kMiB;  // the owner is slow: no more is asked for
constexpr std::size_t kPieceOverhead = 256;          // what a piece costs beside its bytes

std::size_t cost_of(const LogPiece& piece) {
  return piece.bytes.size() + piece.header.hostname.size() + kPieceOverhead;
}

bool fits_itself(const LogPiece& piece) {
  return piece.offset <= piece.header.size &&
         piece.bytes.size() <= piece.header.size - piece.offset;
}

}  // namespace

struct Stream::Impl {
  explicit Impl(std::uint64_t seed) : random(seed) {}

  bool active = false;
  bool proved = false;           // a LOG answer has come since start()
  bool any_epoch = true;         // started without an Epoch, and none is known yet
  bool doubt = false;            // a head says that the history is another one: the log must say
  Position given;                // what take() gave out
  Position end;                  // what has been put into `ready`
  std::uint64_t end_offset = 0;  // bytes of the entry behind `end` that are in `ready` or before it
  Position newest;
  std::deque<LogPiece> ready;
  std::size_t ready_bytes = 0;
  std::map<Seq, LogPiece> ahead;  // whole entries behind a gap
  std::size_t ahead_bytes = 0;
  std::optional<TimePoint> ask_at;
  std::uint64_t request = 0;
  std::optional<TimePoint> asked;  // when the outstanding request was sent
  std::mt19937_64 random;

  // Every entry stands for itself in the history, so its chain is the position's.
  void push(LogPiece piece) {
    end_offset = piece.offset + piece.bytes.size();
    if (piece.completes()) {
      end.seq = piece.header.seq;
      end.chain = piece.chain;
      end_offset = 0;
    }
    ready_bytes += cost_of(piece);
    ready.push_back(std::move(piece));
  }

  // True: the piece continues the stream and was taken, less what is here already.
  bool accept(LogPiece piece) {
    if (!fits_itself(piece) || piece.is_stub()) return false;
    const bool gap = piece.header.seq > end.seq.next() && planted("skip a gap");
    if ((piece.header.seq != end.seq.next() && !gap) || piece.offset > end_offset) return false;
    const std::uint64_t known = end_offset - piece.offset;
    if (known > piece.bytes.size() || (known == piece.bytes.size() && known > 0)) return false;
    piece.bytes.erase(piece.bytes.begin(),
                      piece.bytes.begin() + static_cast<std::ptrdiff_t>(known));
    piece.offset = end_offset;
    push(std::move(piece));
    return true;
  }

  void drain_ahead() {
    while (!ahead.empty()) {
      auto first = ahead.begin();
      if (first->first > end.seq.next()) return;
      LogPiece piece = std::move(first->second);
      ahead_bytes -= cost_of(piece);
      ahead.erase(first);
      (void)accept(std::move(piece));  // a stale one is dropped here
    }
  }

  void forget_ahead() {
    ahead.clear();
    ahead_bytes = 0;
  }

  void keep_ahead(LogPiece&& piece) {
    if (!fits_itself(piece) || piece.offset != 0 || !piece.completes()) return;
    const std::size_t cost = cost_of(piece);
    if (ready_bytes + ahead_bytes + cost > limits::kStreamBufferMax) {
      // Memory must not depend on how long catching up takes: the log still has all of them.
      forget_ahead();
      return;
    }
    const Seq seq = piece.header.seq;
    if (ahead.try_emplace(seq, std::move(piece)).second) ahead_bytes += cost;
  }

  void ask_in(TimePoint now, milliseconds delay) {
    const TimePoint at = now + delay;
    if (!ask_at || at < *ask_at) ask_at = at;
  }
  void ask_after_jitter(TimePoint now) {
    std::uniform_int_distribution<std::int64_t> delay(kGapJitterMin.count(),
                                                      limits::kGapJitterMax.count());
    if (!ask_at || *ask_at > now + limits::kGapJitterMax)
      ask_at = now + milliseconds{delay(random)};
  }

  void hear(const Position& head, TimePoint now) {
    if (any_epoch) {
      if (newest.epoch.id != head.epoch.id || head.seq > newest.seq) newest = head;
      return;  // the LOG answer decides
    }
    if (head.epoch.id != end.epoch.id) {
      newest = head;
      doubt = true;
      forget_ahead();
      ask_after_jitter(now);
      return;
    }
    if (newest.epoch.id != head.epoch.id || head.seq > newest.seq) newest = head;
    if (head.seq == end.seq && end_offset == 0 && head.chain != end.chain &&
        !end.chain.value.is_zero()) {
      doubt = true;  // the same number with another content
      ask_after_jitter(now);
    }
  }

  [[nodiscard]] bool behind() const { return end.seq < newest.seq; }
};

Stream::Stream(std::uint64_t seed) : impl_(std::make_unique<Impl>(seed)) {}
Stream::~Stream() = default;

void Stream::start(const Position& after, std::uint64_t offset, TimePoint now) {
  stop();
  Impl& s = *impl_;
  s.active = true;
  s.any_epoch = after.epoch.id.is_zero();
  s.given = after;
  s.end = after;
  s.end_offset = offset;
  s.newest = after;
  s.ask_at = now;
}

void Stream::stop() {
  Impl& s = *impl_;
  s.active = false;
  s.proved = false;
  s.doubt = false;
  s.ready.clear();
  s.ready_bytes = 0;
  s.forget_ahead();
  s.ask_at.reset();
  s.asked.reset();
}

void Stream::on_update(Update update, TimePoint now) {
  Impl& s = *impl_;
  if (!s.active) return;
  s.hear(update.head, now);
  if (s.any_epoch || update.head.epoch.id != s.end.epoch.id) return;
  bool advanced = false;
  for (LogPiece& piece : update.pieces) {
    const Seq seq = piece.header.seq;
    if (seq <= s.end.seq || s.ready_bytes + s.ahead_bytes > limits::kStreamBufferMax) continue;
    if (seq != s.end.seq.next() && !planted("skip a gap")) {
      s.keep_ahead(std::move(piece));
    } else if (s.accept(std::move(piece))) {
      advanced = true;
    }
  }
  if (advanced) s.drain_ahead();
  if (!s.proved) return;  // the first question is still open
  if (!s.behind() && !s.doubt) {
    s.ask_at.reset();
  } else if (advanced && s.ahead.empty() && !s.doubt) {
    s.ask_at = now + kTailDelay;  // it moves; a HEAD by another way may have been faster
  } else {
    s.ask_after_jitter(now);
  }
}

bool Stream::on_log(LogSlice slice, TimePoint now) {
  Impl& s = *impl_;
  if (!s.active || !s.asked || slice.request != s.request) return false;
  s.asked.reset();
  s.ask_at.reset();
  if (s.any_epoch) {
    s.any_epoch = false;
    s.end.epoch = slice.head.epoch;
    s.given.epoch = slice.head.epoch;
    if (s.newest.epoch.id != slice.head.epoch.id) s.newest = slice.head;
  }
  if (slice.head.epoch.id != s.end.epoch.id) {
    // The log of another history does not continue ours: the broker should have said LOG_GONE.
    s.ask_in(now, limits::kLogRetry);
    return true;
  }
  s.proved = true;
  if (s.doubt || slice.head.seq > s.newest.seq) s.newest = slice.head;
  s.doubt = false;
  bool advanced = false;
  for (LogPiece& piece : slice.pieces) {
    if (s.accept(std::move(piece))) advanced = true;
  }
  s.drain_ahead();
  if (!s.behind()) return true;
  if (advanced) {
    s.ask_in(now, milliseconds{0});
  } else {
    // Nothing more was there when the broker answered, or its answer is of no use.
    s.ask_in(now, slice.head.seq <= s.end.seq ? kTailDelay : limits::kLogRetry);
  }
  return true;
}

bool Stream::on_gone(const LogGone& gone) {
  const Impl& s = *impl_;
  if (!s.active || !s.asked || gone.request != s.request) return false;
  stop();
  return true;
}

void Stream::on_head(const Position& head, TimePoint now) {
  Impl& s = *impl_;
  if (!s.active) return;
  s.hear(head, now);
  if (s.proved && s.behind()) s.ask_in(now, kTailDelay);
}

void Stream::ask_through(Seq seq, TimePoint now) {
  Impl& s = *impl_;
  if (s.active && s.end.seq < seq) s.ask_in(now, milliseconds{0});
}

std::vector<LogPiece> Stream::take(std::size_t max_bytes) {
  Impl& s = *impl_;
  std::vector<LogPiece> taken;
  std::size_t bytes = 0;
  while (!s.ready.empty()) {
    const std::size_t cost = cost_of(s.ready.front());
    if (!taken.empty() && bytes + cost > max_bytes) break;
    bytes += cost;
    s.ready_bytes -= cost;
    LogPiece& piece = s.ready.front();
    if (piece.completes()) {
      s.given.seq = piece.header.seq;
      s.given.chain = piece.chain;
    }
    taken.push_back(std::move(piece));
    s.ready.pop_front();
  }
  return taken;
}

bool Stream::has_ready() const { return !impl_->ready.empty(); }

std::optional<LogGet> Stream::take_request(TimePoint now) {
  Impl& s = *impl_;
  if (const auto due = deadline(); !due || *due > now) return std::nullopt;
  s.asked = now;
  s.ask_at.reset();
  LogGet get;
  get.request = ++s.request;
  get.after = s.end;
  get.offset = s.end_offset;
  get.max_bytes = static_cast<std::uint32_t>(limits::kUpdateMax);
  return get;
}

std::optional<TimePoint> Stream::deadline() const {
  const Impl& s = *impl_;
  if (!s.active) return std::nullopt;
  if (s.asked) return *s.asked + limits::kLogRetry;
  if (s.ready_bytes >= kReadyMax) return std::nullopt;
  return s.ask_at;
}

const Position& Stream::position() const { return impl_->given; }
const Position& Stream::head() const { return impl_->newest; }

bool Stream::caught_up() const {
  const Impl& s = *impl_;
  return s.active && s.proved && !s.doubt && s.ready.empty() && s.end_offset == 0 && !s.behind();
}

std::size_t Stream::buffered_bytes() const { return impl_->ready_bytes + impl_->ahead_bytes; }

}  // namespace csa
