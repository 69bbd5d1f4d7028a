// A Session with simulated time, a broker and a store that do what the test says.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/limits.h"
#include "node/session.h"

namespace csa::session_bench {

using std::chrono::milliseconds;
using std::chrono::seconds;

inline const TimePoint kStart{std::chrono::hours{100}};
inline const Epoch kEpoch{1, Id128{{7}}};
inline const DbId kDb{Id128{{5}}};
inline const NodeId kNode{Id128{{9}}};
inline const Id128 kBoot{{4}};
inline const Id128 kSnapshot{{6}};

inline Chain chain_of(std::uint64_t seq) {
  Chain chain;
  if (seq > 0) chain.value.bytes = {1, static_cast<std::uint8_t>(seq)};
  return chain;
}

inline Position at(std::uint64_t seq) { return {kEpoch, Seq{seq}, chain_of(seq)}; }

inline LogPiece piece(std::uint64_t seq) {
  LogPiece made;
  made.header.seq = Seq{seq};
  made.header.size = 4;
  made.chain = chain_of(seq);
  made.bytes = {1, 2, 3, 4};
  return made;
}

struct Bench {
  explicit Bench(std::optional<std::uint64_t> seq, bool stop_on_disconnect = false,
                 std::vector<Endpoint> fixed = {{"a", 5775}}, Duration discovery = seconds{2})
      : replica(state_at(seq)),
        session(config(stop_on_disconnect, std::move(fixed), discovery), replica, log) {}

  static ReplicaState state_at(std::optional<std::uint64_t> seq) {
    ReplicaState state;
    state.node = kNode;
    state.counter = 100;
    if (!seq) return state;
    state.db = kDb;
    state.position = at(*seq);
    state.generation_seen = 1;
    state.schema_version = 1;
    return state;
  }
  static SessionConfig config(bool stop_on_disconnect, std::vector<Endpoint> fixed,
                              Duration discovery = seconds{2}) {
    SessionConfig made;
    made.uplink.hello.app = "csa";
    made.uplink.hello.group = "shop";
    made.uplink.fixed = std::move(fixed);
    made.uplink.seed = 11;
    made.discovery_timeout = discovery;
    made.stop_on_disconnect = stop_on_disconnect;
    return made;
  }
  Welcome welcome(std::uint64_t head) const {
    Welcome made;
    made.boot = kBoot;
    made.db = kDb;
    made.head = at(head);
    made.floor = Seq{1};
    made.pub_port = 5776;
    made.heartbeat_ms = 10000;
    made.statement_timeout_ms = 30000;
    made.hostname = "office";
    return made;
  }

  // What has come out, kept until forget().
  void collect() {
    for (UplinkAction& action : session.take_actions()) {
      if (auto* send = std::get_if<SendRequest>(&action)) {
        if (const auto* hello = std::get_if<Hello>(&send->message)) nonce = hello->proof_nonce;
        const auto wrong = invalid(send->message);
        REQUIRE_MESSAGE(!wrong, *wrong);
        messages.push_back(std::move(send->message));
      }
    }
    for (SessionEvent& event : session.take_events()) events.push_back(std::move(event));
  }
  void forget() {
    collect();
    messages.clear();
    events.clear();
  }
  void start() {
    session.start(now);
    collect();
  }
  void tell(Message message) {
    session.on_message(std::move(message), now);
    collect();
  }
  void advance(milliseconds by) {
    const TimePoint end = now + by;
    for (int i = 0; i < 100000 && session.deadline() <= end; ++i) {
      now = std::max(now, session.deadline());
      session.on_deadline(now);
      collect();
    }
    REQUIRE(session.deadline() > end);  // else it spins
    now = end;
  }
  // The same, with the broker alive: HEADs each second.
  void advance_connected(milliseconds by, std::uint64_t head) {
    for (const TimePoint end = now + by; now < end;) {
      advance(std::min(milliseconds{500}, std::chrono::duration_cast<milliseconds>(end - now)));
      tell(beat(head));
      tell(Pong{1, at(head), {}, 0});
    }
  }
  static Head beat(std::uint64_t head, std::uint32_t age_ms = 0) {
    return {at(head), Seq{1}, kBoot, {}, age_ms};
  }
  void connect(Welcome answer) {
    const Position head = answer.head;
    tell(std::move(answer));
    tell(Proof{nonce, head});
    tell_time(head);
  }
  // Answers the last PING, so that broker's time is known.
  void tell_time(const Position& head) {
    const Ping* const ping = last<Ping>();
    if (ping == nullptr) return;
    const auto ms = std::chrono::duration_cast<milliseconds>(now - kStart).count();
    tell(Pong{ping->number, head, WallTime{1'770'000'000'000 + ms}, 0, {3, 0, WallTime{1}}});
  }
  // Runs to the next HELLO.
  bool next_hello(milliseconds within) {
    messages.clear();
    for (const TimePoint end = now + within; now <= end && last<Hello>() == nullptr;)
      advance(milliseconds{10});
    return last<Hello>() != nullptr;
  }

  void journal(const OfflineWrite& write) {
    JournalState& journal = replica.journal;
    const std::uint64_t counter = write.write.tx.counter;
    if (journal.entries++ == 0) journal.first = counter;
    ++journal.waiting;
    journal.last = counter;
    made_offline.push_back(write);
    OfflineDone done;
    done.answer = Journaled{write.write.tx, 1, {}, {}, {}};
    done.state = replica;
    done.tables = {"part"};
    session.on_journaled(std::move(done), now);
  }
  // Does what the store would do with every job it is given; true: there was one.
  bool work() {
    const std::optional<StoreJob> job = session.take_job();
    if (!job) return false;
    jobs.push_back(*job);
    if (const auto* apply = std::get_if<ApplyPieces>(&*job)) {
      for (const LogPiece& one : apply->pieces) {
        REQUIRE(one.header.seq == replica.position->seq.next());
        replica.position = at(one.header.seq.value);
      }
      session.on_applied(Applied{replica, {"part"}, false}, now);
    } else if (std::holds_alternative<BeginDownload>(*job)) {
      session.on_download(pages_here, now);
    } else if (const auto* chunk = std::get_if<WriteChunk>(&*job)) {
      written += chunk->bytes.size();
      session.on_chunk_written(chunk->bytes.size(), now);
    } else if (const auto* piece = std::get_if<PlanCopy>(&*job)) {
      planned.push_back(*piece);
      session.on_planned(plan, now);
    } else if (const auto* install = std::get_if<InstallCopy>(&*job)) {
      replica.db = kDb;
      REQUIRE(replica.journal.waiting == 0);
      replica.journal = JournalState{};
      replica.position = install->end.position;
      replica.generation_seen = install->end.position.epoch.generation;
      if (offered) {
        made_offline = {*offered};
        const std::uint64_t counter = offered->write.tx.counter;
        replica.journal.entries = replica.journal.waiting = 1;
        replica.journal.first = replica.journal.last = counter;
      }
      session.on_applied(Applied{replica, {}, true}, now);
    } else if (const auto* const offline = std::get_if<JournalWrite>(&*job)) {
      if (slow_offline) {
        slow = offline->write;
      } else {
        journal(offline->write);
      }
    } else if (const auto* const read = std::get_if<ReadJournal>(&*job)) {
      std::vector<Replay> found;
      std::uint64_t previous = 0;
      for (const OfflineWrite& made : made_offline) {
        const std::uint64_t counter = made.write.tx.counter;
        if (counter > read->after && !answered.contains(counter)) {
          Replay replay;
          replay.header.tx = made.write.tx;
          replay.header.edited = made.edited;
          replay.header.size = 4;
          if (lost) replay.header.lost = {NodeId{Id128{{8}}}, counter};
          replay.first = replica.journal.first;
          replay.previous = previous;
          replay.bytes = {1, 2, 3, 4};
          found.push_back(std::move(replay));
        }
        previous = counter;
      }
      session.on_journal_read(std::move(found), now);
    } else if (const auto* const mark = std::get_if<MarkAnswered>(&*job)) {
      for (const Replayed& answer : mark->answers) {
        if (!answered.insert(answer.tx.counter).second) continue;
        --replica.journal.waiting;
        replica.journal.answered_to = std::max(replica.journal.answered_to, answer.seq);
        replica.journal.keys_changed = replica.journal.keys_changed || !answer.keys.empty();
      }
      session.on_marked(replica, now);
    } else if (const auto* const anew = std::get_if<HandOverAnew>(&*job)) {
      if (anew->all) answered.clear();
      if (!answered.empty()) answered.erase(std::prev(answered.end()));
      replica.journal.waiting = replica.journal.entries - answered.size();
      if (answered.empty()) replica.journal.answered_to = Seq{};
      session.on_marked(replica, now);
    } else if (const auto* const spool = std::get_if<SpoolPieces>(&*job)) {
      for (const LogPiece& one : spool->pieces) spooled = one.header.seq.value;
      session.on_spooled(Ok{}, now);
    } else if (std::holds_alternative<TakeOver>(*job)) {
      REQUIRE(replica.journal.waiting == 0);
      if (spooled > 0) replica.position = at(spooled);
      REQUIRE(replica.position->seq >= replica.journal.answered_to);
      replica.journal = JournalState{};
      session.on_applied(Applied{replica, {"part"}, false}, now);
    } else if (std::holds_alternative<ReserveCounters>(*job)) {
      replica.counter += 1000;
      session.on_counters(replica.counter, now);
    } else if (const auto* const renew = std::get_if<RenewIdentity>(&*job)) {
      replica.node.value.bytes[15]++;
      replica.counter = renew->above;
      session.on_identity(replica, now);
    } else if (const auto* const probe = std::get_if<ProbeDisk>(&*job)) {
      session.on_probe(probe->bytes <= disk_room, now);
    }
    collect();
    return true;
  }
  void work_all() {
    while (work()) {
    }
  }
  // Answers the last LOG_GET with everything up to `head`.
  void answer_log(std::uint64_t head) {
    const LogGet* get = last<LogGet>();
    REQUIRE(get != nullptr);
    LogSlice slice{get->request, at(head), Seq{1}, {}};
    for (std::uint64_t seq = get->after.seq.value + 1; seq <= head; ++seq)
      slice.pieces.push_back(piece(seq));
    tell(std::move(slice));
    work_all();
  }
  void make_live(std::uint64_t head) {
    start();
    connect(welcome(head));
    answer_log(head);
    REQUIRE(state() == NodeState::kLive);
    forget();
  }
  void write(std::uint64_t call, milliseconds timeout = seconds{30}) {
    session.write({call, Write{{}, "UPDATE part SET qty = 1", {}, {}}, now + timeout}, now);
    collect();
    work_all();
  }

  [[nodiscard]] NodeState state() const { return session.view().state; }
  template <class T>
  [[nodiscard]] const T* last() const {
    for (auto at = messages.rbegin(); at != messages.rend(); ++at) {
      if (const T* found = std::get_if<T>(&*at)) return found;
    }
    return nullptr;
  }
  template <class T>
  [[nodiscard]] std::vector<T> all() const {
    std::vector<T> found;
    for (const Message& message : messages) {
      if (const T* one = std::get_if<T>(&message)) found.push_back(*one);
    }
    return found;
  }
  template <class T>
  [[nodiscard]] std::vector<T> told() const {
    std::vector<T> found;
    for (const SessionEvent& event : events) {
      if (const T* one = std::get_if<T>(&event)) found.push_back(*one);
    }
    return found;
  }
  template <class T>
  [[nodiscard]] int jobs_of() const {
    int count = 0;
    for (const StoreJob& job : jobs) count += std::holds_alternative<T>(job) ? 1 : 0;
    return count;
  }
  [[nodiscard]] std::string why() const {
    const auto changes = told<StateChanged>();
    return changes.empty() ? "" : changes.back().why;
  }
  [[nodiscard]] std::vector<NodeState> states() const {
    std::vector<NodeState> found;
    for (const StateChanged& change : told<StateChanged>()) found.push_back(change.state);
    return found;
  }

  Log log;
  TimePoint now = kStart;
  Id128 nonce;
  std::vector<Message> messages;
  std::vector<SessionEvent> events;
  std::vector<StoreJob> jobs;
  std::vector<OfflineWrite> made_offline;  // the journal
  bool slow_offline = false;               // the next one is for the test to end: journal()
  std::optional<OfflineWrite> slow;
  std::optional<OfflineWrite> offered;  // to the master by the install of a copy
  bool lost = false;                    // they are offers of what a lost history held
  std::set<std::uint64_t> answered;     // counters of it
  std::uint64_t spooled = 0;
  std::uint64_t disk_room = 0;
  bool pages_here = false;  // what the store says of a copy, and of a piece of its map
  CopyPlan plan;
  std::vector<PlanCopy> planned;
  std::uint64_t written = 0;
  ReplicaState replica;
  Session session;
};

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace csa::session_bench
