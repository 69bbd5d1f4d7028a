#include "node/download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/limits.h"
#include "common/planted.h"
#include "common/sqlite.h"

namespace csa {
namespace {

constexpr int kFileMode = 0600;

[[noreturn]] void throw_disk(const std::string& step, const std::string& path) {
  const int error = errno;
  const bool full = error == ENOSPC || error == EDQUOT;
  throw SqliteError(full ? SQLITE_FULL : SQLITE_IOERR,
                    step + " " + path + ": " + std::strerror(error) +
                        (full ? "; free space there, the replica in use is unchanged" : ""));
}

void write_all(int file, ByteView bytes, std::uint64_t offset, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      throw_disk("write", path);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
}

}  // namespace

void sync_folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder =
      slash == std::string::npos ? "." : (slash == 0 ? "/" : path.substr(0, slash));
  const int file = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) throw_disk("open", folder);
  const int code = ::fsync(file);
  const int error = errno;
  ::close(file);
  errno = error;
  // Some file systems have no sync of folders; there is nothing better to do on them.
  if (code != 0 && error != EINVAL && error != ENOTSUP) throw_disk("sync", folder);
}

Download::Download(const std::string& replica_path) : path_(replica_path + "-csa-copy") {}

Download::~Download() { close_file(); }

void Download::close_file() {
  if (file_ >= 0) ::close(file_);
  file_ = -1;
}

std::uint64_t Download::begin(const Id128& snapshot, std::uint64_t total) {
  open_file();
  snapshot_ = snapshot;
  total_ = total;
  if (size_ > total_) {
    if (::ftruncate(file_, static_cast<off_t>(total_)) != 0) throw_disk("cut", path_);
    size_ = total_;
  }
  return size_;
}

void Download::open_file() {
  close_file();
  // What SQLite may have left beside an older copy must never be taken for this one's.
  ::unlink((path_ + "-wal").c_str());
  ::unlink((path_ + "-shm").c_str());
  file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode);
  if (file_ < 0) throw_disk("create", path_);
  struct stat status {};
  if (::fstat(file_, &status) != 0) throw_disk("look at", path_);
  size_ = static_cast<std::uint64_t>(status.st_size);
}

bool Download::holds(std::uint64_t offset, std::size_t length, std::uint64_t hash) {
  CSA_CHECK(active());
  if (offset + length > size_) return false;
  page_.resize(length);
  // A part that cannot be read is fetched, and written anew.
  const ssize_t got = ::pread(file_, page_.data(), length, static_cast<off_t>(offset));
  return got == static_cast<ssize_t>(length) && hash64(page_) == hash;
}

void Download::write(std::uint64_t offset, ByteView bytes) {
  CSA_CHECK(active());
  const std::uint64_t end = offset + bytes.size();
  if (end < offset || end > total_) return;
  write_all(file_, bytes, offset, path_);
  crash_point("download: chunk written");
  size_ = std::max(size_, end);
}

std::string Download::hash_mismatch(const SnapshotEnd& end) const {
  Hasher hasher;
  Bytes buffer(limits::kMiB);
  std::uint64_t offset = 0;
  while (offset < size_) {
    const auto length =
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), size_ - offset));
    const ssize_t got = ::pread(file_, buffer.data(), length, static_cast<off_t>(offset));
    if (got < 0) {
      if (errno == EINTR) continue;
      throw_disk("read", path_);
    }
    if (got == 0) return "the file ends early";
    hasher.update(ByteView(buffer).first(static_cast<std::size_t>(got)));
    offset += static_cast<std::uint64_t>(got);
  }
  const Id128 hash = hasher.digest();
  if (hash == end.hash || planted("believe a damaged copy")) return {};
  return "hash " + to_string(hash) + " instead of " + to_string(end.hash);
}

Status Download::finish(const SnapshotEnd& end) {
  if (!active()) return Error{Errc::kFailed, "no full copy is being fetched"};
  std::string wrong;
  if (end.snapshot != snapshot_ || end.total != total_) {
    wrong = "the broker finished another copy than the one that was begun";
  } else if (size_ != total_) {
    wrong = std::to_string(size_) + " of " + std::to_string(total_) + " bytes are here";
  } else {
    wrong = hash_mismatch(end);
  }
  if (!wrong.empty()) {
    close_file();
    return Error{Errc::kDamaged, "the full copy did not arrive whole (" + wrong +
                                     "); what is wrong of it is fetched again"};
  }
  if (::fsync(file_) != 0) throw_disk("sync", path_);
  close_file();
  crash_point("download: proved");
  sync_folder_of(path_);
  return Ok{};
}

void Download::drop() {
  close_file();
  ::unlink(path_.c_str());
  ::unlink((path_ + "-wal").c_str());
  ::unlink((path_ + "-shm").c_str());
  size_ = 0;
  total_ = 0;
  snapshot_ = Id128{};
}

}  // namespace csa
