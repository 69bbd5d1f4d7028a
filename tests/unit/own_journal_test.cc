// A replica with a journal of its own becomes the master: nothing of it is lost, nothing counts
// twice when the node hands it over as well.
#include <doctest/doctest.h>

#include <filesystem>

#include "broker/ledger.h"
#include "broker/opening.h"
#include "common/journal.h"
#include "common/limits.h"
#include "tests/support/opening_place.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::own_journal_test {
namespace {

LedgerOptions plain_options() {
  LedgerOptions options;
  options.max_changes = limits::kMiB;
  options.log_keep = limits::kMiB;
  options.rows_max = 100;
  options.statement_timeout = limits::kStatementTimeout;
  options.monotonic_now = [] { return TimePoint{}; };
  options.local_now = [boot = boot_hash()] { return local_now(boot); };
  options.random_id = [] { return random_id(); };
  return options;
}

struct Office {
  ScratchFolder folder;
  HandMaster master;
  std::string path = folder.file("replica.db");
  std::unique_ptr<Replica> replica = open_replica(path);
  std::uint64_t counter = 0;
  DatabaseName name{folder.file("new.db"), "csa", "shop"};

  Office() : master(folder.path(), "CREATE TABLE first (x)") {
    master.exec("DROP TABLE first");
    master.migrate("CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, qty INTEGER)");
    master.migrate("CREATE TABLE note (text)");
    master.migrate(
        "CREATE TRIGGER noted AFTER INSERT ON part BEGIN INSERT INTO note VALUES (new.name); END");
    master.exec("INSERT INTO csa_rule VALUES ('part', 'qty', 'sum')");
    master.exec("INSERT INTO part VALUES (1, 'bolt', 10), (2, 'nut', 20)");
    REQUIRE(take_copy(*replica, master.copy()).has_value());
  }
  void journal(const std::string& sql, std::int64_t edited = 0) {
    OfflineWrite write;
    write.write.tx = {replica->state().node, ++counter};
    write.write.sql = sql;
    write.edited = WallTime{edited != 0 ? edited : 1000 + static_cast<std::int64_t>(counter)};
    const Result<OfflineDone> done = replica->write_offline(write);
    REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
    REQUIRE(std::holds_alternative<Journaled>(done->answer));
  }
  std::vector<Replay> entries() { return replica->read_journal(0, 0, 64 * limits::kMiB).value(); }
  Restoration restored(const std::string& from, DamagedJournal damaged = DamagedJournal::kNo) {
    const Result<Restoration> done = restore(name, from, opening::real(), damaged);
    REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
    return *done;
  }
  std::int64_t count(const std::string& sql) const {
    return Database(name.path, Database::Mode::kReadOnly).query_int(sql).value_or(-1);
  }
  // As the node does it when it finds the new broker: all of it, in order.
  std::vector<ReplayResult> hand_over(const std::vector<Replay>& replays) {
    Ledger ledger(name.path, plain_options(), Log());
    std::vector<ReplayResult> results;
    for (const Replay& replay : replays) {
      const CommitResult result = ledger.commit({{replay, "till-1", 1}});
      results.push_back(std::get<Replayed>(result.outcomes.at(0).answer).result);
    }
    ledger.close();
    return results;
  }
};

bool all_outcomes(const std::vector<ReplayResult>& results) {
  return !results.empty() && std::all_of(results.begin(), results.end(),
                                         [](ReplayResult result) { return is_outcome(result); });
}

}  // namespace

TEST_CASE("restore from a node: its journal is merged under its TxIds, and counts once") {
  Office o;
  o.journal("UPDATE part SET qty = qty - 3 WHERE id = 1");
  o.journal("INSERT INTO part (name, qty) VALUES ('washer', 5)");
  o.journal("DELETE FROM part WHERE id = 2; UPDATE part SET name = 'screw' WHERE id = 3");
  const std::vector<Replay> journal = o.entries();
  const std::string before = content_of(o.path);
  const Restoration done = o.restored(o.path);  // the replica is open all the while
  CHECK(done.journaled == 3);
  CHECK(done.inbox == 0);
  CHECK(content_of(o.name.path) == before);
  CHECK(content_of(o.path) == before);
  CHECK(o.count("SELECT count(*) FROM note") == 3);  // no trigger fired twice
  CHECK(o.count("SELECT count(*) FROM csa_journal") == 0);
  CHECK(o.count("SELECT count(*) FROM csa_journal_part") == 0);
  CHECK(o.count("SELECT count(*) FROM csa_private") == 2);
  CHECK(o.count("SELECT count(*) FROM csa_private WHERE key IN ('role', 'clock')") == 2);
  CHECK(inspect(o.name, true).finding == Finding::kSound);
  // Others are judged by these edits: they are in the log, each under its TxId and time.
  const Database db(o.name.path, Database::Mode::kReadOnly);
  LogTable log(db);
  for (const Replay& replay : journal) {
    const auto outcome = OutcomeTable(db).find(replay.header.tx);
    REQUIRE(outcome.has_value());
    const auto entry = log.entry(std::get<Replayed>(outcome->answer).seq);
    REQUIRE(entry.has_value());
    CHECK(entry->header.tx == replay.header.tx);
    CHECK(entry->header.edited == replay.header.edited);
  }
  CHECK(all_outcomes(o.hand_over(journal)));
  CHECK(content_of(o.name.path) == before);
}

TEST_CASE("restore from a node: what is journaled after the copy was made is handed over behind") {
  Office o;
  o.journal("UPDATE part SET qty = qty - 3 WHERE id = 1");
  (void)o.restored(o.path);
  o.journal("UPDATE part SET qty = qty - 1 WHERE id = 1");
  CHECK(all_outcomes(o.hand_over(o.entries())));
  CHECK(o.count("SELECT qty FROM part WHERE id = 1") == 6);
}

TEST_CASE("restore from a node: answered but not taken over, with a tail, whole and cut") {
  for (const bool cut : {false, true}) {
    CAPTURE(cut);
    Office o;
    o.journal("UPDATE part SET qty = qty - 3 WHERE id = 1");
    o.journal("INSERT INTO part (name, qty) VALUES ('washer', 5)");
    const std::vector<Replay> journal = o.entries();
    o.master.exec("UPDATE part SET name = 'bolt M8' WHERE id = 1");
    o.master.exec("INSERT INTO part VALUES (9, 'rivet', 1)");
    std::vector<LogPiece> tail = o.master.after(o.replica->state().position->seq, 20);
    if (cut) tail.pop_back();
    REQUIRE(o.replica->spool(tail).has_value());
    o.replica->mark_answered(
        {{journal.front().header.tx, ReplayResult::kApplied, 0, Seq{99}, {}, {}}});
    CHECK(o.replica->state().journal.waiting == 1);
    CHECK(o.restored(o.path).journaled == 2);
    CHECK(o.count("SELECT qty FROM part WHERE id = 1") == 7);
    CHECK(o.count("SELECT count(*) FROM part WHERE name = 'bolt M8'") == 1);
    CHECK(o.count("SELECT count(*) FROM part WHERE name = 'rivet'") == (cut ? 0 : 1));
    CHECK(o.count("SELECT count(*) FROM part WHERE name = 'washer'") == 1);
    CHECK(all_outcomes(o.hand_over(journal)));
    CHECK(o.count("SELECT qty FROM part WHERE id = 1") == 7);
    CHECK(o.count("SELECT count(*) FROM part WHERE name = 'washer'") == 1);
  }
}

TEST_CASE("restore from a node: a header in the tail cannot be read, it is left out") {
  for (const DamagedJournal damaged : {DamagedJournal::kNo, DamagedJournal::kAsIs}) {
    Office o;
    o.journal("UPDATE part SET qty = qty - 3 WHERE id = 1");
    const std::vector<Replay> journal = o.entries();
    o.master.exec("UPDATE part SET name = 'bolt M8' WHERE id = 1");
    o.master.exec("INSERT INTO part VALUES (9, 'rivet', 1)");
    REQUIRE(o.replica->spool(o.master.after(o.replica->state().position->seq)).has_value());
    o.replica->close();
    run_sql(o.path,
            "UPDATE csa_log SET header = x'00' WHERE part_id = (SELECT max(part_id) FROM csa_log)");
    CHECK(o.restored(o.path, damaged).journaled == 1);
    CHECK(o.count("SELECT qty FROM part WHERE id = 1") == 7);
    CHECK(o.count("SELECT count(*) FROM part WHERE name = 'rivet'") == 0);
    CHECK(all_outcomes(o.hand_over(journal)));
    CHECK(o.count("SELECT qty FROM part WHERE id = 1") == 7);
  }
}

TEST_CASE("restore from a node: the log carries the hash by which replicas know a repeated entry") {
  Office o;
  o.journal("UPDATE part SET qty = qty - 3 WHERE id = 1");
  const TxId tx = o.entries().front().header.tx;
  (void)o.restored(o.path);
  const Database db(o.name.path, Database::Mode::kReadOnly);
  const Outcome outcome = OutcomeTable(db).find(tx).value();
  const auto entry = LogTable(db).entry(std::get<Replayed>(outcome.answer).seq);
  REQUIRE(entry.has_value());
  CHECK(entry->header.request_hash == outcome.request_hash);
}

TEST_CASE("restore from a node: a large entry comes in parts") {
  Office o;
  o.journal(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9000)"
      " INSERT INTO note SELECT hex(randomblob(150)) FROM n");
  o.journal("UPDATE part SET qty = 0 WHERE id = 1");
  const std::string before = content_of(o.path);
  CHECK(o.restored(o.path).journaled == 2);
  CHECK(content_of(o.name.path) == before);
}

TEST_CASE("restore from a node: what it offers of a lost history is kept, and no unsent change") {
  Office o;
  o.journal("UPDATE part SET qty = 6 WHERE id = 1");
  const Replay made = o.entries().at(0);
  o.replica->close();
  {
    const Database db(o.path, Database::Mode::kReadWrite);
    Transaction transaction(db);
    const Journal journal(db);
    JournalState state = journal.read_state();
    JournalHeader header = made.header;
    ++header.tx.counter;
    header.lost = {NodeId{random_id()}, 5};
    header.lost_hostname = "till";
    Spill body(o.folder.path(), limits::kMiB);
    body.append(made.bytes);
    journal.append(header, body, state);
    transaction.commit();
  }
  CHECK(o.restored(o.path).journaled == 1);
  const Database db(o.name.path, Database::Mode::kReadOnly);
  CHECK(db.query_int("SELECT count(*) FROM csa_lost WHERE hostname = 'till'") == 1);
}

TEST_CASE("restore from a node: a damaged journal is named, and the database stays") {
  Office o;
  o.journal("UPDATE part SET qty = 6 WHERE id = 1");
  o.replica->close();
  run_sql(o.path,
          "UPDATE csa_journal_part SET body = CAST(substr(body, 1, 20) || x'FF' ||"
          " substr(body, 22) AS BLOB)");
  const Result<Restoration> done = restore(o.name, o.path, opening::real());
  REQUIRE_FALSE(done.has_value());
  CHECK(done.error().code == Errc::kDamaged);
  CHECK(done.error().what.find("offline change 1 ") != std::string::npos);
  CHECK(done.error().what.find("--as-is") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(o.name.path));
  CHECK_FALSE(std::filesystem::exists(o.name.path + ".csa-new"));
}

TEST_CASE("restore as is: a sound journal is merged as always") {
  Office o;
  o.journal("UPDATE part SET qty = qty - 3 WHERE id = 1");
  const Restoration done = o.restored(o.path, DamagedJournal::kAsIs);
  CHECK_FALSE(done.as_is.has_value());
  CHECK(done.journaled == 1);
}

TEST_CASE("restore as is: of a damaged journal the tables stay, and each change counts once") {
  Office o;
  o.journal("UPDATE part SET qty = qty - 3 WHERE id = 1");
  o.journal("UPDATE part SET qty = qty - 4 WHERE id = 1");
  o.journal("INSERT INTO part (name, qty) VALUES ('washer', 5)");
  const std::vector<Replay> journal = o.entries();
  o.master.exec("UPDATE part SET name = 'bolt M8' WHERE id = 1");
  REQUIRE(o.replica->spool(o.master.after(o.replica->state().position->seq)).has_value());
  const std::string before = content_of(o.path);
  o.replica->close();
  run_sql(o.path,
          "UPDATE csa_journal_part SET body = CAST(substr(body, 1, 20) || x'FF' ||"
          " substr(body, 22) AS BLOB) WHERE part_id >> 20 = 2");
  const Restoration done = o.restored(o.path, DamagedJournal::kAsIs);
  CHECK(content_of(o.name.path) == before);
  REQUIRE(done.as_is.has_value());
  CHECK(done.as_is->damage.find("offline change 2 ") != std::string::npos);
  CHECK(done.as_is->changes == 3);
  CHECK(done.as_is->unreadable == 1);
  CHECK(done.as_is->spooled == 1);
  CHECK(done.as_is->offers == 0);
  CHECK(done.journaled == 0);
  CHECK(o.count("SELECT count(*) FROM csa_journal") == 0);
  CHECK(o.count("SELECT count(*) FROM csa_journal_part") == 0);
  // What it was is there, damage and all; what it followed tells nobody of these changes.
  const Database kept(done.as_is->kept_as, Database::Mode::kReadOnly);
  CHECK(kept.query_int("SELECT count(*) FROM csa_journal") == 3);
  CHECK(o.count("SELECT count(*) FROM csa_log") == 0);
  CHECK(inspect(o.name, true).finding == Finding::kSound);
  // A copy of the replica from before the damage.
  CHECK(all_outcomes(o.hand_over(journal)));
  CHECK(content_of(o.name.path) == before);
}

// Two entries, the first of which can be read no more; another copy of the replica hands over both.
struct AsIsTwice : Office {
  std::vector<Replay> other;

  AsIsTwice() {
    journal("INSERT INTO part (name, qty) VALUES ('washer', 5)");
    journal("UPDATE part SET qty = qty - 4 WHERE id = 1");
    other = entries();
  }
  void damage() {
    replica->close();
    run_sql(path,
            "UPDATE csa_journal_part SET body = CAST(substr(body, 1, 20) || x'FF' ||"
            " substr(body, 22) AS BLOB) WHERE part_id >> 20 = 1");
  }
  void counts_once() {
    const std::string before = content_of(path);
    CHECK(restored(path, DamagedJournal::kAsIs).as_is.value().changes == 2);
    const std::vector<ReplayResult> both{ReplayResult::kApplied, ReplayResult::kApplied};
    CHECK(hand_over(other) == both);
    CHECK(count("SELECT count(*) FROM part WHERE name = 'washer'") == 1);
    CHECK(content_of(name.path) == before);
  }
};

TEST_CASE("restore as is: of a renamed journal each change counts once, by its first TxId too") {
  AsIsTwice o;
  o.replica->renew_identity();
  const std::vector<Replay> renamed = o.entries();
  o.damage();
  o.counts_once();
  CHECK(all_outcomes(o.hand_over(renamed)));
  CHECK(o.count("SELECT count(*) FROM part WHERE name = 'washer'") == 1);
}

TEST_CASE(
    "restore as is: another transaction has an entry's TxId, or had, the change counts once") {
  for (const bool forgotten : {false, true}) {
    CAPTURE(forgotten);
    AsIsTwice o;
    o.damage();
    {
      const Database db(o.path, Database::Mode::kReadWrite);
      Transaction transaction(db);
      OutcomeTable outcomes(db);
      for (const Replay& entry : o.other) {
        const TxId& tx = entry.header.tx;
        if (forgotten) {
          outcomes.raise_floor(tx.node, tx.counter);
        } else {
          Ack ack;
          ack.tx = tx;
          ack.seq = Seq{1};
          outcomes.add({tx, random_id(), ack});
        }
      }
      transaction.commit();
    }
    o.counts_once();
  }
}

TEST_CASE("restore as is: a spooled entry that is kept wrongly, the rest is taken all the same") {
  Office o;
  o.journal("UPDATE part SET qty = qty - 3 WHERE id = 1");
  o.master.exec("UPDATE part SET name = 'bolt M8' WHERE id = 1");
  REQUIRE(o.replica->spool(o.master.after(o.replica->state().position->seq)).has_value());
  const std::string before = content_of(o.path);
  o.replica->close();
  run_sql(o.path,
          "UPDATE csa_journal_part SET body = CAST(substr(body, 1, 20) || x'FF' ||"
          " substr(body, 22) AS BLOB);"
          "UPDATE csa_log SET header = x'ff' WHERE part_id = (SELECT max(part_id) FROM csa_log)");
  const Restoration done = o.restored(o.path, DamagedJournal::kAsIs);
  CHECK(content_of(o.name.path) == before);
  REQUIRE(done.as_is.has_value());
  CHECK(done.as_is->spooled == 0);
}

TEST_CASE("restore as is: a header that cannot be read, and an offer") {
  Office o;
  o.journal("UPDATE part SET qty = 6 WHERE id = 1");
  o.journal("UPDATE part SET qty = 7 WHERE id = 1");
  const Replay made = o.entries().at(0);
  o.replica->close();
  {
    const Database db(o.path, Database::Mode::kReadWrite);
    Transaction transaction(db);
    const Journal journal(db);
    JournalState state = journal.read_state();
    for (const std::uint64_t counter : {5U, 6U}) {
      JournalHeader header = made.header;
      header.tx.counter = counter;
      header.lost = {NodeId{random_id()}, counter};
      header.lost_hostname = "till";
      Spill body(o.folder.path(), limits::kMiB);
      body.append(made.bytes);
      journal.append(header, body, state);
    }
    transaction.commit();
  }
  run_sql(o.path, "DELETE FROM csa_journal_part WHERE part_id >> 20 = 6");
  CHECK(restore(o.name, o.path, opening::real()).error().code == Errc::kDamaged);
  {
    const DatabaseName offers{o.folder.file("offers.db"), "csa", "shop"};
    const auto done = restore(offers, o.path, opening::real(), DamagedJournal::kAsIs);
    REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
    REQUIRE(done->as_is.has_value());
    CHECK(done->as_is->offers == 1);
    CHECK(done->as_is->changes == 0);
    CHECK(done->journaled == 2);
  }
  run_sql(o.path, "UPDATE csa_journal SET header = x'00' WHERE entry = 1");
  const Restoration done = o.restored(o.path, DamagedJournal::kAsIs);
  REQUIRE(done.as_is.has_value());
  CHECK(done.as_is->changes == 2);
  CHECK(done.as_is->unreadable == 1);
  CHECK(done.as_is->offers == 1);
  CHECK(o.count("SELECT qty FROM part WHERE id = 1") == 7);
  CHECK(o.count("SELECT count(*) FROM csa_lost") == 1);
}

}  // namespace csa::own_journal_test
