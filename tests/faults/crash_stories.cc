#include "tests/faults/crash_stories.h"

#include <doctest/doctest.h>

#include <array>
#include <filesystem>
#include <functional>

#include "common/sqlite.h"
#include "tests/faults/power.h"
#include "tests/system/load.h"

namespace csa::fault_test {
namespace {

using system_test::count_of;
using system_test::eventually;
using system_test::Finished;
using system_test::kLoadSchema;
using system_test::kPatience;
using system_test::Load;
using system_test::milliseconds;
using system_test::run;
using system_test::run_sql;
using Computer = Power::Computer;

const std::string kNode = "story.db";

bool ended(Program& program, Killed& row) {
  const std::optional<int> code = program.exit_code(milliseconds{0});
  if (!code) return false;
  CHECK(*code == kKilled);
  row.reached = true;
  return true;
}

void write_entries(Client& client, int count, const std::string& body) {
  for (int i = 0; i < count; ++i) {
    const WriteResult result = client.exec("INSERT INTO entry (writer, number, body) VALUES (50, " +
                                           std::to_string(i) + ", " + body + ")");
    // Once the broker has ended.
    const bool journaled = result.status == WriteResult::Status::kJournaled;
    CHECK_MESSAGE((journaled || result.status == WriteResult::Status::kCommitted), result.message);
  }
}

// Broker and a node end at the label, whoever comes there; another node writes all the time.
class Shop {
 public:
  // `page_size`: of the master; a new replica begins with 4096.
  explicit Shop(Ending ending, const std::string& page_size = "4096")
      : ending_(std::move(ending)),
        outage_(place_, ending_.power, {Computer::kBroker, Computer::kNode}) {
    run_sql(place_.file("shop.db"), "PRAGMA page_size=" + page_size + ";" + kLoadSchema);
    place_.adopt(place_.file("shop.db"));
    const Program broker = place_.serve(ready_);
    other_ = place_.client("other.db");
    REQUIRE(other_->wait_for(ClientState::kLive, kPatience));
    write_entries(*other_, 20, "hex(randomblob(20000))");
  }
  // `meddle` runs once the node is live.
  void live(Killed& row, const std::function<void()>& meddle = {}) {
    Load load({other_.get()});
    {
      Launch launch =
          place_.broker({"serve", "--port", ready_.port, "--pub-port", ready_.pub_port});
      Program broker(crashing(launch, ending_.at));
      REQUIRE(broker.line_with("csa-broker: ready"));
      Program node(crashing(place_.node(kNode, {"run"}), ending_.at));
      bool live = false;
      while (!live && !ended(broker, row) && !ended(node, row)) {
        live = node.line_with("state=live", milliseconds{50}).has_value();
      }
      if (live && meddle) meddle();
      (void)eventually([&] { return ended(broker, row) || ended(node, row); },
                       meddle ? kPatience : milliseconds{0});
      row.before = load.committed() + load.journaled();
    }
    outage_.cut(Computer::kBroker, row, place_.master());
    outage_.cut(Computer::kNode, row, place_.file(kNode));
    const std::string epoch = epoch_of(ready_.position);
    const Program broker = place_.serve(ready_);
    // A change made beside the log begins a new history.
    if (!compare_first_) CHECK(epoch_of(ready_.position) == epoch);
    const Program node = place_.live_node(kNode);
    load.stop();
    REQUIRE(is_calm(*other_));
    if (compare_first_) {
      // Nobody was told of a change made beside the log, and of the kill before it was noticed.
      const Finished verified = run(place_.admin({"verify"}), 3 * kPatience);
      CHECK_MESSAGE(verified.out.find("DIFFERS") != std::string::npos, verified.out);
      REQUIRE(is_calm(*other_));
    }
    check_rejections(load);
    load.check_account(place_);
    check_copies(place_, {kNode, "other.db"});
    row.acknowledged = load.committed() + load.journaled();
    row.found = static_cast<std::size_t>(
        count_of(place_.master(), "SELECT count(*) FROM entry WHERE writer = 0"));
    CHECK(row.found >= row.acknowledged);
    CHECK(count_of(place_.master(), "SELECT count(DISTINCT number) FROM entry WHERE writer = 50") ==
          20);
  }
  // Content that another program changes is not in the log.
  void compare_first() { compare_first_ = true; }
  // Another program writes.
  void meddle(Computer computer, const std::string& file) const {
    const Launch sqlite{
        {"sqlite3", file, "UPDATE entry SET body = 'not csa' WHERE writer = 50"}, {}, {}};
    const Finished done = run(outage_.on(computer, sqlite));
    CHECK_MESSAGE(done.code == 0, done.err);
  }
  [[nodiscard]] const Place& place() const { return place_; }

 private:
  const Ending ending_;
  Place place_;
  Outage outage_;
  Ready ready_;
  std::unique_ptr<Client> other_;
  bool compare_first_ = false;
};

void join(const Ending& ending, Killed& row) { Shop(ending).live(row); }

void join_another_page_size(const Ending& ending, Killed& row) { Shop(ending, "8192").live(row); }

void meddled_replica(const Ending& ending, Killed& row) {
  Shop shop(ending);
  shop.live(row, [&] { shop.meddle(Computer::kNode, shop.place().file(kNode)); });
}

void meddled_master(const Ending& ending, Killed& row) {
  Shop shop(ending);
  shop.compare_first();
  shop.live(row, [&] { shop.meddle(Computer::kBroker, shop.place().master()); });
}

// The -wal is written back once there is a second without a write.
void large_wal(const Ending& ending, Killed& row) {
  Place place;
  Outage outage(place, ending.power, {Computer::kBroker});
  place.create(kLoadSchema);
  Ready ready;
  const std::unique_ptr<Client> client = place.client(kNode);
  {
    (void)place.serve(ready);
    Launch launch = place.broker({"serve", "--port", ready.port, "--pub-port", ready.pub_port});
    Program broker(crashing(launch, ending.at));
    REQUIRE(client->wait_for(ClientState::kLive, kPatience));
    write_entries(*client, 3, "randomblob(2100000)");
    CHECK(eventually([&] { return ended(broker, row); }));
  }
  outage.cut(Computer::kBroker, row, place.master());
  row.before = row.acknowledged = 3;
  const Program broker = place.serve(ready);
  REQUIRE(is_calm(*client));
  check_copies(place, {kNode});
  row.found = static_cast<std::size_t>(count_of(place.master(), "SELECT count(*) FROM entry"));
  CHECK(row.found == 3);
}

int killed_or_done(const Launch& launch, const Ending& ending, Killed& row) {
  const int code = run(crashing(launch, ending.at)).code;
  CHECK((code == 0 || code == kKilled));
  if (code == kKilled) row.reached = true;
  return code;
}

// There is no database, or a whole one.
void create(const Ending& ending, Killed& row) {
  Place place;
  Outage outage(place, ending.power, {Computer::kBroker});
  const std::string schema = place.file("schema.sql");
  (void)run(
      {{"sh", "-c", "echo 'CREATE TABLE entry (id INTEGER PRIMARY KEY)' >\"$0\"", schema}, {}, {}});
  const Launch launch = place.broker({"create", "--schema", schema});
  (void)killed_or_done(launch, ending, row);
  outage.cut(Computer::kBroker, row, place.master());
  if (!std::filesystem::exists(place.master())) CHECK(run(launch).code == 0);
  CHECK(run(place.broker({"check"})).code == 0);
  Ready ready;
  const Program broker = place.serve(ready);
  const Program node = place.live_node(kNode);
  check_copies(place, {kNode});
}

// A node with offline changes that nobody has seen; the broker is gone.
std::size_t journal_three(const Place& place, Ready& ready) {
  place.create(kLoadSchema);
  {
    const Program broker = place.serve(ready);
    CHECK(place.exec(kNode, "INSERT INTO entry (writer, number) VALUES (60, 0)")["status"] ==
          "committed");
  }
  for (int i = 1; i < 4; ++i) {
    const Finished done = run(place.node(
        kNode, {"exec", "--json", "--discovery-timeout", "100ms",
                "INSERT INTO entry (writer, number) VALUES (60, " + std::to_string(i) + ")"}));
    CHECK_MESSAGE(done.out.find("journaled") != std::string::npos, done.out << done.err);
  }
  return 4;
}

void check_journaled(const Place& place, Killed& row) {
  const Program node = place.live_node(kNode);
  check_copies(place, {kNode});
  row.found = static_cast<std::size_t>(
      count_of(place.master(), "SELECT count(*) FROM entry WHERE writer = 60"));
  CHECK(row.found == row.acknowledged);
}

// The database is the old one or the new one.
void restore(const Ending& ending, Killed& row) {
  Place place;
  Outage outage(place, ending.power, {Computer::kBroker});
  Ready ready;
  row.before = row.acknowledged = journal_three(place, ready);
  const Launch launch = place.broker({"restore", "--from", place.file(kNode)});
  const int code = killed_or_done(launch, ending, row);
  outage.cut(Computer::kBroker, row, place.master());
  if (code == kKilled) {
    const Finished check = run(place.broker({"check"}));
    CHECK_MESSAGE(check.code == 0, check.err);
    const std::int64_t rows = count_of(place.master(), "SELECT count(*) FROM entry");
    CHECK((rows == 1 || rows == 4));
    const Finished again = run(launch);
    CHECK_MESSAGE(again.code == 0, again.err);
  }
  const Program broker = place.serve(ready);
  check_journaled(place, row);
}

void new_identity(const Ending& ending, Killed& row) {
  Place place;
  Outage outage(place, ending.power, {Computer::kNode});
  Ready ready;
  row.before = row.acknowledged = journal_three(place, ready);
  const Launch ask = place.node(kNode, {"identity"});
  const std::string before = run(ask).out;
  const Launch renew = place.node(kNode, {"identity", "--new"});
  const int code = killed_or_done(renew, ending, row);
  outage.cut(Computer::kNode, row, place.file(kNode));
  if (code == kKilled) {
    CHECK(run(ask).out == before);
    CHECK(run(renew).code == 0);
  }
  CHECK(run(ask).out != before);
  const Program broker = place.serve(ready);
  check_journaled(place, row);
}

struct Told {
  std::string_view label;
  Story story;
};

constexpr std::array kStories = {
    Told{"download: chunk written", join},
    Told{"download: proved", join},
    Told{"install: copied", join},
    Told{"install: copy prepared", join},
    Told{"install: download dropped", join},
    Told{"spool: pages copied", join},
    Told{"install: old log gone", join_another_page_size},
    Told{"install: ready", join_another_page_size},
    Told{"install: renamed", join_another_page_size},
    Told{"install: kept aside", meddled_replica},
    Told{"ledger: epoch begun", meddled_master},
    Told{"ledger: after checkpoint", large_wal},
    Told{"ledger: before checkpoint", large_wal},
    Told{"opening: named", create},
    Told{"opening: between two names", restore},
    Told{"opening: swapped", restore},
    Told{"restore: built", restore},
    Told{"restore: history begun", restore},
    Told{"replica: journal renamed", new_identity},
};

}  // namespace

Launch crashing(Launch launch, const std::string& at) {
  launch.environment["CSA_CRASH_AT"] = at;
  return launch;
}

Story story_of(std::string_view label) {
  for (const Told& told : kStories) {
    if (told.label == label) return told.story;
  }
  return nullptr;
}

}  // namespace csa::fault_test
