// A node's states: schemas/protocol.md's table against the Session.
#include "common/beacon.h"
#include "tests/unit/protocol_table.h"
#include "tests/unit/session_bench.h"

namespace csa::node_table_test {
namespace {

using namespace session_bench;
using protocol_table::Cell;
using protocol_table::Driver;
using protocol_table::Outcome;

// Notes every action of a session and the first state that it comes to.
struct Watch {
  explicit Watch(Bench& watched) : bench(watched), before(watched.state()) {}

  void gather() {
    const std::vector<UplinkAction> actions = bench.session.take_actions();
    for (const SessionEvent& event : bench.session.take_events()) {
      const auto* const changed = std::get_if<StateChanged>(&event);
      if (changed != nullptr && !next) next = changed->state;
    }
    for (const UplinkAction& action : actions) {
      // Behind a state that was only passed through begins another row.
      if (std::holds_alternative<OpenRequest>(action)) passed = next == NodeState::kSearching;
      if (!passed) note(action);
    }
  }
  void note(const UplinkAction& action) {
    if (std::holds_alternative<CloseLinks>(action)) words.emplace_back("close");
    if (std::holds_alternative<OpenSubscription>(action)) words.emplace_back("SUB");
    const auto* const send = std::get_if<SendRequest>(&action);
    if (send == nullptr) return;
    if (const auto* const get = std::get_if<LogGet>(&send->message)) asked = get->request;
    if (std::holds_alternative<Ping>(send->message)) return;
    const std::string name(name_of(send->message));
    // The search for the next link is another matter.
    const bool was_linked = before == NodeState::kLive || before == NodeState::kCatchingUp;
    if (was_linked && name == "HELLO" && !words.empty() && words.back() == "close") return;
    if (words.empty() || words.back() != name) words.push_back(name);
  }
  void tell(Message message) {
    bench.session.on_message(std::move(message), bench.now);
    gather();
  }
  void work() {
    while (bench.work()) {
    }
    for (Message& message : bench.messages) note(SendRequest{std::move(message)});
    for (const StateChanged& change : bench.told<StateChanged>()) {
      if (!next) next = change.state;
    }
    bench.messages.clear();
    gather();
  }
  // Until something comes out, or for `limit`.
  void wait(milliseconds limit) {
    const TimePoint end = bench.now + limit;
    while (words.empty() && !next && bench.session.deadline() <= end) {
      bench.now = std::max(bench.now, bench.session.deadline());
      bench.session.on_deadline(bench.now);
      gather();
    }
    if (words.empty() && !next) bench.now = end;
  }
  [[nodiscard]] Outcome outcome() const {
    return {protocol_table::joined(words), std::string(to_string(next.value_or(before)))};
  }

  Bench& bench;
  NodeState before;
  bool passed = false;
  std::vector<std::string> words;
  std::optional<NodeState> next;
  std::uint64_t asked = 0;
};

HeardBeacon beacon() {
  HeardBeacon heard;
  heard.address = "a";
  heard.beacon.kind = BeaconKind::kAnnounce;
  heard.beacon.protocol_min = heard.beacon.protocol_max = kProtocolVersion;
  heard.beacon.cluster = cluster_id("csa", "shop");
  heard.beacon.boot = 4;
  heard.beacon.port = 5775;
  heard.beacon.pub_port = 5776;
  heard.beacon.interval_ms = 1000;
  return heard;
}

// A replica at 5; the broker's head is 5 too, so catching up needs the log's word alone.
constexpr std::uint64_t kHere = 5;
constexpr seconds kDiscovery{20};  // longer than a greeting may take

void put_in(Bench& bench, const std::string& state) {
  bench.start();
  if (state == "standalone") bench.advance(kDiscovery);
  if (state == "searching" || state == "standalone") return;
  bench.session.on_beacon(beacon(), bench.now);
  bench.collect();
  if (state == "refused") {
    bench.tell(Refused{RefusalCode::kApplication, "no"});
  } else if (state != "greeting") {
    bench.connect(bench.welcome(kHere));
    if (state == "live") bench.answer_log(kHere);
  }
  CHECK(std::string(to_string(bench.state())) == state);
  // Long enough for a link to count as stable, so that its loss is no failure.
  if (state == "live") bench.advance_connected(seconds{11}, kHere);
}

using Event = std::function<void(Watch&)>;

Outcome outcome(const std::string& state, const Event& event,
                std::optional<std::uint64_t> replica = kHere) {
  Bench bench(replica, false, {}, kDiscovery);
  put_in(bench, state);
  // The request that is out, for its answer.
  const LogGet* const get = bench.last<LogGet>();
  const std::uint64_t asked = get == nullptr ? 0 : get->request;
  bench.forget();
  Watch watch(bench);
  watch.asked = asked;
  event(watch);
  return watch.outcome();
}

Update update(std::uint64_t seq) { return {at(seq), {piece(seq)}}; }

// Tells of what is missing, so that the node asks.
void open_gap(Watch& watch) {
  watch.tell(update(kHere + 2));
  watch.wait(milliseconds{500});
}

void forget(Watch& watch) {
  watch.words.clear();
  watch.next.reset();
}

void fetch_copy(Watch& watch) {
  watch.tell(LogGone{watch.asked, at(9), Seq{8}, "gone"});
  watch.tell(SnapshotChunk{kSnapshot, 4, 0, {}});
  watch.work();
  watch.tell(SnapshotChunk{kSnapshot, 4, 0, {1, 2, 3, 4}});
  watch.work();
  forget(watch);
  watch.tell(SnapshotEnd{kSnapshot, 4, {}, at(9)});
  watch.work();
}

void add_ends(std::map<Cell, Driver>& drivers, const std::string& state) {
  const auto on = [&](const std::string& event, const Event& happens) {
    drivers[{state, event}] = [=] { return outcome(state, happens); };
  };
  on("REHELLO", [](Watch& watch) { watch.tell(Rehello{}); });
  on("GOODBYE", [](Watch& watch) { watch.tell(Goodbye{"bye"}); });
  on("REFUSED", [](Watch& w) { w.tell(Refused{RefusalCode::kApplication, "no"}); });
  on("REFUSED (generation)", [](Watch& w) { w.tell(Refused{RefusalCode::kGeneration, "old"}); });
  on("SUB silent for kSubSilence", [](Watch& watch) {
    forget(watch);
    // Answers on the other socket go on.
    const TimePoint due = watch.bench.now + limits::kSubSilence;
    while (watch.bench.now < due && !watch.next) {
      watch.tell(Pong{1, at(kHere), {}, 0});
      watch.wait(milliseconds{100});
      if (!watch.next) watch.words.clear();  // LOG_GET again is another matter
      watch.bench.now += milliseconds{watch.next ? 0 : 100};
    }
    watch.wait(milliseconds{1});
  });
  on("LOG_GONE", [=](Watch& watch) {
    if (state == "live") {
      open_gap(watch);
      forget(watch);
    }
    watch.tell(LogGone{watch.asked, at(9), Seq{8}, "gone"});
  });
}

void add_common(std::map<Cell, Driver>& drivers) {
  for (const std::string state :
       {"searching", "greeting", "catching-up", "live", "standalone", "refused"}) {
    drivers[{state, "asked to leave"}] = [=] {
      return outcome(state, [](Watch& watch) {
        watch.bench.session.leave("told to", watch.bench.now);
        watch.gather();
      });
    };
  }
  for (const std::string state : {"greeting", "catching-up", "live"}) {
    drivers[{state, "link lost"}] = [=] {
      return outcome(state, [](Watch& watch) {
        watch.bench.session.on_disconnected("reset", watch.bench.now);
        watch.gather();
      });
    };
  }
  for (const std::string state : {"searching", "standalone"}) {
    drivers[{state, "a broker is found"}] = [=] {
      return outcome(state, [](Watch& watch) {
        watch.bench.session.on_beacon(beacon(), watch.bench.now);
        watch.gather();
      });
    };
  }
}

void greet_and_prove(Watch& watch) {
  watch.bench.forget();
  watch.bench.connect(watch.bench.welcome(kHere));
  watch.words.clear();
  watch.next.reset();
  watch.work();
}

void add_greeting(std::map<Cell, Driver>& drivers) {
  const std::string state = "greeting";
  const auto on = [&](const std::string& event, const Event& happens) {
    drivers[{state, event}] = [=] { return outcome(state, happens); };
  };
  on("WELCOME", [](Watch& watch) { watch.tell(watch.bench.welcome(kHere)); });
  on("REFUSED", [](Watch& w) { w.tell(Refused{RefusalCode::kApplication, "no"}); });
  on("REFUSED (generation)", [](Watch& w) { w.tell(Refused{RefusalCode::kGeneration, "old"}); });
  on("no answer within kHelloTimeout", [](Watch& watch) { watch.wait(limits::kHelloTimeout); });
  const Event proof = [](Watch& watch) {
    watch.tell(watch.bench.welcome(kHere));
    forget(watch);
    watch.tell(Proof{watch.bench.nonce, at(kHere)});
  };
  on("PROOF", proof);
  drivers[{state, "PROOF, and no replica is here"}] = [=] {
    return outcome(state, proof, std::nullopt);
  };
  const Event no_proof = [](Watch& watch) {
    watch.tell(watch.bench.welcome(kHere));
    forget(watch);
    watch.wait(limits::kProofTimeout);
  };
  on("no PROOF within kProofTimeout", no_proof);
  on("no PROOF for the second time", [=](Watch& watch) {
    no_proof(watch);
    no_proof(watch);
  });
}

TEST_CASE("protocol.md: the table of a node, what the session does") {
  std::map<Cell, Driver> drivers;
  add_common(drivers);
  add_greeting(drivers);
  for (const std::string state : {"catching-up", "live"}) add_ends(drivers, state);
  const auto on = [&](const Cell& cell, const Event& event) {
    drivers[cell] = [=] { return outcome(cell.first, event); };
  };
  on({"searching", "none within the discovery time"}, [](Watch& watch) { watch.wait(kDiscovery); });
  on({"catching-up", "LOG up to the head"}, [](Watch& watch) {
    watch.tell(LogSlice{watch.asked, at(kHere), Seq{1}, {}});
    watch.work();
  });
  on({"catching-up", "LOG, not up to the head"}, [](Watch& watch) {
    watch.tell(LogSlice{watch.asked, at(kHere + 2), Seq{1}, {piece(kHere + 1)}});
    watch.work();
  });
  on({"catching-up", "SNAPSHOT_END"}, fetch_copy);
  on({"live", "gap"}, open_gap);
  on({"live", "stub"}, [](Watch& watch) {
    Update stub = update(kHere + 1);
    stub.pieces[0].bytes.clear();
    watch.tell(stub);
    watch.wait(milliseconds{500});
  });
  on({"live", "higher head"}, [](Watch& watch) {
    watch.tell(Bench::beat(kHere + 1));
    watch.wait(milliseconds{500});
  });
  const Event try_again = [](Watch& watch) {
    for (int i = 0; i < 11 && watch.words.empty(); ++i) {
      watch.bench.session.on_beacon(beacon(), watch.bench.now);
      watch.gather();
      watch.wait(seconds{1});
    }
  };
  on({"refused", "time to try again"}, try_again);
  on({"refused", "PROOF"}, [=](Watch& watch) {
    watch.bench.session.on_beacon(beacon(), watch.bench.now);
    for (int i = 0; i < 11 && !watch.bench.next_hello(seconds{1}); ++i) {
      watch.bench.session.on_beacon(beacon(), watch.bench.now);
    }
    greet_and_prove(watch);
  });
  on({"standalone", "PROOF"}, [](Watch& watch) {
    watch.bench.session.on_beacon(beacon(), watch.bench.now);
    greet_and_prove(watch);
  });
  protocol_table::compare("node", drivers);
}

}  // namespace
}  // namespace csa::node_table_test
