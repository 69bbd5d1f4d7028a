// The programs end at every labelled place (common/planted_names.h), killed or with their
// computer's power; after a restart nothing that was answered is lost or doubled, and every copy is
// equal.
#include <doctest/doctest.h>

#include <filesystem>

#include "common/planted.h"
#include "common/sqlite.h"
#include "tests/faults/crash_stories.h"
#include "tests/faults/injected.h"
#include "tests/faults/kill_table.h"
#include "tests/faults/power.h"
#include "tests/system/load.h"

#ifdef CSA_PLANTED
namespace csa::fault_test::crash_point_test {
namespace {

using system_test::eventually;
using system_test::Finished;
using system_test::kLoadSchema;
using system_test::kPatience;
using system_test::Load;
using system_test::milliseconds;
using Computer = Power::Computer;

// A day of a broker, two nodes and the small programs, each of which ends at the label if it comes
// there.
class Day {
 public:
  explicit Day(const Ending& ending)
      : at_(ending.at),
        outage_(place_, ending.power, {Computer::kBroker, Computer::kNode, Computer::kOther}) {
    place_.create(kLoadSchema);
    const Program broker = place_.serve(ready_);
    other_ = place_.client("other.db");
    REQUIRE(other_->wait_for(ClientState::kLive, kPatience));
    CHECK(place_.exec("till.db", write())["status"] == "committed");
  }

  // Whether a program ended there.
  void live(Killed& row) {
    Load load({other_.get()});
    REQUIRE(eventually([&] { return load.journaled() > 3; }));
    {
      Launch launch =
          place_.broker({"serve", "--port", ready_.port, "--pub-port", ready_.pub_port});
      Program broker(crashing(launch, at_));
      if (broker.line_with("csa-broker: ready")) {
        (void)eventually(
            [&] { return load.committed() > 20 || broker.exit_code(milliseconds{0}); });
        broker.signal(SIGTERM);
      }
      count(broker.exit_code());
    }
    outage_.cut(Computer::kBroker, row, place_.master());
    node({"exec", "--json", "--discovery-timeout", "100ms", write()});
    outage_.cut(Computer::kNode, row, place_.file("till.db"));
    const std::string epoch = epoch_of(ready_.position);
    const Program broker = place_.serve(ready_);
    CHECK(epoch_of(ready_.position) == epoch);
    {
      Program owner(crashing(place_.node("till.db", {"run"}), at_));
      if (owner.line_with("state=live")) {
        node({"exec", "--json", write()});
        owner.signal(SIGTERM);
      }
      count(owner.exit_code());
    }
    outage_.cut(Computer::kNode, row, place_.file("till.db"));
    small_programs(row);
    row.before = load.committed() + load.journaled() + answered_.size();
    load.stop();
    check(load);
    row.reached = ended_ > 0;
    row.acknowledged = load.committed() + load.journaled() + answered_.size();
    // The first one was written before all this.
    row.found = static_cast<std::size_t>(
                    system_test::count_of(place_.master(), "SELECT count(*) FROM entry")) -
                1;
    CHECK(row.found >= row.acknowledged);
  }

 private:
  [[nodiscard]] std::string write() {
    return "INSERT INTO entry (writer, number) VALUES (77, " + std::to_string(number_++) + ")";
  }
  void count(std::optional<int> code) {
    CHECK((code == 0 || code == kKilled));
    if (code == kKilled) ++ended_;
  }
  void node(const Words& words) {
    const Finished done = system_test::run(crashing(place_.node("till.db", words), at_));
    count(done.code);
    if (done.out.find("\"committed\"") != std::string::npos ||
        done.out.find("\"journaled\"") != std::string::npos) {
      answered_.push_back(number_ - 1);
    }
  }
  void small_programs(Killed& row) {
    const std::string file = place_.file("backup.db");
    const Finished backup = system_test::run(crashing(place_.admin({"backup", file}), at_));
    count(backup.code);
    outage_.cut(Computer::kOther, row, file);
    // A file of this name is a whole copy.
    if (std::filesystem::exists(file)) {
      CHECK(Database(file, Database::Mode::kReadOnly).query_text("PRAGMA integrity_check") == "ok");
    }
    // The power may go before the name lasts.
    if (backup.code == 0 || row.cuts == 0) {
      CHECK(std::filesystem::exists(file) == (backup.code == 0 || at_.find("named") == 8));
    }
    Launch launch = crashing(place_.admin({"--since", "start"}), at_);
    launch.command[0] = CSA_SUB_PROGRAM;
    Program sub(launch);
    CHECK((sub.line() || sub.exit_code() == kKilled));
    sub.signal(SIGTERM);
    count(sub.exit_code());
  }
  void check(Load& load) {
    const Program till = place_.live_node("till.db");
    REQUIRE(is_calm(*other_));
    check_rejections(load);
    load.check_account(place_);
    check_copies(place_, {"till.db", "other.db"});
    for (const int number : answered_) {
      CHECK(system_test::count_of(place_.master(),
                                  "SELECT count(*) FROM entry WHERE writer = 77 AND number = " +
                                      std::to_string(number)) == 1);
    }
    CHECK(system_test::count_of(place_.master(),
                                "SELECT count(*) - count(DISTINCT number) FROM entry WHERE"
                                " writer = 77") == 0);
  }

  const std::string at_;
  Place place_;
  Outage outage_;
  Ready ready_;
  std::unique_ptr<Client> other_;
  int number_ = 0;
  int ended_ = 0;
  std::vector<int> answered_;
};

Killed ended_at(std::string_view label, int n, std::optional<std::uint64_t> power = {}) {
  const Ending ending{std::string(label) + ":" + std::to_string(n), power};
  CAPTURE(ending.at);
  const Story story = story_of(label);
  Killed row{
      .place = std::string(label), .n = n, .when = story != nullptr ? "in its story" : "in a day"};
  if (story != nullptr) {
    story(ending, row);
  } else {
    Day(ending).live(row);
  }
  return row;
}

void end_everywhere(bool power) {
  KillTable table;
  std::uint64_t seed = 1000;
  for (const std::string_view label : kCrashPoints) {
    const bool told = story_of(label) != nullptr;
    for (const int n : told ? std::vector<int>{1} : std::vector<int>{1, 4, 15}) {
      table.add(ended_at(label, n, power ? std::optional(seed) : std::nullopt));
      seed += 10;
      // Later passings depend on how much was written in a day.
      if (n == 1) {
        CHECK_MESSAGE(table.rows().back().reached, "no program came to this place: " << label);
      }
    }
  }
  if (power) CHECK(table.total().forgotten.changes > 0);
  MESSAGE(kCrashPoints.size() << " places, each reached at its first passing; with later ones "
                              << table.reached() << " ends\n"
                              << table.text());
}

}  // namespace

TEST_CASE("fault: broker ended between commit and answer, every answered write is there once") {
  CHECK(ended_at("ledger: after commit", 2).reached);
}

TEST_CASE("fault: broker ended at a checkpoint, a node as it joins, nothing answered is lost") {
  CHECK(ended_at("ledger: after checkpoint", 1).reached);
  CHECK(ended_at("install: copied", 1).reached);
}

TEST_CASE("fault: power cut between commit and answer, every answered write is there once") {
  CHECK(ended_at("ledger: after commit", 2, 1).reached);
}

TEST_CASE("fault: power cut while a database is created, there is none or a whole one") {
  CHECK(ended_at("opening: named", 1, 1).reached);
}

TEST_CASE("fault: a backup ended as it has its name, the next one of that name leaves it alone") {
  Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  const std::string file = place.file("backup.db");
  const Launch backup = place.admin({"backup", file});
  REQUIRE(system_test::run(crashing(backup, "backup: named:1")).code == kKilled);
  REQUIRE(std::filesystem::hard_link_count(file) == 2);
  // As people do it who keep two of them.
  std::filesystem::rename(file, file + ".1");
  REQUIRE(system_test::run(place.node("till.db", {"exec",
                                                  "INSERT INTO entry (writer, number)"
                                                  " VALUES (1, 1)"}))
              .code == 0);
  REQUIRE(system_test::run(backup).code == 0);
  CHECK(std::filesystem::hard_link_count(file) == 1);
  CHECK(std::filesystem::hard_link_count(file + ".1") == 1);
  CHECK_FALSE(std::filesystem::exists(file + ".part"));
  CHECK(system_test::count_of(file, "SELECT count(*) FROM entry WHERE writer = 1") == 1);
  CHECK(system_test::count_of(file + ".1", "SELECT count(*) FROM entry WHERE writer = 1") == 0);
}

TEST_CASE("shown: fault: programs ended at every labelled place, nothing answered is lost") {
  end_everywhere(false);
}

TEST_CASE("shown: fault: power cut at every labelled place, nothing answered is lost") {
  end_everywhere(true);
}

}  // namespace csa::fault_test::crash_point_test
#endif
