// The owner's side of the door: other programs of this user come in over a local socket, their
// calls go to the link, state and events come back. Belongs to the link thread.
#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>
#include <zmq.hpp>

#include "common/log.h"
#include "node/door.h"

namespace csa {

class DoorServer {
 public:
  // Listens at `path`; where that fails it says so and nobody comes in.
  DoorServer(zmq::context_t& context, const std::string& path, const Log& log);

  struct Call {
    std::string guest;
    std::uint64_t ticket = 0;
    std::chrono::milliseconds timeout{};
    Backend::Request request;
  };
  struct Received {
    std::vector<Call> calls;
    std::vector<TxId> known;  // the guests know these now, see DoorTx
  };
  // To wait on; readable means: call receive().
  [[nodiscard]] int fd() const;
  [[nodiscard]] Received receive();
  // The TxId of a call, before it is sent.
  void give_tx(const std::string& guest, std::uint64_t ticket, const TxId& tx);
  void answer(const std::string& guest, std::uint64_t ticket, WriteResult result);
  // To all guests.
  void tell(const ClientEvent& event, const ClientStatus& status);
  // To those who came in since the last call.
  void tell_new_guests(const ClientStatus& status);
  void close();

 private:
  void send(const std::string& guest, const DoorMessage& message);
  const Log& log_;
  zmq::socket_t router_;
  std::set<std::string> guests_;
  std::vector<std::string> new_guests_;
};

}  // namespace csa
