// How csa sets up its zmq sockets. The reasons: only application heartbeats are used, because
// libzmq's own abort the process when a reader is slow (4.3.4); TCP's user timeout finds dead
// peers; every queue is bounded; an oversized frame cuts its sender.
#pragma once

#include <zmq.hpp>

#include "common/limits.h"

namespace csa {

inline constexpr int kUserTimeoutMs = 20000;

inline void set_common_options(zmq::socket_t& socket) {
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(limits::kFrameMax));
  socket.set(zmq::sockopt::tcp_maxrt, kUserTimeoutMs);
  socket.set(zmq::sockopt::tcp_keepalive, 1);
  socket.set(zmq::sockopt::tcp_keepalive_idle, 10);
  socket.set(zmq::sockopt::tcp_keepalive_intvl, 3);
  socket.set(zmq::sockopt::tcp_keepalive_cnt, 3);
  socket.set(zmq::sockopt::handshake_ivl, 3000);
}

}  // namespace csa
