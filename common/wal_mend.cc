#include "common/wal_mend.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/bytes.h"
#include "common/wal_frames.h"
#include "common/wal_headless.h"
#include "common/wal_index.h"

namespace csa {
namespace wal {
namespace {

struct WrongBit {
  std::size_t candidates = 0;
  std::size_t bit = 0;  // the last of them
  bool of_sum = false;  // which is one of the stored sum
};

// The bits of `bytes` that make their sum another by `off` when one of them is turned. Of a word's
// low bits it is one; of its highest, which the sums repeat every few words, it may be many.
WrongBit wrong_bit(ByteView bytes, Sum off, bool big) {
  // What one more in the first or second word of a pair makes of the sum at the end.
  Sum first{1, 1};
  Sum second{0, 1};
  WrongBit wrong;
  for (std::size_t at = bytes.size(); at > 0; at -= 8) {
    for (const bool later : {false, true}) {
      const std::size_t place = at - 8 + (later ? 4 : 0);
      const std::uint32_t here = word(bytes.data() + place, big);
      const Sum& by = later ? second : first;
      for (std::uint32_t bit = 0; bit < 32; ++bit) {
        const std::uint32_t turned = (here ^ (1U << bit)) - here;
        if (by.a * turned != off.a || by.b * turned != off.b) continue;
        ++wrong.candidates;
        wrong.bit = (place + (big ? 3 - bit / 8 : bit / 8)) * 8 + bit % 8;
      }
    }
    for (Sum* const by : {&first, &second}) {
      by->a += by->b;
      by->b += by->a;
    }
  }
  return wrong;
}

// The one bit in which they differ.
std::optional<std::size_t> turned_bit(ByteView here, ByteView right) {
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < here.size(); ++i) {
    const auto off = static_cast<std::uint8_t>(here[i] ^ right[i]);
    if (off == 0) continue;
    if (found || !std::has_single_bit(off)) return std::nullopt;
    found = i * 8 + static_cast<std::size_t>(std::countr_zero(off));
  }
  return found;
}

std::array<std::uint8_t, 8> bytes_of(Sum sum) {
  std::array<std::uint8_t, 8> bytes{};
  for (std::size_t i = 0; i < 4; ++i) {
    bytes[i] = static_cast<std::uint8_t>(sum.a >> (24 - 8 * i));
    bytes[4 + i] = static_cast<std::uint8_t>(sum.b >> (24 - 8 * i));
  }
  return bytes;
}

Header turned(Header header, std::size_t bit) {
  std::uint8_t& byte = header.bytes[bit / 8];
  byte = static_cast<std::uint8_t>(byte ^ (1U << (bit % 8)));
  return header;
}

// Every bit is tried: there are few.
std::vector<std::size_t> wrong_bits(const Header& header) {
  std::vector<std::size_t> candidates;
  for (std::size_t bit = 0; bit < kFileHeader * 8; ++bit) {
    if (turned(header, bit).is_sound()) candidates.push_back(bit);
  }
  return candidates;
}

// Of two wrong bits a third may make a sum that fits.
bool fits_frames(const Wal& wal, const Header& header) {
  Bytes frame(kFrameHead + header.page_size());
  if (!wal.read(kFileHeader, frame)) return false;
  const auto has_salts = [&header](ByteView head) {
    return std::ranges::equal(head.subspan(kSaltsOfFrameAt, 8), header.salts());
  };
  if (!has_salts(frame)) return false;
  const Sum head = sum_of(header.stored(), ByteView(frame).first(kFrameProved), header.big());
  const Sum sum = sum_of(head, ByteView(frame).subspan(kFrameHead), header.big());
  if (sum == stored_sum(frame.data() + kSumOfFrameAt)) return true;
  std::array<std::uint8_t, kFrameHead> next{};
  return wal.read(kFileHeader + frame.size(), next) && has_salts(next);
}

class Mender {
 public:
  Mender(const Wal& wal, const Header& header)
      : wal_(wal),
        header_(header),
        sum_(header.stored()),
        frame_(kFrameHead + header.page_size()) {}

  MendedWal run() {
    std::int64_t lost = 0;  // commits that are told behind a frame that stays damaged
    bool cut = false;
    for (std::uint64_t at = kFileHeader; wal_.read(at, frame_); at += frame_.size()) {
      const Fit fit = take(at, cut);
      // Of damage in one frame the next one goes on from the sum that is stored there.
      if (fit == Fit::kFlipped) {
        mended_.certain = true;
        lost = std::max<std::int64_t>(lost, 1);
        break;
      }
      if (fit == Fit::kNot && (cut || !goes_on_behind(at))) break;
      cut = cut || fit == Fit::kNot;
      if (cut && big_word(frame_.data() + 4) != 0) ++lost;
    }
    mended_.behind = lost;
    if (mended_.bits > 0) wal_.sync();
    return mended_;
  }

 private:
  enum class Fit : std::uint8_t {
    kSound,
    kMended,
    kFlipped,  // in one bit, of which it is not known which
    kNot,
  };

  [[nodiscard]] Sum sum_here() const {
    const Sum head = sum_of(sum_, ByteView(frame_).first(kFrameProved), header_.big());
    return sum_of(head, ByteView(frame_).subspan(kFrameHead), header_.big());
  }
  [[nodiscard]] bool has_salts() const {
    return std::ranges::equal(ByteView(frame_).subspan(kSaltsOfFrameAt, 8), header_.salts());
  }

  Fit take(std::uint64_t at, bool cut) {
    const Sum here = sum_here();
    const Sum stored = stored_sum(frame_.data() + kSumOfFrameAt);
    if (has_salts() && here == stored) {
      sum_ = here;
      return Fit::kSound;
    }
    if (cut) return Fit::kNot;
    const WrongBit wrong = find_bit(here, stored);
    if (wrong.candidates == 0) return Fit::kNot;
    // Where it is the stored sum that is wrong, the next frame goes on from the right one.
    if (wrong.candidates > 1 && !(wrong.of_sum && goes_on_from(here, at))) return Fit::kFlipped;
    wal_.turn(at, wrong.bit, frame_);
    ++mended_.bits;
    sum_ = stored_sum(frame_.data() + kSumOfFrameAt);
    return Fit::kMended;
  }

  [[nodiscard]] WrongBit find_bit(Sum here, Sum stored) const {
    const ByteView frame(frame_);
    if (!has_salts()) {
      if (here != stored) return {};
      const auto bit = turned_bit(frame.subspan(kSaltsOfFrameAt, 8), header_.salts());
      return bit ? WrongBit{1, *bit + kSaltsOfFrameAt * 8} : WrongBit{};
    }
    Bytes proved(frame.begin(), frame.begin() + kFrameProved);
    proved.insert(proved.end(), frame.begin() + kFrameHead, frame.end());
    WrongBit wrong = wrong_bit(proved, Sum{stored.a - here.a, stored.b - here.b}, header_.big());
    if (wrong.bit >= kFrameProved * 8) wrong.bit += (kFrameHead - kFrameProved) * 8;
    if (const auto bit = turned_bit(frame.subspan(kSumOfFrameAt, 8), bytes_of(here))) {
      ++wrong.candidates;
      wrong.bit = *bit + kSumOfFrameAt * 8;
      wrong.of_sum = true;
    }
    return wrong;
  }

  // The frame behind `at` is sound by the sum that is stored here, which counts from here on.
  bool goes_on_behind(std::uint64_t at) {
    const Sum stored = stored_sum(frame_.data() + kSumOfFrameAt);
    const bool next = goes_on_from(stored, at);
    sum_ = stored;
    return next;
  }
  bool goes_on_from(Sum sum, std::uint64_t at) {
    const Bytes here = frame_;
    const Sum before = std::exchange(sum_, sum);
    const bool next = wal_.read(at + frame_.size(), frame_) && has_salts() &&
                      sum_here() == stored_sum(frame_.data() + kSumOfFrameAt);
    frame_ = here;
    sum_ = before;
    return next;
  }

  const Wal& wal_;
  const Header& header_;
  Sum sum_;
  Bytes frame_;
  MendedWal mended_;
};

}  // namespace
}  // namespace wal

bool wal_holds_more(const Database& db, const std::string& path) {
  const wal::Wal file(path, O_RDONLY);
  wal::Header header;
  if (!file.read(0, header.bytes)) return false;
  if (!header.is_sound()) return true;
  const std::optional<WalIndex> last = look_at_wal_index(db);
  if (!last) return false;
  std::array<std::uint8_t, wal::kFrameHead> next{};
  const std::size_t step = wal::kFrameHead + header.page_size();
  if (!file.read(wal::kFileHeader + std::uint64_t{last->last_frame} * step, next)) return false;
  const ByteView salts = ByteView(next).subspan(wal::kSaltsOfFrameAt, 8);
  return std::ranges::equal(salts, header.salts()) || wal::turned_bit(salts, header.salts());
}

MendedWal mend_wal(const std::string& path) {
  const wal::Wal file(path, O_RDWR);
  wal::Header header;
  if (!file.read(0, header.bytes)) return {};
  const bool sound = header.is_sound();
  if (!sound) {
    const std::vector<std::size_t> bits = wal::wrong_bits(header);
    const std::optional<std::int64_t> told = wal::commits_without_header(file, header, path);
    const std::int64_t lost = told.value_or(0);
    // One bit, of which it is not known which, unless it was torn where nothing is lost by it.
    if (bits.size() > 1 && told != 0) return {0, std::max<std::int64_t>(lost, 1), true};
    const bool one = bits.size() == 1 &&
                     (lost == 0 || wal::fits_frames(file, wal::turned(header, bits.front())));
    if (!one) return {0, lost, lost > 0};
    file.turn(0, bits.front(), header.bytes);
  }
  MendedWal mended = wal::Mender(file, header).run();
  if (!sound) {
    ++mended.bits;
    file.sync();
  }
  return mended;
}

}  // namespace csa
