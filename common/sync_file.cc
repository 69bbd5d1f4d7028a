#include "common/sync_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
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

int rename_new(const char* from, const char* to) {
  return ::renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

// The name is taken by an empty file first, which nobody else's is.
int rename_over_own(const std::string& from, const std::string& to) {
  const int own = ::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (own < 0) return errno;
  ::close(own);
  if (::rename(from.c_str(), to.c_str()) == 0) return 0;
  const int code = errno;
  ::unlink(to.c_str());
  return code;
}

}  // namespace

const NamingCalls kNamingCalls = {::link, rename_new};

Named name_finished(const std::string& from, const std::string& to, const NamingCalls& calls) {
  if (calls.link(from.c_str(), to.c_str()) == 0) return {0, false};
  if (errno != EPERM && errno != ENOTSUP && errno != ENOSYS) {
    return {errno, false};
  }
  if (calls.rename_new(from.c_str(), to.c_str()) == 0) return {0, true};
  if (errno != EINVAL && errno != ENOSYS) return {errno, false};
  const int code = rename_over_own(from, to);
  return {code, code == 0};
}

Status sync_with_folder(const std::string& path) {
  CSA_TRY(sync_one(path, O_RDONLY));
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return sync_one(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
}

}  // namespace csa
