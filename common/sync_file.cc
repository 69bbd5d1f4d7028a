#include "common/sync_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace csa {
namespace {

Status sync_one(const std::string& path, int flags) {
  const int file = ::open(path.c_str(), flags | O_CLOEXEC);
  const int code = file < 0 || ::fsync(file) != 0 ? errno : 0;
  if (file >= 0) ::close(file);
  // Some file systems cannot sync a folder; there is nothing better to do on them.
  const bool unable = (flags & O_DIRECTORY) != 0 && (code == EINVAL || code == ENOTSUP);
  if (code == 0 || unable) return Ok{};
  return Error{Errc::kFailed, "cannot write " + path + " to the disk: " + std::strerror(code)};
}

}  // namespace

Status sync_with_folder(const std::string& path) {
  CSA_TRY(sync_one(path, O_RDONLY));
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return sync_one(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
}

}  // namespace csa
