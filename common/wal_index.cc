#include "common/wal_index.h"

#include <cstring>

namespace csa {
namespace {

constexpr int kIndexPage = 32768;
constexpr std::size_t kCommitsAt = 8;
constexpr std::size_t kLastFrameAt = 16;
constexpr std::size_t kPagesAt = 20;

}  // namespace

// Through SQLite's own file object: opening the file ourselves would drop the process's locks.
std::optional<WalIndex> look_at_wal_index(const Database& db) {
  sqlite3_file* file = nullptr;
  int code = sqlite3_file_control(db.handle(), "main", SQLITE_FCNTL_FILE_POINTER, &file);
  if (code != SQLITE_OK) throw_sqlite(db.handle(), code, "find the database's file");
  void volatile* page = nullptr;
  code = file->pMethods->xShmMap(file, 0, kIndexPage, 0, &page);
  if (code != SQLITE_OK || page == nullptr) return std::nullopt;
  const auto* const header =
      const_cast<const std::uint8_t*>(static_cast<std::uint8_t volatile*>(page));
  WalIndex index;
  std::memcpy(&index.commits, header + kCommitsAt, sizeof index.commits);
  std::memcpy(&index.last_frame, header + kLastFrameAt, sizeof index.last_frame);
  std::memcpy(&index.pages, header + kPagesAt, sizeof index.pages);
  return index;
}

}  // namespace csa
