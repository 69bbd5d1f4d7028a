#include "tests/faults/crash_stories.h"

#include <doctest/doctest.h>

#include <array>
#include <filesystem>
#include <functional>

#include "common/sqlite.h"
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
    CHECK_MESSAGE(result.status == WriteResult::Status::kCommitted, result.message);
  }
}

// Broker and a node end at the label, whoever comes there; another node writes all the time.
class Shop {
 public:
  // `page_size`: of the master; a new replica begins with 4096.
  explicit Shop(const std::string& page_size = "4096") {
    run_sql(place_.file("shop.db"), "PRAGMA page_size=" + page_size + ";" + kLoadSchema);
    place_.adopt(place_.file("shop.db"));
    const Program broker = place_.serve(ready_);
    other_ = place_.client("other.db");
    REQUIRE(other_->wait_for(ClientState::kLive, kPatience));
    write_entries(*other_, 20, "hex(randomblob(20000))");
  }
  // `meddle` runs once the node is live.
  void live(const std::string& at, Killed& row, const std::function<void()>& meddle = {}) {
    Load load({other_.get()});
    {
      Launch launch =
          place_.broker({"serve", "--port", ready_.port, "--pub-port", ready_.pub_port});
      Program broker(crashing(launch, at));
      REQUIRE(broker.line_with("csa-broker: ready"));
      Program node(crashing(place_.node(kNode, {"run"}), at));
      bool live = false;
      while (!live && !ended(broker, row) && !ended(node, row)) {
        live = node.line_with("state=live", milliseconds{50}).has_value();
      }
      if (live && meddle) meddle();
      (void)eventually([&] { return ended(broker, row) || ended(node, row); },
                       meddle ? kPatience : milliseconds{0});
      row.before = load.committed() + load.journaled();
    }
    const Program broker = place_.serve(ready_);
    const Program node = place_.live_node(kNode);
    load.stop();
    REQUIRE(is_calm(*other_));
    if (compare_first_) {
      // Nobody was told of a change made beside the log, and of the kill before it was noticed.
      const Finished verified = run(place_.admin({"verify"}), 3 * kPatience);
      CHECK_MESSAGE(verified.out.find("DIFFERS") != std::string::npos, verified.out);
      REQUIRE(is_calm(*other_));
    }
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
  [[nodiscard]] const Place& place() const { return place_; }
  [[nodiscard]] Client& other() { return *other_; }

 private:
  Place place_;
  Ready ready_;
  std::unique_ptr<Client> other_;
  bool compare_first_ = false;
};

void join(const std::string& at, Killed& row) { Shop().live(at, row); }

void join_another_page_size(const std::string& at, Killed& row) { Shop("8192").live(at, row); }

void meddled_replica(const std::string& at, Killed& row) {
  Shop shop;
  shop.live(at, row, [&] {
    run_sql(shop.place().file(kNode), "UPDATE entry SET body = 'not csa' WHERE writer = 50");
  });
}

void meddled_master(const std::string& at, Killed& row) {
  Shop shop;
  shop.compare_first();
  shop.live(at, row, [&] {
    run_sql(shop.place().master(), "UPDATE entry SET body = 'not csa' WHERE writer = 50");
  });
}

// The -wal is written back once there is a second without a write.
void large_wal(const std::string& at, Killed& row) {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const std::unique_ptr<Client> client = place.client(kNode);
  {
    (void)place.serve(ready);
    Launch launch = place.broker({"serve", "--port", ready.port, "--pub-port", ready.pub_port});
    Program broker(crashing(launch, at));
    REQUIRE(client->wait_for(ClientState::kLive, kPatience));
    write_entries(*client, 3, "randomblob(2100000)");
    CHECK(eventually([&] { return ended(broker, row); }));
  }
  row.before = row.acknowledged = 3;
  const Program broker = place.serve(ready);
  REQUIRE(is_calm(*client));
  check_copies(place, {kNode});
  row.found = static_cast<std::size_t>(count_of(place.master(), "SELECT count(*) FROM entry"));
  CHECK(row.found == 3);
}

int killed_or_done(const Launch& launch, const std::string& at, Killed& row) {
  const int code = run(crashing(launch, at)).code;
  CHECK((code == 0 || code == kKilled));
  if (code == kKilled) row.reached = true;
  return code;
}

// There is no database, or a whole one.
void create(const std::string& at, Killed& row) {
  const Place place;
  const std::string schema = place.file("schema.sql");
  (void)run(
      {{"sh", "-c", "echo 'CREATE TABLE entry (id INTEGER PRIMARY KEY)' >\"$0\"", schema}, {}, {}});
  const Launch launch = place.broker({"create", "--schema", schema});
  (void)killed_or_done(launch, at, row);
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
void restore(const std::string& at, Killed& row) {
  const Place place;
  Ready ready;
  row.before = row.acknowledged = journal_three(place, ready);
  const Launch launch = place.broker({"restore", "--from", place.file(kNode)});
  if (killed_or_done(launch, at, row) == kKilled) {
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

void new_identity(const std::string& at, Killed& row) {
  const Place place;
  Ready ready;
  row.before = row.acknowledged = journal_three(place, ready);
  const Launch ask = place.node(kNode, {"identity"});
  const std::string before = run(ask).out;
  const Launch renew = place.node(kNode, {"identity", "--new"});
  if (killed_or_done(renew, at, row) == kKilled) {
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
