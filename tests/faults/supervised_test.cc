// A broker that a supervisor starts again, as its systemd unit has it: whatever ended it, all that
// was acknowledged is there once, and its nodes do not come back in one instant.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <mutex>
#include <sstream>

#include "common/system_clock.h"
#include "tests/faults/injected.h"
#include "tests/system/load.h"

namespace csa::fault_test::supervised_test {
namespace {

using std::chrono::milliseconds;
using system_test::eventually;
using system_test::kLoadSchema;
using system_test::kPatience;
using system_test::Load;

// The exit codes after which the unit does not start it again.
std::vector<int> final_codes() {
  std::ifstream unit(CSA_SOURCE_DIR "/broker/csa-broker.service.in");
  const std::string key = "RestartPreventExitStatus=";
  std::vector<int> codes;
  for (std::string line; std::getline(unit, line);) {
    if (line.rfind(key, 0) != 0) continue;
    std::istringstream numbers(line.substr(key.size()));
    for (int code = 0; numbers >> code;) codes.push_back(code);
  }
  return codes;
}

class Supervised {
 public:
  explicit Supervised(const Place& place) : place_(place), broker_(place.serve(ready_)) {}
  [[nodiscard]] Program& broker() { return *broker_; }
  // Waits for its end, and starts it again where the unit would; how it ended.
  int start_again() {
    const std::optional<int> code = broker_->exit_code();
    REQUIRE(code);
    const std::vector<int> final = final_codes();
    REQUIRE(!final.empty());
    REQUIRE_MESSAGE(std::count(final.begin(), final.end(), *code) == 0, broker_->errors());
    broker_.reset();
    broker_.emplace(place_.serve(ready_));
    return *code;
  }

 private:
  const Place& place_;
  Ready ready_;
  std::optional<Program> broker_;
};

// When the nodes of a place became live.
class Arrivals {
 public:
  void note() {
    const std::lock_guard lock(mutex_);
    times_.push_back(monotonic_now());
  }
  void forget() {
    const std::lock_guard lock(mutex_);
    times_.clear();
  }
  [[nodiscard]] std::vector<double> milliseconds_since_first() const {
    const std::lock_guard lock(mutex_);
    std::vector<double> all;
    for (const TimePoint time : times_) {
      all.push_back(std::chrono::duration<double, std::milli>(time - times_.front()).count());
    }
    std::sort(all.begin(), all.end());
    return all;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<TimePoint> times_;
};

}  // namespace

TEST_CASE("fault: broker aborts under load three times, 20 nodes come back, not in one instant") {
  const Place place;
  place.create(kLoadSchema);
  Supervised supervised(place);
  Arrivals arrivals;
  std::vector<std::unique_ptr<Client>> nodes;
  for (int i = 0; i < 20; ++i) {
    ClientOptions options = place.client_options("node-" + std::to_string(i) + ".db");
    options.on_event = [&](const ClientEvent& event) {
      if (event.kind == ClientEvent::Kind::kState && event.state == ClientState::kLive) {
        arrivals.note();
      }
    };
    OpenedClient opened = Client::open(std::move(options));
    REQUIRE_MESSAGE(opened.client, opened.failure.text);
    nodes.push_back(std::move(opened.client));
  }
  for (const auto& node : nodes) REQUIRE(node->wait_for(ClientState::kLive, kPatience));
  Load load({nodes[0].get(), nodes[1].get()});
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    REQUIRE(load.wait_for_more(20));
    arrivals.forget();
    supervised.broker().signal(SIGABRT);
    CHECK(supervised.start_again() == 128 + SIGABRT);
    REQUIRE(eventually([&] { return arrivals.milliseconds_since_first().size() >= 20; }));
    const std::vector<double> times = arrivals.milliseconds_since_first();
    std::ostringstream text;
    for (const double time : times) text << " " << static_cast<int>(time);
    MESSAGE("live again, in ms after the first:" << text.str());
    CHECK(times[19] - times[0] > 50);
    CHECK(times[14] - times[4] > 20);
  }
  load.stop();
  std::vector<std::string> replicas;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    REQUIRE(is_calm(*nodes[i]));
    replicas.push_back("node-" + std::to_string(i) + ".db");
  }
  load.check_account(place);
  check_copies(place, replicas);
}

TEST_CASE("fault: no memory is left to the broker under load, it refuses or is started again") {
  const Place place;
  place.create(kLoadSchema);
  Supervised supervised(place);
  const std::unique_ptr<Client> one = place.client("one.db");
  const std::unique_ptr<Client> two = place.client("two.db");
  REQUIRE(one->wait_for(ClientState::kLive, kPatience));
  REQUIRE(two->wait_for(ClientState::kLive, kPatience));
  Load load({one.get(), two.get()});
  int refused = 0;
  int ended = 0;
  for (int round = 0; round < 4; ++round) {
    CAPTURE(round);
    REQUIRE(load.wait_for_more(20));
    // What it has, and some rounds more or less.
    std::ifstream status("/proc/" + std::to_string(supervised.broker().pid()) + "/statm");
    rlim_t pages = 0;
    status >> pages;
    REQUIRE(pages > 0);
    rlimit limit{pages * 4096 + static_cast<rlim_t>(round) * 4 * 1024 * 1024, RLIM_INFINITY};
    REQUIRE(::prlimit(supervised.broker().pid(), RLIMIT_AS, &limit, nullptr) == 0);
    for (int i = 0; i < 3 && !supervised.broker().exit_code(milliseconds{0}); ++i) {
      const WriteResult big = two->exec(
          "INSERT INTO entry (writer, number, body) VALUES (99, 0, hex(randomblob(20000000)))");
      if (big.status == WriteResult::Status::kRejected) ++refused;
    }
    if (supervised.broker().exit_code(milliseconds{0})) {
      ++ended;
    } else {
      supervised.broker().signal(SIGKILL);
    }
    (void)supervised.start_again();
    REQUIRE(is_calm(*two));
  }
  CHECK(refused + ended > 0);
  load.stop();
  REQUIRE(is_calm(*one));
  load.check_account(place);
  check_copies(place, {"one.db", "two.db"});
  MESSAGE("without memory: " << refused << " writes refused, the broker ended " << ended
                             << " times; " << load.summary());
}

}  // namespace csa::fault_test::supervised_test
