#include "node/door_client.h"

#include <array>
#include <cerrno>

#include "common/limits.h"
#include "common/system_clock.h"

namespace csa {
namespace {

constexpr const char* kMonitor = "inproc://door-monitor";
constexpr std::chrono::milliseconds kStep{5};

}  // namespace

DoorClient::DoorClient(const std::string& path)
    : dealer_(context_, zmq::socket_type::dealer), monitor_(context_, zmq::socket_type::pair) {
  dealer_.set(zmq::sockopt::linger, 500);
  dealer_.set(zmq::sockopt::immediate, true);
  dealer_.set(zmq::sockopt::reconnect_ivl, -1);  // an owner that went away is another one later
  dealer_.set(zmq::sockopt::sndhwm, 4 * static_cast<int>(limits::kNodeWritesMax));
  dealer_.set(zmq::sockopt::rcvhwm, 4 * static_cast<int>(limits::kNodeWritesMax));
  dealer_.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(2 * limits::kFrameMax));
  // Closed: nobody listens there.
  if (zmq_socket_monitor(dealer_.handle(), kMonitor, ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED) ==
      0) {
    monitor_.connect(kMonitor);
  }
  dealer_.connect("ipc://" + path);
}

std::unique_ptr<DoorClient> DoorClient::enter(const std::string& path,
                                              std::chrono::milliseconds timeout, const Log& log) {
  try {
    std::unique_ptr<DoorClient> door(new DoorClient(path));
    const TimePoint deadline = monotonic_now() + timeout;
    bool sent = false;
    bool entered = false;
    while (!entered) {
      // IMMEDIATE: refused until the connection stands.
      if (!sent) sent = door->send(DoorHello{});
      door->wait(sent ? limits::kPollMax : kStep, -1);
      door->receive([&](DoorMessage message) {
        if (auto* const status = std::get_if<DoorStatus>(&message)) {
          door->first_status_ = std::move(status->status);
          entered = true;
        }
      });
      if (door->gone() || monotonic_now() >= deadline) return nullptr;
    }
    return door;
  } catch (const zmq::error_t& error) {
    log.warn(std::string("door: ") + error.what());
    return nullptr;
  }
}

bool DoorClient::send(const DoorMessage& message) {
  if (gone_) return false;
  const Bytes frame = encode_door(message);
  return dealer_.send(zmq::buffer(frame), zmq::send_flags::dontwait).has_value();
}

void DoorClient::wait(std::chrono::milliseconds limit, int wake) {
  std::array<zmq::pollitem_t, 3> items{{{dealer_.handle(), 0, ZMQ_POLLIN, 0},
                                        {monitor_.handle(), 0, ZMQ_POLLIN, 0},
                                        {nullptr, wake, ZMQ_POLLIN, 0}}};
  try {
    zmq::poll(items.data(), wake < 0 ? 2 : 3, limit);
  } catch (const zmq::error_t& error) {
    if (error.num() != EINTR) throw;
  }
}

void DoorClient::receive(const std::function<void(DoorMessage)>& take) {
  zmq::message_t frame;
  for (std::size_t i = 0; i < limits::kDrainMax; ++i) {
    if (!dealer_.recv(frame, zmq::recv_flags::dontwait)) break;
    auto message = decode_door({frame.data<std::uint8_t>(), frame.size()});
    if (!message) continue;
    if (std::holds_alternative<DoorClosed>(*message)) gone_ = true;
    take(std::move(*message));
  }
  zmq::message_t event;
  while (monitor_.recv(event, zmq::recv_flags::dontwait)) gone_ = true;
}

}  // namespace csa
