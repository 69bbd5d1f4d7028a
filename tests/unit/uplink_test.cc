#include "common/uplink.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <utility>

#include "common/limits.h"

namespace csa::uplink_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const TimePoint kStart{std::chrono::hours{100}};
const Endpoint kA{"a", 5775};
const Endpoint kB{"b", 5775};
const Id128 kBoot{{4, 4}};

template <class T>
const T* only(const std::vector<UplinkAction>& actions) {
  const T* found = nullptr;
  for (const UplinkAction& action : actions) {
    if (const T* one = std::get_if<T>(&action)) found = one;
  }
  return found;
}

template <class T>
const T* sent(const std::vector<UplinkAction>& actions) {
  for (const UplinkAction& action : actions) {
    const auto* send = std::get_if<SendRequest>(&action);
    if (send == nullptr) continue;
    if (const T* one = std::get_if<T>(&send->message)) return one;
  }
  return nullptr;
}

// An uplink, the time, and what has come out of it since the last look.
struct Bench {
  explicit Bench(std::vector<Endpoint> fixed, bool subscribe = true, bool presence = false)
      : uplink(config(std::move(fixed), subscribe, presence), log) {}

  static UplinkConfig config(std::vector<Endpoint> fixed, bool subscribe, bool presence) {
    UplinkConfig made;
    made.hello.app = "csa";
    made.hello.group = "g";
    made.subscribe = subscribe;
    made.presence = presence;
    made.fixed = std::move(fixed);
    made.seed = 5;
    return made;
  }

  void look() {
    actions = uplink.take_actions();
    events = uplink.take_events();
    if (const auto* hello = sent<Hello>(actions)) nonce = hello->proof_nonce;
    if (const auto* open = only<OpenRequest>(actions)) greeted = open->endpoint;
  }
  void start() {
    uplink.start(now);
    look();
  }
  void advance(milliseconds by) {
    const TimePoint end = now + by;
    while (uplink.deadline() <= end) {
      now = std::max(now, uplink.deadline());
      uplink.on_deadline(now);
      collect();
    }
    now = end;
  }
  // Runs on to the next OpenRequest.
  bool next_attempt(milliseconds within) {
    const TimePoint end = now + within;
    while (uplink.deadline() <= end) {
      now = std::max(now, uplink.deadline());
      uplink.on_deadline(now);
      look();
      if (only<OpenRequest>(actions) != nullptr) return true;
    }
    now = end;
    return false;
  }
  void collect() {
    for (UplinkAction& action : uplink.take_actions()) actions.push_back(std::move(action));
    for (LinkEvent& event : uplink.take_events()) events.push_back(std::move(event));
    if (const auto* hello = sent<Hello>(actions)) nonce = hello->proof_nonce;
  }
  std::optional<Message> tell(Message message) {
    auto rest = uplink.on_message(std::move(message), now);
    look();
    return rest;
  }
  void clear() {
    actions.clear();
    events.clear();
  }
  static Welcome welcome() {
    Welcome made;
    made.boot = kBoot;
    made.pub_port = 5776;
    made.heartbeat_ms = 10000;
    made.hostname = "office";
    return made;
  }
  static Head beat() { return {{}, {}, kBoot, {}, 0}; }
  void make_ready() {
    (void)tell(welcome());
    (void)tell(Proof{nonce, {}});
    REQUIRE(uplink.ready());
  }
  template <class T>
  [[nodiscard]] const T* event() const {
    const T* found = nullptr;
    for (const LinkEvent& one : events) {
      if (const T* as = std::get_if<T>(&one)) found = as;
    }
    return found;
  }

  Log log;
  TimePoint now = kStart;
  std::vector<UplinkAction> actions;
  std::vector<LinkEvent> events;
  Id128 nonce;
  Endpoint greeted;
  Uplink uplink;
};

HeardBeacon announce(const std::string& address, std::uint64_t boot) {
  HeardBeacon heard;
  heard.beacon.kind = BeaconKind::kAnnounce;
  heard.beacon.cluster = cluster_id("csa", "g");
  heard.beacon.boot = boot;
  heard.beacon.port = 5775;
  heard.beacon.interval_ms = 1000;
  heard.address = address;
  return heard;
}

}  // namespace

TEST_CASE("uplink: probes while it searches, greets who announces itself") {
  Bench bench({});
  bench.start();
  REQUIRE(bench.event<LinkSearching>() != nullptr);
  bench.advance(milliseconds{1000});
  int probes = 0;
  for (const UplinkAction& action : bench.actions)
    if (std::holds_alternative<SendProbe>(action)) ++probes;
  CHECK(probes == 3);
  bench.uplink.on_beacon(announce("10.0.0.7", 1), bench.now);
  bench.look();
  CHECK(bench.greeted == Endpoint{"10.0.0.7", 5775});
  REQUIRE(sent<Hello>(bench.actions) != nullptr);
  CHECK_FALSE(sent<Hello>(bench.actions)->proof_nonce.is_zero());
  CHECK(bench.event<LinkGreeting>() != nullptr);
}

TEST_CASE("uplink: no WELCOME in 400 ms, the next candidate; the second round waits longer") {
  Bench bench({kA, kB});
  bench.start();
  CHECK(bench.greeted == kA);
  CHECK_FALSE(bench.next_attempt(milliseconds{399}));
  CHECK(bench.next_attempt(milliseconds{1}));
  CHECK(bench.greeted == kB);
  CHECK(bench.next_attempt(milliseconds{2000}));
  CHECK(bench.greeted == kA);
  const TimePoint third = bench.now;
  CHECK(bench.next_attempt(milliseconds{10000}));
  CHECK(bench.now - third >= limits::kHelloTimeout);
}

TEST_CASE("uplink: WELCOME opens the subscription at its port, PROOF makes it ready") {
  Bench bench({kA}, true, true);
  bench.start();
  const Id128 nonce = bench.nonce;
  CHECK_FALSE(bench.tell(Goodbye{"noise"}).has_value());
  CHECK_FALSE(bench.tell(Rehello{}).has_value());
  CHECK(bench.actions.empty());  // before WELCOME only WELCOME and REFUSED count
  CHECK_FALSE(bench.tell(Bench::welcome()).has_value());
  const auto* open = only<OpenSubscription>(bench.actions);
  REQUIRE(open != nullptr);
  CHECK(open->endpoint == Endpoint{"a", 5776});
  const std::string topic = "n" + std::string(nonce.bytes.begin(), nonce.bytes.end());
  CHECK(open->topics == std::vector<std::string>{"c", "h", "p", topic});
  CHECK_FALSE(bench.tell(Update{}).has_value());  // nothing was asked for yet
  CHECK_FALSE(bench.tell(Proof{Id128{{9}}, {}}).has_value());
  CHECK_FALSE(bench.uplink.ready());
  (void)bench.tell(Proof{nonce, {}});
  REQUIRE(bench.event<LinkReady>() != nullptr);
  CHECK(bench.event<LinkReady>()->endpoint == kA);
  CHECK(bench.tell(Update{}).has_value());
  CHECK(bench.tell(Bench::beat()).has_value());
  CHECK(bench.tell(Ack{}).has_value());
}

TEST_CASE("uplink: a HEAD of this run proves too, one of another run does not") {
  Bench bench({kA});
  bench.start();
  (void)bench.tell(Bench::welcome());
  (void)bench.tell(Head{});
  CHECK_FALSE(bench.uplink.ready());
  (void)bench.tell(Bench::beat());
  CHECK(bench.uplink.ready());
  (void)bench.tell(Head{});
  CHECK_FALSE(bench.uplink.ready());
  CHECK(bench.event<LinkLost>() != nullptr);
}

TEST_CASE("uplink: no proof, once more on fresh sockets with a fresh nonce, then the sentence") {
  Bench bench({kA});
  bench.start();
  const Id128 first = bench.nonce;
  (void)bench.tell(Bench::welcome());
  CHECK_FALSE(bench.next_attempt(limits::kProofTimeout - milliseconds{1}));
  REQUIRE(bench.next_attempt(milliseconds{1}));
  CHECK(only<CloseLinks>(bench.actions) != nullptr);
  CHECK(bench.nonce != first);
  CHECK(bench.event<LinkSearching>() == nullptr);
  (void)bench.tell(Bench::welcome());
  bench.clear();
  bench.advance(limits::kProofTimeout);
  REQUIRE(bench.event<LinkSearching>() != nullptr);
  CHECK(bench.event<LinkSearching>()->why ==
        "reached a:5775 but nothing arrives on port 5776: is it open in the firewall?");
  CHECK(bench.next_attempt(seconds{6}));  // and it goes on trying
}

TEST_CASE("uplink: without a subscription it is ready at WELCOME") {
  Bench bench({kA}, false);
  bench.start();
  (void)bench.tell(Bench::welcome());
  CHECK(bench.uplink.ready());
  CHECK(only<OpenSubscription>(bench.actions) == nullptr);
  bench.clear();
  bench.advance(seconds{9});  // no SUB, so no silence
  CHECK(bench.uplink.ready());
}

TEST_CASE("uplink: REHELLO greets anew on fresh sockets") {
  Bench bench({kA});
  bench.start();
  bench.make_ready();
  const Id128 before = bench.nonce;
  bench.advance(milliseconds{100});
  (void)bench.tell(Rehello{});
  CHECK(bench.event<LinkLost>() != nullptr);
  if (only<OpenRequest>(bench.actions) == nullptr) REQUIRE(bench.next_attempt(seconds{1}));
  CHECK(bench.nonce != before);
}

TEST_CASE("uplink: REFUSED is told, tried again after 10 s, or when a new boot is heard") {
  Bench bench({});
  bench.uplink.on_beacon(announce("10.0.0.7", 1), bench.now);
  bench.start();
  (void)bench.tell(Refused{RefusalCode::kAppVersion, "needs version 2"});
  REQUIRE(bench.event<LinkRefused>() != nullptr);
  CHECK(bench.event<LinkRefused>()->refusal.text == "needs version 2");
  CHECK(only<CloseLinks>(bench.actions) != nullptr);
  for (int i = 1; i < 20; ++i) {
    CHECK_FALSE(bench.next_attempt(milliseconds{500}));
    bench.uplink.on_beacon(announce("10.0.0.7", 1), bench.now);
  }
  CHECK(bench.next_attempt(milliseconds{500}));
  (void)bench.tell(Refused{RefusalCode::kAppVersion, "needs version 2"});
  bench.advance(milliseconds{500});
  bench.uplink.on_beacon(announce("10.0.0.7", 2), bench.now);
  bench.look();
  CHECK(bench.next_attempt(milliseconds{1000}));
  CHECK(bench.now < kStart + seconds{12});
}

TEST_CASE("uplink: after a refusal the other broker is tried first") {
  Bench bench({kA, kB});
  bench.start();
  (void)bench.tell(Refused{RefusalCode::kApplication, "another group"});
  REQUIRE(bench.next_attempt(seconds{10}));
  CHECK(bench.greeted == kB);
}

TEST_CASE("uplink: GOODBYE, a silent SUB, a missing PONG and a dead socket end the link") {
  Bench bench({kA});
  bench.start();
  bench.make_ready();
  SUBCASE("goodbye") {
    (void)bench.tell(Goodbye{"stops"});
    REQUIRE(bench.event<LinkLost>() != nullptr);
    CHECK(bench.event<LinkLost>()->why.find("stops") != std::string::npos);
  }
  SUBCASE("subscription silent while requests are answered") {
    bench.clear();
    for (int i = 0; i < 3; ++i) {
      bench.advance(seconds{1});
      (void)bench.uplink.on_message(Pong{}, bench.now);
    }
    CHECK(bench.uplink.ready());
    bench.clear();
    bench.advance(milliseconds{500});
    REQUIRE(bench.event<LinkLost>() != nullptr);
    CHECK(bench.event<LinkLost>()->why.find("5776") != std::string::npos);
  }
  SUBCASE("pong missing while the subscription speaks") {
    const auto listen = [&](milliseconds time) {
      bench.clear();
      for (milliseconds gone{0}; gone < time; gone += milliseconds{500}) {
        bench.advance(milliseconds{500});
        (void)bench.uplink.on_message(Bench::beat(), bench.now);
      }
    };
    listen(seconds{10});
    CHECK(sent<Ping>(bench.actions) != nullptr);
    (void)bench.uplink.on_message(Ack{}, bench.now);  // any answer will do
    listen(milliseconds{9500});
    CHECK(bench.uplink.ready());
    listen(milliseconds{5000});
    CHECK(bench.uplink.ready());
    listen(milliseconds{1000});
    CHECK_FALSE(bench.uplink.ready());
    CHECK(bench.event<LinkLost>() != nullptr);
  }
  SUBCASE("socket") {
    bench.uplink.on_disconnected("connection reset", bench.now);
    bench.look();
    CHECK(bench.event<LinkLost>() != nullptr);
  }
  SUBCASE("owner") {
    bench.uplink.abandon("nonsense", bench.now);
    bench.look();
    REQUIRE(bench.event<LinkLost>() != nullptr);
    CHECK(bench.event<LinkLost>()->why == "nonsense");
  }
  CHECK_FALSE(bench.uplink.ready());
  if (bench.uplink.endpoint() == std::nullopt) CHECK(bench.next_attempt(seconds{2}));
}

TEST_CASE("uplink: a link that keeps breaking is tried ever less often") {
  Bench bench({kA});
  bench.start();
  int attempts = 0;
  while (bench.now < kStart + seconds{60}) {
    ++attempts;
    bench.make_ready();
    bench.uplink.on_disconnected("reset", bench.now);
    bench.look();
    if (only<OpenRequest>(bench.actions) == nullptr && !bench.next_attempt(seconds{60})) break;
    REQUIRE(attempts < 1000);
  }
  CHECK(attempts < 120);
  CHECK(attempts > 5);
}

TEST_CASE("uplink: leave says GOODBYE, closes, and nothing happens after it") {
  Bench bench({kA});
  bench.start();
  bench.make_ready();
  bench.uplink.leave("done", bench.now);
  bench.look();
  REQUIRE(sent<Goodbye>(bench.actions) != nullptr);
  CHECK(std::holds_alternative<CloseLinks>(bench.actions.back()));
  CHECK(bench.uplink.deadline() == TimePoint::max());
  CHECK_FALSE(bench.tell(Ack{}).has_value());
  bench.uplink.on_beacon(announce("10.0.0.7", 1), bench.now);
  bench.uplink.on_deadline(bench.now + seconds{100});
  bench.look();
  CHECK(bench.actions.empty());
}

TEST_CASE("uplink: HELLO and PING carry what the owner has set") {
  Bench bench({kA});
  const NodeId node{Id128{{8}}};
  const Position position{{2, Id128{{3}}}, Seq{9}, {}};
  bench.uplink.set_position(DbId{Id128{{6}}}, position, 2, "a:5775");
  bench.uplink.set_counters(node, 500, 30);
  bench.start();
  const Hello hello = *sent<Hello>(bench.actions);
  CHECK(hello.node == node);
  CHECK(hello.position == position);
  CHECK(hello.generation_seen == 2);
  CHECK(hello.followed_at == "a:5775");
  CHECK(hello.counter == 500);
  CHECK(hello.confirmed == 30);
  bench.make_ready();
  bench.uplink.set_state(NodeState::kLive, 3);
  bench.uplink.ping_soon(bench.now);
  bench.look();
  REQUIRE(sent<Ping>(bench.actions) != nullptr);
  CHECK(sent<Ping>(bench.actions)->state == NodeState::kLive);
  CHECK(sent<Ping>(bench.actions)->position == position);
  CHECK(sent<Ping>(bench.actions)->pending == 3);
  CHECK(sent<Ping>(bench.actions)->confirmed == 30);
}

}  // namespace csa::uplink_test
