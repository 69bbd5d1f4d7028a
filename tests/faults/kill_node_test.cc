// kill -9 of nodes at the N-th call of the system, as they write online, offline and on their way
// back, and power cuts there: what was answered is there once, and every copy is equal.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "common/sqlite.h"
#include "tests/faults/injected.h"
#include "tests/faults/kill_plan.h"
#include "tests/faults/power.h"
#include "tests/system/load.h"

namespace csa::fault_test::kill_node_test {
namespace {

using system_test::eventually;
using system_test::kLoadSchema;
using system_test::kPatience;
using system_test::milliseconds;

// At its end, or by the kill.
bool was_killed(std::optional<int> code) {
  CHECK((code == 0 || code == kKilled));
  return code == kKilled;
}

const std::string kOnline = "online";
const std::string kOffline = "offline";
const std::string kBack = "on its way back";

// Of each offline change, so that handing all over takes many sends: libzmq joins what waits, and
// zstd has nothing to take away.
constexpr const char* kManySends = "randomblob(20000)";

// What csa-node shell answered to writes of one number each.
class Typed {
 public:
  Typed(const Place& place, int writer, const Words& arguments, const std::string& rule, From from,
        const std::string& body = "zeroblob(2000)")
      : writer_(writer) {
    Words words = {"shell", "--json"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    Launch shell = place.node("till.db", words);
    const std::string begin =
        "INSERT INTO entry (writer, number, body) VALUES (" + std::to_string(writer) + ", ";
    for (int i = 0; i < kTyped; ++i) {
      shell.input += begin + std::to_string(i) + ", " + body + ");\n";
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
    killed_ = was_killed(typing.exit_code());
  }
  [[nodiscard]] bool killed() const { return killed_; }
  [[nodiscard]] std::size_t answered() const { return answers_.size(); }
  [[nodiscard]] std::size_t check(const Place& place) const {
    const Database master(place.master(), Database::Mode::kReadOnly);
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
    return times.size();
  }

 private:
  static constexpr int kTyped = 150;
  int writer_;
  std::vector<std::string> answers_;
  bool killed_ = false;
};

// A node that syncs online, which it does for checkpoints alone, when it has been idle for a
// second; what its guests were told, who write until it is killed.
class Checkpoints {
 public:
  Checkpoints(const Place& place, int writer, const std::string& rule, From from)
      : writer_(writer) {
    const Launch run = place.node("till.db", {"run"});
    Program owner(from == From::kStart ? injected(run, rule) : run);
    const bool live = owner.line_with("state=live").has_value();
    std::optional<Program> tracer;
    if (live && from == From::kLoad) tracer.emplace(attach(owner, rule));
    while (answered_ < kRounds && !owner.exit_code(milliseconds{0})) {
      const nlohmann::json answer = place.exec(
          "till.db", "INSERT INTO entry (writer, number, body) VALUES (" + std::to_string(writer) +
                         ", " + std::to_string(answered_) + ", randomblob(2100000))");
      CHECK_MESSAGE(answer["status"] == "committed", answer.dump());
      ++answered_;
      CHECK(eventually(
          [&] { return owner.exit_code(milliseconds{0}) || written_back(place.file("till.db")); }));
    }
    if (!owner.exit_code(milliseconds{0})) owner.signal(SIGTERM);
    killed_ = was_killed(owner.exit_code());
  }
  [[nodiscard]] bool killed() const { return killed_; }
  [[nodiscard]] std::size_t answered() const { return answered_; }
  [[nodiscard]] std::size_t check(const Place& place) const {
    const std::string mine = "writer = " + std::to_string(writer_);
    CHECK(rows_of(place, mine) == answered_);
    CHECK(system_test::count_of(place.master(), "SELECT count(DISTINCT number) FROM entry WHERE " +
                                                    mine) == static_cast<std::int64_t>(answered_));
    return rows_of(place, mine);
  }

 private:
  static constexpr std::size_t kRounds = 25;
  // All that the -wal holds is in the file: the -shm says how much of it (SQLite's nBackfill, and
  // mxFrame before it).
  static bool written_back(const std::string& replica) {
    std::ifstream index(replica + "-shm", std::ios::binary);
    std::array<char, 100> head{};
    if (!index.read(head.data(), head.size())) return false;
    return std::equal(head.begin() + 16, head.begin() + 20, head.begin() + 96);
  }
  int writer_;
  std::size_t answered_ = 0;
  bool killed_ = false;
};

// A node that is killed: as it writes online, as it writes offline, on its way back.
class Till {
 public:
  explicit Till(std::optional<std::uint64_t> power)
      : outage_(place_, power, {Power::Computer::kNode}) {
    place_.create(kLoadSchema);
    broker_.emplace(place_.serve(ready_));
    other_ = place_.client("other.db");
    REQUIRE(other_->wait_for(ClientState::kLive, kPatience));
  }
  void kill(const std::string& call, int n, From from, KillTable& table) {
    const std::string rule = kill_at(call, n);
    CAPTURE(rule);
    const int writer = writer_++;
    const std::string since = from == From::kStart ? "" : ", under way";
    Killed online{.place = call, .n = n, .when = kOnline + since};
    Killed offline{.place = call, .n = n, .when = kOffline + since};
    Killed back{.place = call, .n = n, .when = kBack + since};
    std::optional<Checkpoints> checkpoints;
    std::optional<Typed> typed;
    if (call == "fdatasync") {
      checkpoints.emplace(place_, writer, rule, from);
    } else {
      typed.emplace(place_, writer, Words{}, rule, from);
    }
    outage_.cut(Power::Computer::kNode, online, till());
    broker_->kill();
    broker_.reset();
    const Typed alone(place_, writer_++, {"--discovery-timeout", "100ms"}, rule, from,
                      call == "sendto" ? kManySends : "zeroblob(2000)");
    outage_.cut(Power::Computer::kNode, offline, till());
    const std::string epoch = epoch_of(ready_.position);
    broker_.emplace(place_.serve(ready_));
    CHECK(epoch_of(ready_.position) == epoch);
    come_back(rule, from, back);
    outage_.cut(Power::Computer::kNode, back, till());
    {
      Program calm = place_.live_node("till.db", {"--log-level", "info"});
      REQUIRE(is_calm(*other_));
      check_copies(place_, {"till.db", "other.db"});
      calm.signal(SIGTERM);
      CHECK(calm.exit_code() == 0);
      check_not_copied(calm);
      joined_ = true;
    }
    online.reached = checkpoints ? checkpoints->killed() : typed->killed();
    online.before = online.acknowledged = checkpoints ? checkpoints->answered() : typed->answered();
    online.found = checkpoints ? checkpoints->check(place_) : typed->check(place_);
    offline.reached = alone.killed();
    offline.before = offline.acknowledged = alone.answered();
    offline.found = alone.check(place_);
    back.before = back.acknowledged = online.before + offline.before;
    back.found = rows_of(place_, "writer >= " + std::to_string(writer));
    for (const Killed& row : {online, offline, back}) table.add(row);
    // Every round takes as long as the first.
    CHECK(other_->exec("DELETE FROM entry").status == WriteResult::Status::kCommitted);
  }

 private:
  [[nodiscard]] std::string till() const { return place_.file("till.db"); }
  // Counted from its start, or from where it hands over what it wrote offline.
  void come_back(const std::string& rule, From from, Killed& row) const {
    const Launch run = place_.node("till.db", {"run", "--log-level", "info"});
    Program returning(from == From::kStart ? injected(run, rule) : run);
    std::optional<Program> tracer;
    if (from == From::kLoad && returning.line_with("state=replaying")) {
      returning.signal(SIGSTOP);  // what is counted would be over before
      tracer.emplace(attach_stopped(returning, rule));
      returning.signal(SIGCONT);
    }
    if (returning.line_with("state=live")) returning.signal(SIGTERM);
    row.reached = was_killed(returning.exit_code());
    check_not_copied(returning);
  }
  // It has a replica that nothing has damaged: the log brings it up to date.
  void check_not_copied(const Program& node) const {
    if (!joined_) return;
    const std::string errors = node.errors();
    CHECK_MESSAGE(errors.find("full copy installed") == std::string::npos, errors);
  }

  Place place_;
  Outage outage_;
  Ready ready_;
  std::optional<Program> broker_;
  std::unique_ptr<Client> other_;
  int writer_ = 1;
  bool joined_ = false;
};

// So many calls a node makes at least on its way back.
int made_on_way_back(const std::string& call) { return call == "fdatasync" ? 3 : 20; }

// Each of the first calls is reached; later ones are not made.
void check_way_back(const KillTable& table) {
  for (const Killed& row : table.rows()) {
    if (row.when.find(kBack) != 0) continue;
    if (row.n > made_on_way_back(row.place)) continue;
    CHECK_MESSAGE(row.reached, row.place << " " << row.n << " " << row.when);
  }
}

void kill_node_at_calls(const Plan& plan) {
  if (!can_kill(plan)) return;
  for (const std::string& call : plan.calls) {
    Till till(plan.power);
    KillTable table;
    for (const int n : plan.numbers) {
      for (const From from : plan.froms) till.kill(call, n, from, table);
    }
    const auto reached = [&](const std::string& when) {
      return table.reached(when) + table.reached(when + ", under way");
    };
    CHECK_MESSAGE(reached(kOnline) == plan.each(), call);
    check_cuts(plan, table);
    // Offline it sends to nobody but those whom it looks for.
    if (call != "sendto") CHECK_MESSAGE(reached(kOffline) == plan.each(), call);
    check_way_back(table);
    MESSAGE("node killed\n" << table.text());
  }
}

}  // namespace

TEST_CASE("fault: node killed at a write and a sync, nothing answered is lost") {
  kill_node_at_calls({.calls = {"pwrite64", "fdatasync"}, .froms = {From::kLoad}, .numbers = {5}});
}

TEST_CASE("fault: node's power is cut at a write and a sync, nothing answered is lost") {
  kill_node_at_calls(
      {.calls = {"pwrite64", "fdatasync"}, .froms = {From::kLoad}, .numbers = {5}, .power = 1});
}

TEST_CASE("shown: fault: node killed at the N-th fdatasync, pwrite64, sendto, N = 1..20") {
  kill_node_at_calls({.numbers = promised_numbers(), .shown = true});
}

TEST_CASE("shown: fault: node's power is cut at the N-th fdatasync, N = 1..20") {
  kill_node_at_calls(
      {.calls = {"fdatasync"}, .numbers = promised_numbers(), .power = 3100, .shown = true});
}

TEST_CASE("shown: fault: node's power is cut at the N-th pwrite64, N = 1..20") {
  kill_node_at_calls(
      {.calls = {"pwrite64"}, .numbers = promised_numbers(), .power = 4100, .shown = true});
}

TEST_CASE("shown: fault: node's power is cut at the N-th sendto, N = 1..20") {
  kill_node_at_calls(
      {.calls = {"sendto"}, .numbers = promised_numbers(), .power = 5100, .shown = true});
}

TEST_CASE("long: fault: node killed at later calls") {
  kill_node_at_calls({.calls = {"pwrite64", "sendto"}, .numbers = {30, 60, 100}});
}

}  // namespace csa::fault_test::kill_node_test
