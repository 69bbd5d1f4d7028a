// Working through the process that owns the replica: a thread with a local socket to the owner's
// door. The same calls as the owner's own, one hop further.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>
#include <zmq.hpp>

#include "common/log.h"
#include "common/mailbox.h"
#include "common/types.h"
#include "node/backend.h"
#include "node/door.h"
#include "node/status_waits.h"

namespace csa {

class Guest final : public Backend {
 public:
  struct Config {
    std::string door;
    std::function<void(const ClientEvent&)> on_event;
    // The owner has left or died; called once, from the guest's thread.
    std::function<void()> on_owner_gone;
  };
  // nullptr: nobody answered at the door within `timeout`.
  [[nodiscard]] static std::unique_ptr<Guest> enter(Config config,
                                                    std::chrono::milliseconds timeout,
                                                    const Log& log);
  ~Guest() override;

  void submit(Request request, std::chrono::milliseconds timeout, Done done) override;
  [[nodiscard]] ClientStatus status() override;
  [[nodiscard]] bool wait(Condition reached, Condition given_up,
                          std::chrono::milliseconds timeout) override;
  void leave() override;

 private:
  using Task = std::function<void()>;
  struct Pending {
    Done done;
    TimePoint deadline;
  };

  Guest(Config config, const Log& log);
  void run();
  void turn();
  void receive();
  void take(DoorMessage message);
  void check(TimePoint now);
  void finish();

  const Config config_;
  const Log& log_;  // must outlive this
  zmq::context_t context_;
  Mailbox<Task> tasks_;
  // The thread's own:
  zmq::socket_t dealer_;
  zmq::socket_t monitor_;
  ClientStatus status_;
  bool entered_ = false;
  bool stopped_ = false;
  bool owner_gone_ = false;
  std::uint64_t next_ticket_ = 1;
  std::map<std::uint64_t, Pending> calls_;
  StatusWaits waits_;
  std::thread thread_;
};

}  // namespace csa
