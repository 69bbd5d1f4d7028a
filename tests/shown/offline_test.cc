// What offline work costs: 20,000 rows, or documents of a full-text table, handed over and merged,
// and the same again.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>

#include "common/sqlite.h"
#include "common/system_clock.h"
#include "tests/shown/measure.h"
#include "tests/system/lan.h"

namespace csa::shown_test::offline_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using system_test::eventually;
using system_test::Place;
using system_test::Program;
using system_test::Ready;
using Status = WriteResult::Status;

constexpr std::int64_t kRows = 20'000;

// kRows rows from `first` on, `each` a call.
std::vector<std::string> inserts(std::int64_t first, std::int64_t each) {
  std::vector<std::string> calls;
  for (std::int64_t from = first; from < first + kRows; from += each) {
    calls.push_back("WITH RECURSIVE n(i) AS (SELECT " + std::to_string(from) +
                    " UNION ALL SELECT i + 1 FROM n WHERE i < " + std::to_string(from + each - 1) +
                    ") INSERT INTO item SELECT i, i % 1000, 'item number ' || i FROM n");
  }
  return calls;
}

// A replica of the test's own process, whose return is timed from its first word with the broker.
class Node {
 public:
  Node(const Place& place, const std::string& replica) {
    ClientOptions options = place.client_options(replica);
    options.on_event = [this](const ClientEvent& event) {
      if (event.kind == ClientEvent::Kind::kState && event.state == ClientState::kReplaying &&
          !replaying_) {
        since_ = monotonic_now();
        replaying_ = true;
      }
      if (event.kind == ClientEvent::Kind::kReplay && event.pending == 0 && !handed_over_) {
        handed_over_at_ = monotonic_now();
        handed_over_ = true;
      }
    };
    OpenedClient opened = Client::open(options);
    REQUIRE_MESSAGE(opened.client, opened.failure.text);
    client_ = std::move(opened.client);
  }
  Client& operator*() { return *client_; }
  Client* operator->() { return client_.get(); }
  // Until all is handed over and in `master_sees`; the seconds since the replay began.
  double returned(const std::function<bool()>& others_see) {
    REQUIRE(eventually(
        [&] {
          const ClientStatus status = client_->status();
          return status.state == ClientState::kLive && status.pending == 0 && others_see();
        },
        seconds{120}));
    REQUIRE(replaying_);
    REQUIRE(handed_over_);
    return std::chrono::duration<double>(monotonic_now() - since_).count();
  }

  // Of that, until the broker had answered for every entry. REQUIRES: returned() was called.
  [[nodiscard]] double replayed() const {
    return std::chrono::duration<double>(handed_over_at_ - since_).count();
  }

 private:
  std::atomic<bool> replaying_{false};
  std::atomic<bool> handed_over_{false};
  TimePoint since_;
  TimePoint handed_over_at_;
  std::unique_ptr<Client> client_;
};

// Else the broker's next sync would pay for what the test has just copied.
void sync_file(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  CHECK(::fsync(file) == 0);
  ::close(file);
}

void copy_replica(const std::string& from, const std::string& to) {
  for (const char* const ending : {"", "-wal"}) {
    std::error_code none;
    std::filesystem::remove(to + ending, none);
    std::filesystem::copy_file(from + ending, to + ending, none);
    sync_file(to + ending);
  }
  std::error_code none;
  std::filesystem::remove(to + "-shm", none);
}

struct Round {
  double merged = 0;    // seconds, end to end
  double replayed = 0;  // of that, the replay
  double again = 0;     // the replay of the same once more
};

Round offline_round(const Place& place, std::int64_t first, std::int64_t each) {
  const std::string path = place.file("away.db");
  const std::string kept = place.file("kept.db");
  {
    // Without a broker: nothing serves at this moment.
    Node away(place, "away.db");
    REQUIRE(away->wait_for(ClientState::kStandalone, seconds{20}));
    for (const std::string& call : inserts(first, each)) {
      REQUIRE(away->exec(call).status == Status::kJournaled);
    }
  }
  copy_replica(path, kept);
  Ready ready;
  const Program broker = place.serve(ready);
  Node other(place, "other.db");
  REQUIRE(other->wait_for(ClientState::kLive, seconds{20}));
  const std::string count = "SELECT count(*) FROM item WHERE id >= " + std::to_string(first);
  const auto others_see = [&] {
    return system_test::count_of(place.file("other.db"), count) == kRows;
  };
  Round round;
  {
    Node away(place, "away.db");
    round.merged = away.returned(others_see);
    round.replayed = away.replayed();
  }
  const std::string everything = "SELECT count(*) || ' ' || sum(qty) FROM item";
  const auto master_has = [&] {
    return Database(place.master(), Database::Mode::kReadOnly).query_text(everything).value_or("");
  };
  const std::string before = master_has();
  // As if no answer had come: the replica of before, once more. It takes so few ms that the middle
  // one of three is told.
  std::array<double, 3> again{};
  for (double& took : again) {
    copy_replica(kept, path);
    Node away(place, "away.db");
    (void)away.returned(others_see);
    took = away.replayed();
    CHECK(master_has() == before);
    CHECK(place.difference_of("away.db") == "");
  }
  std::ranges::sort(again);
  round.again = again[1];
  return round;
}

// The seconds that a node's write takes online, until another node sees it.
double online(const Place& place, const std::string& replica, const std::string& sql,
              const std::function<bool()>& other_sees) {
  Ready ready;
  const Program broker = place.serve(ready);
  Node writer(place, replica);
  Node other(place, "other.db");
  REQUIRE(writer->wait_for(ClientState::kLive, seconds{20}));
  REQUIRE(other->wait_for(ClientState::kLive, seconds{20}));
  const TimePoint start = monotonic_now();
  REQUIRE(writer->exec(sql).status == Status::kCommitted);
  REQUIRE(eventually(other_sees));
  return std::chrono::duration<double>(monotonic_now() - start).count();
}

// A table `item` whose column `id` counts its rows, and an UPDATE of all of them; `$` stands for
// whose it is.
struct Shape {
  const char* name;
  const char* create;
  const char* fill;
  const char* set;
};

constexpr Shape kShapes[] = {
    {"a number for a key", "CREATE TABLE item (id INTEGER PRIMARY KEY, qty INTEGER, name TEXT)",
     "i, i % 1000, 'item number ' || i", "name = '$' || id"},
    {"a text for a key", "CREATE TABLE item (code TEXT PRIMARY KEY, id INTEGER, name TEXT)",
     "printf('code-%08d', i * 7919 % 1000003), i, 'item number ' || i", "name = '$' || id"},
    {"an index on what is changed",
     "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT); CREATE INDEX by_name ON item (name)",
     "i, 'item number ' || i", "name = '$' || id"},
    {"rows of 200 bytes", "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, text TEXT)",
     "i, 'item number ' || i, printf('%.180c', 'x')", "name = '$' || id"},
    {"five changed columns",
     "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, a INTEGER, b INTEGER, c REAL, d TEXT)",
     "i, 'item number ' || i, i, i, i, i",
     "name = '$' || id, a = a + length('$'), b = -id, c = id / 2.0 + length('$'), d = '$'"},
};

// The same rows changed at the master and, later, by who was away: all of them win, and what they
// won over lies in the inbox.
struct Contest {
  double online = 0;  // seconds, until another node saw the master's
  double merged = 0;  // seconds, until it saw the others
};

Contest contest(const Place& place, const Shape& shape, int round) {
  const auto name_of = [&](const std::string& who) { return who + std::to_string(round) + ' '; };
  const auto update = [&](const std::string& who) {
    std::string sql = std::string("UPDATE item SET ") + shape.set;
    for (std::size_t at = sql.find('$'); at != std::string::npos; at = sql.find('$')) {
      sql.replace(at, 1, name_of(who));
    }
    return sql;
  };
  const auto seen = [&](const std::string& who) {
    return system_test::count_of(
               place.file("other.db"),
               "SELECT count(*) FROM item WHERE name LIKE '" + name_of(who) + "%'") == kRows;
  };
  Contest took;
  took.online = online(place, "writer.db", update("office"), [&] { return seen("office"); });
  {
    Node away(place, "away.db");
    REQUIRE(away->wait_for(ClientState::kStandalone, seconds{20}));
    REQUIRE(away->exec(update("away")).status == Status::kJournaled);
  }
  Ready ready;
  const Program broker = place.serve(ready);
  Node other(place, "other.db");
  REQUIRE(other->wait_for(ClientState::kLive, seconds{20}));
  {
    Node away(place, "away.db");
    took.merged = away.returned([&] { return seen("away"); });
  }
  CHECK(system_test::count_of(place.master(), "SELECT count(*) FROM csa_conflicts") ==
        round * kRows);
  CHECK(place.difference_of("away.db") == "");
  return took;
}

// kRows documents from `first` on, of a table that keeps them itself.
std::string documents(std::int64_t first) {
  return "WITH n(i) AS (SELECT " + std::to_string(first) + " UNION ALL SELECT i + 1 FROM n" +
         " WHERE i < " + std::to_string(first + kRows - 1) + ") INSERT INTO page (title, body)" +
         " SELECT 'page ' || i, 'word' || (i * 7919 % 5003) || ' on shelf ' || (i % 97) FROM n";
}

}  // namespace

TEST_CASE("shown: replay: 20,000 offline rows cost at most three times as many online ones") {
  struct Table {
    const char* name;
    const char* create;
  };
  constexpr Table kTables[] = {
      {"a number for a key",
       "CREATE TABLE item (id INTEGER PRIMARY KEY, qty INTEGER NOT NULL,"
       " name TEXT);"},
      {"no key", "CREATE TABLE item (id INTEGER, qty INTEGER NOT NULL, name TEXT);"},
  };
  for (const Table& table : kTables) {
    const Place place;
    place.create(table.create);
    const std::string begin = "replay: " + std::string(table.name) + ": 20,000 rows ";
    const double alone = online(place, "away.db", inserts(1, kRows).front(), [&] {
      return system_test::count_of(place.file("other.db"), "SELECT count(*) FROM item") == kRows;
    });
    show(begin + "online in one transaction, until another node sees them: " +
         decimal(alone * 1000) + " ms");
    std::int64_t first = kRows + 1;
    for (const std::int64_t each : {kRows, std::int64_t{1000}}) {
      const Round round = offline_round(place, first, each);
      first += kRows;
      show(begin + "offline in " + std::to_string(kRows / each) +
           " transactions, merged and seen by another node: " + decimal(round.merged * 1000) +
           " ms, " + decimal(round.merged / alone) + " times; the replay of it " +
           decimal(round.replayed * 1000) + " ms, the same again " + decimal(round.again * 1000) +
           " ms, " + decimal(round.again / round.replayed));
      CHECK(round.merged <= 3 * alone);
      // Of many small ones, what they cost alone (a synced local commit) is most of the time.
      if (each == kRows) CHECK(round.again <= round.replayed / 10);
    }
  }
}

TEST_CASE("shown: contest: what 20,000 conflicts cost beside the same rows online") {
  for (const Shape& shape : kShapes) {
    const Place place;
    place.create(shape.create);
    {
      Ready ready;
      const Program broker = place.serve(ready);
      Node away(place, "away.db");
      REQUIRE(away->wait_for(ClientState::kLive, seconds{20}));
      const std::string fill =
          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
          std::to_string(kRows) + ") INSERT INTO item SELECT " + shape.fill + " FROM n";
      REQUIRE(away->exec(fill).status == Status::kCommitted);
    }
    std::vector<double> times;
    std::string figures;
    for (int round = 1; round <= 3; ++round) {
      const Contest took = contest(place, shape, round);
      times.push_back(took.merged / took.online);
      figures += (round > 1 ? ", " : "") + decimal(took.merged * 1000) + " / " +
                 decimal(took.online * 1000) + " ms";
    }
    std::sort(times.begin(), times.end());
    show("contest: " + std::string(shape.name) + ": 20,000 conflicts merged and seen by another" +
         " node: " + decimal(times[1]) + " times the same UPDATE online (" + figures + ")");
    CHECK(times[1] <= 4);
  }
}

TEST_CASE("shown: replay: 20,000 offline documents cost at most three times as many online ones") {
  const Place place;
  place.create("CREATE VIRTUAL TABLE page USING fts5(title, body);");
  const auto seen = [&](std::int64_t rows) {
    return system_test::count_of(place.file("other.db"), "SELECT count(*) FROM page_docsize") ==
           rows;
  };
  const double alone = online(place, "away.db", documents(1), [&] { return seen(kRows); });
  {
    Node away(place, "away.db");
    REQUIRE(away->wait_for(ClientState::kStandalone, seconds{20}));
    REQUIRE(away->exec(documents(kRows + 1)).status == Status::kJournaled);
  }
  Ready ready;
  const Program broker = place.serve(ready);
  Node other(place, "other.db");
  REQUIRE(other->wait_for(ClientState::kLive, seconds{20}));
  Node away(place, "away.db");
  const double merged = away.returned([&] { return seen(2 * kRows); });
  show("replay: 20,000 documents of a full-text table, merged and seen by another node: " +
       decimal(merged * 1000) + " ms, " + decimal(merged / alone) +
       " times the same online in one transaction (" + decimal(alone * 1000) + " ms)");
  CHECK(merged <= 3 * alone);
  CHECK(system_test::count_of(place.file("other.db"),
                              "SELECT count(*) FROM page WHERE page MATCH 'shelf'") == 2 * kRows);
  CHECK(place.difference_of("away.db") == "");
}

}  // namespace csa::shown_test::offline_test
