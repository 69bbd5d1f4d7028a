// What a replica offers of a history that the master has lost, recovered at the restored master.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "common/clock_limits.h"
#include "tests/support/lost_master.h"

namespace csa::restore_offered_test {

using test::LostMaster;
using test::MergeBench;

TEST_CASE("restore: what a replica offers of a lost history is named by the epoch it was made in") {
  LostMaster m;
  const std::string backup = m.backup();
  const Epoch first = m.b.master.ledger->meta().position.epoch;
  m.write("UPDATE part SET a = 'first' WHERE id = 1", 10);
  const Epoch second = m.lose_and_restore().position.epoch;
  MergeBench::Node& node = m.b.add_node();
  m.write("UPDATE part SET a = 'second' WHERE id = 1", 2000);
  REQUIRE(m.b.catch_up(node) == "");
  (void)m.restore_from(backup);
  (void)m.restore_from(m.backup());  // of a higher generation than the node's
  REQUIRE(take_copy(*node.replica, m.b.copy()).has_value());
  const std::vector<Replay> offers = node.replica->read_journal(0, 0, limits::kMiB).value();
  REQUIRE(offers.size() == 2);
  CHECK(offers[0].header.base.epoch == first);
  CHECK(offers[1].header.base.epoch == second);
  // In which scale of broker's time they were made, nobody can tell.
  for (const Replay& offer : offers) CHECK(offer.header.edited_error_ms == kUnknownErrorMs);
  (void)m.b.hand_over(node);
  for (const std::int64_t id : {1, 2}) {
    const Conflict request{TxId{m.b.master.node, ++m.b.master.counter}, id, ConflictVerb::kRecover};
    CHECK(std::holds_alternative<Ack>(m.b.master.run({request, "desk", 1})));
  }
  CHECK(m.row(1) == "secondb10");
}

TEST_CASE("restore: offered behind a gap, a row that SQLite numbered takes no other row's number") {
  LostMaster m;
  const auto write = [&m](const std::string& tag, std::int64_t at_ms) {
    m.write("INSERT INTO part (a) VALUES ('" + tag + "'); INSERT INTO note VALUES ('" + tag +
                "'); INSERT INTO doc VALUES ('" + tag + "')",
            at_ms);
  };
  (void)m.b.master.run(m.b.master.migration(
      "CREATE TABLE note (a TEXT); CREATE VIRTUAL TABLE doc USING fts5(a);"
      "INSERT INTO note VALUES ('one'), ('two'), ('three'); INSERT INTO doc SELECT a FROM note"));
  write("top", 10);
  REQUIRE(m.b.catch_up(m.live) == "");
  const std::string backup = m.backup();
  // The highest rows go at the master while the node numbers others behind them.
  (void)m.b.edit(m.live,
                 "INSERT INTO part (a) VALUES ('lost'); INSERT INTO note VALUES ('lost');"
                 "INSERT INTO doc VALUES ('lost')",
                 20);
  m.write("DELETE FROM part WHERE id > 3; DELETE FROM note WHERE a = 'top'", 30);
  m.write("DELETE FROM doc WHERE a = 'top'", 30);
  REQUIRE(m.b.hand_over(m.live).at(0).result == ReplayResult::kApplied);
  REQUIRE(m.b.catch_up(m.live) == "");
  (void)m.restore_from(backup);
  write("new", 10);
  REQUIRE(take_copy(*m.live.replica, m.b.copy()).has_value());
  (void)m.b.hand_over(m.live);
  const Conflict request{TxId{m.b.master.node, ++m.b.master.counter}, 3, ConflictVerb::kRecover};
  REQUIRE(std::holds_alternative<Ack>(m.b.master.run({request, "desk", 1})));
  CHECK(m.b.text("SELECT group_concat(id || a, ' ') FROM part WHERE id > 4") == "5top 6new 7lost");
  for (const std::string table : {"note", "doc"}) {
    CHECK(m.b.text("SELECT group_concat(rowid || a, ' ') FROM " + table + " WHERE rowid > 3") ==
          "4top 5new 6lost");
  }
  CHECK(m.inbox().empty());
}

TEST_CASE("restore: offered with a row that it replaced, a row takes no other row's number") {
  LostMaster m;
  (void)m.b.master.run(m.b.master.migration(
      "CREATE TABLE mail (id INTEGER PRIMARY KEY, a TEXT UNIQUE); INSERT INTO mail VALUES (1, 'x'),"
      " (2, 'y')"));
  REQUIRE(m.b.catch_up(m.live) == "");
  const std::string backup = m.backup();
  m.write("REPLACE INTO mail (a) VALUES ('y'); REPLACE INTO mail (a) VALUES ('y')", 20);
  REQUIRE(m.b.catch_up(m.live) == "");
  (void)m.restore_from(backup);
  m.write("INSERT INTO mail (a) VALUES ('new'), ('newer')", 10);
  REQUIRE(take_copy(*m.live.replica, m.b.copy()).has_value());
  (void)m.b.hand_over(m.live);
  const Conflict request{TxId{m.b.master.node, ++m.b.master.counter}, 1, ConflictVerb::kRecover};
  REQUIRE(std::holds_alternative<Ack>(m.b.master.run({request, "desk", 1})));
  CHECK(m.b.text("SELECT group_concat(id || a, ' ') FROM mail") == "1x 3new 4newer 6y");
  CHECK(m.inbox().empty());
}

}  // namespace csa::restore_offered_test
