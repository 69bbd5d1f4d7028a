// Work without a broker and its way back, with real programs.
#include <doctest/doctest.h>

#include <atomic>
#include <limits>
#include <thread>

#include "common/sqlite.h"
#include "common/system_clock.h"
#include "tests/system/place.h"

namespace csa::system_test::offline_test {
namespace {

using std::chrono::duration_cast;
using std::chrono::steady_clock;

constexpr const char* kShop = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT NOT NULL, place TEXT, stock INTEGER);
  CREATE TABLE movement (id INTEGER PRIMARY KEY, part INTEGER NOT NULL REFERENCES part (id),
                         amount INTEGER);
  INSERT INTO part VALUES (1, 'bolt', 'A1', 10), (2, 'nut', 'A2', 5), (3, 'rod', 'B1', 7);
)";

std::string text_of(const std::string& database, const std::string& sql) {
  return Database(database, Database::Mode::kReadOnly).query_text(sql).value_or("(nothing)");
}

bool all_handed_over(Client& client) {
  return eventually([&] {
    const ClientStatus status = client.status();
    return status.state == ClientState::kLive && status.pending == 0;
  });
}

// Asks without a pause: a commit is over in milliseconds.
bool has_merged(const std::string& master, int steps) {
  const Database db(master, Database::Mode::kReadOnly);
  Statement count = db.prepare("SELECT ifnull(max(rowid), 0) FROM step");
  for (const auto end = after(kPatience); !is_past(end); count.reset()) {
    if (count.step() && count.column_int(0) >= steps) return true;
  }
  return false;
}

// Reads the replica all the while, whether its node lives or not.
class ReplicaPoller {
 public:
  explicit ReplicaPoller(const std::string& replica)
      : thread_([this, replica] {
          while (!stop_) {
            try {
              const Database db(replica, Database::Mode::kReadOnly);
              const std::int64_t now = db.query_int("SELECT n FROM last").value_or(-1);
              lowest_ = std::min(lowest_.load(), now);
              ++reads_;
            } catch (const SqliteError& error) {
              if (error.primary_code() != SQLITE_BUSY) lowest_ = -2;
            }
            breathe();
          }
        }) {}
  ~ReplicaPoller() { stop(); }
  ReplicaPoller(const ReplicaPoller&) = delete;
  ReplicaPoller& operator=(const ReplicaPoller&) = delete;
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] std::int64_t lowest() const { return lowest_; }
  [[nodiscard]] std::int64_t reads() const { return reads_; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<std::int64_t> lowest_{std::numeric_limits<std::int64_t>::max()};
  std::atomic<std::int64_t> reads_{0};
  std::thread thread_;
};

WriteResult must_journal(Client& client, const std::string& sql) {
  WriteResult result = client.exec(sql);
  REQUIRE_MESSAGE(result.status == WriteResult::Status::kJournaled, sql << ": " << result.message);
  return result;
}

}  // namespace

TEST_CASE("shown: two nodes work offline, nothing is lost and everybody ends equal") {
  const Place place;
  place.create(kShop);
  run_sql(place.master(), "INSERT INTO csa_rule VALUES ('part', 'stock', 'sum')");
  Ready ready;
  std::optional<Program> broker(place.serve(ready));
  const std::unique_ptr<Client> a = place.client("a.db");
  const std::unique_ptr<Client> b = place.client("b.db");
  REQUIRE(a->wait_for(ClientState::kLive, kPatience));
  REQUIRE(b->wait_for(ClientState::kLive, kPatience));
  broker->kill();
  broker.reset();
  REQUIRE(a->wait_for(ClientState::kStandalone, kPatience));
  REQUIRE(b->wait_for(ClientState::kStandalone, kPatience));
  // Further apart than the two clocks' errors, so that the later edit is known.
  const auto a_moment = [] {
    const TimePoint later = monotonic_now() + milliseconds{200};
    return eventually([&] { return monotonic_now() >= later; });
  };
  for (Client* const node : {a.get(), b.get()}) {
    const std::string who = node == a.get() ? "a" : "b";
    must_journal(*node, "INSERT INTO part (name, stock) VALUES ('new of " + who + "', 1)");
    must_journal(*node,
                 "INSERT INTO movement (part, amount) SELECT id, 1 FROM part WHERE name ="
                 " 'new of " +
                     who + "'");
    must_journal(*node, "UPDATE part SET stock = stock - 3 WHERE id = 1");
  }
  must_journal(*a, "UPDATE part SET name = 'nut by a' WHERE id = 2");
  CHECK(a_moment());
  must_journal(*b, "UPDATE part SET place = 'moved by b' WHERE id = 2");
  must_journal(*a, "UPDATE part SET name = 'rod by a' WHERE id = 3");
  CHECK(a_moment());
  must_journal(*b, "DELETE FROM part WHERE id = 3");
  CHECK(a->status().pending == 5);
  broker.emplace(place.serve(ready));
  REQUIRE(all_handed_over(*a));
  REQUIRE(all_handed_over(*b));
  const std::string& master = place.master();
  CHECK(count_of(master, "SELECT stock FROM part WHERE id = 1") == 4);
  CHECK(count_of(master, "SELECT count(*) FROM part WHERE name LIKE 'new of %'") == 2);
  CHECK(count_of(master,
                 "SELECT count(*) FROM movement JOIN part ON part.id = movement.part"
                 " WHERE name LIKE 'new of %'") == 2);
  CHECK(count_of(master, "SELECT count(DISTINCT part) FROM movement") == 2);
  // Row 2: the later edit has the row, the other one lies in the inbox; row 3 likewise.
  CHECK(text_of(master, "SELECT name || ' at ' || place FROM part WHERE id = 2") ==
        "nut at moved by b");
  CHECK_MESSAGE(count_of(master, "SELECT count(*) FROM part WHERE id = 3") == 0,
                text_of(master,
                        "SELECT group_concat(decision || ' close ' || close || ' ' || reason"
                        " || broker_time || ' node ' || node_time, '; ')"
                        " FROM csa_conflicts"));
  CHECK(count_of(master,
                 "SELECT count(*) FROM csa_conflicts WHERE broker LIKE '%nut by a%' OR"
                 " node_row LIKE '%nut by a%'") == 1);
  CHECK(count_of(master,
                 "SELECT count(*) FROM csa_conflicts WHERE broker LIKE '%rod by a%' OR"
                 " node_row LIKE '%rod by a%'") == 1);
  CHECK(place.difference_of("a.db") == "");
  CHECK(place.difference_of("b.db") == "");
  CHECK(count_of(place.file("b.db"), "SELECT count(*) FROM csa_conflicts") == 2);
  MESSAGE("stock 4, all new rows and their children there, 2 losers in the inbox, all equal");
}

TEST_CASE("offline: exec --timeout ends a statement that takes longer, and nothing is kept of it") {
  const Place place;
  place.create(kShop);
  Ready ready;
  {
    const Program broker = place.serve(ready);
    REQUIRE(run(place.node("a.db", {"query", "SELECT 1"})).code == 0);
  }
  // By itself it would take minutes.
  const std::string endless =
      "INSERT INTO part (name, stock) WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM"
      " c WHERE n < 2000000000) SELECT 'x', max(n) FROM c";
  const TimePoint begun = monotonic_now();
  const Finished ended = run(place.node("a.db", {"exec", "--json", "--timeout", "3s", endless}));
  CHECK(monotonic_now() - begun < milliseconds{20'000});  // 30 s it may take otherwise
  CHECK(ended.code == 5);
  CHECK_MESSAGE(ended.out.find("\"code\":\"timeout\"") != std::string::npos, ended.out);
  CHECK(count_of(place.file("a.db"), "SELECT count(*) FROM csa_journal") == 0);
}

TEST_CASE(
    "shown: the broker dies, writes are journaled within a second; back, merged within three") {
  const Place place;
  place.create(kShop);
  Ready ready;
  std::optional<Program> broker(place.serve(ready));
  const std::unique_ptr<Client> a = place.client("a.db");
  REQUIRE(a->wait_for(ClientState::kLive, kPatience));
  const auto killed = steady_clock::time_point(monotonic_now());
  broker->kill();
  broker.reset();
  const WriteResult first = a->exec("UPDATE part SET stock = 99 WHERE id = 1");
  const auto journaled = duration_cast<milliseconds>(monotonic_now() - killed);
  CHECK(first.status == WriteResult::Status::kJournaled);
  CHECK(journaled.count() < 1000);
  broker.emplace(place.serve(ready));
  const auto back = monotonic_now();
  REQUIRE(all_handed_over(*a));
  const auto merged = duration_cast<milliseconds>(monotonic_now() - back);
  CHECK(merged.count() < 3000);
  CHECK(count_of(place.master(), "SELECT stock FROM part WHERE id = 1") == 99);
  MESSAGE("journaled " << journaled.count() << " ms after the kill, merged " << merged.count()
                       << " ms after the broker was ready");
}

TEST_CASE("shown: killed again and again during a replay, each change once and in order") {
  const Place place;
  place.create(
      "CREATE TABLE step (n INTEGER NOT NULL); CREATE TABLE last (id INTEGER PRIMARY KEY,"
      " n INTEGER); INSERT INTO last VALUES (1, 0)");
  Ready ready;
  std::optional<Program> broker(place.serve(ready));
  std::optional<Program> node(place.live_node("a.db"));
  node->signal(SIGTERM);
  CHECK(node->exit_code() == 0);
  node.reset();
  broker->kill();
  broker.reset();
  constexpr int kSteps = 5000;
  std::string typed;
  for (int i = 1; i <= kSteps; ++i) {
    const std::string n = std::to_string(i);
    typed += "BEGIN; INSERT INTO step VALUES (" + n + "); UPDATE last SET n = " + n + "; COMMIT;\n";
  }
  Launch shell = place.node("a.db", {"shell", "--json", "--discovery-timeout", "100ms"});
  shell.input = typed;
  {
    Program typing(shell);
    for (int i = 0; i < kSteps; ++i) {
      const std::optional<std::string> line = typing.line();
      REQUIRE_MESSAGE(line, typing.errors());
      REQUIRE_MESSAGE(line->find("\"journaled\"") != std::string::npos, *line);
    }
  }
  ReplicaPoller poller(place.file("a.db"));
  constexpr int kKills = 40;
  int during = 0;  // while a part of the journal was still to be merged
  broker.emplace(place.serve(ready));
  node.emplace(place.node("a.db", {"run"}));
  for (int round = 0; round < kKills; ++round) {
    CAPTURE(round);
    REQUIRE(node->line_with("state=replaying"));
    // A little farther each time, so that the last one comes before the end too.
    REQUIRE(has_merged(place.master(), kSteps * round / (kKills + kKills / 2)));
    if (round % 2 == 0) {
      broker->kill();
      broker.reset();
    } else {
      node->kill();
      node.reset();
    }
    if (count_of(place.master(), "SELECT count(*) FROM step") < kSteps) ++during;
    if (!broker) broker.emplace(place.serve(ready));
    if (!node) node.emplace(place.node("a.db", {"run"}));
  }
  CHECK(during == kKills);
  REQUIRE(node->line_with("state=live"));
  node->signal(SIGTERM);
  CHECK(node->exit_code() == 0);
  node.reset();
  const std::unique_ptr<Client> a = place.client("a.db");
  REQUIRE(all_handed_over(*a));
  poller.stop();
  CHECK(poller.lowest() == kSteps);  // never back, whatever the master had so far
  CHECK(poller.reads() > 1000);
  CHECK(count_of(place.master(), "SELECT count(*) FROM step") == kSteps);
  CHECK(count_of(place.master(), "SELECT count(DISTINCT n) FROM step") == kSteps);
  CHECK(count_of(place.master(),
                 "SELECT count(*) FROM (SELECT n, lag(n) OVER (ORDER BY rowid) AS"
                 " p FROM step) WHERE p >= n") == 0);
  CHECK(count_of(place.master(), "SELECT n FROM last") == kSteps);
  CHECK(place.difference_of("a.db") == "");
  MESSAGE(kKills << " kills, " << during << " of them before the end of the replay of " << kSteps
                 << " transactions, each once, in order; " << poller.reads()
                 << " reads of the replica meanwhile, none went back");
}

}  // namespace csa::system_test::offline_test
