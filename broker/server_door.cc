#include "broker/server_door.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "common/limits.h"

namespace csa {
namespace {

constexpr std::chrono::milliseconds kCutInterval{250};

std::size_t most_connections() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return limits::kConnectionsMin;
  const std::size_t room =
      std::max<rlim_t>(files.rlim_cur, limits::kFilesReserved) - limits::kFilesReserved;
  return std::clamp<std::size_t>(room, limits::kConnectionsMin, limits::kConnectionsMax);
}

// The connection that brought it; -1: libzmq does not say.
int file_of(zmq::message_t& message) {
  const int file = zmq_msg_get(message.handle(), ZMQ_SRCFD);
  return file > 0 ? file : -1;
}

// Its owner, libzmq, sees the end of the stream. The number may be another file's by now.
void cut(int file) {
  int type = 0;
  socklen_t size = sizeof(type);
  if (::getsockopt(file, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) return;
  (void)::shutdown(file, SHUT_RDWR);
}

}  // namespace

ServerDoor::ServerDoor(zmq::context_t& context, Duration silence, const Log& log)
    : context_(context), log_(log), connections_(most_connections(), silence) {}

ServerDoor::~ServerDoor() {
  for (const Watched& watched : watched_) {
    (void)zmq_socket_monitor(watched.socket->handle(), nullptr, 0);
  }
}

void ServerDoor::watch(zmq::socket_t& socket, Connections::Side side) {
  const std::string name = "inproc://door-" + std::to_string(watched_.size());
  if (zmq_socket_monitor(socket.handle(), name.c_str(),
                         ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED) != 0) {
    throw zmq::error_t();
  }
  zmq::socket_t monitor(context_, zmq::socket_type::pair);
  monitor.set(zmq::sockopt::linger, 0);
  // libzmq's threads must never wait for this one; what lies here is bounded by the open files.
  monitor.set(zmq::sockopt::rcvhwm, 0);
  monitor.connect(name);
  watched_.push_back({&socket, side, std::move(monitor)});
}

void ServerDoor::add_poll_items(std::vector<zmq::pollitem_t>& items) {
  for (Watched& watched : watched_) items.push_back({watched.monitor.handle(), 0, ZMQ_POLLIN, 0});
}

void ServerDoor::take_events(Watched& watched, TimePoint now) {
  zmq::message_t event;
  while (watched.monitor.recv(event, zmq::recv_flags::dontwait)) {
    std::uint16_t number = 0;
    std::int32_t file = 0;
    if (event.size() == sizeof(number) + sizeof(file)) {
      std::memcpy(&number, event.data(), sizeof(number));
      std::memcpy(&file, event.data<char>() + sizeof(number), sizeof(file));
    }
    while (event.more() && watched.monitor.recv(event, zmq::recv_flags::dontwait)) {
    }
    if (number == ZMQ_EVENT_ACCEPTED && !connections_.accepted(file, watched.side, now)) {
      cut(file);
      ++turned_away_;
    }
    if (number == ZMQ_EVENT_DISCONNECTED) connections_.closed(file);
  }
}

void ServerDoor::turn(TimePoint now, const Connections::Known& known) {
  for (Watched& watched : watched_) take_events(watched, now);
  if (now < cut_next_ || !connections_.scarce()) return;
  cut_next_ = now + kCutInterval;
  const std::vector<int> strangers = connections_.strangers(now, known);
  std::for_each(strangers.begin(), strangers.end(), cut);
  turned_away_ += strangers.size();
  if (turned_away_ == 0 || now < complain_next_) return;
  complain_next_ = now + limits::kComplaintInterval;
  log_.warn("broker: " + std::to_string(turned_away_) +
            " connections were cut: " + std::to_string(connections_.size()) +
            " are open, and files must be left for the database. Those that belong to no peer go "
            "first; more fit where `ulimit -n` is larger when csa-broker starts");
  turned_away_ = 0;
}

void ServerDoor::heard(zmq::message_t& message, TimePoint now) {
  connections_.heard(file_of(message), now);
}

void ServerDoor::subscribed(zmq::message_t& notice, std::string_view topic) {
  connections_.subscribed(file_of(notice), topic);
}

}  // namespace csa
