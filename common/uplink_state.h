// The states of an Uplink and the steps between them; uplink.cc alone includes it.
#pragma once

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/limits.h"
#include "common/uplink.h"

namespace csa {

namespace uplink_times {
using std::chrono::milliseconds;
using std::chrono::seconds;
inline constexpr milliseconds kFirstHelloTimeout{
    400};  // the first round is quick: most do not answer
inline constexpr seconds kPongTimeout{5};
inline constexpr seconds kRefusedRetry{10};
inline constexpr seconds kOutdatedRetry{5};  // at least; each costs an old broker a line in its log
inline constexpr seconds kRefusedRetryMin{1};  // also when beacons of new brokers flood in
inline constexpr seconds kStableAfter{10};
inline constexpr std::uint32_t kHeartbeatMinMs = 100;
inline constexpr std::uint32_t kHeartbeatMaxMs = 3600000;
inline constexpr std::size_t kTriedMax = 256;
}  // namespace uplink_times

enum class UplinkState : std::uint8_t { kOff, kSearching, kGreeting, kProving, kReady, kRefused };

struct Uplink::Impl {
  using State = UplinkState;
  using milliseconds = std::chrono::milliseconds;
  Impl(UplinkConfig config_in, const Log& log_in)
      : config(std::move(config_in)),
        log(log_in),
        random(config.seed),
        discovery(cluster_id(config.hello.app, config.hello.group), config.fixed, random()) {
    if (config.last_good && config.fixed.empty()) discovery.remember(*config.last_good);
  }

  UplinkConfig config;
  const Log& log;
  std::mt19937_64 random;
  Discovery discovery;
  State state = State::kOff;
  std::vector<UplinkAction> actions;
  std::vector<LinkEvent> events;
  std::string why;  // why there is no link, for the next LinkSearching

  std::optional<std::string> alarm;  // said already

  // From kGreeting on.
  Endpoint endpoint;
  TimePoint state_deadline = TimePoint::max();  // of greeting, proving or refused
  std::set<Endpoint> tried;                     // in this search: the next try waits longer
  int unproved = 0;                             // proofs in a row that did not come
  // From kProving on.
  Welcome welcome;
  Position head;
  TimePoint next_ping = TimePoint::max();
  std::optional<TimePoint> pong_due;  // a PING is out, and nothing has come since
  std::uint64_t ping_number = 0;
  TimePoint ping_sent{};               // the last one
  std::optional<Duration> round_trip;  // of the last PING that was answered
  NodeState node_state = NodeState::kSearching;
  std::uint64_t pending = 0;
  // In kReady.
  TimePoint subscription_due = TimePoint::max();
  TimePoint stable_at = TimePoint::max();
  // In kRefused.
  TimePoint refused_at;

  [[nodiscard]] bool welcomed() const { return state == State::kProving || state == State::kReady; }
  [[nodiscard]] bool has_links() const { return welcomed() || state == State::kGreeting; }

  void say(const std::string& line) const { log.info("uplink: " + line); }

  void close_links() {
    if (has_links()) actions.emplace_back(CloseLinks{});
    state_deadline = next_ping = subscription_due = stable_at = TimePoint::max();
    pong_due.reset();
  }

  void become_searching(TimePoint now, bool afresh) {
    close_links();
    if (state != State::kSearching) say("searching" + (why.empty() ? "" : ": " + why));
    state = State::kSearching;
    if (afresh) {
      discovery.start_search(now);
      tried.clear();
    }
    try_next(now);
    if (state == State::kSearching) events.emplace_back(LinkSearching{why});
  }

  // REQUIRES: state is kSearching or kRefused.
  void try_next(TimePoint now) {
    const std::vector<Endpoint> found = discovery.candidates(now);
    if (found.empty()) {
      if (state == State::kSearching)
        state_deadline = discovery.next_candidate(now).value_or(TimePoint::max());
      return;
    }
    // After a refusal another broker comes first, where there is one.
    const bool skip = state == State::kRefused && found.size() > 1 && found[0] == endpoint;
    become_greeting(found[skip ? 1 : 0], now);
  }

  void become_greeting(const Endpoint& target, TimePoint now) {
    close_links();
    endpoint = target;
    state = State::kGreeting;
    if (tried.size() >= uplink_times::kTriedMax) tried.clear();
    const bool first = tried.insert(target).second;
    state_deadline = now + (first ? uplink_times::kFirstHelloTimeout : limits::kHelloTimeout);
    for (std::size_t i = 0; i < 16; ++i)
      config.hello.proof_nonce.bytes.at(i) = static_cast<std::uint8_t>(random());
    actions.emplace_back(OpenRequest{target});
    actions.emplace_back(SendRequest{config.hello});
    events.emplace_back(LinkGreeting{target});
    log.debug("uplink: greeting " + to_string(target));
  }

  void become_proving(Welcome answer, TimePoint now) {
    welcome = std::move(answer);
    head = welcome.head;
    discovery.on_welcome(endpoint, now);
    next_ping = now + heartbeat();
    pong_due.reset();
    if (!config.subscribe) {
      become_ready(head, now);
      return;
    }
    if (welcome.pub_port == 0) {
      drop("the broker at " + to_string(endpoint) + " publishes on no port", true, now);
      return;
    }
    state = State::kProving;
    state_deadline = now + limits::kProofTimeout;
    std::vector<std::string> topics{"c", "h"};
    if (config.presence) topics.emplace_back("p");
    const Id128& nonce = config.hello.proof_nonce;
    topics.emplace_back("n" + std::string(nonce.bytes.begin(), nonce.bytes.end()));
    actions.emplace_back(OpenSubscription{{endpoint.host, welcome.pub_port}, std::move(topics)});
  }

  void become_ready(const Position& proved_head, TimePoint now) {
    state = State::kReady;
    head = proved_head;
    unproved = 0;
    why.clear();
    state_deadline = TimePoint::max();
    stable_at = now + uplink_times::kStableAfter;
    subscription_due = config.subscribe ? now + limits::kSubSilence : TimePoint::max();
    discovery.stop_search();
    say("ready at " + to_string(endpoint) + " (" + welcome.hostname + ", head " + to_string(head) +
        ")");
    events.emplace_back(LinkReady{welcome, endpoint, head});
  }

  void become_refused(Refused refusal, TimePoint now) {
    const bool was_ready = state == State::kReady;
    close_links();
    state = State::kRefused;
    refused_at = now;
    state_deadline = now + uplink_times::kRefusedRetry;
    why = "refused at " + to_string(endpoint) + ": " + refusal.text;
    log.warn("uplink: " + why);
    if (was_ready) {
      discovery.start_search(now);  // another broker may be there
      events.emplace_back(LinkLost{why});
    }
    events.emplace_back(LinkRefused{std::move(refusal), endpoint});
  }

  void meet_refusal(Refused refusal, TimePoint now) {
    if (refusal.code != RefusalCode::kGeneration) return become_refused(std::move(refusal), now);
    std::string text = "refused at " + to_string(endpoint) + ": " + refusal.text;
    if (text != why) log.warn("uplink: " + text);
    events.emplace_back(LinkOutdated{text});
    discovery.on_failed(endpoint, now, uplink_times::kOutdatedRetry);
    drop(std::move(text), false, now);
  }

  [[nodiscard]] Duration heartbeat() const {
    if (welcome.heartbeat_ms == 0) return limits::kHeartbeat;
    return milliseconds{std::clamp(welcome.heartbeat_ms, uplink_times::kHeartbeatMinMs,
                                   uplink_times::kHeartbeatMaxMs)};
  }

  // The attempt or the link came to nothing. `failed`: others come first, this one after a while.
  void drop(std::string reason, bool failed, TimePoint now) {
    why = std::move(reason);
    const bool was_ready = state == State::kReady;
    const bool short_lived = was_ready && stable_at != TimePoint::max();
    if (failed || short_lived) discovery.on_failed(endpoint, now);
    if (was_ready) {
      log.warn("uplink: lost " + to_string(endpoint) + ": " + why);
      events.emplace_back(LinkLost{why});
    }
    become_searching(now, was_ready);
  }

  void send_ping(TimePoint now) {
    Ping ping;
    ping.number = ++ping_number;
    ping_sent = now;
    ping.state = node_state;
    if (config.hello.position) ping.position = *config.hello.position;
    ping.pending = pending;
    ping.confirmed = config.hello.confirmed;
    actions.emplace_back(SendRequest{ping});
    if (!pong_due) pong_due = now + uplink_times::kPongTimeout;
    next_ping = now + heartbeat();
  }

  void miss_greeting(TimePoint now) {
    drop(discovery.announced(endpoint, now)
             ? "a broker announces itself at " + to_string(endpoint) +
                   " but does not answer there: is the port open in its firewall?"
             : "nobody answers at " + to_string(endpoint),
         true, now);
  }

  void miss_proof(TimePoint now) {
    ++unproved;
    if (unproved == 1) {
      log.warn("uplink: no proof of the subscription from " + to_string(endpoint) +
               ", once more on fresh sockets");
      become_greeting(endpoint, now);
      return;
    }
    const std::string text = "reached " + to_string(endpoint) + " but nothing arrives on port " +
                             std::to_string(welcome.pub_port) + ": is it open in the firewall?";
    log.warn("uplink: " + text);
    drop(text, true, now);
  }

  void greet_anew(TimePoint now) {
    if (state == State::kReady) {
      drop("the broker at " + to_string(endpoint) + " asks for a new greeting", false, now);
    } else {
      drop("the broker at " + to_string(endpoint) + " did not keep its welcome", true, now);
    }
  }

  // True: the message is for this state machine alone.
  bool eat_greeting(Message& message, TimePoint now) {
    if (auto* refused = std::get_if<Refused>(&message)) {
      meet_refusal(std::move(*refused), now);
    } else if (auto* answer = std::get_if<Welcome>(&message)) {
      if (state == State::kGreeting) become_proving(std::move(*answer), now);
    } else if (state == State::kGreeting) {
      log.debug("uplink: ignored what came before WELCOME");
    } else if (std::holds_alternative<Rehello>(message)) {
      greet_anew(now);
    } else if (auto* goodbye = std::get_if<Goodbye>(&message)) {
      drop("the broker at " + to_string(endpoint) + " said goodbye" +
               (goodbye->reason.empty() ? "" : ": " + goodbye->reason),
           true, now);
    } else {
      return false;
    }
    return true;
  }

  // True: eaten.
  bool hear_subscription(const Message& message, TimePoint now) {
    const auto* proof = std::get_if<Proof>(&message);
    const auto* beat = std::get_if<Head>(&message);
    const bool other_run = beat != nullptr && beat->boot != welcome.boot;
    if (state == State::kProving) {
      if (proof != nullptr && proof->nonce == config.hello.proof_nonce)
        become_ready(proof->head, now);
      else if (beat != nullptr && !other_run)
        become_ready(beat->head, now);
      return true;
    }
    if (other_run) {
      drop("another run of the broker speaks at " + to_string(endpoint), false, now);
      return true;
    }
    subscription_due = now + limits::kSubSilence;
    return proof != nullptr;
  }
};

}  // namespace csa
