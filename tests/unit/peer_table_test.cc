// The broker's states of a peer: schemas/protocol.md's table against the Hub.
#include "tests/support/sample_messages.h"
#include "tests/unit/hub_bench.h"
#include "tests/unit/protocol_table.h"

namespace csa::peer_table_test {
namespace {

using namespace hub_bench;
using protocol_table::Cell;
using protocol_table::Driver;
using protocol_table::Outcome;

// The peer of the table is "n"; "h" holds the NodeId of host-2.
constexpr const char* kPeer = "n";
constexpr const char* kHolder = "h";

Hello foreign() {
  Hello greeting = hello(1);
  greeting.app = "another";
  return greeting;
}

Hello claim() {
  Hello greeting = hello(2);
  greeting.incarnation = id(77);
  greeting.proof_nonce = id(78);
  return greeting;
}

using Event = std::function<void(Bench&)>;

void put_in(Bench& bench, const std::string& state) {
  bench.join(kHolder, 2);
  if (state == "claiming") bench.say(kPeer, claim());
  if (state == "greeted") bench.say(kPeer, hello(1));
  if (state == "refused") bench.say(kPeer, foreign());
  bench.out.clear();
}

std::string presence(PresenceEvent event) {
  if (event == PresenceEvent::kJoin) return "PRESENCE join";
  return event == PresenceEvent::kLeave ? "PRESENCE leave" : "PRESENCE lost";
}

// HEAD and UPDATE belong to no peer; jobs are no message yet.
std::string action_of(const Bench& bench) {
  std::vector<std::string> words;
  for (const HubAction& action : bench.out) {
    if (const auto* const send = std::get_if<SendTo>(&action)) {
      words.push_back(std::string(name_of(send->message)) +
                      (send->peer == kPeer ? "" : " to the holder"));
    } else if (const auto* const publish = std::get_if<Publish>(&action)) {
      const auto* const told = std::get_if<Presence>(&publish->message);
      if (told != nullptr) words.push_back(presence(told->event));
    }
  }
  return protocol_table::joined(words);
}

// Told apart by what the Hub says and does next.
std::string state_of(Bench& bench) {
  for (const NodeStatus& status : bench.hub.nodes()) {
    if (status.address == std::string("10.0.0.") + kPeer) return "greeted";
  }
  bench.out.clear();
  bench.say(kHolder, Pong{});
  if (!bench.sent<Refused>(kPeer).empty()) return "claiming";
  bench.pass(limits::kRehelloInterval);
  bench.say(kPeer, Pong{});
  return bench.sent<Rehello>(kPeer).empty() ? "refused" : "unknown";
}

Outcome outcome(const std::string& state, const Event& event) {
  Bench bench;
  put_in(bench, state);
  event(bench);
  Outcome found;
  found.action = action_of(bench);
  found.next = state_of(bench);
  return found;
}

// All of them must come to the same.
Outcome outcome_of_all(const std::string& state, const std::vector<Message>& messages) {
  std::optional<Outcome> first;
  for (const Message& message : messages) {
    const Outcome found = outcome(state, [&](Bench& bench) { bench.say(kPeer, message); });
    if (!first) first = found;
    CHECK_MESSAGE(found == *first, state << ": " << name_of(message) << ": " << found.action);
  }
  REQUIRE(first);
  return *first;
}

std::vector<Message> requests() {
  return {Ping{},
          write(1, 8),
          Migrate{TxId{node(1), 9}, "CREATE TABLE t (x)", {}},
          Rules{TxId{node(1), 10}, {}, false},
          Conflict{TxId{node(1), 11}, 1, ConflictVerb::kShow},
          OutcomeGet{TxId{node(1), 7}},
          LogGet{1, at(10), 0, 1000},
          SnapshotGet{},
          LayoutGet{1},
          Admin{1, AdminVerb::kStatus},
          DigestGet{1}};
}

std::vector<Message> brokers_own() {
  std::vector<Message> found;
  for (const auto& sample : testing::sample_messages()) {
    const std::string name(name_of(sample.message));
    static const std::set<std::string> kFromPeers{
        "HELLO",      "GOODBYE",  "PING",       "PONG",        "WRITE",   "MIGRATE",
        "RULES",      "CONFLICT", "REPLAY",     "OUTCOME_GET", "LOG_GET", "SNAPSHOT_GET",
        "LAYOUT_GET", "ADMIN",    "DIGEST_GET", "ROWS_GET",    "CHECKED"};
    if (!kFromPeers.contains(name)) found.push_back(sample.message);
  }
  CHECK(found.size() >= 15);
  return found;
}

// The stores' answer to every job that is out.
void answer_jobs(Bench& bench) {
  const std::vector<HubAction> actions = std::exchange(bench.out, {});
  for (const HubAction& action : actions) {
    if (const auto* const commit = std::get_if<CommitJob>(&action)) {
      bench.commit(bench.result_of(*commit));
    } else if (const auto* const outcome = std::get_if<OutcomeJob>(&action)) {
      Ack ack;
      ack.tx = outcome->tx;
      bench.hub.on_reply(outcome->peer, ack, bench.now);
    } else if (const auto* const log = std::get_if<LogJob>(&action)) {
      bench.hub.on_log(log->peer, LogSlice{log->request.request, at(10), Seq{3}, {}}, bench.now);
    } else if (const auto* const layout = std::get_if<LayoutJob>(&action)) {
      bench.hub.on_reply(layout->peer, LayoutReply{layout->schema_version, "{}"}, bench.now);
    } else if (const auto* const digest = std::get_if<DigestJob>(&action)) {
      bench.hub.on_digest(digest->peer, DigestReply{}, digest->asked, bench.now);
    } else if (std::holds_alternative<CutJob>(action)) {
      bench.hub.on_cut(SnapshotInfo{id(0xC1), 100, id(0xC2), at(10)}, bench.now);
    } else {
      bench.out.push_back(action);
    }
  }
  bench.take();
}

Outcome request_outcome() {
  static const std::map<std::string, std::string> kAnswers{
      {"PING", "PONG"},         {"WRITE", "ACK"},
      {"MIGRATE", "ACK"},       {"RULES", "ACK"},
      {"CONFLICT", "ACK"},      {"LOG_GET", "LOG"},
      {"ADMIN", "ADMIN_REPLY"}, {"SNAPSHOT_GET", "SNAPSHOT_CHUNK"},
      {"DIGEST_GET", "DIGEST"}, {"OUTCOME_GET", "ACK"},
      {"LAYOUT_GET", "LAYOUT"}};
  for (const Message& request : requests()) {
    const Outcome found = outcome("greeted", [&](Bench& bench) {
      bench.say(kPeer, request);
      answer_jobs(bench);
    });
    const Outcome should{kAnswers.at(std::string(name_of(request))), "greeted"};
    if (found != should) return found;
  }
  return {"its answer", "greeted"};
}

void add_others(std::map<Cell, Driver>& drivers, const std::string& state) {
  const Origin origin{std::string("10.0.0.") + kPeer, false};
  drivers[{state, "PONG"}] = [=] { return outcome_of_all(state, {Pong{}}); };
  drivers[{state, "a message that only brokers send"}] = [=] {
    return outcome_of_all(state, brokers_own());
  };
  drivers[{state, "unknown type"}] = [=] {
    return outcome(state, [&](Bench& bench) {
      bench.hub.on_malformed(kPeer, {Errc::kUnknownType, "99"}, origin, bench.now);
      bench.take();
    });
  };
  drivers[{state, "malformed"}] = [=] {
    return outcome(state, [&](Bench& bench) {
      bench.hub.on_malformed(kPeer, {Errc::kMalformed, "bad"}, origin, bench.now);
      bench.take();
    });
  };
  drivers[{state, "request"}] = [=] {
    return state == "greeted" ? request_outcome() : outcome_of_all(state, requests());
  };
}

TEST_CASE("protocol.md: the table of a peer, what the hub does") {
  std::map<Cell, Driver> drivers;
  for (const std::string state : {"unknown", "claiming", "greeted", "refused"}) {
    const auto on = [&](const std::string& event, const Message& message) {
      drivers[{state, event}] = [=] { return outcome_of_all(state, {message}); };
    };
    on("HELLO, accepted", hello(1));
    on("HELLO, not accepted", foreign());
    on("HELLO with another's NodeId", claim());
    on("GOODBYE", Goodbye{"bye"});
    add_others(drivers, state);
  }
  const auto on = [&](const Cell& cell, const Event& event) {
    drivers[cell] = [=] { return outcome(cell.first, event); };
  };
  on({"unknown", "the same within kRehelloInterval"}, [](Bench& bench) {
    bench.say(kPeer, Pong{});
    bench.out.clear();
    bench.now += limits::kRehelloInterval - 1ms;
    bench.say(kPeer, Pong{});
  });
  on({"claiming", "the holder is heard"}, [](Bench& bench) { bench.say(kHolder, Pong{}); });
  on({"claiming", "the holder's connection is gone"}, [](Bench& bench) {
    bench.hub.on_unreachable(kHolder, bench.now);
    bench.take();
  });
  on({"claiming", "the holder is silent for kClaimTimeout"},
     [](Bench& bench) { bench.pass(limits::kClaimTimeout); });
  on({"greeted", "silent for node_timeout_ms"}, [](Bench& bench) {
    bench.pass(limits::kNodeTimeout - 1s);
    bench.say(kHolder, Pong{});
    bench.out.clear();
    bench.pass(1s);
  });
  protocol_table::compare("peer (broker's view)", drivers);
}

}  // namespace
}  // namespace csa::peer_table_test
