// The Hub's tables: peers, strangers, timers, waiting writes.
#include "broker/peer.h"

#include <doctest/doctest.h>

#include "broker/strangers.h"
#include "broker/write_queue.h"
#include "hub_bench.h"

namespace csa::peer_test {

using namespace hub_bench;

TEST_CASE("timers: the earliest is at hand, also after it moved or went") {
  TimerSet<int> timers;
  const TimePoint start{100s};
  CHECK(timers.deadline() == TimePoint::max());
  timers.set(1, start + 5s);
  timers.set(2, start + 3s);
  CHECK(timers.deadline() == start + 3s);
  CHECK_FALSE(timers.due(start + 2s).has_value());
  CHECK(timers.due(start + 3s) == 2);
  timers.set(2, start + 9s);
  CHECK(timers.first() == 1);
  timers.clear(1);
  timers.clear(1);
  CHECK(timers.deadline() == start + 9s);
  CHECK(timers.size() == 1);
}

TEST_CASE("peers: found by routing id, NodeId and nonce until removed") {
  Peers peers(30s);
  const TimePoint start{100s};
  peers.add(Peer("a", hello(1), Origin{"10.0.0.1"}, start));
  peers.add(Peer("m", hello(2, Role::kMonitor), Origin{"10.0.0.2"}, start + 1s));
  CHECK(peers.size() == 2);
  CHECK(peers.nodes() == 1);
  REQUIRE(peers.holder(node(1)) != nullptr);
  CHECK(peers.holder(node(1))->key == "a");
  CHECK(peers.holder(node(2)) == nullptr);
  CHECK(peers.prover(hello(2).proof_nonce) == peers.find("m"));
  CHECK(peers.deadline() == start + 30s);
  peers.heard(*peers.find("a"), start + 10s);
  CHECK(peers.deadline() == start + 31s);
  CHECK(peers.silent(start + 31s) == peers.find("m"));
  CHECK(peers.remove("a").hostname == "host-1");
  CHECK(peers.holder(node(1)) == nullptr);
  CHECK(peers.prover(hello(1).proof_nonce) == nullptr);
  CHECK(peers.nodes() == 0);
}

TEST_CASE("peers: a nonce belongs to the first that named it") {
  Peers peers(30s);
  Hello thief = hello(2);
  thief.proof_nonce = hello(1).proof_nonce;
  peers.add(Peer("a", hello(1), Origin{}, TimePoint{100s}));
  peers.add(Peer("b", thief, Origin{}, TimePoint{100s}));
  CHECK(peers.prover(thief.proof_nonce)->key == "a");
  (void)peers.remove("b");
  CHECK(peers.prover(thief.proof_nonce)->key == "a");
}

TEST_CASE("peer: shown words are short, printable and whole characters") {
  CHECK(shown("till-2") == "till-2");
  CHECK(shown("a\nb\x1b") == "a?b?");
  CHECK(shown(std::string(100, 'x')).size() == limits::kShownTextMax);
  const std::string umlauts = "x" + [] {
    std::string text;
    for (int i = 0; i < 50; ++i) text += "\xc3\xa4";
    return text;
  }();
  CHECK(shown(umlauts).size() == limits::kShownTextMax - 1);
}

TEST_CASE("strangers: a flood of new names is bounded and gets no flood of answers") {
  Strangers strangers;
  const TimePoint start{100s};
  std::size_t answered = 0;
  for (std::size_t i = 0; i < 3 * limits::kStrangersMax; ++i) {
    answered += strangers.ask_to_greet("s" + std::to_string(i), start) ? 1U : 0U;
  }
  CHECK(answered == limits::kStrangersMax);
  CHECK(strangers.size() == limits::kStrangersMax);
  CHECK(strangers.ask_to_greet("later", start + 1s));
  CHECK(strangers.size() == limits::kStrangersMax);
}

constexpr TimePoint kWhenever = TimePoint::max();

TEST_CASE("writes: order within a node is kept over a reconnect") {
  WriteQueue queue;
  CHECK(queue.add(write(1, 1), "h", "a", kWhenever) == WriteQueue::Added::kQueued);
  CHECK(queue.add(write(1, 2), "h", "a", kWhenever) == WriteQueue::Added::kQueued);
  CHECK(queue.add(write(1, 3), "h", "b", kWhenever) == WriteQueue::Added::kQueued);
  const auto group = queue.take_group();
  REQUIRE(group.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(std::get<Write>(group[i].request).tx.counter == i + 1);
  }
  CHECK(queue.in_ledger() == 3);
  CHECK(queue.waiting() == 0);
  CHECK(queue.bytes() == 0);
  CHECK(queue.settle(group[2].ticket).peer == "b");
  CHECK(queue.add(write(1, 1), "h", "c", kWhenever) == WriteQueue::Added::kKnown);
  CHECK(queue.settle(group[0].ticket).peer == "c");
  CHECK(queue.settle(group[1].ticket).tx == TxId{node(1), 2});
  CHECK(queue.add(write(1, 1), "h", "c", kWhenever) == WriteQueue::Added::kQueued);
}

TEST_CASE("writes: what waits can be taken back, what is in the ledger not") {
  WriteQueue queue;
  (void)queue.add(write(1, 1), "h", "a", kWhenever);
  const auto group = queue.take_group();
  (void)queue.add(write(1, 2), "h", "a", kWhenever);
  (void)queue.add(write(2, 1), "h", "b", kWhenever);
  CHECK(queue.clear().size() == 2);
  CHECK(queue.waiting() == 0);
  CHECK(queue.bytes() == 0);
  CHECK(queue.in_ledger() == 1);
  CHECK(queue.take_group().empty());
}

}  // namespace csa::peer_test
