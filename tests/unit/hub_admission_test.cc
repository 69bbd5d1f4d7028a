// HELLO: who is welcomed, who is refused with which words, and who holds a NodeId.
#include <doctest/doctest.h>

#include "hub_bench.h"

namespace csa::hub_admission_test {
namespace {

using namespace hub_bench;

RefusalCode refused(Bench& bench, const Hello& greeting) {
  bench.out.clear();
  bench.say("x", greeting);
  const auto refusals = bench.sent<Refused>("x");
  REQUIRE(refusals.size() == 1);
  CHECK(bench.sent<Welcome>("x").empty());
  CHECK(refusals[0].text.size() > 40);
  CHECK(refusals[0].text.size() <= limits::kTextMax);
  CHECK(refusals[0].text.find("srv") != std::string::npos);
  return refusals[0].code;
}

}  // namespace

TEST_CASE("hub: a node greets, is welcomed with the master's state and announced") {
  Bench bench;
  bench.say("a", hello(1));
  const auto welcomes = bench.sent<Welcome>("a");
  REQUIRE(welcomes.size() == 1);
  CHECK(welcomes[0].head == at(10));
  CHECK(welcomes[0].floor == Seq{3});
  CHECK(welcomes[0].db == master().db);
  CHECK(welcomes[0].boot == config().boot);
  CHECK(welcomes[0].pub_port == 5776);
  CHECK(welcomes[0].heartbeat_ms == 10000);
  CHECK(welcomes[0].node_timeout_ms == 30000);
  CHECK(welcomes[0].last_counter == 7);
  const auto joins = bench.published<Presence>();
  REQUIRE(joins.size() == 1);
  CHECK(joins[0].event == PresenceEvent::kJoin);
  CHECK(joins[0].node == node(1));
  REQUIRE(bench.hub.nodes().size() == 1);
  CHECK(bench.hub.nodes()[0].hostname == "host-1");
}

TEST_CASE("hub: monitors and admins are welcomed but neither listed nor announced") {
  Bench bench;
  bench.say("m", hello(2, Role::kMonitor));
  bench.say("a", hello(3, Role::kAdmin));
  CHECK(bench.sent<Welcome>("m").size() == 1);
  CHECK(bench.sent<Welcome>("a").size() == 1);
  CHECK(bench.published<Presence>().empty());
  CHECK(bench.hub.nodes().empty());
}

TEST_CASE("hub: each reason to refuse has its code and names both sides") {
  HubConfig with = config();
  with.app_version = "2.1";
  Bench bench(with);
  Hello greeting = hello(1);
  greeting.app_version = "2.0";
  CHECK(refused(bench, greeting) == RefusalCode::kAppVersion);
  CHECK(bench.sent<Refused>("x")[0].text.find("2.1") != std::string::npos);
  CHECK(bench.sent<Refused>("x")[0].text.find("2.0") != std::string::npos);

  greeting = hello(1);
  greeting.protocol_min = 2;
  greeting.protocol_max = 3;
  greeting.group = "other";  // the protocol is looked at first
  CHECK(refused(bench, greeting) == RefusalCode::kProtocol);
  greeting = hello(1);
  greeting.group = "other";
  greeting.app_version = "9";  // then the group
  CHECK(refused(bench, greeting) == RefusalCode::kApplication);
  greeting = hello(1);
  greeting.app = "till";
  CHECK(refused(bench, greeting) == RefusalCode::kApplication);
  greeting = hello(1);
  greeting.db = DbId{id(0xDD)};
  greeting.generation_seen = 9;  // then the database
  CHECK(refused(bench, greeting) == RefusalCode::kDatabase);
  greeting = hello(1);
  greeting.generation_seen = 2;
  CHECK(refused(bench, greeting) == RefusalCode::kGeneration);
  CHECK(bench.sent<Refused>("x")[0].text.find("this broker is the old one") != std::string::npos);
  greeting = hello(1);
  greeting.position = at(4);
  greeting.position->epoch.generation = 2;
  CHECK(refused(bench, greeting) == RefusalCode::kGeneration);
  greeting = hello(1);
  greeting.position = at(4);
  greeting.position->epoch.id = id(0xE2);
  CHECK(refused(bench, greeting) == RefusalCode::kDatabase);
  CHECK(bench.sent<Refused>("x")[0].text.find("needs a person") != std::string::npos);
  CHECK(bench.hub.nodes().empty());
}

TEST_CASE("hub: a HELLO of a later generation, refused, and its broker is looked for, no more") {
  Bench bench;
  bench.join("a", 1);
  Hello greeting = hello(2);
  greeting.db = DbId{id(0xDB)};
  greeting.generation_seen = 2;
  CHECK(refused(bench, greeting) == RefusalCode::kGeneration);
  CHECK(bench.jobs<SeekNewer>().empty());  // it does not say where
  bench.out.clear();
  greeting.followed_at = "10.0.0.9:5775";
  CHECK(refused(bench, greeting) == RefusalCode::kGeneration);
  REQUIRE(bench.jobs<SeekNewer>().size() == 1);
  CHECK(bench.jobs<SeekNewer>()[0].at == "10.0.0.9:5775");
  CHECK(bench.jobs<StopBroker>().empty());
  bench.out.clear();
  greeting.followed_at = "127.0.0.1:5775";  // it runs on that broker's computer
  bench.say("c", greeting);
  REQUIRE(bench.jobs<SeekNewer>().size() == 1);
  CHECK(bench.jobs<SeekNewer>()[0].at == "10.0.0.c:5775");
  bench.out.clear();
  bench.say("a", Ping{});
  CHECK(bench.sent<Pong>("a").size() == 1);
  greeting.db = DbId{id(0xDD)};  // of another database it says nothing
  CHECK(refused(bench, greeting) == RefusalCode::kDatabase);
  greeting = hello(3);
  greeting.followed_at = "10.0.0.9:5775";
  bench.say("c", greeting);
  CHECK(bench.jobs<SeekNewer>().empty());
}

TEST_CASE("hub: an empty application version and an older generation match") {
  HubConfig with = config();
  with.app_version = "2.1";
  MasterState opened = master();
  opened.head.epoch = Epoch{2, id(0xE2)};
  Bench bench(with, opened);
  Hello greeting = hello(1);
  greeting.db = opened.db;
  greeting.position = at(4);  // generation 1
  greeting.generation_seen = 2;
  bench.say("a", greeting);
  CHECK(bench.sent<Welcome>("a").size() == 1);
}

TEST_CASE("hub: a refusal repeats what a peer says only cut short and printable") {
  Bench bench;
  Hello greeting = hello(1);
  greeting.group = std::string(4096, 'g') + "\x1b[2J";
  greeting.hostname = "\x1b[31mred";
  CHECK(refused(bench, greeting) == RefusalCode::kApplication);
  CHECK(bench.sent<Refused>("x")[0].text.find('\x1b') == std::string::npos);
  CHECK(bench.sent<Refused>("x")[0].text.size() < 1000);
}

TEST_CASE("hub: a refused peer is ignored until it greets again") {
  Bench bench;
  Hello greeting = hello(1);
  greeting.group = "other";
  CHECK(refused(bench, greeting) == RefusalCode::kApplication);
  bench.out.clear();
  for (int i = 0; i < 5; ++i) {
    bench.say("x", Ping{});
    bench.now += 10s;
  }
  CHECK(bench.sent<Rehello>("x").empty());
  bench.say("x", hello(1));
  CHECK(bench.sent<Welcome>("x").size() == 1);
}

TEST_CASE("hub: an unknown peer is told to greet, at most once a second") {
  Bench bench;
  for (int i = 0; i < 10; ++i) {
    bench.say("u", write(1, 1));
    bench.now += 250ms;
  }
  CHECK(bench.sent<Rehello>("u").size() == 3);
  CHECK(bench.jobs<CommitJob>().empty());
}

TEST_CASE("hub: the same process over a new connection replaces the old one and is no join") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", write(1, 8));
  const auto jobs = bench.jobs<CommitJob>();
  REQUIRE(jobs.size() == 1);
  bench.say("b", hello(1));
  CHECK(bench.sent<Welcome>("b").size() == 1);
  CHECK(bench.published<Presence>().empty());
  CHECK(bench.hub.nodes().size() == 1);
  bench.commit(bench.result_of(jobs[0]));
  CHECK(bench.sent<Ack>("a").empty());
  CHECK(bench.sent<Ack>("b").empty());  // it asks under the same TxId
}

TEST_CASE("hub: a second process with a NodeId is refused when the first gives a sign of life") {
  Bench bench;
  bench.join("a", 1);
  Hello copy = hello(1);
  copy.incarnation = id(0x77);
  copy.hostname = "copy";
  bench.say("b", copy);
  CHECK(bench.sent<Ping>("a").size() == 1);
  CHECK(bench.sent<Welcome>("b").empty());
  bench.pass(500ms);
  bench.say("a", Pong{});
  const auto refusals = bench.sent<Refused>("b");
  REQUIRE(refusals.size() == 1);
  CHECK(refusals[0].code == RefusalCode::kIdentity);
  CHECK(refusals[0].text.find("host-1 (10.0.0.a)") != std::string::npos);
  CHECK(refusals[0].text.find("csa-node identity --new") != std::string::npos);
  bench.pass(2s);
  CHECK(bench.sent<Welcome>("b").empty());
  CHECK(bench.hub.nodes().size() == 1);
}

TEST_CASE("hub: a second process with a NodeId takes over when the first is silent for a second") {
  Bench bench;
  bench.join("a", 1);
  Hello restarted = hello(1);
  restarted.incarnation = id(0x77);
  bench.say("b", restarted);
  CHECK(bench.hub.deadline() <= bench.now + limits::kClaimTimeout);
  bench.pass(999ms);
  CHECK(bench.sent<Welcome>("b").empty());
  bench.pass(1ms);
  CHECK(bench.sent<Welcome>("b").size() == 1);
  const auto events = bench.published<Presence>();
  REQUIRE(events.size() == 2);
  CHECK(events[0].event == PresenceEvent::kLost);
  CHECK(events[1].event == PresenceEvent::kJoin);
  bench.out.clear();
  bench.say("a", Ping{});
  CHECK(bench.sent<Rehello>("a").size() == 1);
}

TEST_CASE("hub: a claim is granted at once when the holder is unreachable or leaves") {
  Hello restarted = hello(1);
  restarted.incarnation = id(0x77);
  SUBCASE("unreachable while asked") {
    Bench bench;
    bench.join("a", 1);
    bench.say("b", restarted);
    bench.hub.on_unreachable("a", bench.now);
    bench.take();
    CHECK(bench.sent<Welcome>("b").size() == 1);
  }
  SUBCASE("unreachable before") {
    Bench bench;
    bench.join("a", 1);
    bench.hub.on_unreachable("a", bench.now);
    CHECK(bench.hub.nodes().size() == 1);
    bench.say("b", restarted);
    CHECK(bench.sent<Welcome>("b").size() == 1);
  }
  SUBCASE("goodbye while asked") {
    Bench bench;
    bench.join("a", 1);
    bench.say("b", restarted);
    bench.say("a", Goodbye{"bye"});
    CHECK(bench.sent<Welcome>("b").size() == 1);
    CHECK(bench.sent<Refused>("b").empty());
  }
}

TEST_CASE("hub: a third process with a NodeId waits, the claimant may greet twice") {
  Bench bench;
  bench.join("a", 1);
  Hello second = hello(1);
  second.incarnation = id(0x77);
  Hello third = hello(1);
  third.incarnation = id(0x78);
  bench.say("b", second);
  bench.say("c", third);
  bench.pass(600ms);
  bench.say("b2", second);
  bench.pass(400ms);
  CHECK(bench.sent<Ping>("a").size() == 1);
  CHECK(bench.sent<Welcome>("b").empty());
  CHECK(bench.sent<Welcome>("b2").size() == 1);
  CHECK(bench.sent<Welcome>("c").empty());
}

TEST_CASE("hub: a claimant that turns out to be the holder's process is welcomed, not refused") {
  Bench bench;
  bench.join("a", 1);
  Hello greeting = hello(1);
  greeting.incarnation = id(0x77);
  bench.say("b", greeting);
  bench.say("b", hello(1));
  CHECK(bench.sent<Welcome>("b").size() == 1);
  CHECK(bench.sent<Refused>("b").empty());
  bench.pass(2s);
  CHECK(bench.hub.nodes().size() == 1);
}

TEST_CASE("hub: a connection that greets as somebody else leaves first") {
  Bench bench;
  bench.join("a", 1);
  bench.say("a", hello(2));
  const auto events = bench.published<Presence>();
  REQUIRE(events.size() == 2);
  CHECK(events[0].event == PresenceEvent::kLeave);
  CHECK(events[0].node == node(1));
  CHECK(events[1].event == PresenceEvent::kJoin);
  CHECK(bench.hub.nodes().size() == 1);
}

TEST_CASE("hub: full, a newcomer is refused and a reconnect is not") {
  Bench bench;
  for (std::size_t i = 0; i < limits::kPeersMax; ++i) {
    Hello greeting = hello(0);
    greeting.proof_nonce = {};
    greeting.node.value.bytes[0] = static_cast<std::uint8_t>(i);
    greeting.node.value.bytes[1] = static_cast<std::uint8_t>(i >> 8U);
    greeting.node.value.bytes[2] = 1;
    bench.say("p" + std::to_string(i), greeting);
  }
  CHECK(bench.hub.nodes().size() == limits::kPeersMax);
  bench.out.clear();
  CHECK(refused(bench, hello(9)) == RefusalCode::kFull);
  Hello again = hello(0);
  again.proof_nonce = {};
  again.node.value = {};
  again.node.value.bytes[2] = 1;
  bench.say("p-new", again);
  CHECK(bench.sent<Welcome>("p-new").size() == 1);
}

}  // namespace csa::hub_admission_test
