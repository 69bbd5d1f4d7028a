// Long runs: a node that stands still under load, and an hour of load with faults. For shorter and
// longer ones: CSA_STILL_SECONDS, CSA_STEADY_SECONDS and CSA_FAULT_RATE (writes a second).
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "tests/faults/holdings.h"
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
    "CREATE TABLE ring (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, body TEXT);"
    "CREATE TABLE away (n INTEGER PRIMARY KEY)";
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

// Answers, and what the broker holds, over some time.
struct Watched {
  std::vector<double> ms;  // ascending
  std::vector<double> p99_each_second;
  std::size_t memory_kib = 0;  // this and the following: at most
  std::size_t files = 0;
  std::size_t wal = 0;
  std::size_t log = 0;
  // Of half the seconds it was worse: what else keeps the computer busy comes in bursts.
  [[nodiscard]] double usual_p99() const { return p99_of(0.5); }
  // Of one second in ten it was worse.
  [[nodiscard]] double bad_p99() const { return p99_of(0.9); }

 private:
  [[nodiscard]] double p99_of(double share) const {
    std::vector<double> all = p99_each_second;
    std::sort(all.begin(), all.end());
    return percentile(all, share);
  }
};

Watched watch(Writers& writers, const Place& place, pid_t broker, milliseconds duration) {
  Watched watched;
  const auto look = [&] {
    const Holdings now = holdings_of(place, "quiet.db", {{"broker", broker}});
    watched.files = std::max(watched.files, now.programs.at("broker").files);
    watched.wal = std::max(watched.wal, now.master_wal);
    watched.log = std::max(watched.log, now.log);
  };
  const auto end = system_test::after(duration);
  while (!system_test::is_past(end)) {
    writers.go_on(seconds{1});
    const std::vector<double> took = writers.take();
    REQUIRE(!took.empty());
    watched.p99_each_second.push_back(percentile(took, 0.99));
    watched.ms.insert(watched.ms.end(), took.begin(), took.end());
    watched.memory_kib = std::max(watched.memory_kib, held_by(broker).memory_kib);
    if (watched.p99_each_second.size() % 5 == 0) look();
  }
  std::sort(watched.ms.begin(), watched.ms.end());
  return watched;
}

std::string held_words(const Watched& watched) {
  return std::to_string(watched.memory_kib) + " KiB, " + std::to_string(watched.files) +
         " files, -wal " + std::to_string(watched.wal / 1024) + " KiB, log " +
         std::to_string(watched.log / 1024) + " KiB";
}

// Whatever the stopped node does not take.
void check_held(const Watched& watched, const Watched& before) {
  constexpr std::size_t kMiB = 1024U * 1024;
  CHECK(watched.memory_kib < std::min<std::size_t>(before.memory_kib + 16 * 1024, 64 * 1024));
  CHECK(watched.files <= before.files + 4);
  CHECK(watched.wal <= 80 * kMiB);
  CHECK(watched.log <= 2 * 4 * kMiB);  // twice what --log-keep says
}

std::string figures(const Watched& watched) {
  return "p50 " + decimals(percentile(watched.ms, 0.5)) + " ms, p99 " +
         decimals(percentile(watched.ms, 0.99)) + " ms, of a usual second " +
         decimals(watched.usual_p99()) + " ms, of a bad one in ten " + decimals(watched.bad_p99()) +
         " ms (" + std::to_string(watched.ms.size()) + " writes)";
}

// What shakes the broker and two nodes again and again while a third only follows. One of them is
// killed and writes alone, while the network is away, the other is cut off.
class Shaking {
 public:
  Shaking(const Place& place, const Ready& ready, const Program& broker)
      : place_(place), ready_(ready), broker_(broker), proxy_(std::in_place, ready_) {
    start_shaken();
    cut_.emplace(proxy_->through(place_.node("cut.db", {"run"})));
    REQUIRE(cut_->line_with("state=live"));
  }
  void shake(Pace& pace) {
    if (faults_ % 4 == 0) {
      shaken_->kill();
      write_alone();
      pace.go_on(seconds{2});
      start_shaken();
      REQUIRE(cut_->line_with("state=live"));
    } else if (faults_ % 4 == 1) {
      shaken_->signal(SIGSTOP);
      pace.go_on(seconds{4});
      shaken_->signal(SIGCONT);
    } else if (faults_ % 4 == 2) {
      // Not so long that nodes would leave it.
      broker_.signal(SIGSTOP);
      pace.go_on(seconds{1});
      broker_.signal(SIGCONT);
    } else {
      const std::size_t before = proxy_->accepted();
      proxy_->cut();
      REQUIRE(cut_->line_with("state=live"));
      CHECK(proxy_->accepted() > before);
    }
    ++faults_;
  }
  [[nodiscard]] int faults() const { return faults_; }
  // Writes that were answered journaled.
  [[nodiscard]] int alone() const { return alone_; }
  [[nodiscard]] pid_t cut_node() const { return cut_->pid(); }

 private:
  void start_shaken() {
    shaken_.emplace(proxy_->through(place_.node("shaken.db", {"run"})));
    REQUIRE(shaken_->line_with("state=live"));
  }
  void write_alone() {
    std::vector<Launch> writes;
    for (int i = 0; i < 3; ++i) {
      const std::string sql = "INSERT INTO away VALUES (" + std::to_string(alone_++) + ")";
      writes.push_back(proxy_->through(
          place_.node("shaken.db", {"exec", "--json", "--discovery-timeout", "100ms", sql})));
    }
    proxy_.reset();
    for (const Launch& write : writes) {
      const system_test::Finished done = system_test::run(write);
      CHECK_MESSAGE(done.out.find("\"journaled\"") != std::string::npos, done.out << done.err);
    }
    proxy_.emplace(ready_);
  }

  const Place& place_;
  const Ready& ready_;
  const Program& broker_;
  std::optional<Proxy> proxy_;
  std::optional<Program> shaken_;
  std::optional<Program> cut_;
  int faults_ = 0;
  int alone_ = 0;
};

// Of the broker, ten of them.
std::string tenths(const std::vector<Holdings>& all) {
  std::string text;
  for (std::size_t i = 1; i <= 10; ++i) {
    const Holdings& look = all.at(std::max<std::size_t>(all.size() * i / 10, 1) - 1);
    text += " " + std::to_string(look.programs.at("broker").memory_kib);
  }
  return text;
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(system_test::after(milliseconds{0}) - begin).count();
}

}  // namespace

TEST_CASE("shown: fault: a node stands still for ten minutes at 500 writes a second") {
  const milliseconds stopped = seconds_of_run("CSA_STILL_SECONDS", 600);
  const double rate = setting("CSA_FAULT_RATE", 500);
  const Place place;
  place.create(kRing);
  Ready ready;
  const Program broker = place.serve(ready, {"--log-keep", "4MiB"});
  const Program quiet = place.live_node("quiet.db");
  const Program frozen = place.live_node("frozen.db");
  Writers writers(place, rate);
  writers.go_on(std::min<milliseconds>(stopped / 4, seconds{15}));
  (void)writers.take();
  const Watched before = watch(writers, place, broker.pid(),
                               std::clamp<milliseconds>(stopped / 4, seconds{20}, seconds{150}));
  const double used = processor_ms(broker.pid());
  const double own = processor_ms(::getpid());
  frozen.signal(SIGSTOP);
  const Watched during = watch(writers, place, broker.pid(), stopped);
  const double used_then = processor_ms(broker.pid());
  const double own_then = processor_ms(::getpid());
  frozen.signal(SIGCONT);
  // It catches up while others go on.
  const Watched after = watch(writers, place, broker.pid(), seconds{10});
  const auto each = [&](double since, double until) {
    return decimals((until - since) / static_cast<double>(during.ms.size())) + " ms";
  };
  const double done =
      static_cast<double>(during.ms.size()) * 1000 / static_cast<double>(stopped.count());
  MESSAGE(std::to_string(static_cast<int>(rate))
          << " writes a second by " << Writers::kWriters << " nodes\nbefore: " << figures(before)
          << "\na node stopped for " << stopped.count() / 1000 << " s: " << figures(during) << ", "
          << decimals(done) << " a second\nas it comes back: " << figures(after)
          << "\nbroker at most " << held_words(before) << " before, " << held_words(during)
          << " then, " << held_words(after) << " as it comes back; processor's time of a "
          << "write: broker " << each(used, used_then) << ", " << Writers::kWriters
          << " writing nodes together " << each(own, own_then));
  CHECK(done > 0.95 * rate);
  CHECK(percentile(during.ms, 0.5) <= 1.5 * percentile(before.ms, 0.5));
  CHECK(percentile(during.ms, 0.99) <= 1.5 * percentile(before.ms, 0.99));
  CHECK(during.usual_p99() <= 1.5 * before.usual_p99() + 2);
  CHECK(during.bad_p99() <= 2 * before.bad_p99() + 20);
  CHECK(after.usual_p99() <= 2 * before.usual_p99() + 20);
  check_held(during, before);
  check_held(after, before);
  CHECK(writers.refused() == 0);
  writers.stop();
  std::vector<std::string> replicas{"quiet.db", "frozen.db"};
  for (std::size_t i = 0; i < Writers::kWriters; ++i) {
    replicas.push_back("writer-" + std::to_string(i) + ".db");
  }
  for (const std::string& replica : replicas) {
    CAPTURE(replica);
    CHECK(place.difference_of(replica, 3 * kPatience) == "");
  }
}

TEST_CASE("shown: fault: an hour at half load with faults leaves memory, files and logs steady") {
  const milliseconds duration = seconds_of_run("CSA_STEADY_SECONDS", 3600);
  const double rate = setting("CSA_FAULT_RATE", 250);
  const Place place;
  place.create(kRing);
  Ready ready;
  // Small enough to be full before the first look.
  const Program broker = place.serve(ready, {"--log-keep", "1MiB", "--listen", "127.0.0.1"});
  const Program steady = place.live_node("steady.db");
  Shaking shaking(place, ready, broker);
  const std::unique_ptr<Client> writer = place.client("writer.db");
  REQUIRE(writer->wait_for(ClientState::kLive, kPatience));
  std::vector<Holdings> looks;  // after each fault, once the beginning is over
  std::size_t answers = 0;
  double lasted = 0;  // seconds of load
  {
    const auto begin = system_test::after(milliseconds{0});
    Pace pace(*writer, kTurn, rate);
    const auto warm = system_test::after(std::max<milliseconds>(duration / 4, seconds{15}));
    const auto end = system_test::after(duration);
    while (!system_test::is_past(end)) {
      shaking.shake(pace);
      pace.go_on(seconds{3});
      const std::size_t so_many = pace.take().size();
      CHECK(so_many > 0);
      answers += so_many;
      if (!system_test::is_past(warm)) continue;
      looks.push_back(holdings_of(place, "steady.db",
                                  {{"broker", broker.pid()},
                                   {"node", steady.pid()},
                                   {"node that is cut off", shaking.cut_node()}}));
    }
    lasted = seconds_since(begin);
    CHECK(pace.refused() == 0);
  }
  REQUIRE(looks.size() >= 3);
  for (const char* const replica : {"steady.db", "shaken.db", "cut.db", "writer.db"}) {
    CAPTURE(replica);
    CHECK(place.difference_of(replica, 3 * kPatience) == "");
  }
  CHECK(system_test::count_of(place.master(), "SELECT count(*) FROM away") == shaking.alone());
  CHECK(system_test::count_of(place.master(), "SELECT count(*) FROM csa_inbox") == 0);
  const auto third = static_cast<std::ptrdiff_t>(looks.size() / 3);
  const Holdings first = most_of({looks.begin(), looks.begin() + third});
  const Holdings last = most_of({looks.end() - third, looks.end()});
  const double reached = static_cast<double>(answers) / lasted;
  MESSAGE(decimals(lasted) << " s, " << shaking.faults() << " faults, " << answers << " answers, "
                           << decimals(reached) << " a second; " << shaking.alone()
                           << " writes of a node cut off\nat most, in the first third: "
                           << words_of(first) << "\nin the last third: " << words_of(last)
                           << "\nbroker's KiB on the way:" << tenths(looks));
  CHECK(reached > 0.95 * rate);
  check_steady(first, last);
}

}  // namespace csa::fault_test::steady_test
