// The master is lost and restored while nodes are away: their journals, made on the history before,
// are merged as if nothing had happened, as far as the restored log tells.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "broker/archive.h"
#include "common/past_log.h"
#include "tests/support/lost_master.h"

namespace csa::restore_merge_test {

using test::LostMaster;
using test::MergeBench;

TEST_CASE("merge after a restore: an edit older than the lost master's loses, into the inbox") {
  LostMaster m;
  (void)m.b.edit(m.away, "UPDATE part SET a = 'early' WHERE id < 3", 10);
  m.write("UPDATE part SET a = 'late' WHERE id = 1", 20);
  // An edit like any other, though nothing of it is to be seen.
  m.write("UPDATE part SET a = 'other' WHERE id = 2", 20);
  m.write("UPDATE part SET a = 'a' WHERE id = 2", 20);
  (void)m.lose_and_restore();
  CHECK(m.return_at(5000).at(0).result == ReplayResult::kSuperseded);
  CHECK(m.row(1) == "lateb10");
  CHECK(m.row(2) == "ab10");
  CHECK(m.inbox() == R"({"id":1}broker0 {"id":2}broker0)");
  CHECK(m.b.text("SELECT broker_time FROM csa_conflicts WHERE id = 1") ==
        to_string(WallTime{1'000'020}));
}

TEST_CASE("merge after a restore: an edit later than the lost master's wins, what it had is kept") {
  LostMaster m;
  m.write("UPDATE part SET a = 'early' WHERE id = 1", 10);
  (void)m.b.edit(m.away, "UPDATE part SET a = 'late' WHERE id = 1", 20);
  (void)m.lose_and_restore();
  m.write("UPDATE part SET a = 'early' WHERE id = 2", 3000);
  CHECK(m.return_at(5000).at(0).result == ReplayResult::kApplied);
  CHECK(m.row(1) == "lateb10");
  CHECK(m.inbox() == R"({"id":1}node0)");
}

TEST_CASE("merge after a restore: by column both edits stay, also in a row that was deleted") {
  LostMaster m({{"part", "", "merge"}});
  m.write("UPDATE part SET b = 'theirs' WHERE id IN (1, 2)", 10);
  m.write("DELETE FROM part WHERE id = 2", 15);
  (void)m.b.edit(m.away, "UPDATE part SET a = 'mine' WHERE id IN (1, 2)", 20);
  (void)m.lose_and_restore();
  (void)m.return_at(5000);
  CHECK(m.row(1) == "minetheirs10");
  CHECK(m.row(2) == "minetheirs10");
  CHECK(m.inbox() == R"({"id":2}node0)");
}

TEST_CASE("merge after a restore: a key that another row got before is not edited") {
  LostMaster m({{"part", "n", "sum"}});
  m.write("DELETE FROM part WHERE id = 1", 10);
  m.write("INSERT INTO part VALUES (1, 'stranger', 'b', 10)", 11);
  (void)m.b.edit(m.away, "UPDATE part SET a = 'mine', n = n - 1 WHERE id = 1", 20);
  (void)m.lose_and_restore();
  CHECK(m.return_at(5000).at(0).result == ReplayResult::kSuperseded);
  CHECK(m.row(1) == "strangerb10");
  CHECK(m.inbox() == R"({"id":1}broker0)");
}

TEST_CASE("merge after a restore: sums add up, also to what was counted before and after") {
  LostMaster m({{"part", "n", "sum"}});
  m.write("UPDATE part SET n = n - 1 WHERE id = 1", 10);
  (void)m.b.edit(m.away, "UPDATE part SET n = n - 2 WHERE id = 1", 20);
  (void)m.b.edit(m.away, "UPDATE part SET n = n - 3 WHERE id = 1", 21);
  (void)m.lose_and_restore();
  m.write("UPDATE part SET n = n - 1 WHERE id = 1", 2000);
  (void)m.return_at(5000);
  CHECK(m.row(1) == "ab3");
  CHECK(m.inbox() == "");
}

TEST_CASE("merge after a restore: a base that the backup has not is compared with by value") {
  LostMaster m;
  m.write("UPDATE part SET a = 'first' WHERE id = 2", 5);
  const std::string backup = m.backup();
  m.write("UPDATE part SET a = 'lost' WHERE id = 2", 10);
  REQUIRE(m.b.catch_up(m.away) == "");
  (void)m.b.edit(m.away, "UPDATE part SET b = 'mine'", 20);
  (void)m.restore_from(backup);
  m.write("UPDATE part SET b = 'later' WHERE id = 3", 3000);
  m.write("DELETE FROM part WHERE id = 1", 3001);
  m.write("INSERT INTO part VALUES (1, 'stranger', 'b', 10)", 3002);
  CHECK(m.return_at(5000).at(0).result == ReplayResult::kSplit);
  CHECK(m.row(1) == "strangerb10");
  CHECK(m.row(2) == "lostmine10");
  CHECK(m.row(3) == "alater10");
  CHECK(m.inbox() == R"({"id":1}broker0 {"id":2}node0 {"id":3}broker0)");
}

TEST_CASE(
    "merge after a restore: one schema version of two histories places no document's columns") {
  LostMaster m;
  const auto migrate = [&](const std::string& sql) {
    REQUIRE(std::holds_alternative<Ack>(m.b.master.run(m.b.master.migration(sql))));
  };
  migrate(
      "CREATE VIRTUAL TABLE page USING fts5 (title, body);"
      "INSERT INTO page VALUES ('title', 'body')");
  const std::string backup = m.backup();
  migrate("ALTER TABLE part ADD COLUMN lost TEXT");
  const std::uint64_t version = m.b.master.ledger->meta().schema_version;
  REQUIRE(m.b.catch_up(m.away) == "");
  (void)m.b.edit(m.away, "UPDATE page SET title = 'mine'", 4000);
  (void)m.restore_from(backup);
  m.write("DELETE FROM page", 3000);
  migrate("DROP TABLE page; CREATE VIRTUAL TABLE page USING fts5 (note, title, body)");
  REQUIRE(m.b.master.ledger->meta().schema_version == version);
  CHECK(m.return_at(5000).size() == 1);
  CHECK(m.b.text("SELECT coalesce(note, '-') || title || body FROM page") == "-minebody");
}

TEST_CASE("merge after a restore: all or nothing does not win over what a backup has not") {
  LostMaster m({{"part", "", "atomic"}});
  const std::string backup = m.backup();
  m.write("UPDATE part SET n = n + (id - 2) * 5", 10);
  REQUIRE(m.b.catch_up(m.away) == "");
  (void)m.b.edit(m.away, "UPDATE part SET n = n + (id - 1) * 2 - 1 WHERE id < 3", 20);
  (void)m.restore_from(backup);
  CHECK(m.return_at(5000).at(0).result == ReplayResult::kSuperseded);
  CHECK(m.b.text("SELECT sum(n) FROM part WHERE id < 4") == "30");
}

TEST_CASE("merge: what another program wrote into the master is of an unknown time") {
  LostMaster m;
  (void)m.b.edit(m.away, "UPDATE part SET a = 'mine' WHERE id < 3", 10);
  m.clock.ms += 20;
  Database(m.b.master.path, Database::Mode::kReadWrite)
      .exec("UPDATE part SET a = 'outside' WHERE id = 1");
  CHECK(m.b.hand_over(m.away).at(0).result == ReplayResult::kSplit);
  CHECK(m.b.master.ledger->meta().position.epoch.generation == 2);
  CHECK(m.row(1) == "outsideb10");
  CHECK(m.row(2) == "mineb10");
  CHECK(m.inbox() == R"({"id":1}broker1)");
}

TEST_CASE("merge: another program wrote after a conflict, its time is as unknown as before one") {
  LostMaster m;
  m.write("UPDATE part SET a = 'early' WHERE id = 1", 5);
  (void)m.b.edit(m.away, "UPDATE part SET a = 'mine' WHERE id = 1", 10);
  CHECK(m.return_at(100).at(0).result == ReplayResult::kApplied);
  REQUIRE(m.inbox() == R"({"id":1}node0)");
  MergeBench::Node& late = m.b.add_node();
  m.write("UPDATE part SET n = 11 WHERE id = 3", 150);
  (void)m.b.edit(late, "UPDATE part SET a = 'late' WHERE id = 2", 200);
  m.clock.ms += 100;
  Database(m.b.master.path, Database::Mode::kReadWrite)
      .exec("UPDATE part SET a = 'outside' WHERE id = 2");
  CHECK(m.b.hand_over(late).at(0).result == ReplayResult::kSuperseded);
  CHECK(m.row(2) == "outsideb10");
  CHECK(m.inbox() == R"({"id":1}node0 {"id":2}broker1)");
}

TEST_CASE("merge after a restore: a base of a history that the master never had is in doubt") {
  LostMaster m;
  const std::string backup = m.backup();
  (void)m.lose_and_restore();
  m.write("UPDATE part SET a = 'lost' WHERE id = 2", 1500);
  MergeBench::Node& other = m.b.add_node();
  (void)m.b.edit(other, "UPDATE part SET b = 'mine' WHERE id < 3", 2000);
  (void)m.b.edit(other, "UPDATE part SET b = 'again' WHERE id = 3", 9000);
  (void)m.restore_from(backup);
  m.write("UPDATE part SET n = 11 WHERE id = 3", 8000);
  m.clock.ms += 5000;
  (void)m.b.hand_over(other);
  CHECK(m.row(1) == "amine10");
  CHECK(m.row(2) == "ab10");
  CHECK(m.row(3) == "aagain10");
  CHECK(m.inbox() == R"({"id":2}broker1 {"id":3}node0)");
}

TEST_CASE("merge after a restore: twice, and from a replica that was copied in between") {
  LostMaster m;
  (void)m.b.edit(m.away, "UPDATE part SET a = 'early' WHERE id < 3", 10);
  m.write("UPDATE part SET a = 'late' WHERE id = 1", 20);
  (void)m.lose_and_restore();
  MergeBench::Node& copied = m.b.add_node();
  MergeBench::Node& parted = m.b.add_node();  // where the second history begins
  (void)m.b.edit(parted, "UPDATE part SET a = 'between' WHERE id > 1", 1900);
  m.write("UPDATE part SET a = 'later' WHERE id = 2", 2000);
  REQUIRE(m.b.catch_up(copied) == "");
  copied.replica->trim(m.b.master.ledger->meta().floor);
  const Meta meta = m.restore_from(copied.path);
  CHECK(meta.position.epoch.generation == 3);
  CHECK(m.return_at(9000).at(0).result == ReplayResult::kSuperseded);
  CHECK(m.row(1) == "lateb10");
  CHECK(m.b.hand_over(parted).at(0).result == ReplayResult::kSplit);
  CHECK(m.row(2) == "laterb10");
  CHECK(m.row(3) == "betweenb10");
  CHECK(m.inbox() == R"({"id":1}broker0 {"id":2}broker0 {"id":2}broker0)");
}

TEST_CASE("restore: made where the history begins, a new edit under a confirmed TxId is made") {
  LostMaster m;
  m.write("UPDATE part SET a = 'before' WHERE id = 1", 10);
  (void)m.lose_and_restore();
  MergeBench::Node& node = m.b.add_node();
  (void)m.b.edit(node, "UPDATE part SET a = 'new' WHERE id = 2", 2000);
  // By a later state of the node's file, from before its copy.
  m.b.master.ledger->confirm(node.replica->state().node, 5);
  m.write("UPDATE part SET n = 11 WHERE id = 3", 2100);
  CHECK(m.b.hand_over(node).at(0).result == ReplayResult::kApplied);
  CHECK(m.row(2) == "newb10");
  CHECK(m.inbox() == "");
}

TEST_CASE("restore: a loser goes back into no other row, though that was before the loss") {
  LostMaster m;
  m.write("UPDATE part SET a = 'late' WHERE id = 1", 20);
  (void)m.b.edit(m.away, "UPDATE part SET a = 'early' WHERE id = 1", 10);
  (void)m.return_at(100);
  REQUIRE(m.inbox() == R"({"id":1}broker0)");
  m.write("DELETE FROM part WHERE id = 1", 110);
  m.write("INSERT INTO part VALUES (1, 'late', 'b', 10)", 120);
  (void)m.lose_and_restore();
  const Conflict request{TxId{m.b.master.node, ++m.b.master.counter}, 1, ConflictVerb::kRestore};
  const WriteAnswer answer = m.b.master.run({request, "desk", 1});
  REQUIRE(std::holds_alternative<Nack>(answer));
  CHECK(std::get<Nack>(answer).message.find("another row") != std::string::npos);
}

TEST_CASE("merge after a restore: where the log is lost too, the decision is flagged as unsure") {
  LostMaster m;
  m.write("UPDATE part SET a = 'theirs' WHERE id = 1", 10);
  (void)m.b.edit(m.away, "UPDATE part SET a = 'mine'", 20);
  (void)m.restore_from(m.backup("DELETE FROM csa_log"));
  CHECK(m.return_at(5000).at(0).result == ReplayResult::kSplit);
  CHECK(m.row(1) == "theirsb10");
  CHECK(m.row(2) == "mineb10");
  CHECK(m.inbox() == R"({"id":1}broker1)");
  CHECK(m.b.text("SELECT ifnull(broker_time, 'unknown') FROM csa_conflicts") == "unknown");
  // What was made after the new history began was surely later.
  (void)m.b.edit(m.away, "UPDATE part SET a = 'again' WHERE id = 1", 6000);
  CHECK(m.b.hand_over(m.away).back().result == ReplayResult::kApplied);
}

TEST_CASE("merge after a restore: of a log with a gap, what is behind the gap counts") {
  LostMaster m;
  m.write("UPDATE part SET a = 'one' WHERE id = 1", 10);
  m.write("UPDATE part SET a = 'two' WHERE id = 2", 11);
  const Seq last = m.b.master.ledger->meta().position.seq;
  m.write("UPDATE part SET a = 'three' WHERE id = 3", 12);
  const std::string gap =
      "DELETE FROM csa_log WHERE part_id = " + std::to_string(first_log_part(last));
  (void)m.b.edit(m.away, "UPDATE part SET a = 'mine'", 8);
  (void)m.restore_from(m.backup(gap));
  (void)m.return_at(5000);
  CHECK(m.inbox() == R"({"id":1}broker1 {"id":2}broker1 {"id":3}broker0)");
}

TEST_CASE("merge after a restore: entries that do not continue their chain tell nothing") {
  LostMaster m;
  m.write("UPDATE part SET a = 'theirs' WHERE id = 1", 10);
  m.write("UPDATE part SET a = 'theirs' WHERE id = 2", 11);
  (void)m.restore_from(
      m.backup("UPDATE csa_log SET chain = zeroblob(16) WHERE part_id ="
               " (SELECT max(part_id) FROM csa_log)"));
  CHECK(m.b.master.count("SELECT count(*) FROM csa_log") == 0);
}

TEST_CASE("restore: the log of before is kept for merges, and sent to nobody") {
  LostMaster m;
  const Position before = m.b.master.ledger->meta().position;
  m.write("UPDATE part SET a = 'theirs' WHERE id = 1", 10);
  const Meta meta = m.lose_and_restore();
  CHECK(meta.floor == meta.position.seq.next());
  {
    const Database db(m.b.master.path, Database::Mode::kReadOnly);
    CHECK(PastLog(db).floor(meta) == Seq{1});
    CHECK(LogTable(db).entry(meta.position.seq).has_value());
  }
  Archive archive(m.b.master.path, m.b.master.folder.path(), Log());
  LogGet request{1, before, 0, 1000};
  CHECK(std::holds_alternative<LogGone>(archive.read_log(request, meta.position)));
  request.after = Position{meta.position.epoch, before.seq, Chain{}};
  CHECK(std::holds_alternative<LogGone>(archive.read_log(request, meta.position)));
  request.after = meta.position;
  m.write("UPDATE part SET a = 'new' WHERE id = 1", 3000);
  const auto answer = archive.read_log(request, m.b.master.ledger->meta().position);
  REQUIRE(std::holds_alternative<LogSlice>(answer));
  CHECK(std::get<LogSlice>(answer).pieces.size() == 1);
}

TEST_CASE("restore: the log of before goes first when the log grows, at the master and at nodes") {
  LostMaster m({}, 4000);
  for (int i = 0; i < 4; ++i) m.write("UPDATE part SET a = hex(randomblob(100)) WHERE id = 1", i);
  const Meta meta = m.lose_and_restore();
  MergeBench::Node& node = m.b.add_node();
  const auto now = [&] { return m.b.master.ledger->meta(); };
  const auto oldest = [&] {
    const Database db(node.path, Database::Mode::kReadOnly);
    return db.query_int("SELECT min(part_id) FROM csa_log");
  };
  Seq kept{1};
  for (std::int64_t at = 2000; now().floor == meta.floor; ++at) {
    REQUIRE(at < 2100);
    const Database db(m.b.master.path, Database::Mode::kReadOnly);
    kept = PastLog(db).floor(now());
    m.write("UPDATE part SET a = hex(randomblob(100)) WHERE id = 1", at);
    REQUIRE(m.b.catch_up(node) == "");
    CHECK(oldest() == first_log_part(Seq{1}));
    while (m.b.master.ledger->housekeeping()) {
    }
    node.replica->trim(now().floor);
  }
  CHECK(kept > Seq{1});  // and the floor stood where it was
  for (int i = 0; i < 10; ++i) node.replica->trim(now().floor);
  CHECK(oldest() == first_log_part(now().floor));
}

TEST_CASE("merge after a restore: columns had exchanged names before, every value finds its own") {
  LostMaster m;
  (void)m.b.edit(m.away, "UPDATE part SET a = 'mine' WHERE id = 1", 10);
  (void)m.b.master.ack(m.b.master.migration(
      "ALTER TABLE part RENAME COLUMN a TO t; ALTER TABLE part RENAME COLUMN b TO a;"
      "ALTER TABLE part RENAME COLUMN t TO b"));
  (void)m.lose_and_restore();
  CHECK(m.return_at(5000).at(0).result == ReplayResult::kApplied);
  CHECK(m.b.text("SELECT b || a FROM part WHERE id = 1") == "mineb");
}

}  // namespace csa::restore_merge_test
