// What stands behind a Client: the owner of the replica (Link), or a way to work through the owner
// in another process (Guest). All calls may be made from any thread.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <variant>

#include "common/message.h"
#include "node/client.h"

namespace csa {

class Backend {
 public:
  // The TxId of all but the last: counter 0, or the one under which it may have been sent before.
  using Request = std::variant<Write, Migrate, Rules, OutcomeGet>;
  using Done = std::function<void(WriteResult)>;

  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  // `done` is called exactly once, from the backend's thread or, when it has ended, from this call.
  virtual void submit(Request request, std::chrono::milliseconds timeout, Done done) = 0;
  [[nodiscard]] virtual ClientStatus status() = 0;
  // Waits until `reached` (asked with the present status at every change of it) is true, until
  // `given_up` is true, the timeout, or the end. Answers what `reached` said last.
  using Condition = std::function<bool(const ClientStatus&)>;
  [[nodiscard]] virtual bool wait(Condition reached, Condition given_up,
                                  std::chrono::milliseconds timeout) = 0;
  // Ends everything; returns when the threads have ended. Idempotent.
  virtual void leave() = 0;
};

}  // namespace csa
