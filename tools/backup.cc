#include "tools/backup.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/limits.h"
#include "common/planted.h"
#include "common/progress.h"
#include "common/sync_file.h"
#include "common/system_clock.h"

namespace csa {
namespace {

constexpr std::chrono::seconds kSilenceMax{60};
constexpr int kTriesMax = 3;

class Download {
 public:
  Download(Caller& caller, std::string file)
      : caller_(caller), file_(std::move(file)), bar_("backup") {
    part_ = file_ + ".part";
    for (int i = 0; i < kTriesMax && !open_part(); ++i) {
    }
  }
  ~Download() {
    if (fd_ < 0) return;
    if (!moved_) ::unlink(part_.c_str());  // a finished copy has its own name by now
    ::close(fd_);
  }
  Download(const Download&) = delete;
  Download& operator=(const Download&) = delete;

  Status run() {
    if (in_use_) {
      return Error{Errc::kRefused, part_ + " is being written by another csa-admin; name another" +
                                       " file, or wait for that one"};
    }
    if (fd_ < 0) return disk("make");
    // Not a copy that was cut for somebody else before: everything that is acknowledged by now.
    caller_.uplink().send(SnapshotGet{{}, 0, 0, caller_.uplink().welcome().head.seq});
    TimePoint heard = monotonic_now();
    while (!end_) {
      const Caller::Turn turn = caller_.turn(limits::kPollMax);
      for (const LinkEvent& event : turn.events) {
        if (const auto* const lost = std::get_if<LinkLost>(&event)) {
          return Error{Errc::kNothing, "the broker went away: " + lost->why};
        }
      }
      for (const Message& message : turn.messages) {
        heard = monotonic_now();
        CSA_TRY(take(message));
      }
      if (monotonic_now() - heard > kSilenceMax) {
        return Error{Errc::kTimeout, "the broker sends no copy"};
      }
    }
    bar_.clear();
    return finish();
  }
  [[nodiscard]] const SnapshotEnd& end() const { return *end_; }

 private:
  // Of one csa-admin at a time, and never a copy that is finished: killed before it took the part's
  // name away, a backup leaves it to a file that people may have given another name since. False:
  // that name is gone now, so try again.
  bool open_part() {
    const int fd = ::open(part_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return true;
    in_use_ = ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    struct stat own {};
    struct stat named {};
    const bool ours = !in_use_ && ::fstat(fd, &own) == 0 && ::stat(part_.c_str(), &named) == 0 &&
                      own.st_dev == named.st_dev && own.st_ino == named.st_ino;
    if (ours && own.st_nlink == 1 && ::ftruncate(fd, 0) == 0) {
      fd_ = fd;
      return true;
    }
    if (ours && own.st_nlink > 1) ::unlink(part_.c_str());
    const int code = errno;
    ::close(fd);
    errno = code;
    return in_use_;
  }

  Error disk(const char* step) const {
    return Error{Errc::kFailed,
                 std::string("cannot ") + step + " " + part_ + ": " + std::strerror(errno)};
  }

  Status take(const Message& message) {
    if (const auto* const chunk = std::get_if<SnapshotChunk>(&message)) return write(*chunk);
    if (const auto* const gone = std::get_if<SnapshotGone>(&message)) {
      return Error{Errc::kFailed, "the broker cannot copy: " + gone->text};
    }
    if (const auto* const end = std::get_if<SnapshotEnd>(&message)) end_ = *end;
    return Ok{};
  }

  Status write(const SnapshotChunk& chunk) {
    if (chunk.bytes.empty() && !begun_) {
      begun_ = true;
      id_ = chunk.snapshot;
      total_ = chunk.total;
    } else if (begun_ && chunk.snapshot == id_ && chunk.offset == written_) {
      const auto size = static_cast<ssize_t>(chunk.bytes.size());
      if (::pwrite(fd_, chunk.bytes.data(), chunk.bytes.size(), static_cast<off_t>(written_)) !=
          size) {
        return disk("write");
      }
      written_ += chunk.bytes.size();
      bar_.update(written_, total_);
    } else {
      return Ok{};  // not for this copy, or out of order: it is asked for again by its offset
    }
    ask();
    return Ok{};
  }

  void ask() {
    while (asked_ < total_ && asked_ - written_ < limits::kSnapshotWindow) {
      const auto length = std::min<std::uint64_t>(limits::kChunkMax, total_ - asked_);
      caller_.uplink().send(SnapshotGet{id_, asked_, static_cast<std::uint32_t>(length)});
      asked_ += length;
    }
    if (written_ == total_) caller_.uplink().send(SnapshotGet{id_, total_, 0});
  }

  Status finish() {
    Hasher hasher;
    Bytes buffer(limits::kChunkMax);
    for (std::uint64_t at = 0; at < total_;) {
      const ssize_t got = ::pread(fd_, buffer.data(), buffer.size(), static_cast<off_t>(at));
      if (got <= 0) return disk("read");
      hasher.update(ByteView(buffer.data(), static_cast<std::size_t>(got)));
      at += static_cast<std::uint64_t>(got);
    }
    if (!(hasher.digest() == end_->hash)) {
      return Error{Errc::kDamaged, "the copy arrived damaged; nothing was kept, try again"};
    }
    if (::fsync(fd_) != 0) return disk("sync");
    crash_point("backup: before its name");
    const Named named = name_finished(part_, file_);
    moved_ = named.moved;
    errno = named.error;
    if (errno != 0) return disk("finish");
    crash_point("backup: named");
    return sync_folder();
  }

  // A new name lasts once its folder is synced.
  [[nodiscard]] Status sync_folder() const {
    std::string folder = std::filesystem::path(file_).parent_path().string();
    if (folder.empty()) folder = ".";
    const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int code = fd < 0 || ::fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) ::close(fd);
    // Some file systems cannot sync a folder; there is nothing better to do on them.
    if (code == 0 || code == EINVAL || code == ENOTSUP) return Ok{};
    return Error{Errc::kFailed, file_ +
                                    " is whole, but a power cut may still take it: cannot sync " +
                                    folder + ": " + std::strerror(code)};
  }

  Caller& caller_;
  std::string file_;
  std::string part_;
  ProgressBar bar_;
  int fd_ = -1;
  bool in_use_ = false;
  bool moved_ = false;  // the part has its last name, and this one may be somebody else's
  bool begun_ = false;
  Id128 id_;
  std::uint64_t total_ = 0;
  std::uint64_t asked_ = 0;
  std::uint64_t written_ = 0;
  std::optional<SnapshotEnd> end_;
};

}  // namespace

int backup(Caller& caller, const std::string& file, bool json) {
  std::error_code ignored;
  if (std::filesystem::exists(file, ignored)) {
    std::cerr << "csa-admin: " << file << " exists; name another file" << std::endl;
    return 1;
  }
  Download download(caller, file);
  if (const Status done = download.run(); !done) return report_error("csa-admin", done.error());
  const SnapshotEnd& end = download.end();
  if (json) {
    const nlohmann::ordered_json line = {
        {"file", file},
        {"bytes", end.total},
        {"position", {{"epoch", to_string(end.position.epoch)}, {"seq", end.position.seq.value}}}};
    std::cout << line.dump() << std::endl;
  } else {
    std::cout << file << ": " << end.total << " bytes at " << to_string(end.position) << std::endl;
  }
  return 0;
}

}  // namespace csa
