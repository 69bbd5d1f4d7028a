// Long runs: a node that stands still under load, and an hour of load with faults. For shorter
// ones: CSA_STILL_SECONDS, CSA_STEADY_SECONDS and CSA_FAULT_RATE (writes a second).
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "tests/faults/injected.h"
#include "tests/faults/pace.h"
#include "tests/faults/proxy.h"

namespace csa::fault_test::steady_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using system_test::kPatience;

// A table that stays as large as it is.
constexpr const char* kRing =
    "CREATE TABLE ring (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, body TEXT)";
constexpr const char* kTurn =
    "INSERT OR REPLACE INTO ring SELECT ?1 % 2000, ?1, hex(randomblob(100))";

milliseconds seconds_of_run(const char* name, double usual) {
  return milliseconds{std::lround(1000 * setting(name, usual))};
}

std::string decimals(double number) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << number;
  return text.str();
}

// Of a database, also where they are in the -wal alone yet.
std::size_t bytes_inside(const std::string& database) {
  return static_cast<std::size_t>(system_test::count_of(
      database, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"));
}

// What broker, node and their files hold.
struct Holdings {
  Held broker;
  Held node;
  std::size_t master = 0;
  std::size_t master_wal = 0;
  std::size_t replica = 0;
  std::size_t replica_wal = 0;
  std::size_t log = 0;
};

Holdings holdings_of(const Place& place, pid_t broker, pid_t node, const std::string& replica) {
  Holdings now;
  now.broker = held_by(broker);
  now.node = held_by(node);
  now.master = bytes_inside(place.master());
  now.master_wal = bytes_of(place.master() + "-wal");
  now.replica = bytes_inside(place.file(replica));
  now.replica_wal = bytes_of(place.file(replica) + "-wal");
  now.log = static_cast<std::size_t>(
      system_test::count_of(place.master(), "SELECT coalesce(sum(length(body)), 0) FROM csa_log"));
  return now;
}

std::string words_of(const Holdings& now) {
  const auto kib = [](std::size_t bytes) { return std::to_string(bytes / 1024) + " KiB"; };
  return "broker " + std::to_string(now.broker.memory_kib) + " KiB, " +
         std::to_string(now.broker.files) + " files; node " + std::to_string(now.node.memory_kib) +
         " KiB, " + std::to_string(now.node.files) + " files; master " + kib(now.master) +
         " (-wal " + kib(now.master_wal) + ", log " + kib(now.log) + "); replica " +
         kib(now.replica) + " (-wal " + kib(now.replica_wal) + ")";
}

// Nodes that share a rate. The broker syncs once for all writes that wait, so who does not wait for
// the answer to one before the next is not held up by the disk.
class Writers {
 public:
  static constexpr std::size_t kWriters = 4;
  Writers(const Place& place, double rate) {
    for (std::size_t i = 0; i < kWriters; ++i) {
      clients_.push_back(place.client("writer-" + std::to_string(i) + ".db"));
      REQUIRE(clients_.back()->wait_for(ClientState::kLive, kPatience));
    }
    for (const auto& client : clients_) {
      paces_.push_back(
          std::make_unique<Pace>(*client, kTurn, rate / static_cast<double>(kWriters)));
    }
  }
  void go_on(milliseconds duration) { paces_.front()->go_on(duration); }
  // Of all, in ascending order.
  [[nodiscard]] std::vector<double> take() {
    std::vector<double> all;
    for (const auto& pace : paces_) {
      const std::vector<double> took = pace->take();
      all.insert(all.end(), took.begin(), took.end());
    }
    std::sort(all.begin(), all.end());
    return all;
  }
  [[nodiscard]] std::size_t refused() const {
    std::size_t all = 0;
    for (const auto& pace : paces_) all += pace->refused();
    return all;
  }
  void stop() { paces_.clear(); }

 private:
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Pace>> paces_;
};

// Answers and the broker's memory over some time.
struct Watched {
  std::vector<double> ms;  // ascending
  std::vector<double> p99_each_second;
  std::size_t memory_kib = 0;  // at most
  // Of half the seconds it was worse: what else keeps the computer busy comes in bursts.
  [[nodiscard]] double usual_p99() const {
    std::vector<double> all = p99_each_second;
    std::sort(all.begin(), all.end());
    return percentile(all, 0.5);
  }
};

Watched watch(Writers& writers, pid_t broker, milliseconds duration) {
  Watched watched;
  const auto end = system_test::after(duration);
  while (!system_test::is_past(end)) {
    writers.go_on(seconds{1});
    const std::vector<double> took = writers.take();
    REQUIRE(!took.empty());
    watched.p99_each_second.push_back(percentile(took, 0.99));
    watched.ms.insert(watched.ms.end(), took.begin(), took.end());
    watched.memory_kib = std::max(watched.memory_kib, held_by(broker).memory_kib);
  }
  std::sort(watched.ms.begin(), watched.ms.end());
  return watched;
}

std::string figures(const Watched& watched) {
  return "p50 " + decimals(percentile(watched.ms, 0.5)) + " ms, p99 " +
         decimals(percentile(watched.ms, 0.99)) + " ms, of a usual second " +
         decimals(watched.usual_p99()) + " ms (" + std::to_string(watched.ms.size()) + " writes)";
}

// What shakes two nodes again and again while a third only follows.
class Shaking {
 public:
  Shaking(const Place& place, const Ready& ready)
      : place_(place), proxy_(ready), shaken_(place.live_node("shaken.db")) {
    cut_.emplace(proxy_.through(place_.node("cut.db", {"run"})));
    REQUIRE(cut_->line_with("state=live"));
  }
  void shake(Pace& pace) {
    if (faults_ % 3 == 0) {
      shaken_->kill();
      pace.go_on(seconds{2});
      shaken_.emplace(place_.node("shaken.db", {"run"}));
      REQUIRE(shaken_->line_with("state=live"));
    } else if (faults_ % 3 == 1) {
      shaken_->signal(SIGSTOP);
      pace.go_on(seconds{4});
      shaken_->signal(SIGCONT);
    } else {
      proxy_.cut();
      REQUIRE(cut_->line_with("state=live"));
    }
    ++faults_;
  }
  [[nodiscard]] int faults() const { return faults_; }

 private:
  const Place& place_;
  Proxy proxy_;
  std::optional<Program> shaken_;
  std::optional<Program> cut_;
  int faults_ = 0;
};

// Bytes that came in `passed`, as of an hour.
std::string growth(std::size_t from, std::size_t to, milliseconds passed) {
  const double kib = (static_cast<double>(to) - static_cast<double>(from)) / 1024;
  return decimals(kib * 3600000 / static_cast<double>(passed.count())) + " KiB/h";
}

// Ten of them.
std::string tenths(const std::vector<std::size_t>& all) {
  std::string text;
  for (std::size_t i = 1; i <= 10; ++i)
    text += " " + std::to_string(all.at(std::max<std::size_t>(all.size() * i / 10, 1) - 1));
  return text;
}

void check_steady(const Holdings& first, const Holdings& last) {
  constexpr std::size_t kMiB = 1024U * 1024;
  CHECK(last.broker.memory_kib <= first.broker.memory_kib + 6 * 1024);
  CHECK(last.node.memory_kib <= first.node.memory_kib + 6 * 1024);
  CHECK(last.broker.files <= first.broker.files + 4);
  CHECK(last.node.files <= first.node.files + 4);
  CHECK(last.master_wal < 128 * kMiB);
  CHECK(last.replica_wal < 128 * kMiB);
  CHECK(last.log <= 2 * kMiB);
  CHECK(last.master <= first.master + 2 * kMiB);
  CHECK(last.replica <= first.replica + 2 * kMiB);
}

}  // namespace

TEST_CASE("shown: fault: a node stands still for ten minutes at 500 writes a second") {
  const milliseconds stopped = seconds_of_run("CSA_STILL_SECONDS", 600);
  const double rate = setting("CSA_FAULT_RATE", 500);
  const Place place;
  place.create(kRing);
  Ready ready;
  const Program broker = place.serve(ready);
  const Program quiet = place.live_node("quiet.db");
  const Program frozen = place.live_node("frozen.db");
  Writers writers(place, rate);
  writers.go_on(std::min<milliseconds>(stopped / 4, seconds{15}));
  (void)writers.take();
  const Watched before = watch(writers, broker.pid(), std::max(stopped / 4, milliseconds{20000}));
  const double used = processor_ms(broker.pid());
  const double own = processor_ms(::getpid());
  frozen.signal(SIGSTOP);
  const Watched during = watch(writers, broker.pid(), stopped);
  frozen.signal(SIGCONT);
  const auto each = [&](pid_t program, double since) {
    return decimals((processor_ms(program) - since) / static_cast<double>(during.ms.size())) +
           " ms";
  };
  const double done =
      static_cast<double>(during.ms.size()) * 1000 / static_cast<double>(stopped.count());
  MESSAGE(std::to_string(static_cast<int>(rate))
          << " writes a second by " << Writers::kWriters << " nodes; before: " << figures(before)
          << "; a node stopped for " << stopped.count() / 1000 << " s: " << figures(during) << ", "
          << decimals(done) << " a second; broker at most " << before.memory_kib << " KiB before, "
          << during.memory_kib << " KiB then; processor's time of a write: broker "
          << each(broker.pid(), used) << ", " << Writers::kWriters << " writing nodes together "
          << each(::getpid(), own));
  CHECK(done > 0.95 * rate);
  CHECK(percentile(during.ms, 0.5) <= 1.5 * percentile(before.ms, 0.5));
  CHECK(during.usual_p99() <= 1.5 * before.usual_p99() + 2);
  CHECK(during.memory_kib < before.memory_kib + 64 * 1024);
  CHECK(writers.refused() == 0);
  writers.go_on(seconds{2});  // it catches up while others go on
  writers.stop();
  for (const std::string replica : {"quiet.db", "frozen.db", "writer-0.db", "writer-3.db"}) {
    CHECK(place.difference_of(replica, 3 * kPatience) == "");
  }
}

TEST_CASE("shown: fault: an hour at half load with faults leaves memory, files and logs steady") {
  const milliseconds duration = seconds_of_run("CSA_STEADY_SECONDS", 3600);
  const Place place;
  place.create(kRing);
  Ready ready;
  // Small enough to be full before the first look.
  const Program broker = place.serve(ready, {"--log-keep", "1MiB", "--listen", "127.0.0.1"});
  const Program steady = place.live_node("steady.db");
  Shaking shaking(place, ready);
  const std::unique_ptr<Client> writer = place.client("writer.db");
  REQUIRE(writer->wait_for(ClientState::kLive, kPatience));
  std::optional<Holdings> first;
  std::optional<Holdings> last;
  std::vector<std::size_t> memory;  // of the broker, after each fault
  auto first_at = system_test::after(milliseconds{0});
  const auto look = [&] { return holdings_of(place, broker.pid(), steady.pid(), "steady.db"); };
  {
    Pace pace(*writer, kTurn, setting("CSA_FAULT_RATE", 250));
    const auto warm = system_test::after(std::max<milliseconds>(duration / 4, seconds{15}));
    const auto end = system_test::after(duration);
    while (!system_test::is_past(end)) {
      shaking.shake(pace);
      pace.go_on(seconds{3});
      last = look();
      memory.push_back(last->broker.memory_kib);
      if (first || !system_test::is_past(warm)) continue;
      first = last;
      first_at = system_test::after(milliseconds{0});
    }
    CHECK(pace.refused() == 0);
  }
  REQUIRE(first);
  for (const char* const replica : {"steady.db", "shaken.db", "cut.db", "writer.db"}) {
    CHECK(place.difference_of(replica, 3 * kPatience) == "");
  }
  const auto passed =
      std::chrono::duration_cast<milliseconds>(system_test::after(milliseconds{0}) - first_at);
  MESSAGE(std::to_string(duration.count() / 1000)
          << " s, " << shaking.faults() << " faults\nafter a while: " << words_of(*first)
          << "\nat the end:    " << words_of(*last) << "\nbroker grows by "
          << growth(1024 * first->broker.memory_kib, 1024 * last->broker.memory_kib, passed)
          << ", node by "
          << growth(1024 * first->node.memory_kib, 1024 * last->node.memory_kib, passed)
          << ", master by " << growth(first->master, last->master, passed) << ", replica by "
          << growth(first->replica, last->replica, passed)
          << "\nbroker's KiB on the way:" << tenths(memory));
  check_steady(*first, *last);
}

}  // namespace csa::fault_test::steady_test
