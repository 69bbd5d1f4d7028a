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

}  // namespace csa
