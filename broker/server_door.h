// Who is let in at the broker's two sockets: counts their connections by libzmq's monitors, cuts
// strangers' where files run short, and new ones before they run out: libzmq would try to accept
// again and again, and a store that cannot open a file ends the broker. (To stop listening is no
// way out: libzmq ends all that a listener has accepted with it.) Front thread.
#pragma once

#include <string>
#include <vector>
#include <zmq.hpp>

#include "broker/connections.h"
#include "common/log.h"

namespace csa {

class ServerDoor {
 public:
  // `silence`: of a peer that lives. Both must outlive this.
  ServerDoor(zmq::context_t& context, Duration silence, const Log& log);
  ~ServerDoor();
  ServerDoor(const ServerDoor&) = delete;
  ServerDoor& operator=(const ServerDoor&) = delete;

  // Before the socket is bound. REQUIRES: it outlives this.
  void watch(zmq::socket_t& socket, Connections::Side side);
  void add_poll_items(std::vector<zmq::pollitem_t>& items);
  void turn(TimePoint now, const Connections::Known& known);
  // A sound frame of this message; a notice of a subscription.
  void heard(zmq::message_t& message, TimePoint now);
  void subscribed(zmq::message_t& notice, std::string_view topic);

 private:
  struct Watched {
    zmq::socket_t* socket;
    Connections::Side side;
    zmq::socket_t monitor;
  };
  void take_events(Watched& watched, TimePoint now);

  zmq::context_t& context_;
  const Log& log_;
  Connections connections_;
  std::vector<Watched> watched_;
  TimePoint cut_next_{};
  TimePoint complain_next_{};
  std::size_t turned_away_ = 0;
};

}  // namespace csa
