#include "node/disk_probe.h"

#include <fcntl.h>
#include <unistd.h>

namespace csa {

bool disk_has_room(const std::string& path, std::uint64_t bytes) {
  const std::string name = path + "-csa-room";
  const int file = ::open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return false;
  ::unlink(name.c_str());
  // Takes the blocks without filling them where the file system can.
  const bool room = ::posix_fallocate(file, 0, static_cast<off_t>(bytes)) == 0;
  ::close(file);
  return room;
}

bool is_disk_full(const SqliteError& error, const std::string& path) {
  constexpr std::uint64_t kSharedMemoryStep = 32 * std::uint64_t{1024};
  if (error.primary_code() == SQLITE_FULL) return true;
  return error.primary_code() == SQLITE_IOERR && !disk_has_room(path, kSharedMemoryStep);
}

}  // namespace csa
