// A write is visible in another node's replica soon after it was acknowledged.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "common/sqlite.h"
#include "common/system_clock.h"
#include "tests/shown/measure.h"

namespace csa::shown_test::visible_test {
namespace {

using std::chrono::seconds;
using system_test::Place;
using system_test::Program;
using system_test::Ready;

constexpr std::size_t kWrites = 2000;

// Reads the highest id of the other node's replica whenever that node says that something changed,
// on a thread and a connection of its own.
class Watcher {
 public:
  explicit Watcher(const Place& place) : seen_(kWrites + 1) {
    ClientOptions options = place.client_options("reader.db");
    options.on_event = [this](const ClientEvent& event) {
      if (event.kind != ClientEvent::Kind::kChanged) return;
      const std::lock_guard lock(mutex_);
      changed_ = true;
      wake_.notify_one();
    };
    OpenedClient opened = Client::open(options);
    REQUIRE_MESSAGE(opened.client, opened.failure.text);
    client_ = std::move(opened.client);
    REQUIRE(client_->wait_for(ClientState::kLive, seconds{20}));
    thread_ = std::thread([this] { run(); });
  }
  ~Watcher() {
    stop();
    client_->leave();
  }
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  [[nodiscard]] bool has(std::size_t id) const { return highest_ >= id; }
  // When a write became visible. REQUIRES: stop() was called, has(id).
  [[nodiscard]] TimePoint seen(std::size_t id) const { return seen_[id]; }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
      wake_.notify_one();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run() {
    const Reader reader = client_->open_reader();
    CSA_CHECK(reader.db);
    sqlite3_stmt* raw = nullptr;
    CSA_CHECK(sqlite3_prepare_v2(reader.db.get(), "SELECT max(id) FROM item", -1, &raw, nullptr) ==
              SQLITE_OK);
    const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> highest(raw, sqlite3_finalize);
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return changed_ || stopped_; });
      if (stopped_) return;
      changed_ = false;
      lock.unlock();
      CSA_CHECK(sqlite3_step(highest.get()) == SQLITE_ROW);
      const auto id = static_cast<std::size_t>(sqlite3_column_int64(highest.get(), 0));
      sqlite3_reset(highest.get());
      const TimePoint now = monotonic_now();
      for (std::size_t i = highest_ + 1; i <= std::min(id, kWrites); ++i) seen_[i] = now;
      highest_ = std::max(id, highest_.load());
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  bool changed_ = false;  // guarded by mutex_, as stopped_
  bool stopped_ = false;
  std::atomic<std::size_t> highest_{0};
  std::vector<TimePoint> seen_;
  std::unique_ptr<Client> client_;
  std::thread thread_;
};

double ms_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

}  // namespace

TEST_CASE("shown: visible: a write is in another replica soon after its acknowledgement") {
  const Place place;
  place.create("CREATE TABLE item (id INTEGER PRIMARY KEY, qty INTEGER NOT NULL);");
  Ready ready;
  Program broker = place.serve(ready);
  const std::unique_ptr<Client> writer = place.client("writer.db");
  REQUIRE(writer->wait_for(ClientState::kLive, seconds{20}));
  Watcher watcher(place);
  std::vector<TimePoint> sent(kWrites + 1);
  std::vector<double> ack_ms;
  for (std::size_t id = 1; id <= kWrites; ++id) {
    sent[id] = monotonic_now();
    const WriteResult result = writer->exec("INSERT INTO item (id, qty) VALUES (?, ?)",
                                            {static_cast<std::int64_t>(id), std::int64_t{7}});
    ack_ms.push_back(ms_between(sent[id], monotonic_now()));
    REQUIRE_MESSAGE(result.status == WriteResult::Status::kCommitted, result.message);
  }
  REQUIRE(system_test::eventually([&] { return watcher.has(kWrites); }));
  watcher.stop();
  std::vector<double> visible_ms;
  std::vector<double> behind_ms;
  for (std::size_t id = 1; id <= kWrites; ++id) {
    visible_ms.push_back(ms_between(sent[id], watcher.seen(id)));
    behind_ms.push_back(visible_ms.back() - ack_ms[id - 1]);
  }
  const Figures ack = figures_of(ack_ms);
  const Figures visible = figures_of(visible_ms);
  show("visible: acknowledged (and in the writer's own replica) after " + to_string(ack));
  show("visible: in the other node's replica after               " + to_string(visible));
  show("visible: later than the acknowledgement by               " +
       to_string(figures_of(behind_ms)));
  CHECK(visible.p50 <= 1.5 * ack.p50 + 1);
  CHECK(visible.p99 <= 2 * ack.p99 + 10);
}

}  // namespace csa::shown_test::visible_test
