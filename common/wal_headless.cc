#include "common/wal_headless.h"

#include <algorithm>
#include <map>
#include <memory>

namespace csa::wal {
namespace {

// The database's file as it is without its -wal, of which SQLite is told nothing here: nothing is
// locked, recovered or checkpointed. Through SQLite, since closing the file ourselves would drop
// the locks that others in this process have on it.
class BareFile {
 public:
  explicit BareFile(const std::string& path) {
    sqlite3* raw = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READONLY, nullptr);
    db_.reset(raw);
    if (code != SQLITE_OK) return;
    sqlite3_file_control(raw, "main", SQLITE_FCNTL_FILE_POINTER, &file_);
  }
  [[nodiscard]] bool read(std::uint64_t at, std::span<std::uint8_t> to) const {
    return file_ != nullptr && file_->pMethods != nullptr &&
           file_->pMethods->xRead(file_, to.data(), static_cast<int>(to.size()),
                                  static_cast<sqlite3_int64>(at)) == SQLITE_OK;
  }
  // 0: it is no database.
  [[nodiscard]] std::size_t page_size() const {
    std::array<std::uint8_t, 2> bytes{};
    if (!read(16, bytes)) return 0;
    const std::size_t size = std::size_t{bytes[0]} << 8U | bytes[1];
    if (size == 1) return 65536;
    return size >= 512 && std::has_single_bit(size) ? size : 0;
  }

 private:
  std::unique_ptr<sqlite3, decltype(&sqlite3_close)> db_{nullptr, sqlite3_close};
  sqlite3_file* file_ = nullptr;
};

// What a -wal holds whose header cannot be put right: the frames go on from each other.
class Headless {
 public:
  Headless(const Wal& wal, const BareFile& file, bool big)
      : wal_(wal), file_(file), big_(big), frame_(kFrameHead + file.page_size()) {}

  std::optional<std::int64_t> lost(const Header& header) {
    std::uint64_t at = kFileHeader;
    if (!wal_.read(at, frame_)) return std::nullopt;
    std::copy_n(frame_.begin() + kSaltsOfFrameAt, salts_.size(), salts_.begin());
    // The first goes on from the header, of which that part may be sound; else the next one tells.
    if (goes_on_from(header.stored())) note(at);
    for (Sum sum = stored(); wal_.read(at += frame_.size(), frame_); sum = stored()) {
      if (!goes_on_from(sum)) break;
      note(at);
    }
    if (commits_ == 0) return std::nullopt;
    return has_all() ? 0 : commits_;
  }

 private:
  [[nodiscard]] Sum stored() const { return stored_sum(frame_.data() + kSumOfFrameAt); }
  [[nodiscard]] bool goes_on_from(Sum sum) const {
    const ByteView frame(frame_);
    sum = sum_of(sum, frame.first(kFrameProved), big_);
    return std::ranges::equal(frame.subspan(kSaltsOfFrameAt, salts_.size()), salts_) &&
           sum_of(sum, frame.subspan(kFrameHead), big_) == stored();
  }
  void note(std::uint64_t at) {
    pending_[big_word(frame_.data())] = at;
    const std::uint32_t pages = big_word(frame_.data() + 4);
    if (pages == 0) return;
    ++commits_;
    pages_ = pages;
    for (const auto& [page, place] : pending_) last_[page] = place;
    pending_.clear();
  }
  [[nodiscard]] bool has_all() {
    Bytes there(file_.page_size());
    for (const auto& [page, at] : last_) {
      if (page == 0 || page > pages_) continue;
      const bool read = file_.read(std::uint64_t{page - 1} * there.size(), there);
      if (!read || !wal_.read(at, frame_)) return false;
      if (!std::ranges::equal(there, ByteView(frame_).subspan(kFrameHead))) return false;
    }
    return true;
  }

  const Wal& wal_;
  const BareFile& file_;
  const bool big_;
  Bytes frame_;
  std::array<std::uint8_t, 8> salts_{};
  std::int64_t commits_ = 0;
  std::uint32_t pages_ = 0;                           // of the database after the last one
  std::map<std::uint32_t, std::uint64_t> last_;       // frame of each page
  std::map<std::uint32_t, std::uint64_t> pending_{};  // of no commit yet
};

}  // namespace

std::optional<std::int64_t> commits_without_header(const Wal& wal, const Header& header,
                                                   const std::string& path) {
  const BareFile file(path);
  if (file.page_size() == 0) return std::nullopt;
  std::optional<std::int64_t> lost;
  for (const bool big : {false, true}) {
    lost = std::max(lost, Headless(wal, file, big).lost(header));  // nothing is the least
  }
  return lost;
}

}  // namespace csa::wal
