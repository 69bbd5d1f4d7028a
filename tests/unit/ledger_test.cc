#include "broker/ledger.h"

#include <doctest/doctest.h>

#include "broker/archive.h"
#include "common/codec.h"
#include "tests/support/ledger_bench.h"

namespace csa::test::ledger_test {
namespace {

constexpr const char* kSchema = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, qty INTEGER
                     CHECK (qty >= 0));
  CREATE TABLE note (body, at);
  CREATE TABLE tag (word TEXT, part INTEGER REFERENCES part DEFERRABLE INITIALLY DEFERRED,
                    PRIMARY KEY (word, part)) WITHOUT ROWID;
  CREATE VIRTUAL TABLE search USING fts5(body);
  CREATE TRIGGER noted AFTER INSERT ON part BEGIN
    INSERT INTO note VALUES (new.name || ' came', 1);
  END;
)";

constexpr const char* kCountToMany =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000000) ";

}  // namespace

TEST_CASE("ledger: writes to a real database, acknowledged, logged and repeatable") {
  if (LedgerBench::chinook().empty()) {
    MESSAGE("no real database: set CSA_TEST_DB");
    return;
  }
  LedgerBench bench{LedgerBench::Chinook{}};
  const WriteJob insert =
      bench.job("INSERT INTO Artist (ArtistId, Name) VALUES (NULL, ?1)", {Value{Text{"csa"}}});
  const CommitResult result = bench.ledger->commit({insert});
  REQUIRE(result.outcomes.size() == 1);
  REQUIRE(std::holds_alternative<Ack>(result.outcomes[0].answer));
  const Ack& ack = std::get<Ack>(result.outcomes[0].answer);
  CHECK(ack.seq == Seq{1});
  CHECK(ack.changes == 1);
  CHECK(ack.last_insert_rowid == bench.count("SELECT max(ArtistId) FROM Artist"));
  REQUIRE(result.pieces.size() == 1);
  CHECK(result.pieces[0].completes());
  ChainHasher chain(Chain{}, result.pieces[0].header);
  chain.update(result.pieces[0].bytes);
  CHECK(chain.digest() == result.pieces[0].chain);
  CHECK(result.head.chain == result.pieces[0].chain);
  CHECK(result.database_bytes > 0);

  const Ack update = bench.write("UPDATE Track SET UnitPrice = UnitPrice + 1");
  CHECK(update.changes == bench.count("SELECT count(*) FROM Track"));
  CHECK(!update.last_insert_rowid.has_value());
  CHECK(bench.count("SELECT value FROM csa_meta WHERE key = 'seq'") == 2);
  CHECK(bench.count("SELECT count(*) FROM csa_outcome") == 2);
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("ledger: answers tell changes, rowid, rows and the seq where they are visible") {
  LedgerBench bench(kSchema);
  const Ack first = bench.write(
      "INSERT INTO part (name, qty) VALUES ('bolt', ?), ('nut', ?)"
      " RETURNING id, name",
      {std::int64_t{4}, std::int64_t{5}});
  CHECK(first.changes == 2);  // not the trigger's two
  CHECK(first.last_insert_rowid == 2);
  CHECK(first.columns == std::vector<std::string>{"id", "name"});
  REQUIRE(first.rows.size() == 2);
  CHECK(first.rows[1] == Row{std::int64_t{2}, Text{"nut"}});

  const Ack nothing = bench.write("UPDATE part SET qty = 1 WHERE id = 99");
  CHECK(nothing.changes == 0);
  CHECK(nothing.seq == Seq{1});
  CHECK(!nothing.last_insert_rowid.has_value());
  CHECK(bench.count("SELECT count(*) FROM csa_log") == 1);
  CHECK(bench.count("SELECT count(*) FROM csa_outcome") == 2);

  const Ack both = bench.write("INSERT INTO tag VALUES (?, 1); UPDATE part SET qty = ?, name = ?",
                               {Text{"x"}, std::int64_t{3}, Null{}});
  CHECK(both.changes == 3);
  CHECK(both.seq == Seq{2});
  CHECK(!both.last_insert_rowid.has_value());
  CHECK(bench.count("SELECT count(*) FROM part WHERE qty = 3 AND name IS NULL") == 2);
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("ledger: a statement fails, its write leaves nothing and names the reason") {
  LedgerBench bench(kSchema);
  bench.write("INSERT INTO part (name, qty) VALUES ('bolt', 4)");
  const Nack unique =
      bench.refused("DELETE FROM note; INSERT INTO part (name, qty) VALUES ('bolt', 1)");
  CHECK(unique.code == NackCode::kConstraint);
  CHECK(unique.statement == 1);
  CHECK(unique.message.find("part.name") != std::string::npos);
  CHECK(bench.refused("INSERT OR FAIL INTO part (name, qty) VALUES ('a', 1), ('bolt', 1)").code ==
        NackCode::kConstraint);
  CHECK(bench.refused("SELEC 1").code == NackCode::kSql);
  CHECK(bench.refused(" ; -- nothing").code == NackCode::kSql);
  CHECK(bench.refused("SELECT ?, ?", {Null{}}).code == NackCode::kSql);
  CHECK(bench.refused("SELECT 1", {Null{}}).code == NackCode::kSql);
  WriteJob expecting = bench.job("UPDATE part SET qty = 9 WHERE id = 7");
  std::get<Write>(expecting.request).expect = 1;
  CHECK(bench.nack(expecting).code == NackCode::kExpect);
  CHECK(bench.count("SELECT count(*) FROM note") == 1);
  CHECK(bench.count("SELECT count(*) FROM part") == 1);
  CHECK(bench.count("SELECT count(*) FROM csa_outcome") == 8);
  CHECK(bench.ledger->meta().position.seq == Seq{1});
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("ledger: OR ROLLBACK in a group of five, the four others are committed") {
  LedgerBench bench(kSchema);
  bench.write("INSERT INTO part (name, qty) VALUES ('bolt', 4)");
  const auto add = [&](const std::string& name) {
    return bench.job("INSERT INTO part (name, qty) VALUES ('" + name + "', 1)");
  };
  const WriteJob guilty = bench.job(
      "INSERT INTO note VALUES (1, 1);"
      " INSERT OR ROLLBACK INTO part (name, qty) VALUES ('bolt', 1)");
  const CommitResult result =
      bench.ledger->commit({add("a"), add("b"), guilty, add("c"), add("d")});
  REQUIRE(result.outcomes.size() == 5);
  for (const std::size_t i : {0U, 1U, 3U, 4U}) {
    REQUIRE(std::holds_alternative<Ack>(result.outcomes[i].answer));
  }
  const Nack& nack = std::get<Nack>(result.outcomes[2].answer);
  CHECK(nack.code == NackCode::kConstraint);
  CHECK(nack.statement == 1);
  CHECK(result.pieces.size() == 4);
  CHECK(result.head.seq == Seq{5});
  CHECK(bench.count("SELECT count(*) FROM part") == 5);
  CHECK(bench.count("SELECT count(*) FROM note WHERE body = 1") == 0);
  CHECK(std::get<Nack>(bench.run(guilty)).code == NackCode::kConstraint);
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("ledger: a deferred foreign key is open at the end, only that write is rejected") {
  LedgerBench bench(kSchema);
  const CommitResult result = bench.ledger->commit(
      {bench.job("INSERT INTO note VALUES (1, 1)"), bench.job("INSERT INTO tag VALUES ('x', 77)"),
       bench.job("INSERT INTO tag VALUES ('y', 5); INSERT INTO part (id, qty) VALUES (5, 1)")});
  CHECK(std::holds_alternative<Ack>(result.outcomes[0].answer));
  CHECK(std::get<Nack>(result.outcomes[1].answer).code == NackCode::kConstraint);
  CHECK(std::holds_alternative<Ack>(result.outcomes[2].answer));
  CHECK(bench.count("SELECT count(*) FROM tag") == 1);
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("ledger: a statement runs too long, it times out and the others are committed") {
  LedgerBench bench(kSchema);
  bench.tick = std::chrono::milliseconds(100);
  const CommitResult result = bench.ledger->commit(
      {bench.job("INSERT INTO note VALUES (1, 1)"),
       bench.job(std::string("INSERT INTO note ") + kCountToMany + "SELECT i, i FROM n"),
       bench.job("INSERT INTO note VALUES (2, 2)"),
       bench.job(std::string(kCountToMany) + "SELECT count(*) FROM n")});
  CHECK(std::holds_alternative<Ack>(result.outcomes[0].answer));
  CHECK(std::get<Nack>(result.outcomes[1].answer).code == NackCode::kTimeout);
  CHECK(std::holds_alternative<Ack>(result.outcomes[2].answer));
  CHECK(std::get<Nack>(result.outcomes[3].answer).code == NackCode::kTimeout);
  CHECK(bench.count("SELECT count(*) FROM note") == 2);
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("ledger: a repeated TxId, answered from its outcome and run once") {
  LedgerBench bench(kSchema);
  const WriteJob once = bench.job("INSERT INTO note VALUES (?, 1) RETURNING body", {Text{"x"}});
  const CommitResult result = bench.ledger->commit({once, once});
  const Ack& first = std::get<Ack>(result.outcomes[0].answer);
  const Ack& second = std::get<Ack>(result.outcomes[1].answer);
  CHECK(!first.repeated);
  CHECK(second.repeated);
  CHECK(second.seq == first.seq);
  CHECK(second.rows == first.rows);
  CHECK(bench.count("SELECT count(*) FROM note") == 1);

  bench.open();
  CHECK(bench.ack(once).repeated);
  WriteJob other = once;
  std::get<Write>(other.request).sql = "DELETE FROM note";
  CHECK(bench.nack(other).code == NackCode::kMismatch);
  bench.ledger->confirm(bench.node, bench.counter);
  CHECK(bench.nack(once).code == NackCode::kExpired);
  CHECK(bench.count("SELECT count(*) FROM csa_outcome") == 0);
  CHECK(bench.count("SELECT count(*) FROM note") == 1);
}

TEST_CASE("ledger: rows or changes beyond their limits, the write is undone") {
  LedgerBench bench(kSchema);
  bench.options.rows_max = 1000;
  bench.options.max_changes = 10000;
  bench.open();
  const Nack rows =
      bench.refused("INSERT INTO note VALUES (hex(zeroblob(2000)), 1) RETURNING body");
  CHECK(rows.code == NackCode::kLimit);
  const Nack changes = bench.refused("INSERT INTO note VALUES (zeroblob(20000), 1)");
  CHECK(changes.code == NackCode::kLimit);
  CHECK(changes.message.find("--max-changes") != std::string::npos);
  const Nack late = bench.refused(std::string("INSERT INTO search ") +
                                  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
                                  " LIMIT 600) SELECT 'word' || i FROM n");
  CHECK(late.code == NackCode::kLimit);
  CHECK(bench.refused("SELECT zeroblob(1000000000)").code == NackCode::kLimit);
  bench.write("INSERT INTO note VALUES (1, 1)");
  CHECK(bench.count("SELECT count(*) FROM note") == 1);
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("ledger: full-text writes in one group, each entry repeats its own") {
  LedgerBench bench(kSchema);
  const CommitResult result = bench.ledger->commit(
      {bench.job("INSERT INTO search VALUES ('one two')"),
       bench.job("INSERT INTO search VALUES ('three'); INSERT INTO part (qty) VALUES (-1)"),
       bench.job("UPDATE search SET body = 'four' WHERE rowid = 1")});
  CHECK(std::holds_alternative<Nack>(result.outcomes[1].answer));
  CHECK(result.pieces.size() == 2);
  CHECK(bench.replay_difference() == "");
  CHECK(bench.count("SELECT count(*) FROM search WHERE search MATCH 'four'") == 1);
}

TEST_CASE("ledger: a large write, streamed in parts and told as a stub") {
  LedgerBench bench(kSchema);
  const WriteJob large = bench.job(
      "INSERT INTO note WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
      " LIMIT 200000) SELECT 'row ' || i, i FROM n");
  const CommitResult result = bench.ledger->commit({large, bench.job("DELETE FROM part")});
  REQUIRE(result.pieces.size() == 1);
  CHECK(result.pieces[0].is_stub());
  CHECK(result.pieces[0].header.size > limits::kCaptureMemory);
  CHECK(bench.count("SELECT count(*) FROM csa_log") > 10);
  CHECK(bench.replay_difference() == "");
  // The next groups let it go, a bounded step each.
  bench.options.log_keep = 1000;
  bench.open();
  for (int i = 0; i < 20; ++i) bench.write("INSERT INTO part (qty) VALUES (1)");
  CHECK(bench.ledger->log_bytes() < 5000);
  CHECK(bench.ledger->meta().floor > Seq{1});
}

TEST_CASE("ledger: another program writes, the next group begins an epoch") {
  LedgerBench bench(kSchema);
  bench.write("INSERT INTO note VALUES (1, 1)");
  const Position before = bench.ledger->meta().position;
  {
    const Database other(bench.path, Database::Mode::kReadWrite);
    other.exec("INSERT INTO note VALUES (2, 2); CREATE TABLE foreigner (id INTEGER PRIMARY KEY)");
  }
  const CommitResult result = bench.ledger->commit({bench.job("INSERT INTO note VALUES (3, 3)")});
  CHECK(result.new_epoch);
  CHECK(result.head.epoch.generation == before.epoch.generation + 1);
  CHECK(result.floor == before.seq.next());
  CHECK(result.schema_version == 2);
  CHECK(bench.count("SELECT count(*) FROM csa_log") == 1);
  CHECK(bench.lines.find("another program") != std::string::npos);
  {
    const Database db(bench.path, Database::Mode::kReadOnly);
    const std::vector<EpochRecord> epochs = read_epochs(db);
    REQUIRE(epochs.size() == 2);
    CHECK(epochs[1].parent == before);
  }
  CHECK(!bench.ledger->commit({bench.job("INSERT INTO note VALUES (4, 4)")}).new_epoch);
  // A checkpoint by somebody else changes nothing.
  {
    const Database other(bench.path, Database::Mode::kReadWrite);
    other.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  CHECK(!bench.ledger->commit({bench.job("INSERT INTO note VALUES (5, 5)")}).new_epoch);
  CHECK(!bench.ledger->commit({bench.job("INSERT INTO note VALUES (6, 6)")}).new_epoch);
}

TEST_CASE("ledger: the log of an ended history goes in bounded steps, also over a restart") {
  LedgerBench bench(kSchema);
  for (int i = 0; i < 4; ++i) {
    std::vector<WriteJob> jobs;
    for (int n = 0; n < 500; ++n) jobs.push_back(bench.job("INSERT INTO note VALUES (1, 1)"));
    (void)bench.ledger->commit(jobs);
  }
  const auto entries = [&] { return bench.count("SELECT count(*) FROM csa_log"); };
  const Position ended = bench.ledger->meta().position;
  REQUIRE(entries() == 2000);
  {
    const Database other(bench.path, Database::Mode::kReadWrite);
    other.exec("INSERT INTO note VALUES (2, 2)");
  }
  const CommitResult result = bench.ledger->commit({bench.job("INSERT INTO note VALUES (3, 3)")});
  CHECK(result.new_epoch);
  CHECK(result.floor == Seq{2001});
  CHECK(entries() > 1900);
  // What still lies there is out of reach, also for a reader that names no history.
  Archive archive(bench.path, bench.folder.file("spool"), bench.log);
  const auto gone = [&](const Position& after) {
    return std::holds_alternative<LogGone>(archive.read_log({1, after, 0, 1000}, result.head));
  };
  CHECK(gone(ended));
  CHECK(gone({Epoch{}, ended.seq, ended.chain}));
  CHECK(gone({Epoch{}, Seq{5}, Chain{}}));
  CHECK(!gone({Epoch{}, ended.seq, Chain{}}));
  CHECK(bench.ledger->housekeeping());
  const std::int64_t left = entries();
  CHECK(left < 1900);
  CHECK(left > 1000);
  bench.open();
  CHECK(bench.ledger->housekeeping());
  CHECK(entries() < left);
  int steps = 0;
  while (bench.ledger->housekeeping()) ++steps;
  CHECK(steps > 0);
  CHECK(entries() == 1);
  CHECK(bench.ledger->meta().floor == Seq{2001});
  bench.open();
  CHECK(bench.ledger->log_bytes() < 500);
}

TEST_CASE("ledger: another program holds the write lock, busy and then on") {
  LedgerBench bench(kSchema);
  const WriteJob write = bench.job("INSERT INTO note VALUES (1, 1)");
  {
    const Database other(bench.path, Database::Mode::kReadWrite);
    Transaction held(other);
    CHECK(bench.nack(write).code == NackCode::kBusy);
  }
  CHECK(!bench.ack(write).repeated);
}

TEST_CASE("ledger: closed cleanly, the file alone is the database") {
  LedgerBench bench(kSchema);
  bench.write("INSERT INTO note VALUES (1, 1)");
  bench.ledger->housekeeping();
  bench.ledger->close();
  CHECK(!std::filesystem::exists(bench.path + "-wal"));
  bench.open();
  CHECK(bench.ledger->meta().position.seq == Seq{1});
}

TEST_CASE("ledger: a write begun too late is answered busy, and may come again") {
  LedgerBench bench{kSchema};
  std::vector<std::uint64_t> begun;
  bench.options.begun = [&](std::uint64_t ticket) { begun.push_back(ticket); };
  bench.open();
  const WriteJob first = bench.job("INSERT INTO note VALUES (1, 1)");
  WriteJob late = bench.job("INSERT INTO note VALUES (2, 2)");
  late.begin_by = bench.now;
  WriteJob early = bench.job("INSERT INTO note VALUES (3, 3)");
  early.begin_by = bench.now + std::chrono::hours(1);
  const CommitResult result = bench.ledger->commit({first, late, early});
  CHECK(begun == std::vector<std::uint64_t>{first.ticket, late.ticket, early.ticket});
  CHECK(std::holds_alternative<Ack>(result.outcomes[0].answer));
  CHECK(std::get<Nack>(result.outcomes[1].answer).code == NackCode::kBusy);
  CHECK(std::holds_alternative<Ack>(result.outcomes[2].answer));
  CHECK(bench.count("SELECT sum(at) FROM note") == 4);
  late.begin_by = TimePoint::max();
  CHECK(bench.ack(late).changes == 1);
  // What has run is told, however late somebody asks.
  late.begin_by = bench.now;
  CHECK(bench.ack(late).repeated);
  CHECK(bench.count("SELECT sum(at) FROM note") == 6);
}

}  // namespace csa::test::ledger_test
