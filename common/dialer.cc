#include "common/dialer.h"

#include <array>
#include <iterator>
#include <zmq_addon.hpp>

#include "common/codec.h"
#include "common/limits.h"
#include "common/system_clock.h"
#include "common/zmq_options.h"

namespace csa {
namespace {

constexpr int kReceiveQueue = 4000;  // frames; SUB's own buffer while this thread is busy
constexpr int kSendQueue = 1000;

constexpr int kMonitored = ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                           ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                           ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_CLOSED;

std::string tcp(const Endpoint& endpoint) {
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  return "tcp://" + (v6 ? "[" + endpoint.host + "]" : endpoint.host) + ":" +
         std::to_string(endpoint.port);
}

}  // namespace

Dialer::Dialer(DialerConfig config, const Log& log) : config_(std::move(config)), log_(log) {
  context_.set(zmq::ctxopt::io_threads, 1);
  context_.set(zmq::ctxopt::blocky, false);
  if (!config_.beacon) return;
  BeaconPort::Options options;
  options.port = config_.beacon_port;
  options.interfaces = config_.beacon_interfaces;
  beacons_.emplace(options, log);
}

Dialer::~Dialer() {
  // GOODBYE may still be on its way out.
  if (dealer_) dealer_->socket.set(zmq::sockopt::linger, 200);
  close(dealer_);
  close(sub_);
}

std::unique_ptr<Dialer::Line> Dialer::open(zmq::socket_type type, const Endpoint& endpoint,
                                           const std::vector<std::string>& topics) {
  auto line = std::make_unique<Line>();
  line->socket = zmq::socket_t(context_, type);
  zmq::socket_t& socket = line->socket;
  set_common_options(socket);
  socket.set(zmq::sockopt::ipv6, endpoint.host.find(':') != std::string::npos);
  socket.set(zmq::sockopt::connect_timeout, 3000);
  // A connection that ended stays ended: the Uplink decides what comes next, on fresh sockets.
  socket.set(zmq::sockopt::reconnect_ivl, -1);
  socket.set(zmq::sockopt::rcvhwm, kReceiveQueue);
  socket.set(zmq::sockopt::sndhwm, kSendQueue);
  line->monitor_name = "inproc://monitor-" + std::to_string(++lines_opened_);
  if (zmq_socket_monitor(socket.handle(), line->monitor_name.c_str(), kMonitored) == 0) {
    line->monitor = zmq::socket_t(context_, zmq::socket_type::pair);
    line->monitor.connect(line->monitor_name);
  }
  for (const std::string& topic : topics) socket.set(zmq::sockopt::subscribe, topic);
  try {
    socket.connect(tcp(endpoint));
  } catch (const zmq::error_t& error) {
    broken_ = "cannot connect to " + to_string(endpoint) + ": " + error.what();
  }
  return line;
}

void Dialer::close(std::unique_ptr<Line>& line) {
  if (!line) return;
  zmq_socket_monitor(line->socket.handle(), nullptr, 0);
  line.reset();
}

void Dialer::carry_out(const std::vector<UplinkAction>& actions) {
  std::vector<const Message*> messages;
  for (const UplinkAction& action : actions) {
    if (const auto* const request = std::get_if<SendRequest>(&action)) {
      messages.push_back(&request->message);
      continue;
    }
    send(messages);
    messages.clear();
    carry_out(action);
  }
  send(messages);
}

void Dialer::carry_out(const UplinkAction& action) {
  if (const auto* const request = std::get_if<OpenRequest>(&action)) {
    close(dealer_);
    close(sub_);
    broken_.reset();
    dealer_ = open(zmq::socket_type::dealer, request->endpoint, {});
  } else if (const auto* const subscription = std::get_if<OpenSubscription>(&action)) {
    close(sub_);
    sub_ = open(zmq::socket_type::sub, subscription->endpoint, subscription->topics);
  } else if (std::holds_alternative<CloseLinks>(action)) {
    if (dealer_) dealer_->socket.set(zmq::sockopt::linger, 200);
    close(dealer_);
    close(sub_);
    broken_.reset();
  } else if (const auto* const message = std::get_if<SendRequest>(&action)) {
    const std::array<const Message*, 1> one = {&message->message};
    send(one);
  } else if (const auto* const nonce = std::get_if<SendProbe>(&action)) {
    probe(nonce->nonce);
  }
}

void Dialer::send(std::span<const Message* const> messages) {
  while (dealer_ && !messages.empty()) {
    const JoinedFrame joined = encode_joined(messages);
    messages = messages.subspan(joined.count);
    try {
      // HELLO is sent while the connection is being made: it waits in the pipe, which dies with the
      // socket, so nothing stale reaches a later broker.
      if (!dealer_->socket.send(zmq::buffer(joined.frame), zmq::send_flags::dontwait)) {
        broken_ = "the broker takes nothing more in";
      }
    } catch (const zmq::error_t& error) {
      broken_ = std::string("send: ") + error.what();
    }
  }
}

void Dialer::probe(const Id128& nonce) {
  if (!beacons_) return;
  Beacon beacon;
  beacon.kind = BeaconKind::kProbe;
  beacon.protocol_min = kProtocolVersion;
  beacon.protocol_max = kProtocolVersion;
  beacon.cluster = config_.cluster;
  beacon.nonce = nonce;
  beacons_->broadcast(beacon, monotonic_now());
}

Received Dialer::poll(std::chrono::milliseconds limit, const std::vector<int>& wake) {
  Received out;
  std::vector<zmq::pollitem_t> items;
  for (Line* const line : {dealer_.get(), sub_.get()}) {
    if (line == nullptr) continue;
    items.push_back({line->socket.handle(), 0, ZMQ_POLLIN, 0});
    if (line->monitor) items.push_back({line->monitor.handle(), 0, ZMQ_POLLIN, 0});
  }
  if (beacons_) {
    for (const int file : beacons_->fds()) items.push_back({nullptr, file, ZMQ_POLLIN, 0});
  }
  for (const int file : wake) items.push_back({nullptr, file, ZMQ_POLLIN, 0});
  try {
    zmq::poll(items.data(), items.size(), broken_ ? std::chrono::milliseconds{0} : limit);
  } catch (const zmq::error_t& error) {
    if (error.num() != EINTR) throw;
  }
  if (dealer_) drain(*dealer_, false, out);
  if (sub_) drain(*sub_, true, out);
  if (dealer_) watch(*dealer_, "requests", out);
  if (sub_) watch(*sub_, "changes", out);
  if (broken_ && !out.disconnected) out.disconnected = std::move(broken_);
  broken_.reset();
  if (beacons_) drain_beacons(out);
  return out;
}

void Dialer::drain_beacons(Received& out) {
  for (BeaconPort::Heard& heard : beacons_->receive(limits::kDrainMax)) {
    if (heard.heard.beacon.cluster == config_.cluster)
      out.beacons.push_back(std::move(heard.heard));
  }
}

void Dialer::drain(Line& line, bool subscription, Received& out) {
  zmq::message_t frame;
  for (std::size_t i = 0; i < limits::kDrainMax; ++i) {
    if (!line.socket.recv(frame, zmq::recv_flags::dontwait)) return;
    const bool more = frame.more();
    const ByteView bytes(frame.data<std::uint8_t>(), frame.size());
    if (!more && subscription) {
      const Result<TopicFrame> parts = split_topic(bytes);
      if (parts) take_frame(parts->frame, out);
    } else if (!more) {
      take_frame(bytes, out);
    }
    // Nobody of csa sends several frames: all of them are dropped.
    while (frame.more() && line.socket.recv(frame, zmq::recv_flags::dontwait)) {
    }
  }
}

void Dialer::take_frame(ByteView frame, Received& out) {
  Result<std::vector<Message>> messages = decode_joined(frame);
  if (messages) {
    std::move(messages->begin(), messages->end(), std::back_inserter(out.messages));
    return;
  }
  // The first, and then one of a thousand: a broken peer must not fill the log.
  if (malformed_++ % 1000 == 0) {
    log_.warn("link: dropped a frame of the broker: " + messages.error().what);
  }
}

void Dialer::watch(Line& line, const char* name, Received& out) {
  if (!line.monitor) return;
  std::vector<zmq::message_t> frames;
  while (zmq::recv_multipart(line.monitor, std::back_inserter(frames), zmq::recv_flags::dontwait)) {
    if (!frames.empty() && frames[0].size() >= sizeof(std::uint16_t)) {
      std::uint16_t event = 0;
      std::memcpy(&event, frames[0].data(), sizeof event);
      const bool never = event == ZMQ_EVENT_CONNECT_RETRIED || event == ZMQ_EVENT_CLOSED;
      out.disconnected =
          std::string(never ? "nobody answers at the port for " : "connection ended: ") + name;
    }
    frames.clear();
  }
}

std::vector<InterfaceReport> Dialer::interfaces() const {
  return beacons_ ? beacons_->report() : std::vector<InterfaceReport>{};
}

std::string Dialer::beacon_error() const { return beacons_ ? beacons_->listen_error() : ""; }

}  // namespace csa
