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

// Nothing where there is no such file, or more in it than a record ever has.
std::string read_small(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  char buffer[128];
  const ssize_t length = ::read(file, buffer, sizeof buffer);
  ::close(file);
  return length > 0 ? std::string(buffer, static_cast<std::size_t>(length)) : std::string();
}

std::string record_text(const Id128& snapshot, std::uint64_t total) {
  return to_string(snapshot) + " " + std::to_string(total) + "\n";
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

Download::Download(const std::string& replica_path)
    : path_(replica_path + "-csa-copy"), record_path_(path_ + ".id") {}

Download::~Download() { close_file(); }

void Download::close_file() {
  if (file_ >= 0) ::close(file_);
  file_ = -1;
}

std::uint64_t Download::begin(const Id128& snapshot, std::uint64_t total) {
  const bool same = file_ >= 0 && snapshot == snapshot_ && total == total_;
  if (same) return size_;
  const std::string record = record_text(snapshot, total);
  const bool resume = read_small(record_path_) == record;
  if (!resume) drop();
  open_file(resume);
  if (!resume) write_record(record);
  snapshot_ = snapshot;
  total_ = total;
  if (size_ > total_) {
    if (::ftruncate(file_, 0) != 0) throw_disk("cut", path_);
    size_ = 0;
  }
  return size_;
}

void Download::open_file(bool resume) {
  close_file();
  // What SQLite may have left beside an older copy must never be taken for this one's.
  ::unlink((path_ + "-wal").c_str());
  ::unlink((path_ + "-shm").c_str());
  const int flags = O_RDWR | O_CREAT | O_CLOEXEC | (resume ? 0 : O_TRUNC);
  file_ = ::open(path_.c_str(), flags, kFileMode);
  if (file_ < 0) throw_disk("create", path_);
  struct stat status {};
  if (::fstat(file_, &status) != 0) throw_disk("look at", path_);
  size_ = static_cast<std::uint64_t>(status.st_size);
}

void Download::write_record(const std::string& text) const {
  const int file =
      ::open(record_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kFileMode);
  if (file < 0) throw_disk("create", record_path_);
  const ssize_t written = ::write(file, text.data(), text.size());
  const int error = written < 0 ? errno : ENOSPC;
  ::close(file);
  if (written != static_cast<ssize_t>(text.size())) {
    errno = error;
    throw_disk("write", record_path_);
  }
}

void Download::write(std::uint64_t offset, ByteView bytes) {
  CSA_CHECK(active());
  const std::uint64_t end = offset + bytes.size();
  if (offset > size_ || end <= size_ || end > total_) return;
  const ByteView fresh = bytes.subspan(static_cast<std::size_t>(size_ - offset));
  write_all(file_, fresh, size_, path_);
  crash_point("download: chunk written");
  size_ = end;
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
    drop();
    return Error{Errc::kDamaged, "the full copy did not arrive whole (" + wrong +
                                     "); it is thrown away and must be fetched anew"};
  }
  if (::fsync(file_) != 0) throw_disk("sync", path_);
  close_file();
  crash_point("download: proved");
  // From here on the file is changed; a crash must not take it for a download to go on with.
  ::unlink(record_path_.c_str());
  sync_folder_of(path_);
  return Ok{};
}

void Download::drop() {
  close_file();
  ::unlink(record_path_.c_str());
  ::unlink(path_.c_str());
  ::unlink((path_ + "-wal").c_str());
  ::unlink((path_ + "-shm").c_str());
  size_ = 0;
  total_ = 0;
  snapshot_ = Id128{};
}

}  // namespace csa
