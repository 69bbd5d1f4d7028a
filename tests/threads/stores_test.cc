// The broker's stores behind a Hub, without sockets, while one of their threads is held up: what
// the Hub may give meanwhile finds room.
#include <doctest/doctest.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <string>

#include "broker/server_stores.h"
#include "common/host.h"
#include "common/random.h"
#include "common/system_clock.h"
#include "tests/support/ledger_bench.h"
#include "tests/threads/served.h"
#include "tests/unit/hub_bench.h"

namespace csa::threads_test::stores_test {
namespace {

// Holds up who comes by, while it is closed.
class Gate {
 public:
  void pass() {
    if (!closed_) return;
    reached_ = true;
    const std::lock_guard<std::mutex> wait(mutex_);
  }
  void close() {
    mutex_.lock();
    reached_ = false;
    closed_ = true;
  }
  void open() {
    closed_ = false;
    mutex_.unlock();
  }
  [[nodiscard]] bool reached() const { return reached_; }

 private:
  std::mutex mutex_;
  std::atomic<bool> closed_{false};
  std::atomic<bool> reached_{false};
};

// What every connection that is opened meanwhile comes by when it reads a layout; only the archive
// for quick answers does.
class LayoutGate : public Gate {
 public:
  LayoutGate() {
    the_gate = this;
    sqlite3_auto_extension(reinterpret_cast<void (*)()>(&watch));
  }
  ~LayoutGate() { sqlite3_cancel_auto_extension(reinterpret_cast<void (*)()>(&watch)); }
  LayoutGate(const LayoutGate&) = delete;
  LayoutGate& operator=(const LayoutGate&) = delete;

 private:
  static int watch(sqlite3* db, char** /*error*/, const sqlite3_api_routines* /*api*/) {
    return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, &begun, the_gate);
  }
  static int begun(unsigned /*kind*/, void* gate, void* /*statement*/, void* sql) {
    if (std::strstr(static_cast<const char*>(sql), "FROM csa_layout") != nullptr) {
      static_cast<LayoutGate*>(gate)->pass();
    }
    return 0;
  }
  static inline LayoutGate* the_gate = nullptr;
};

struct Bench {
  Bench() {
    ledger.ledger.reset();
    LedgerOptions options = ledger.options;
    options.monotonic_now = [] { return monotonic_now(); };
    options.local_now = [this] {
      clock.pass();
      return local_now(boot_hash());
    };
    stores = std::make_unique<Stores>(ledger.path, options, log);
    hub = std::make_unique<Hub>(hub_bench::config(), stores->master(), WallTime{1}, log);
  }
  void say(const PeerKey& from, Message message) {
    hub->on_message(from, std::move(message), Origin{"10.0.0.7", false}, monotonic_now());
    turn();
  }
  void turn() {
    stores->answer_all(*hub, monotonic_now());
    for (HubAction& action : hub->take_outbox()) {
      if (const auto* const send = std::get_if<SendTo>(&action)) {
        if (std::holds_alternative<Ack>(send->message)) ++acks;
        if (std::holds_alternative<SnapshotChunk>(send->message)) ++offers;
      } else if (!std::holds_alternative<Publish>(action)) {
        stores->give(std::move(action));
      }
    }
  }
  [[nodiscard]] bool soon(const std::function<bool()>& condition) {
    return eventually([&] {
      turn();
      return condition();
    });
  }

  test::LedgerBench ledger{"CREATE TABLE t (id INTEGER PRIMARY KEY, v)"};
  Gate clock;         // the ledger's thread comes by
  LayoutGate layout;  // the archive's, before it is opened
  Log log;
  std::unique_ptr<Stores> stores;
  std::unique_ptr<Hub> hub;
  int acks = 0;
  int offers = 0;
};

Write insert(std::uint8_t n, std::uint64_t counter) {
  return hub_bench::write(n, counter, "INSERT INTO t (v) VALUES (1)");
}

}  // namespace

TEST_CASE("stores: a flood of confirmations while the ledger is held up, writes are answered") {
  Bench bench;
  bench.say("a", hub_bench::hello(1));
  bench.say("b", hub_bench::hello(2));
  bench.say("a", insert(1, 1000000));
  REQUIRE(bench.soon([&] { return bench.acks == 1; }));
  bench.clock.close();
  const bool held = bench.soon([&] { return bench.clock.reached(); });  // at its housekeeping
  Ping ping;
  for (ping.confirmed = 1; ping.confirmed <= 2 * limits::kPeersMax; ++ping.confirmed) {
    bench.say("a", ping);
  }
  bench.say("b", insert(2, 1));
  bench.clock.open();
  REQUIRE(held);
  CHECK(bench.soon([&] { return bench.acks == 2; }));
  bench.say("b", insert(2, 2));
  CHECK(bench.soon([&] { return bench.acks == 3; }));
  CHECK_FALSE(bench.stores->fatal());
}

TEST_CASE("stores: readers have all their jobs out and copies are dropped, a copy is handed out") {
  Bench bench;
  bench.say("a", hub_bench::hello(1));
  bench.layout.close();
  bench.say("a", LayoutGet{1});
  const bool held = bench.soon([&] { return bench.layout.reached(); });
  // As many as jobs of readers and copies: the answers of these nobody waits for.
  constexpr std::size_t kOut = limits::kReaderJobsMax - 1 + limits::kSnapshotsMax;
  for (std::size_t i = 0; i < kOut; ++i) bench.stores->give(DropJob{random_id()});
  bench.say("a", SnapshotGet{});
  for (int i = 0; i < 20; ++i) breathe();
  bench.layout.open();
  REQUIRE(held);
  CHECK(bench.soon([&] { return bench.offers == 1; }));
  CHECK_FALSE(bench.stores->fatal());
}

TEST_CASE("stores: a job finds no room, the broker ends and says so") {
  Bench bench;
  bench.clock.close();
  const bool held = bench.soon([&] { return bench.clock.reached(); });
  for (std::size_t i = 0; i < 2 * limits::kPeersMax; ++i) bench.stores->give(CommitJob{});
  bench.clock.open();
  REQUIRE(held);
  REQUIRE(bench.stores->fatal().has_value());
  CHECK(bench.stores->fatal()->what.find("Start csa-broker again") != std::string::npos);
}

}  // namespace csa::threads_test::stores_test
