// The Hub's time: heartbeats, presence, HEAD and PROOF, csa-admin, stop, and peers that send
// anything at any time.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "hub_bench.h"

namespace csa::hub_test {
namespace {

using namespace hub_bench;
using Json = nlohmann::json;

std::string proof_topic_of(const Id128& nonce) {
  return "n" + std::string(nonce.bytes.begin(), nonce.bytes.end());
}

Json ask(Bench& bench, const PeerKey& from, AdminVerb verb) {
  bench.out.clear();
  bench.say(from, Admin{3, verb}, true);
  const auto replies = bench.sent<AdminReply>(from);
  REQUIRE(replies.size() == 1);
  CHECK(replies[0].request == 3);
  CHECK(replies[0].ok);
  CHECK(replies[0].json.size() < limits::kFrameMax - 4096);
  return Json::parse(replies[0].json);
}

}  // namespace

TEST_CASE("hub: PING is answered at once with head, time and the ledger's age") {
  Bench bench;
  bench.join("a", 1);
  bench.hub.set_time(WallTime{777});
  Ping ping;
  ping.number = 42;
  ping.state = NodeState::kLive;
  ping.position = at(9);
  bench.say("a", ping);
  REQUIRE(bench.sent<Pong>("a").size() == 1);
  CHECK(bench.sent<Pong>("a")[0].number == 42);
  CHECK(bench.sent<Pong>("a")[0].head == at(10));
  CHECK(bench.sent<Pong>("a")[0].time == WallTime{777});
  CHECK(bench.sent<Pong>("a")[0].ledger_age_ms == 0);
  CHECK(bench.hub.nodes()[0].state == NodeState::kLive);
  CHECK(bench.hub.nodes()[0].position == at(9));
  bench.say("a", write(1, 8));
  bench.now += 1500ms;
  bench.out.clear();
  bench.say("a", ping);
  CHECK(bench.sent<Pong>("a")[0].ledger_age_ms == 1500);
}

TEST_CASE("hub: a ledger that makes progress has no age, however long its work takes") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", write(1, 8));
  const auto jobs = bench.jobs<CommitJob>();
  REQUIRE(jobs.size() == 1);
  bench.now += 60s;
  bench.hub.on_ledger_progress(bench.now - 200ms, 0);
  bench.out.clear();
  bench.say("a", Ping{});
  CHECK(bench.sent<Pong>("a")[0].ledger_age_ms == 200);
  bench.hub.on_ledger_progress(bench.now - 1s, 0);  // nothing new
  bench.pass(2s);
  REQUIRE_FALSE(bench.published<Head>().empty());
  CHECK(bench.published<Head>().back().ledger_age_ms > 1000);
  // What it did for the work before says nothing of this one.
  bench.commit(bench.result_of(jobs[0]));
  bench.say("a", write(1, 9));
  bench.now += 1500ms;
  bench.out.clear();
  bench.say("a", Ping{});
  CHECK(bench.sent<Pong>("a")[0].ledger_age_ms == 1500);
}

TEST_CASE("hub: a node is lost after the node timeout of silence, any message keeps it") {
  Bench bench;
  bench.join("a", 1);
  bench.join("b", 2);
  bench.pass(limits::kNodeTimeout - 1ms);
  CHECK(bench.published<Presence>().empty());
  bench.say("b", LogGet{});
  bench.pass(1ms);
  const auto events = bench.published<Presence>();
  REQUIRE(events.size() == 1);
  CHECK(events[0].event == PresenceEvent::kLost);
  CHECK(events[0].node == node(1));
  REQUIRE(bench.hub.nodes().size() == 1);
  CHECK(bench.hub.nodes()[0].node == node(2));
  bench.pass(limits::kNodeTimeout);
  CHECK(bench.hub.nodes().empty());
}

TEST_CASE("hub: goodbye takes a node off the list at once") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", Goodbye{"bye"});
  REQUIRE(bench.published<Presence>().size() == 1);
  CHECK(bench.published<Presence>()[0].event == PresenceEvent::kLeave);
  CHECK(bench.hub.nodes().empty());
}

TEST_CASE("hub: an unreachable node stays listed until its time, or comes back") {
  Bench bench;
  bench.join("a", 1);
  bench.hub.on_unreachable("a", bench.now);
  bench.pass(limits::kNodeTimeout - 1ms);
  CHECK(bench.hub.nodes().size() == 1);
  bench.pass(1ms);
  CHECK(bench.hub.nodes().empty());
}

TEST_CASE("hub: HEAD every second, and shortly after the last UPDATE of a burst") {
  Bench bench;
  bench.pass(0ms);
  CHECK(bench.published<Head>().size() == 1);
  bench.pass(10s);
  CHECK(bench.published<Head>().size() == 11);
  bench.join("a", 1);
  bench.pass(100ms);
  bench.out.clear();
  for (std::uint64_t i = 1; i <= 3; ++i) {
    bench.say("a", write(1, 10 + i));
    bench.commit(bench.result_of(bench.jobs<CommitJob>().back()));
    bench.pass(30ms);
  }
  CHECK(bench.published<Head>().empty());
  bench.pass(19ms);
  CHECK(bench.published<Head>().empty());
  bench.pass(1ms);
  REQUIRE(bench.published<Head>().size() == 1);
  CHECK(bench.published<Head>()[0].head == at(13));
  CHECK(bench.published<Head>()[0].boot == config().boot);
  CHECK(bench.hub.deadline() == bench.now + limits::kHeadInterval);
}

TEST_CASE("hub: writes without a pause do not put off the periodic HEAD") {
  Bench bench;
  bench.pass(0ms);
  bench.join("a", 1);
  for (std::uint64_t i = 1; i <= 200; ++i) {
    bench.say("a", write(1, 10 + i));
    bench.commit(bench.result_of(bench.jobs<CommitJob>().back()));
    bench.pass(20ms);
  }
  CHECK(bench.published<Head>().size() == 4);
}

TEST_CASE("hub: the subscription of a greeted peer is proved, another is not") {
  Bench bench;
  bench.join("a", 1);
  bench.hub.on_subscribed(proof_topic_of(id(0x99)), bench.now);
  bench.hub.on_subscribed("h", bench.now);
  bench.hub.on_subscribed("n", bench.now);
  bench.hub.on_subscribed("", bench.now);
  bench.take();
  CHECK(bench.published<Proof>().empty());
  bench.hub.on_subscribed(proof_topic_of(hello(1).proof_nonce), bench.now);
  bench.take();
  REQUIRE(bench.published<Proof>().size() == 1);
  CHECK(bench.published<Proof>()[0].nonce == hello(1).proof_nonce);
  CHECK(bench.published<Proof>()[0].head == at(10));
}

TEST_CASE("hub: malformed frames are logged once a peer and minute") {
  Bench bench;
  const Error error{Errc::kMalformed, "decode: bad checksum"};
  for (int i = 0; i < 100; ++i) bench.hub.on_malformed("x", error, Origin{"10.1.1.1"}, bench.now);
  CHECK(bench.lines.size() == 1);
  bench.hub.on_malformed("y", error, Origin{"10.1.1.2"}, bench.now);
  CHECK(bench.lines.size() == 2);
  bench.now += 60s;
  bench.hub.on_malformed("x", error, Origin{"10.1.1.1"}, bench.now);
  CHECK(bench.lines.size() == 3);
}

TEST_CASE("hub: a frame of an unknown type keeps a peer and makes an unknown one greet") {
  Bench bench;
  bench.join("a", 1);
  bench.pass(limits::kNodeTimeout - 1ms);
  bench.out.clear();
  const Error error{Errc::kUnknownType, "decode: type 99"};
  bench.hub.on_malformed("a", error, Origin{}, bench.now);
  bench.hub.on_malformed("u", error, Origin{}, bench.now);
  bench.hub.on_malformed("v", Error{Errc::kMalformed, "decode"}, Origin{}, bench.now);
  bench.take();
  CHECK(bench.sent<Rehello>("u").size() == 1);
  CHECK(bench.sent<Rehello>("v").empty());
  CHECK(bench.sent<Rehello>("a").empty());
  bench.pass(1ms);
  CHECK(bench.hub.nodes().size() == 1);
}

TEST_CASE("hub: csa-admin's status and nodes are answered from memory") {
  Bench bench;
  bench.join("d", 9, Role::kAdmin);
  bench.join("a", 1);
  bench.pass(15s);
  bench.say("d", Ping{});
  for (std::uint64_t i = 1; i <= 20; ++i) {
    bench.say("a", write(1, 10 + i));
    bench.commit(bench.result_of(bench.jobs<CommitJob>().back()));
  }
  bench.pass(2s);
  const Json status = ask(bench, "d", AdminVerb::kStatus);
  CHECK(status["group"] == "default");
  CHECK(status["position"]["seq"] == 30);
  CHECK(status["position"]["epoch"] == "1.e1e1e1e1");
  CHECK(status["nodes"] == 1);
  CHECK(status["database"] == "/var/master.db");
  CHECK(status["bytes"] == 8192);
  CHECK(status["log"] == Json({{"floor", 3}, {"head", 30}, {"bytes", 2000}}));
  CHECK(status["writes_per_s"] == 2.0);
  CHECK(status["uptime_s"] == 17);
  Ping ping;
  ping.state = NodeState::kLive;
  ping.position = at(28);
  bench.say("a", ping);
  bench.now += 250ms;
  const Json nodes = ask(bench, "d", AdminVerb::kNodes);
  REQUIRE(nodes.size() == 1);
  CHECK(nodes[0]["node"] == to_string(node(1)));
  CHECK(nodes[0]["hostname"] == "host-1");
  CHECK(nodes[0]["address"] == "10.0.0.a");
  CHECK(nodes[0]["version"] == "csa-node 0.1.0");
  CHECK(nodes[0]["state"] == "live");
  CHECK(nodes[0]["position"]["seq"] == 28);
  CHECK(nodes[0]["lag"] == 2);
  CHECK(nodes[0]["last_heartbeat_ms"] == 250);
}

TEST_CASE("hub: the longest and worst names of all peers fit one answer") {
  Bench bench;
  bench.join("d", 9, Role::kAdmin);
  for (std::size_t i = 1; i < limits::kPeersMax; ++i) {
    Hello greeting = hello(0);
    greeting.proof_nonce = {};
    greeting.node.value.bytes[0] = static_cast<std::uint8_t>(i);
    greeting.node.value.bytes[1] = static_cast<std::uint8_t>(i >> 8U);
    greeting.node.value.bytes[2] = 1;
    greeting.hostname = std::string(4000, '\x01');
    greeting.program = std::string(4000, '"');
    greeting.app_version = std::string(4000, '\xff');
    bench.say("p" + std::to_string(i), greeting);
  }
  CHECK(ask(bench, "d", AdminVerb::kNodes).size() == limits::kPeersMax - 1);
}

TEST_CASE("hub: only an admin on the broker's host stops it") {
  Bench bench;
  bench.join("n", 1);
  bench.join("d", 9, Role::kAdmin);
  bench.join("l", 8, Role::kAdmin, true);
  bench.say("n", Admin{1, AdminVerb::kStop}, true);
  CHECK_FALSE(bench.sent<AdminReply>("n")[0].ok);
  bench.say("d", Admin{2, AdminVerb::kStop});
  CHECK_FALSE(bench.sent<AdminReply>("d")[0].ok);
  CHECK(bench.sent<AdminReply>("d")[0].text.find("srv") != std::string::npos);
  CHECK(bench.jobs<StopBroker>().empty());
  bench.say("l", Admin{2, AdminVerb::kStop}, true);
  CHECK(bench.sent<AdminReply>("l").size() == 1);
  CHECK(bench.jobs<StopBroker>().size() == 1);
}

TEST_CASE("hub: stop answers what is committed, turns the rest away and says goodbye") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", write(1, 1));
  const auto jobs = bench.jobs<CommitJob>();
  bench.say("a", write(1, 2));
  bench.hub.stop("asked to", bench.now);
  bench.take();
  REQUIRE(bench.sent<Nack>("a").size() == 1);
  CHECK(bench.sent<Nack>("a")[0].tx.counter == 2);
  CHECK(bench.sent<Nack>("a")[0].code == NackCode::kBusy);
  CHECK(bench.jobs<StopBroker>().empty());
  bench.say("a", write(1, 3));
  CHECK(bench.sent<Nack>("a").size() == 2);
  bench.say("b", hello(2));
  CHECK(bench.sent<Welcome>("b").empty());
  bench.out.clear();
  bench.commit(bench.result_of(jobs[0]));
  CHECK(bench.published<Update>().size() == 1);
  CHECK(bench.sent<Ack>("a").size() == 1);
  REQUIRE(bench.sent<Goodbye>("a").size() == 1);
  CHECK(bench.sent<Goodbye>("a")[0].reason == "asked to");
  CHECK(std::holds_alternative<StopBroker>(bench.out.back()));
  CHECK(bench.hub.deadline() == TimePoint::max());
  bench.out.clear();
  bench.hub.stop("again", bench.now);
  bench.say("a", Ping{});
  CHECK(bench.out.empty());
}

TEST_CASE("hub: a newer broker is met, nothing is acknowledged any more, also not what runs") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", write(1, 1));
  const auto jobs = bench.jobs<CommitJob>();
  REQUIRE(jobs.size() == 1);
  bench.say("a", write(1, 2));
  bench.out.clear();
  bench.hub.step_down("an old one", bench.now);
  bench.take();
  REQUIRE(bench.sent<Goodbye>("a").size() == 1);
  CHECK(bench.sent<Goodbye>("a")[0].reason == "an old one");
  CHECK(bench.jobs<StopBroker>().size() == 1);
  bench.out.clear();
  bench.commit(bench.result_of(jobs[0]));
  bench.say("a", write(1, 3));
  bench.say("b", hello(2));
  CHECK(bench.out.empty());
  CHECK(bench.hub.deadline() == TimePoint::max());
}

}  // namespace csa::hub_test
