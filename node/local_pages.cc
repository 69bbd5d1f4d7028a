#include "node/local_pages.h"

#include <algorithm>
#include <numeric>

#include "common/limits.h"
#include "common/page_map.h"
#include "common/planted.h"

namespace csa {

LocalPages::LocalPages(const Database& db, std::uint32_t page_size) : page_size_(page_size) {
  if (sqlite3_file_control(db.handle(), "main", SQLITE_FCNTL_FILE_POINTER, &file_) != SQLITE_OK ||
      file_ == nullptr || file_->pMethods == nullptr) {
    file_ = nullptr;
    return;
  }
  sqlite3_int64 bytes = 0;
  if (file_->pMethods->xFileSize(file_, &bytes) != SQLITE_OK || bytes < page_size) return;
  if (read(0, page_size) && page_size_of(buffer_) == page_size) {
    index(static_cast<std::uint64_t>(bytes));
  }
}

bool LocalPages::read(std::uint64_t offset, std::size_t bytes) {
  buffer_.resize(bytes);
  return file_->pMethods->xRead(file_, buffer_.data(), static_cast<int>(bytes),
                                static_cast<sqlite3_int64>(offset)) == SQLITE_OK;
}

void LocalPages::index(std::uint64_t file_bytes) {
  const std::uint64_t pages = std::min(file_bytes / page_size_, kPagesMax);
  const std::uint64_t at_once = limits::kMiB / page_size_;
  hashes_.resize(static_cast<std::size_t>(pages));  // 0: not read, and no page is looked for there
  for (std::uint64_t page = 0; page < pages; page += at_once) {
    const std::uint64_t count = std::min(at_once, pages - page);
    if (!read(page * page_size_, static_cast<std::size_t>(count * page_size_))) continue;
    for (std::uint64_t i = 0; i < count; ++i) {
      const ByteView bytes = ByteView(buffer_).subspan(i * page_size_, page_size_);
      hashes_[static_cast<std::size_t>(page + i)] = hash64(bytes);
    }
  }
  order_.resize(hashes_.size());
  std::iota(order_.begin(), order_.end(), 0U);
  std::ranges::sort(order_, {}, [this](std::uint32_t page) { return hashes_[page]; });
}

std::optional<std::uint64_t> LocalPages::page_with(std::uint64_t place, std::uint64_t hash) const {
  if (place < hashes_.size() && hashes_[static_cast<std::size_t>(place)] == hash) return place;
  const auto by_hash = [this](std::uint32_t page) { return hashes_[page]; };
  const auto found = std::ranges::lower_bound(order_, hash, {}, by_hash);
  if (found == order_.end() || hashes_[*found] != hash) return std::nullopt;
  return *found;
}

std::optional<ByteView> LocalPages::find(std::uint64_t place, std::uint64_t hash) {
  const bool blind = planted("take a page by its place") && place < hashes_.size();
  const std::optional<std::uint64_t> page = blind ? place : page_with(place, hash);
  if (!page || !read(*page * page_size_, page_size_)) return std::nullopt;
  // It may have been written to since.
  if (hash64(buffer_) != hash && !blind) return std::nullopt;
  return ByteView(buffer_);
}

}  // namespace csa
