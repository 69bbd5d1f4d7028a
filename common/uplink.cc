#include "common/uplink.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/uplink_state.h"

namespace csa {

namespace {

bool from_subscription(const Message& message) {
  return std::holds_alternative<Update>(message) || std::holds_alternative<Head>(message) ||
         std::holds_alternative<Proof>(message) || std::holds_alternative<Presence>(message);
}

}  // namespace

Uplink::Uplink(UplinkConfig config, const Log& log)
    : impl_(std::make_unique<Impl>(std::move(config), log)) {}
Uplink::~Uplink() = default;

void Uplink::start(TimePoint now) {
  CSA_CHECK(impl_->state == UplinkState::kOff);
  impl_->become_searching(now, true);
}

void Uplink::leave(std::string reason, TimePoint now) {
  Impl& u = *impl_;
  (void)now;
  if (u.welcomed()) u.actions.emplace_back(SendRequest{Goodbye{std::move(reason)}});
  u.close_links();
  u.discovery.stop_search();
  u.state = UplinkState::kOff;
}

void Uplink::on_beacon(const HeardBeacon& heard, TimePoint now) {
  Impl& u = *impl_;
  const bool fresh = !u.discovery.heard_boot(heard.beacon.boot, now);
  u.discovery.on_beacon(heard, now);
  std::optional<std::string> alarm = u.discovery.alarm(now);
  if (alarm && alarm != u.alarm) u.log.warn("uplink: " + *alarm);
  u.alarm = std::move(alarm);
  if (u.state == UplinkState::kSearching) {
    u.try_next(now);
  } else if (u.state == UplinkState::kRefused && fresh &&
             u.discovery.heard_boot(heard.beacon.boot, now)) {
    u.state_deadline =
        std::min(u.state_deadline, std::max(now, u.refused_at + uplink_times::kRefusedRetryMin));
  }
}

std::optional<Message> Uplink::on_message(Message message, TimePoint now) {
  Impl& u = *impl_;
  if (!u.has_links()) return std::nullopt;
  if (u.eat_greeting(message, now)) return std::nullopt;
  if (from_subscription(message)) {
    if (u.hear_subscription(message, now)) return std::nullopt;
    return message;
  }
  u.pong_due.reset();  // any traffic shows that the broker lives
  if (std::holds_alternative<Ping>(message)) {
    const auto number = std::get<Ping>(message).number;
    u.actions.emplace_back(SendRequest{Pong{number, u.head, {}, 0}});
    return std::nullopt;
  }
  if (const auto* const pong = std::get_if<Pong>(&message)) {
    u.round_trip.reset();
    if (pong->number == u.ping_number) u.round_trip = now - u.ping_sent;
  }
  if (u.state != UplinkState::kReady) return std::nullopt;  // nothing was asked for yet
  return message;
}

void Uplink::on_disconnected(const std::string& why, TimePoint now) {
  Impl& u = *impl_;
  if (!u.has_links()) return;
  const bool failed = u.state != UplinkState::kReady;
  const std::string text = to_string(u.endpoint) + ": " + (why.empty() ? "disconnected" : why);
  u.drop(text, failed, now);
}

void Uplink::abandon(std::string why, TimePoint now) {
  Impl& u = *impl_;
  if (u.has_links()) u.drop(std::move(why), true, now);
}

void Uplink::refuse(Refused refusal, TimePoint now) {
  if (impl_->has_links()) impl_->meet_refusal(std::move(refusal), now);
}

void Uplink::on_deadline(TimePoint now) {
  Impl& u = *impl_;
  if (const auto probe = u.discovery.probe_due();
      u.state != UplinkState::kOff && probe && *probe <= now) {
    Id128 nonce;
    for (std::uint8_t& byte : nonce.bytes) byte = static_cast<std::uint8_t>(u.random());
    u.actions.emplace_back(SendProbe{nonce});
    u.discovery.probe_sent(now);
  }
  if (u.state == UplinkState::kSearching) {
    u.try_next(now);
  } else if (u.state == UplinkState::kRefused && u.state_deadline <= now) {
    u.state_deadline = now + uplink_times::kRefusedRetry;  // should there be nobody to try
    u.try_next(now);
  } else if (u.state == UplinkState::kGreeting && u.state_deadline <= now) {
    u.miss_greeting(now);
  } else if (u.state == UplinkState::kProving && u.state_deadline <= now) {
    u.miss_proof(now);
  } else if (u.pong_due && *u.pong_due <= now) {
    u.drop("the broker at " + to_string(u.endpoint) + " does not answer any more", true, now);
  } else if (u.subscription_due <= now) {
    u.drop("nothing arrives on port " + std::to_string(u.welcome.pub_port) + " of " +
               u.endpoint.host + " any more",
           false, now);
  }
  if (u.stable_at <= now) {
    u.stable_at = TimePoint::max();
    u.discovery.on_stable(u.endpoint);
  }
  if (u.welcomed() && u.next_ping <= now) u.send_ping(now);
}

TimePoint Uplink::deadline() const {
  const Impl& u = *impl_;
  if (u.state == UplinkState::kOff) return TimePoint::max();
  TimePoint next = std::min({u.state_deadline, u.next_ping, u.subscription_due, u.stable_at});
  if (u.pong_due) next = std::min(next, *u.pong_due);
  if (const auto probe = u.discovery.probe_due()) next = std::min(next, *probe);
  return next;
}

void Uplink::set_position(const std::optional<DbId>& db, const std::optional<Position>& position,
                          std::uint64_t generation_seen, const std::string& followed_at) {
  Hello& hello = impl_->config.hello;
  hello.db = db;
  hello.position = position;
  hello.generation_seen = generation_seen;
  hello.followed_at = followed_at;
  impl_->discovery.set_generation(generation_seen);
}

void Uplink::set_counters(const NodeId& node, std::uint64_t counter, std::uint64_t confirmed) {
  Hello& hello = impl_->config.hello;
  hello.node = node;
  hello.counter = counter;
  hello.confirmed = confirmed;
}

void Uplink::set_state(NodeState state, std::uint64_t pending) {
  impl_->node_state = state;
  impl_->pending = pending;
}

void Uplink::ping_soon(TimePoint now) {
  if (impl_->welcomed()) impl_->send_ping(now);
}

std::optional<Duration> Uplink::round_trip() const { return impl_->round_trip; }

bool Uplink::ready() const { return impl_->state == UplinkState::kReady; }

const Welcome& Uplink::welcome() const {
  CSA_CHECK(ready());
  return impl_->welcome;
}

std::optional<Endpoint> Uplink::endpoint() const {
  if (!impl_->has_links()) return std::nullopt;
  return impl_->endpoint;
}

void Uplink::send(Message message) {
  CSA_CHECK(ready());
  impl_->actions.emplace_back(SendRequest{std::move(message)});
}

std::vector<UplinkAction> Uplink::take_actions() { return std::exchange(impl_->actions, {}); }
std::vector<LinkEvent> Uplink::take_events() { return std::exchange(impl_->events, {}); }
const Discovery& Uplink::discovery() const { return impl_->discovery; }

}  // namespace csa
