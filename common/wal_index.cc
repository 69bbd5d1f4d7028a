#include "common/wal_index.h"

#include <cstring>

namespace csa {
namespace {

constexpr int kShmPage = 32768;
constexpr std::size_t kChangeCounter = 8;

}  // namespace

// Through SQLite's own file object: opening the file ourselves would drop the process's locks.
std::uint32_t commits_in_wal_index(const Database& db) {
  sqlite3_file* file = nullptr;
  int code = sqlite3_file_control(db.handle(), "main", SQLITE_FCNTL_FILE_POINTER, &file);
  if (code != SQLITE_OK) throw_sqlite(db.handle(), code, "find the database's file");
  void volatile* page = nullptr;
  code = file->pMethods->xShmMap(file, 0, kShmPage, 0, &page);
  if (code != SQLITE_OK || page == nullptr) {
    throw SqliteError(code == SQLITE_OK ? SQLITE_IOERR_SHMMAP : code,
                      "look at the write-ahead log's index");
  }
  std::uint32_t counter = 0;
  std::memcpy(&counter,
              const_cast<std::uint8_t*>(static_cast<std::uint8_t volatile*>(page)) + kChangeCounter,
              sizeof counter);
  return counter;
}

}  // namespace csa
