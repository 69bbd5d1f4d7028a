#include "node/owner_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>

#include "common/file_link.h"

namespace csa {
namespace {

// Its second line, which stays for later owners.
constexpr const char* kHadReplica = "a replica was begun";

std::string lock_path(const std::string& replica) {
  const Result<std::string> file = follow_links(replica);
  return (file ? *file : replica) + "-csa-lock";
}

bool says_replica(const std::string& replica) {
  std::ifstream in(lock_path(replica));
  std::string line;
  return std::getline(in, line) && std::getline(in, line) && line == kHadReplica;
}

}  // namespace

std::string default_replica_path(const std::string& group) {
  const char* const data_home = std::getenv("XDG_DATA_HOME");
  const char* const home = std::getenv("HOME");
  std::string base = "/tmp";
  if (data_home != nullptr && *data_home != '\0') {
    base = data_home;
  } else if (home != nullptr && *home != '\0') {
    base = std::string(home) + "/.local/share";
  }
  return base + "/csa/" + group + "/replica.db";
}

Result<std::optional<OwnerLock>> OwnerLock::try_take(const std::string& replica) {
  const std::string path = lock_path(replica);
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) {
    return Error{Errc::kFailed, "cannot make " + path + ": " + std::strerror(errno) +
                                    ". The replica's folder must exist and be writable."};
  }
  OwnerLock lock(file);
  if (::flock(file, LOCK_EX | LOCK_NB) == 0) {
    lock.had_replica_ = says_replica(replica);
    return std::optional<OwnerLock>(std::move(lock));
  }
  if (errno == EWOULDBLOCK) return std::optional<OwnerLock>();
  return Error{Errc::kFailed, "cannot lock " + path + ": " + std::strerror(errno) +
                                  ". A replica must lie on a local file system."};
}

std::optional<OwnerLock::Owner> OwnerLock::owner_of(const std::string& replica) {
  std::ifstream in(lock_path(replica));
  Owner owner;
  if (!(in >> owner.pid)) return std::nullopt;
  in.ignore(1);
  std::getline(in, owner.door);
  return owner;
}

void OwnerLock::announce(const std::string& door) const {
  const std::string text = std::to_string(::getpid()) + " " + door + "\n" +
                           (had_replica_ ? std::string(kHadReplica) + "\n" : "");
  // Best effort: who cannot read it waits for the lock instead.
  if (::ftruncate(file_, 0) == 0 &&
      ::pwrite(file_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    if (::ftruncate(file_, 0) != 0) return;
  }
}

OwnerLock::OwnerLock(OwnerLock&& other) noexcept
    : file_(std::exchange(other.file_, -1)), had_replica_(other.had_replica_) {}

OwnerLock& OwnerLock::operator=(OwnerLock&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(had_replica_, other.had_replica_);
  return *this;
}

OwnerLock::~OwnerLock() {
  if (file_ >= 0)
    ::close(file_);  // releases the lock; the file stays, so that nobody locks a dead one
}

}  // namespace csa
