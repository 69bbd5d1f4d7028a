#include "broker/server_front.h"

#include <algorithm>
#include <span>
#include <system_error>
#include <zmq_addon.hpp>

#include "common/codec.h"
#include "common/limits.h"
#include "common/net_interfaces.h"
#include "common/planted.h"
#include "common/system_clock.h"
#include "common/zmq_options.h"

namespace csa {
namespace {

constexpr int kRouterSendQueue = 256;  // frames a peer; the rest of a burst is held
constexpr std::chrono::milliseconds kHeldRetry{1};
constexpr int kRouterReceiveQueue = 1000;
constexpr int kPublishQueue = 4000;  // frames a subscriber; a slow one loses and repairs
constexpr int kBacklog = 1024;
constexpr std::chrono::seconds kOwnAddressLife{10};
constexpr std::size_t kOwnAddressesMax = 4096;

HubConfig hub_config(const ServeConfig& config, const Id128& boot, std::uint16_t pub_port) {
  HubConfig hub;
  hub.app = config.app;
  hub.group = config.group;
  hub.app_version = config.app_version;
  hub.hostname = host_name();
  hub.program = "csa-broker " CSA_VERSION;
  hub.database = config.database;
  hub.boot = boot;
  hub.pub_port = pub_port;
  hub.heartbeat = config.heartbeat;
  hub.node_timeout = config.node_timeout;
  hub.statement_timeout = config.statement_timeout;
  return hub;
}

}  // namespace

Front::Front(const ServeConfig& config, Stores& stores, const Log& log)
    : config_(config), stores_(stores), log_(log), door_(context_, config.node_timeout, log) {
  context_.set(zmq::ctxopt::io_threads, 2);
  context_.set(zmq::ctxopt::blocky, false);
  context_.set(zmq::ctxopt::max_sockets, 64);
  router_ = zmq::socket_t(context_, zmq::socket_type::router);
  xpub_ = zmq::socket_t(context_, zmq::socket_type::xpub);
  for (zmq::socket_t* const socket : {&router_, &xpub_}) {
    set_common_options(*socket);
    socket->set(zmq::sockopt::backlog, kBacklog);
    socket->set(zmq::sockopt::linger, 500);  // GOODBYE may still go out
  }
  router_.set(zmq::sockopt::router_mandatory, true);
  router_.set(zmq::sockopt::sndhwm, kRouterSendQueue);
  router_.set(zmq::sockopt::rcvhwm, kRouterReceiveQueue);
  xpub_.set(zmq::sockopt::sndhwm, kPublishQueue);
  xpub_.set(zmq::sockopt::xpub_verboser, 1);
  door_.watch(router_, Connections::Side::kRequests);
  door_.watch(xpub_, Connections::Side::kChanges);
}

Front::~Front() = default;

Result<std::uint16_t> Front::bind_one(zmq::socket_t& socket, std::uint16_t port, const char* flag) {
  const std::string host = config_.listen.empty() ? "*" : config_.listen;
  const std::string where = "tcp://" + host + ":" + (port == 0 ? "*" : std::to_string(port));
  try {
    socket.bind(where);
  } catch (const zmq::error_t& error) {
    std::string text = "cannot listen on " + host + ", TCP port " + std::to_string(port) + ": " +
                       error.what() + ". ";
    text +=
        error.num() == EADDRINUSE
            ? std::string("Is another broker running on this computer? Name another port with ") +
                  flag + "."
            : "Is --listen an address of this computer?";
    return Error{Errc::kFailed, text};
  }
  const std::string endpoint = socket.get(zmq::sockopt::last_endpoint);
  return static_cast<std::uint16_t>(std::stoul(endpoint.substr(endpoint.rfind(':') + 1)));
}

Status Front::bind() {
  const Result<std::uint16_t> port = bind_one(router_, config_.port, "--port");
  if (!port) return port.error();
  port_ = *port;
  std::uint16_t wanted = config_.pub_port;
  if (wanted == 0 && config_.port != 0) wanted = static_cast<std::uint16_t>(config_.port + 1);
  const Result<std::uint16_t> pub = bind_one(xpub_, wanted, "--pub-port");
  if (!pub) return pub.error();
  pub_port_ = *pub;
  return Ok{};
}

void Front::start(const Id128& boot, std::uint64_t seed) {
  hub_ = std::make_unique<Hub>(hub_config(config_, boot, pub_port_), stores_.master(),
                               stores_.time().at(local_now(host_boot_)), log_);
  if (!config_.beacon) return;
  Beacon beacon;
  beacon.kind = BeaconKind::kAnnounce;
  beacon.protocol_min = kProtocolVersion;
  beacon.protocol_max = kProtocolVersion;
  beacon.cluster = cluster_id(config_.app, config_.group);
  beacon.generation = stores_.master().head.epoch.generation;
  for (std::size_t i = 0; i < sizeof beacon.boot; ++i) {
    beacon.boot = (beacon.boot << 8U) | boot.bytes.at(i);
  }
  beacon.port = port_;
  beacon.pub_port = pub_port_;
  beacon.interval_ms = static_cast<std::uint32_t>(limits::kBeaconInterval.count());
  BeaconPort::Options options;
  options.port = config_.beacon_port;
  options.interfaces = config_.beacon_interfaces;
  // Listening on one address means announcing from that one alone.
  options.only_address = config_.listen == "0.0.0.0" ? "" : config_.listen;
  for (const std::string& text : config_.announce_to) {
    if (const auto endpoint = parse_endpoint(text, config_.beacon_port)) {
      options.also.push_back(*endpoint);
    }
  }
  beacon_ = std::make_unique<BrokerBeacon>(options, beacon, seed, log_);
}

Status Front::run(const StopSignals& signals) {
  while (!stopped_ && !stores_.fatal()) {
    carry_out(monotonic_now());
    if (stopped_) break;
    wait(signals.file());
    const TimePoint now = monotonic_now();
    hub_->set_time(stores_.time().at(local_now(host_boot_)));
    if (signals.taken() && !stopping_) {
      stopping_ = true;
      log_.info("broker: told to stop");
      hub_->stop("the broker was told to stop", now);
    }
    send_held(now);
    door_.turn(now, [this](std::string_view topic) { return hub_->proves(topic); });
    drain_router(now);
    drain_xpub(now);
    hub_->on_ledger_progress(stores_.ledger_progress(), stores_.ledger_begun());
    stores_.answer_all(*hub_, now);
    if (beacon_) {
      beacon_->set_generation(hub_->head().epoch.generation);
      beacon_->turn(now);
      for (const Endpoint& at : beacon_->take_newer()) suspect(at, now);
    }
    look_at_rivals(now);
    if (now >= hub_->deadline()) hub_->on_deadline(now);
  }
  if (beacon_) beacon_->say_bye(monotonic_now());
  if (stores_.fatal()) return *stores_.fatal();
  if (outdated_) return *outdated_;
  return Ok{};
}

void Front::suspect(const Endpoint& at, TimePoint now) {
  if (!rivals_) rivals_ = std::make_unique<RivalGreeter>(config_, false, log_);
  rivals_->suspect(at, now);
}

void Front::look_at_rivals(TimePoint now) {
  if (!rivals_ || !rivals_->busy()) return;
  const std::optional<RivalGreeter::Answer> answer = rivals_->turn(std::chrono::milliseconds{0});
  const Welcome* const rival = answer ? std::get_if<Welcome>(&answer->said) : nullptr;
  const OwnHistory own{stores_.master().db, hub_->head().epoch.generation};
  if (rival == nullptr || rival_kind(own, *rival) != RivalKind::kNewer) return;
  outdated_ = outdated_error(config_.database, own, *rival, answer->at);
  hub_->step_down("this broker is an old one; the broker of the later generation is at " +
                      to_string(answer->at),
                  now);
}

void Front::wait(int signals) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(hub_->deadline() - monotonic_now());
  // ROUTER does not tell when one peer's pipe has room again.
  const auto most = held_.empty() ? limits::kPollMax : kHeldRetry;
  std::vector<zmq::pollitem_t> items{{router_.handle(), 0, ZMQ_POLLIN, 0},
                                     {xpub_.handle(), 0, ZMQ_POLLIN, 0},
                                     {nullptr, stores_.wake_fd(), ZMQ_POLLIN, 0},
                                     {nullptr, signals, ZMQ_POLLIN, 0}};
  door_.add_poll_items(items);
  if (beacon_) {
    for (const int file : beacon_->fds()) items.push_back({nullptr, file, ZMQ_POLLIN, 0});
  }
  try {
    zmq::poll(items.data(), items.size(), std::clamp(left, std::chrono::milliseconds{0}, most));
  } catch (const zmq::error_t& error) {
    if (error.num() != EINTR) throw;
  }
}

void Front::drain_router(TimePoint now) {
  for (std::size_t taken = 0; taken < limits::kDrainMax;) {
    std::vector<zmq::message_t> frames;
    if (!zmq::recv_multipart(router_, std::back_inserter(frames), zmq::recv_flags::dontwait))
      return;
    taken += frames_in(frames, now);
  }
}

std::size_t Front::frames_in(std::vector<zmq::message_t>& frames, TimePoint now) {
  if (frames.size() < 2) return 1;
  const PeerKey peer = frames[0].to_string();
  const Origin origin = origin_of(frames[1], now);
  if (frames.size() > 2) {
    hub_->on_malformed(peer, {Errc::kMalformed, "a message of several frames"}, origin, now);
    return 1;
  }
  Result<std::vector<Message>> messages =
      decode_joined(ByteView(frames[1].data<std::uint8_t>(), frames[1].size()));
  if (!messages) {
    hub_->on_malformed(peer, messages.error(), origin, now);
    return 1;
  }
  door_.heard(frames[1], now);
  for (Message& message : *messages) hub_->on_message(peer, std::move(message), origin, now);
  return messages->size();
}

Origin Front::origin_of(zmq::message_t& body, TimePoint now) {
  Origin origin;
  // On 4.3.4 the identity frame has no metadata; the body has.
  try {
    origin.address = body.gets("Peer-Address");
  } catch (const zmq::error_t&) {
    origin.address = "?";
  }
  if (now - own_addresses_since_ > kOwnAddressLife || own_addresses_.size() > kOwnAddressesMax) {
    own_addresses_.clear();
    own_addresses_since_ = now;
  }
  const auto [known, added] = own_addresses_.try_emplace(origin.address, false);
  if (added) {
    // Out of descriptors the kernel does not say; a peer must not end the broker by that.
    try {
      known->second = is_own_address(parse_ip(origin.address));
    } catch (const std::system_error& error) {
      log_.warn(std::string("broker: cannot list own addresses: ") + error.what());
    }
  }
  origin.local = known->second;
  return origin;
}

void Front::drain_xpub(TimePoint now) {
  zmq::message_t notice;
  for (std::size_t i = 0; i < limits::kDrainMax; ++i) {
    if (!xpub_.recv(notice, zmq::recv_flags::dontwait)) return;
    const std::string_view text = notice.to_string_view();
    if (text.size() > 1 && text[0] == '\x01') {
      door_.subscribed(notice, text.substr(1));
      hub_->on_subscribed(text.substr(1), now);
    }
    while (notice.more() && xpub_.recv(notice, zmq::recv_flags::dontwait)) {
    }
  }
}

void Front::carry_out(TimePoint now) {
  // Sending can tell the Hub something new (a peer is gone), so look until nothing is left.
  for (std::vector<HubAction> actions = hub_->take_outbox(); !actions.empty();
       actions = hub_->take_outbox()) {
    for (std::size_t done = 0; done < actions.size();) {
      const std::size_t sent = send(std::span(actions).subspan(done), now);
      if (sent == 0) act(std::move(actions[done]), now);
      done += std::max<std::size_t>(sent, 1);
    }
  }
}

void Front::act(HubAction action, TimePoint now) {
  if (const auto* const all = std::get_if<Publish>(&action)) {
    publish(*all);
  } else if (const auto* const stop = std::get_if<StopBroker>(&action)) {
    log_.info("broker: stops: " + stop->reason);
    stopped_ = true;
  } else if (const auto* const newer = std::get_if<SeekNewer>(&action)) {
    if (const auto at = parse_endpoint(newer->at, config_.port)) suspect(*at, now);
  } else {
    stores_.give(std::move(action));
  }
}

HeldFrames::Sent Front::try_send(const PeerKey& peer, const Bytes& frame, TimePoint now) {
  try {
    if (!router_.send(zmq::buffer(peer), zmq::send_flags::sndmore | zmq::send_flags::dontwait)) {
      return HeldFrames::Sent::kFull;
    }
    (void)router_.send(zmq::buffer(frame), zmq::send_flags::dontwait);
    return HeldFrames::Sent::kYes;
  } catch (const zmq::error_t& error) {
    if (error.num() != EHOSTUNREACH) throw;
    hub_->on_unreachable(peer, now);
    return HeldFrames::Sent::kGone;
  }
}

std::size_t Front::send(std::span<const HubAction> actions, TimePoint now) {
  std::vector<const Message*> messages;
  const PeerKey* peer = nullptr;
  for (const HubAction& action : actions) {
    const auto* const to = std::get_if<SendTo>(&action);
    if (to == nullptr || (peer != nullptr && to->peer != *peer)) break;
    peer = &to->peer;
    messages.push_back(&to->message);
    if (!joins(to->message)) break;
  }
  if (peer == nullptr) return 0;
  const auto attempt = [&](const PeerKey& key, const Bytes& frame) {
    return try_send(key, frame, now);
  };
  JoinedFrame joined = encode_joined(messages);
  crash_point("front: before an answer");
  if (held_.send(*peer, std::move(joined.frame), attempt) == HeldFrames::Sent::kFull) {
    // The peer does not read. Whatever it misses it asks for again.
    if (++full_ == 1) log_.warn("broker: a peer does not read its answers; they are dropped");
  }
  return joined.count;
}

void Front::send_held(TimePoint now) {
  (void)held_.retry(
      [&](const PeerKey& peer, const Bytes& frame) { return try_send(peer, frame, now); });
}

void Front::publish(const Publish& action) {
  crash_point("front: before an update");
  const std::string topic = topic_of(action.message);
  const Bytes frame = encode(action.message);
  zmq::message_t message(topic.size() + frame.size());
  std::copy(topic.begin(), topic.end(), message.data<char>());
  std::copy(frame.begin(), frame.end(), message.data<std::uint8_t>() + topic.size());
  (void)xpub_.send(message, zmq::send_flags::dontwait);
}

}  // namespace csa
