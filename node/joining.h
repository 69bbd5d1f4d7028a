// How a client comes to its replica: as the owner, which has the link to the broker, or through the
// door of the program that owns it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/log.h"
#include "node/backend.h"
#include "node/door_client.h"
#include "node/jobs.h"

namespace csa {

// What one attempt came to. All empty: the owner is about to open its door or to end, try again.
struct Joined {
  std::unique_ptr<Backend> owner;    // this client owns the replica
  std::unique_ptr<DoorClient> door;  // another program does
  ClientFailure failure{0, ""};      // exit_code not 0: trying again would not do
};

class Joining {
 public:
  // REQUIRES: options.replica is set. `log` must outlive this and every owner that it makes.
  Joining(ClientOptions options, const Log& log);

  // What an owner tells from its threads, and what is to happen before it starts them.
  struct Hooks {
    std::function<void(const ClientEvent&)> on_event;
    std::function<void(const ReplicaState&)> before_start;  // may be empty
  };
  // Takes the time of opening a replica, or of one knock. Throws what opening a replica throws.
  [[nodiscard]] Joined attempt(const Hooks& hooks) const;
  // Why it does not come to the replica, for people.
  [[nodiscard]] ClientFailure not_let_in() const;
  // Somebody has the replica and says that there is a door.
  [[nodiscard]] bool has_door() const;
  [[nodiscard]] const ClientOptions& options() const { return options_; }

 private:
  const ClientOptions options_;
  const Log& log_;
};

}  // namespace csa
