#include "node/door_server.h"

#include <zmq_addon.hpp>

#include "common/limits.h"

namespace csa {
namespace {

constexpr std::size_t kGuestsMax = 200;
constexpr int kAnswersMax = 4 * limits::kNodeWritesMax;  // to one guest: TxId, outcome, notices

}  // namespace

DoorServer::DoorServer(zmq::context_t& context, const std::string& path, const Log& log)
    : log_(log), router_(context, zmq::socket_type::router) {
  router_.set(zmq::sockopt::linger, 500);
  router_.set(zmq::sockopt::router_mandatory, true);
  router_.set(zmq::sockopt::sndhwm, kAnswersMax);
  router_.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(2 * limits::kFrameMax));
  try {
    router_.bind("ipc://" + path);
  } catch (const zmq::error_t& error) {
    log_.warn("door: other programs cannot work through this one: " + path + ": " + error.what());
  }
}

int DoorServer::fd() const { return router_.get(zmq::sockopt::fd); }

DoorServer::Received DoorServer::receive() {
  Received received;
  for (std::size_t i = 0; i < limits::kDrainMax; ++i) {
    std::vector<zmq::message_t> frames;
    if (!zmq::recv_multipart(router_, std::back_inserter(frames), zmq::recv_flags::dontwait)) break;
    if (frames.size() != 2) continue;
    const std::string guest = frames[0].to_string();
    auto message = decode_door({frames[1].data<std::uint8_t>(), frames[1].size()});
    if (!message) {
      log_.warn("door: a program of another version of csa was turned away");
      send(guest, DoorClosed{});
      continue;
    }
    if (std::holds_alternative<DoorHello>(*message) && guests_.size() < kGuestsMax) {
      guests_.insert(guest);
      new_guests_.push_back(guest);
    } else if (auto* const call = std::get_if<DoorCall>(&*message)) {
      received.calls.push_back({guest, call->ticket, std::chrono::milliseconds(call->timeout_ms),
                                std::move(call->request)});
    } else if (const auto* const go = std::get_if<DoorGo>(&*message)) {
      received.known.push_back(go->tx);
    }
  }
  return received;
}

void DoorServer::give_tx(const std::string& guest, std::uint64_t ticket, const TxId& tx) {
  send(guest, DoorTx{ticket, tx});
}

void DoorServer::answer(const std::string& guest, std::uint64_t ticket, WriteResult result) {
  send(guest, DoorDone{ticket, std::move(result)});
}

void DoorServer::tell(const ClientEvent& event, const ClientStatus& status) {
  for (const std::string& guest : std::set<std::string>(guests_)) {
    send(guest, DoorStatus{status});
    send(guest, DoorEvent{event});
  }
}

void DoorServer::tell_new_guests(const ClientStatus& status) {
  for (const std::string& guest : new_guests_) send(guest, DoorStatus{status});
  new_guests_.clear();
}

void DoorServer::close() {
  for (const std::string& guest : std::set<std::string>(guests_)) send(guest, DoorClosed{});
  guests_.clear();
}

void DoorServer::send(const std::string& guest, const DoorMessage& message) {
  const Bytes frame = encode_door(message);
  try {
    // A guest that does not read loses notices; it asks for status anew when it comes back.
    if (router_.send(zmq::buffer(guest), zmq::send_flags::sndmore | zmq::send_flags::dontwait)) {
      (void)router_.send(zmq::buffer(frame), zmq::send_flags::dontwait);
    }
  } catch (const zmq::error_t&) {
    guests_.erase(guest);  // EHOSTUNREACH: gone
  }
}

}  // namespace csa
