// One process owns a replica: an flock on a file beside it (never on the database, whose locks are
// SQLite's). The file says who the owner is and whether others can work through it.
#pragma once

#include <optional>
#include <string>

#include "common/result.h"

namespace csa {

// $XDG_DATA_HOME/csa/GROUP/replica.db, by the usual defaults of that variable.
[[nodiscard]] std::string default_replica_path(const std::string& group);

class OwnerLock {
 public:
  // nullopt: somebody else holds it. Error: the lock file cannot be made.
  [[nodiscard]] static Result<std::optional<OwnerLock>> try_take(const std::string& replica);
  // Who holds it, as the holder said: {pid, door path or empty}.
  struct Owner {
    int pid = 0;
    std::string door;
  };
  [[nodiscard]] static std::optional<Owner> owner_of(const std::string& replica);

  // An owner before this one, or this one, has said that its replica was begun.
  [[nodiscard]] bool had_replica() const { return had_replica_; }
  // With the next announce().
  void note_replica() { had_replica_ = true; }
  // Tells others how to reach the owner; an empty door: not at all, wait until it is done.
  void announce(const std::string& door) const;

  OwnerLock(OwnerLock&& other) noexcept;
  OwnerLock& operator=(OwnerLock&& other) noexcept;
  OwnerLock(const OwnerLock&) = delete;
  OwnerLock& operator=(const OwnerLock&) = delete;
  ~OwnerLock();

 private:
  explicit OwnerLock(int file) : file_(file) {}
  int file_ = -1;
  bool had_replica_ = false;
};

}  // namespace csa
