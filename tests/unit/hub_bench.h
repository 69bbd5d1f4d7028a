// A Hub under simulated time, for the hub_*_test.cc: says messages, carries out nothing, and keeps
// what came out of it by kind.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "broker/hub.h"
#include "common/limits.h"

namespace csa::hub_bench {

using namespace std::chrono_literals;

inline Id128 id(std::uint8_t n) {
  Id128 value;
  value.bytes.fill(n);
  return value;
}
inline NodeId node(std::uint8_t n) { return NodeId{id(n)}; }
inline Position at(std::uint64_t seq) {
  return {Epoch{1, id(0xE1)}, Seq{seq}, Chain{id(static_cast<std::uint8_t>(seq))}};
}

inline Hello hello(std::uint8_t n, Role role = Role::kNode) {
  Hello greeting;
  greeting.role = role;
  greeting.app = "csa";
  greeting.group = "default";
  greeting.program = "csa-node 0.1.0";
  greeting.hostname = "host-" + std::to_string(n);
  if (role != Role::kMonitor) greeting.node = node(n);
  greeting.incarnation = id(static_cast<std::uint8_t>(n + 100));
  greeting.proof_nonce = id(static_cast<std::uint8_t>(n + 50));
  return greeting;
}

inline HubConfig config() {
  HubConfig config;
  config.app = "csa";
  config.group = "default";
  config.hostname = "srv";
  config.program = "csa-broker 0.1.0";
  config.database = "/var/master.db";
  config.boot = id(0xB0);
  config.pub_port = 5776;
  config.heartbeat = limits::kHeartbeat;
  config.node_timeout = limits::kNodeTimeout;
  config.statement_timeout = limits::kStatementTimeout;
  return config;
}

inline MasterState master() {
  MasterState state;
  state.db = DbId{id(0xDB)};
  state.head = at(10);
  state.floor = Seq{3};
  state.schema_version = 1;
  state.log_bytes = 1234;
  state.database_bytes = 8192;
  state.counters[node(1)] = 7;
  return state;
}

class Bench {
 public:
  explicit Bench(HubConfig with = config(), MasterState opened = master())
      : log_(LogLevel::kDebug,
             [this](LogLevel, std::string_view line) { lines.emplace_back(line); }),
        hub(std::move(with), opened, WallTime{1000}, log_) {}

  void say(const PeerKey& from, Message message, bool local = false) {
    hub.on_message(from, std::move(message), Origin{"10.0.0." + from, local}, now);
    take();
  }
  // Greets and forgets what came of it.
  void join(const PeerKey& key, std::uint8_t n, Role role = Role::kNode, bool local = false) {
    say(key, hello(n, role), local);
    out.clear();
  }
  void pass(Duration time) {
    const TimePoint end = now + time;
    while (hub.deadline() <= end) {
      now = std::max(now, hub.deadline());
      hub.on_deadline(now);
      take();
    }
    now = end;
  }
  void take() {
    for (HubAction& action : hub.take_outbox()) out.push_back(std::move(action));
  }

  // What was sent to `to` of type M, published, or given out as job; the rest stays in `out`.
  template <class M>
  std::vector<M> sent(const PeerKey& to) {
    std::vector<M> found;
    for (const HubAction& action : out) {
      const auto* const send = std::get_if<SendTo>(&action);
      if (send == nullptr || send->peer != to) continue;
      if (const auto* const message = std::get_if<M>(&send->message)) found.push_back(*message);
    }
    return found;
  }
  template <class M>
  std::vector<M> published() {
    std::vector<M> found;
    for (const HubAction& action : out) {
      const auto* const publish = std::get_if<Publish>(&action);
      if (publish == nullptr) continue;
      if (const auto* const message = std::get_if<M>(&publish->message)) found.push_back(*message);
    }
    return found;
  }
  template <class J>
  std::vector<J> jobs() {
    std::vector<J> found;
    for (const HubAction& action : out) {
      if (const auto* const job = std::get_if<J>(&action)) found.push_back(*job);
    }
    return found;
  }

  // Makes the group durable: one piece and one ACK a job, from the head on.
  CommitResult result_of(const CommitJob& job) {
    CommitResult result;
    std::uint64_t seq = hub.head().seq.value;
    for (const WriteJob& one : job.jobs) {
      const TxId tx = tx_of(one.request);
      LogPiece piece;
      piece.header.seq = Seq{++seq};
      piece.header.tx = tx;
      piece.header.hostname = one.hostname;
      piece.header.size = 4;
      piece.bytes = {1, 2, 3, 4};
      piece.chain = at(seq).chain;
      result.pieces.push_back(piece);
      Ack ack;
      ack.tx = tx;
      ack.seq = Seq{seq};
      result.outcomes.push_back({one.ticket, ack});
    }
    result.head = at(seq);
    result.floor = Seq{3};
    result.schema_version = 1;
    result.log_bytes = 2000;
    return result;
  }
  void commit(const CommitResult& result) {
    hub.on_committed(result, now);
    take();
  }

  std::vector<std::string> lines;

 private:
  Log log_;

 public:
  Hub hub;
  TimePoint now{1000s};
  std::vector<HubAction> out;
};

inline Write write(std::uint8_t n, std::uint64_t counter, std::string sql = "INSERT") {
  return Write{TxId{node(n), counter}, std::move(sql), {}, {}};
}

}  // namespace csa::hub_bench
