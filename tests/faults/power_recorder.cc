// libcsa-power-cut.so, for LD_PRELOAD: before a program changes a file of the watched folder, what
// was there before goes to the log (tests/support/power_log.h), and after a sync a note of it.
// Calls are made as the C library makes them, so that whoever counts a program's system calls finds
// them as they were: the log itself takes no writes.
//
// Not recorded, as csa does not do it to files that matter: made and removed folders, symbolic
// links, writes through mapped memory, copies made by the kernel, and stdio.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/power_log.h"

namespace {

using csa::test::kPowerHeld;
using csa::test::kPowerLogSize;
using csa::test::kPowerRecords;
using csa::test::PowerKind;
using csa::test::PowerLogHead;
using csa::test::PowerName;
using csa::test::PowerRecord;

[[noreturn]] void give_up(const char* why) {
  (void)::dprintf(STDERR_FILENO, "csa-power-cut: %s\n", why);
  std::abort();
}

class Recorder {
 public:
  Recorder() {
    const char* const log = std::getenv(csa::test::kPowerLogVariable);
    const char* const folder = std::getenv(csa::test::kPowerFolderVariable);
    if (log == nullptr || folder == nullptr) return;
    folder_ = std::string(folder) + "/";
    held_ = std::string(log) + kPowerHeld + "/";
    const int file = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, log, O_RDWR | O_CLOEXEC));
    if (file < 0) give_up("cannot open the log");
    void* const map = ::mmap(nullptr, kPowerLogSize, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ::syscall(SYS_close, file);
    if (map == MAP_FAILED) give_up("cannot map the log");
    base_ = static_cast<char*>(map);
  }
  [[nodiscard]] bool watches(std::string_view path) const {
    return base_ != nullptr && path.starts_with(folder_);
  }
  // Of a regular file or folder that is watched; else empty.
  [[nodiscard]] std::string path_of(int file) const {
    std::array<char, PATH_MAX> path{};
    if (base_ == nullptr) return {};
    const std::string name = "/proc/self/fd/" + std::to_string(file);
    const long size = ::syscall(SYS_readlink, name.c_str(), path.data(), path.size());
    if (size <= 0) return {};
    std::string found(path.data(), static_cast<std::size_t>(size));
    // The watched folder itself can be synced.
    return watches(found + "/") ? found : std::string();
  }
  void lock() {
    const int code = ::pthread_mutex_lock(&head().lock);
    if (code == EOWNERDEAD) {
      ::pthread_mutex_consistent(&head().lock);
    } else if (code != 0) {
      give_up("cannot lock the log");
    }
  }
  void unlock() { ::pthread_mutex_unlock(&head().lock); }
  void add(PowerRecord record, std::string_view bytes) {
    record.bytes = static_cast<std::uint32_t>(bytes.size());
    const std::uint64_t end = head().end.load();
    const std::uint64_t next = end + (sizeof record + bytes.size() + 7) / 8 * 8;
    if (kPowerRecords + next > kPowerLogSize) give_up("the log is full");
    char* const at = base_ + kPowerRecords + end;
    std::memcpy(at, &record, sizeof record);
    std::memcpy(at + sizeof record, bytes.data(), bytes.size());
    head().end.store(next);
  }
  // Deleted, its number must not go to another file.
  void hold(const char* path, ino_t inode) const {
    (void)::syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, (held_ + std::to_string(inode)).c_str(),
                    0);
  }

 private:
  [[nodiscard]] PowerLogHead& head() const { return *reinterpret_cast<PowerLogHead*>(base_); }
  std::string folder_;
  std::string held_;
  char* base_ = nullptr;
};

Recorder& recorder() {
  // Never destroyed: programs write on their way out.
  static auto* const one = new Recorder;  // NOLINT
  return *one;
}

class Locked {
 public:
  Locked() { recorder().lock(); }
  ~Locked() {
    const int error = errno;
    recorder().unlock();
    errno = error;
  }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;
};

bool is_shared_memory(std::string_view path) { return path.ends_with("-shm"); }

// What is known of open files, until they are closed: a traced program's calls are slow.
enum class Known : std::uint8_t { kNothing, kRecorded, kOther };
std::array<std::atomic<Known>, 1024> known;

std::atomic<Known>* known_of(int file) {
  const auto place = static_cast<std::size_t>(file);
  return place < known.size() ? &known[place] : nullptr;
}

void forget(int file) {
  if (auto* const known_file = known_of(file)) *known_file = Known::kNothing;
}

// Whether what `file` names is a file whose writes are recorded.
bool is_recorded(int file) {
  if (file == STDERR_FILENO) return false;  // by signal handlers too
  auto* const known_file = known_of(file);
  if (known_file != nullptr && *known_file != Known::kNothing) {
    return *known_file == Known::kRecorded;
  }
  const std::string path = recorder().path_of(file);
  const bool recorded = !path.empty() && !is_shared_memory(path);
  if (known_file != nullptr) *known_file = recorded ? Known::kRecorded : Known::kOther;
  return recorded;
}

std::string read_at(int file, std::uint64_t offset, std::uint64_t length) {
  std::string bytes(length, '\0');
  int from = file;
  std::size_t done = 0;
  while (done < length) {
    const long got = ::syscall(SYS_pread64, from, bytes.data() + done, length - done,
                               static_cast<long>(offset + done));
    if (got > 0) {
      done += static_cast<std::size_t>(got);
    } else if (got < 0 && errno == EBADF && from == file) {
      // It was opened for writing alone.
      const std::string name = "/proc/self/fd/" + std::to_string(file);
      from = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, name.c_str(), O_RDONLY | O_CLOEXEC));
    } else {
      give_up("cannot read what is to be overwritten");
    }
  }
  if (from != file) ::syscall(SYS_close, from);
  return bytes;
}

// REQUIRES: locked. `offset` -1: where the file stands.
void record_write(int file, std::int64_t offset, std::uint64_t length) {
  struct stat about {};
  if (::fstat(file, &about) != 0 || !S_ISREG(about.st_mode) || length == 0) return;
  const auto size = static_cast<std::uint64_t>(about.st_size);
  auto from = static_cast<std::uint64_t>(offset);
  if (offset < 0) {
    const bool append = (::fcntl(file, F_GETFL) & O_APPEND) != 0;
    from = append ? size : static_cast<std::uint64_t>(::lseek(file, 0, SEEK_CUR));
  }
  const std::uint64_t old = from < size ? std::min(size - from, length) : 0;
  recorder().add({about.st_ino, from, length, size, 0, PowerKind::kWrite},
                 read_at(file, from, old));
}

void record_resize(int file, std::uint64_t new_size) {
  struct stat about {};
  if (::fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) return;
  const auto size = static_cast<std::uint64_t>(about.st_size);
  if (new_size == size) return;
  recorder().add({about.st_ino, new_size, 0, size, 0, PowerKind::kResize},
                 new_size < size ? read_at(file, new_size, size - new_size) : std::string());
}

void record_sync(int file, const std::string& path) {
  struct stat about {};
  if (::fstat(file, &about) != 0) return;
  if (S_ISDIR(about.st_mode)) {
    recorder().add({0, 0, 0, 0, 0, PowerKind::kFolderSync}, path);
  } else {
    recorder().add({about.st_ino, 0, 0, 0, 0, PowerKind::kSync}, {});
  }
}

// What these names mean now: they are about to change.
void record_names(const std::vector<const char*>& paths) {
  std::string bytes;
  for (const char* const path : paths) {
    const std::string_view text(path);
    if (!recorder().watches(text) || is_shared_memory(text)) return;
    struct stat about {};
    const bool there = ::lstat(path, &about) == 0;
    if (there && !S_ISREG(about.st_mode)) return;
    if (there) recorder().hold(path, about.st_ino);
    const PowerName name{there ? about.st_ino : 0, text.size()};
    bytes.append(reinterpret_cast<const char*>(&name), sizeof name).append(text);
  }
  recorder().add({0, 0, 0, 0, 0, PowerKind::kNames}, bytes);
}

// `make` opens it.
template <typename Make>
auto opened(const char* path, bool creates, bool empties, const Make& make) {
  if (!recorder().watches(path) || !(creates || empties)) return make();
  const Locked locked;
  if (is_shared_memory(path)) {
    recorder().add({0, 0, 0, 0, 0, PowerKind::kShared}, path);
    return make();
  }
  struct stat about {};
  const bool there = ::stat(path, &about) == 0;
  if (!there && creates) record_names({path});
  if (there && empties) {
    const int old = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
    if (old >= 0) record_resize(old, 0);
    if (old >= 0) ::syscall(SYS_close, old);
  }
  return make();
}

int open_at(int folder, const char* path, int flags, mode_t mode) {
  return opened(path, (flags & O_CREAT) != 0, (flags & O_TRUNC) != 0,
                [&] { return static_cast<int>(::syscall(SYS_openat, folder, path, flags, mode)); });
}

mode_t mode_of(int flags, va_list more) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
}

template <typename Call>
auto written(int file, std::int64_t offset, std::uint64_t length, const Call& call) {
  if (!is_recorded(file)) return call();
  const Locked locked;
  record_write(file, offset, length);
  return call();
}

template <typename Call>
int resized(int file, std::uint64_t size, const Call& call) {
  if (!is_recorded(file)) return call();
  const Locked locked;
  record_resize(file, size);
  return call();
}

int synced(int file, long call) {
  const std::string path = recorder().path_of(file);
  if (path.empty()) return static_cast<int>(::syscall(call, file));
  const Locked locked;
  const auto code = static_cast<int>(::syscall(call, file));
  if (code == 0) record_sync(file, path);
  return code;
}

template <typename Call>
int renamed(const std::vector<const char*>& paths, const Call& call) {
  if (std::ranges::none_of(paths, [](const char* path) { return recorder().watches(path); })) {
    return call();
  }
  const Locked locked;
  record_names(paths);
  return call();
}

int allocated(int file, std::int64_t offset, std::int64_t length) {
  struct stat about {};
  if (::fstat(file, &about) != 0) return errno;
  const auto end =
      static_cast<std::uint64_t>(std::max<std::int64_t>(offset + length, about.st_size));
  return resized(file, end, [&] {
    const long code = ::syscall(SYS_fallocate, file, 0, offset, length);
    return code == 0 ? 0 : errno;
  });
}

FILE* open_stream(const char* path, const char* mode, const char* name) {
  using Open = FILE*(const char*, const char*);
  auto* const real = reinterpret_cast<Open*>(::dlsym(RTLD_NEXT, name));
  const bool creates = mode[0] != 'r';
  return opened(path, creates, mode[0] == 'w', [&] {
    FILE* const stream = real(path, mode);
    if (stream != nullptr) forget(::fileno(stream));
    return stream;
  });
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = mode_of(flags, more);
  va_end(more);
  return open_at(AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) __attribute__((alias("open")));
int openat(int folder, const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = mode_of(flags, more);
  va_end(more);
  return open_at(folder, path, flags, mode);
}
FILE* fopen(const char* path, const char* mode) { return open_stream(path, mode, "fopen"); }
FILE* fopen64(const char* path, const char* mode) { return open_stream(path, mode, "fopen64"); }

int close(int file) {
  forget(file);
  return static_cast<int>(::syscall(SYS_close, file));
}
int dup2(int file, int copy) noexcept {
  forget(copy);
  return static_cast<int>(::syscall(SYS_dup2, file, copy));
}
int dup3(int file, int copy, int flags) noexcept {
  forget(copy);
  return static_cast<int>(::syscall(SYS_dup3, file, copy, flags));
}

ssize_t write(int file, const void* bytes, size_t size) {
  return written(file, -1, size, [&] { return ::syscall(SYS_write, file, bytes, size); });
}
ssize_t writev(int file, const iovec* parts, int count) {
  std::uint64_t size = 0;
  for (int i = 0; i < count; ++i) size += parts[i].iov_len;
  return written(file, -1, size, [&] { return ::syscall(SYS_writev, file, parts, count); });
}
ssize_t pwrite(int file, const void* bytes, size_t size, off_t offset) {
  return written(file, offset, size,
                 [&] { return ::syscall(SYS_pwrite64, file, bytes, size, offset); });
}
ssize_t pwrite64(int file, const void* bytes, size_t size, off64_t offset)
    __attribute__((alias("pwrite")));

int ftruncate(int file, off_t size) noexcept {
  return resized(file, static_cast<std::uint64_t>(size),
                 [&] { return static_cast<int>(::syscall(SYS_ftruncate, file, size)); });
}
int ftruncate64(int file, off64_t size) noexcept { return ftruncate(file, size); }
int posix_fallocate(int file, off_t offset, off_t length) {
  return allocated(file, offset, length);
}
int posix_fallocate64(int file, off64_t offset, off64_t length) {
  return allocated(file, offset, length);
}

int fsync(int file) { return synced(file, SYS_fsync); }
int fdatasync(int file) { return synced(file, SYS_fdatasync); }

int unlink(const char* path) noexcept {
  return renamed({path}, [&] { return static_cast<int>(::syscall(SYS_unlink, path)); });
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  return renamed({path},
                 [&] { return static_cast<int>(::syscall(SYS_unlinkat, folder, path, flags)); });
}
int remove(const char* path) noexcept {
  const int code = unlink(path);
  return code != 0 && errno == EISDIR ? ::rmdir(path) : code;
}
int link(const char* from, const char* to) noexcept {
  return renamed({to}, [&] { return static_cast<int>(::syscall(SYS_link, from, to)); });
}
int rename(const char* from, const char* to) noexcept {
  return renamed({from, to}, [&] { return static_cast<int>(::syscall(SYS_rename, from, to)); });
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned flags) noexcept {
  return renamed({from, to}, [&] {
    return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
  });
}
}
