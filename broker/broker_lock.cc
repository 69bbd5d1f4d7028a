#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "broker/opening.h"
#include "common/file_link.h"

namespace csa {
namespace {

// The name that nodes use for their replicas too: one file has one owner, whatever it is. Two
// spellings of one path must meet in one lock.
std::string lock_path(const std::string& path) {
  const Result<std::string> file = follow_links(path);
  return (file ? *file : path) + "-csa-lock";
}

}  // namespace

Result<BrokerLock> BrokerLock::take(const std::string& path) {
  const std::string name = lock_path(path);
  const int file = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) {
    return Error{Errc::kFailed, "cannot make " + name + ": " + std::strerror(errno) +
                                    ". The database's folder must exist and be writable."};
  }
  BrokerLock lock(file);
  if (::flock(file, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      return Error{Errc::kFailed, "cannot lock " + name + ": " + std::strerror(errno) +
                                      ". The database must lie on a local disk."};
    }
    return Error{Errc::kRefused, path + " is in use by another csa-broker or csa-node on this" +
                                     " computer. End that one first, or choose another --db."};
  }
  // For people, and for a node that asks who owns the file.
  const std::string text = std::to_string(::getpid()) + " \n";
  if (::ftruncate(file, 0) != 0 || ::pwrite(file, text.data(), text.size(), 0) < 0) return lock;
  return lock;
}

BrokerLock::BrokerLock(BrokerLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

BrokerLock& BrokerLock::operator=(BrokerLock&& other) noexcept {
  std::swap(file_, other.file_);
  return *this;
}

BrokerLock::~BrokerLock() {
  // The file stays: who removed it could remove the one that another broker has locked by now.
  if (file_ >= 0) ::close(file_);
}

bool BrokerLock::is_taken(const std::string& path) {
  const int file = ::open(lock_path(path).c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const BrokerLock probe(file);
  return ::flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

}  // namespace csa
