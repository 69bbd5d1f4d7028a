// The guest's side of the door: a local socket to the program that owns the replica. Belongs to one
// thread at a time.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <zmq.hpp>

#include "common/log.h"
#include "node/door.h"

namespace csa {

class DoorClient {
 public:
  // Knocks at `path`. nullptr: nobody let it in within `timeout`.
  [[nodiscard]] static std::unique_ptr<DoorClient> enter(const std::string& path,
                                                         std::chrono::milliseconds timeout,
                                                         const Log& log);
  DoorClient(const DoorClient&) = delete;
  DoorClient& operator=(const DoorClient&) = delete;
  ~DoorClient() = default;

  // As the owner told it at the entrance.
  [[nodiscard]] const ClientStatus& first_status() const { return first_status_; }
  // False: it cannot go now; where gone() is false, it may be tried again.
  [[nodiscard]] bool send(const DoorMessage& message);
  // Waits at most `limit` for the owner or for `wake` to be readable.
  void wait(std::chrono::milliseconds limit, int wake);
  // Gives a bounded batch of what has come to `take`.
  void receive(const std::function<void(DoorMessage)>& take);
  // The owner has left or died; nothing more comes.
  [[nodiscard]] bool gone() const { return gone_; }

 private:
  explicit DoorClient(const std::string& path);

  zmq::context_t context_;
  zmq::socket_t dealer_;
  zmq::socket_t monitor_;
  ClientStatus first_status_;
  bool gone_ = false;
};

}  // namespace csa
