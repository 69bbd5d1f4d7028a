// kill -9 of broker and nodes at the N-th call of the system, under load: what was answered is
// there once, and every copy is equal.
#include <doctest/doctest.h>

#include <array>

#include "common/sqlite.h"
#include "tests/faults/injected.h"
#include "tests/system/load.h"

namespace csa::fault_test::kill_test {
namespace {

using system_test::eventually;
using system_test::kLoadSchema;
using system_test::kPatience;
using system_test::Load;
using system_test::milliseconds;

// From where calls are counted.
enum class From : std::uint8_t { kStart, kLoad };

struct Plan {
  std::vector<std::string> calls{"fdatasync", "pwrite64", "sendto"};
  std::vector<From> froms{From::kStart, From::kLoad};
  std::vector<int> numbers;
  [[nodiscard]] std::size_t each() const { return froms.size() * numbers.size(); }
};

// Two writing nodes, whose broker is killed again and again.
class Writers {
 public:
  Writers() {
    place_.create(kLoadSchema);
    Program first = place_.serve(ready_);
    for (const char* const replica : {"one.db", "two.db"}) {
      clients_.push_back(place_.client(replica));
      REQUIRE(clients_.back()->wait_for(ClientState::kLive, kPatience));
    }
  }
  // False: the broker has never come so far. Online writes up to the kill, offline ones after it
  // and before the next start, which the way back meets. kStart: calls of the start and of the way
  // back are counted too.
  bool kill_broker(const std::string& rule, From from) {
    CAPTURE(rule);
    Load load({clients_[0].get(), clients_[1].get()}, first_);
    first_ += 2;
    REQUIRE(eventually([&] { return load.journaled() > 5; }));
    bool killed = false;
    if (from == From::kStart) {
      Program broker(injected_broker(place_, ready_, rule));
      killed = broker.exit_code(milliseconds{10000}) == kKilled;
    } else {
      Program broker = place_.serve(ready_);
      REQUIRE(load.wait_for_more(10));
      const Program tracer = attach(broker, rule);
      killed = broker.exit_code(milliseconds{10000}) == kKilled;
    }
    const std::size_t before = load.journaled();
    REQUIRE(eventually([&] { return load.journaled() > before + 5; }));
    const Program back = place_.serve(ready_);
    load.stop();
    for (const auto& client : clients_) REQUIRE(is_calm(*client));
    load.check_account(place_);
    check_copies(place_, {"one.db", "two.db"});
    committed_ += load.committed();
    journaled_ += load.journaled();
    return killed;
  }
  [[nodiscard]] std::string summary() const {
    return std::to_string(committed_) + " writes committed, " + std::to_string(journaled_) +
           " journaled";
  }

 private:
  Place place_;
  Ready ready_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::int64_t first_ = 0;
  std::size_t committed_ = 0;
  std::size_t journaled_ = 0;
};

void kill_broker_at_calls(const Plan& plan) {
  if (!can_inject()) return;
  for (const std::string& call : plan.calls) {
    Writers writers;
    std::size_t kills = 0;
    for (const int n : plan.numbers) {
      for (const From from : plan.froms) {
        if (writers.kill_broker(kill_at(call, n), from)) ++kills;
      }
    }
    CHECK_MESSAGE(kills == plan.each(), call);
    MESSAGE("broker killed " << kills << " times at " << call << ", " << writers.summary());
  }
}

// What csa-node shell answered to writes of one number each.
class Typed {
 public:
  Typed(const Place& place, int writer, const Words& arguments, const std::string& rule, From from)
      : writer_(writer) {
    Words words = {"shell", "--json"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    Launch shell = place.node("till.db", words);
    const std::string begin =
        "INSERT INTO entry (writer, number, body) VALUES (" + std::to_string(writer) + ", ";
    for (int i = 0; i < kTyped; ++i) {
      shell.input += begin + std::to_string(i) + ", zeroblob(2000));\n";
    }
    Program typing(from == From::kStart ? injected(shell, rule) : shell);
    std::optional<Program> tracer;
    for (int i = 0; from == From::kLoad && i < 20; ++i) {
      if (const auto line = typing.line()) answers_.push_back(*line);
    }
    if (from == From::kLoad) tracer.emplace(attach(typing, rule));
    while (const std::optional<std::string> line = typing.line(3 * kPatience)) {
      answers_.push_back(*line);
    }
    killed_ = typing.exit_code() == kKilled;
  }
  [[nodiscard]] bool killed() const { return killed_; }
  [[nodiscard]] std::size_t answered() const { return answers_.size(); }
  void check(const Database& master) const {
    Statement rows =
        master.prepare("SELECT number, count(*) FROM entry WHERE writer = ? GROUP BY number");
    rows.bind(1, std::int64_t{writer_});
    std::map<std::int64_t, std::int64_t> times;
    while (rows.step()) times[rows.column_int(0)] = rows.column_int(1);
    for (const auto& [number, count] : times) CHECK(count == 1);
    for (std::size_t i = 0; i < answers_.size(); ++i) {
      const std::string& answer = answers_[i];
      const bool kept = answer.find("\"committed\"") != std::string::npos ||
                        answer.find("\"journaled\"") != std::string::npos;
      CAPTURE(writer_);
      CAPTURE(i);
      CHECK_MESSAGE(kept, answer);
      CHECK_MESSAGE(times.contains(static_cast<std::int64_t>(i)), answer);
    }
  }

 private:
  static constexpr int kTyped = 150;
  int writer_;
  std::vector<std::string> answers_;
  bool killed_ = false;
};

// A node that is killed: as it writes online, as it writes offline, on its way back.
class Till {
 public:
  Till() {
    place_.create(kLoadSchema);
    broker_.emplace(place_.serve(ready_));
    other_ = place_.client("other.db");
    REQUIRE(other_->wait_for(ClientState::kLive, kPatience));
  }
  std::array<bool, 3> kill(const std::string& rule, From from) {
    CAPTURE(rule);
    const Typed online(place_, writer_++, {}, rule, from);
    broker_->kill();
    broker_.reset();
    const Typed offline(place_, writer_++, {"--discovery-timeout", "100ms"}, rule, from);
    broker_.emplace(place_.serve(ready_));
    bool killed = false;
    {
      Program back(injected(place_.node("till.db", {"run"}), rule));
      if (back.line_with("state=live")) back.signal(SIGTERM);
      killed = back.exit_code() == kKilled;
    }
    {
      Program calm = place_.live_node("till.db");
      REQUIRE(is_calm(*other_));
      check_copies(place_, {"till.db", "other.db"});
      calm.signal(SIGTERM);
      CHECK(calm.exit_code() == 0);
    }
    const Database master(place_.master(), Database::Mode::kReadOnly);
    online.check(master);
    offline.check(master);
    answered_ += online.answered() + offline.answered();
    return {online.killed(), offline.killed(), killed};
  }
  [[nodiscard]] std::size_t answered() const { return answered_; }

 private:
  Place place_;
  Ready ready_;
  std::optional<Program> broker_;
  std::unique_ptr<Client> other_;
  int writer_ = 1;
  std::size_t answered_ = 0;
};

void kill_node_at_calls(const Plan& plan) {
  if (!can_inject()) return;
  for (const std::string& call : plan.calls) {
    Till till;
    std::array<std::size_t, 3> kills{};
    for (const int n : plan.numbers) {
      for (const From from : plan.froms) {
        const std::array<bool, 3> killed = till.kill(kill_at(call, n), from);
        for (std::size_t i = 0; i < 3; ++i) kills.at(i) += std::size_t{killed.at(i)};
      }
    }
    // Online a node syncs for checkpoints alone, and offline it sends to nobody but those whom it
    // looks for.
    CHECK_MESSAGE(kills[call == "fdatasync" ? 1 : 0] == plan.each(), call);
    MESSAGE("node killed at " << call << ": " << kills[0] << " times online, " << kills[1]
                              << " offline, " << kills[2] << " on its way back; " << till.answered()
                              << " writes answered");
  }
}

std::vector<int> up_to(int last) {
  std::vector<int> all;
  for (int n = 1; n <= last; ++n) all.push_back(n);
  return all;
}

}  // namespace

TEST_CASE("fault: broker killed at a sync, a write and a send, nothing answered is lost") {
  kill_broker_at_calls({.froms = {From::kLoad}, .numbers = {7}});
}

TEST_CASE("fault: node killed at a write, nothing answered is lost") {
  kill_node_at_calls({.calls = {"pwrite64"}, .froms = {From::kLoad}, .numbers = {5}});
}

TEST_CASE("shown: fault: broker killed at the N-th fdatasync, pwrite64, sendto, N = 1..20") {
  kill_broker_at_calls({.numbers = up_to(20)});
}

TEST_CASE("shown: fault: node killed at the N-th fdatasync, pwrite64, sendto, N = 1..20") {
  kill_node_at_calls({.numbers = up_to(20)});
}

TEST_CASE("long: fault: broker and node killed at later calls") {
  const Plan later{.calls = {"pwrite64", "sendto"}, .numbers = {30, 60, 100}};
  kill_broker_at_calls(later);
  kill_node_at_calls(later);
}

}  // namespace csa::fault_test::kill_test
