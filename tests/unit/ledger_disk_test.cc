#include <doctest/doctest.h>

#include <new>

#include "common/planted.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/ledger_bench.h"

namespace csa::test::ledger_disk_test {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE note (id INTEGER PRIMARY KEY AUTOINCREMENT, body);"
    "CREATE VIRTUAL TABLE search USING fts5(body)";

}  // namespace

TEST_CASE("ledger: the disk is full, the group is refused and the master goes on later") {
  FaultyDisk disk;
  LedgerBench bench(kSchema);
  bench.write("INSERT INTO note (body) VALUES (0)");
  const std::vector<WriteJob> jobs = {bench.job("INSERT INTO note (body) VALUES (1)"),
                                      bench.job("INSERT INTO search VALUES ('two')")};
  disk.fail_writes(SQLITE_FULL);
  const CommitResult refused = bench.ledger->commit(jobs);
  for (const WriteOutcome& outcome : refused.outcomes) {
    REQUIRE(std::holds_alternative<Nack>(outcome.answer));
    CHECK(std::get<Nack>(outcome.answer).code == NackCode::kLimit);
    CHECK(std::get<Nack>(outcome.answer).message.find("disk is full") != std::string::npos);
  }
  CHECK(refused.pieces.empty());
  CHECK(refused.head.seq == Seq{1});
  const std::uint64_t log_bytes = bench.ledger->log_bytes();
  bench.ledger->confirm(bench.node, 1);
  bench.ledger->housekeeping();
  disk.mend();
  bench.ledger->housekeeping();
  CHECK(bench.ledger->log_bytes() == log_bytes);
  const CommitResult result = bench.ledger->commit(jobs);
  for (const WriteOutcome& outcome : result.outcomes) {
    REQUIRE(std::holds_alternative<Ack>(outcome.answer));
    CHECK(!std::get<Ack>(outcome.answer).repeated);
  }
  CHECK(!result.new_epoch);
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("ledger: the disk fills at any write, a write sent again is made exactly once") {
  FaultyDisk disk;
  LedgerBench bench(kSchema);
  std::int64_t made = 0;
  for (int good = 0; good < 12; ++good) {
    CAPTURE(good);
    const WriteJob job = bench.job("INSERT INTO note (body) VALUES (zeroblob(9000))");
    disk.fail_writes(SQLITE_FULL, good);
    const WriteAnswer answer = bench.run(job);
    disk.mend();
    const Ack ack = bench.ack(job);
    CHECK(ack.repeated == std::holds_alternative<Ack>(answer));
    CHECK(bench.count("SELECT count(*) FROM note") == ++made);
  }
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("ledger: the disk fills inside a large statement, nothing of it stays") {
  FaultyDisk disk;
  LedgerBench bench(kSchema);
  const WriteJob large = bench.job(
      "INSERT INTO note (body) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
      " LIMIT 3000) SELECT zeroblob(10000) FROM n");
  const WriteJob small = bench.job("INSERT INTO note (body) VALUES (1)");
  disk.fail_writes(SQLITE_FULL, 100);
  const CommitResult result = bench.ledger->commit({small, large});
  disk.mend();
  CHECK(std::get<Nack>(result.outcomes[1].answer).code == NackCode::kLimit);
  CHECK(bench.count("SELECT count(*) FROM note") ==
        (std::holds_alternative<Ack>(result.outcomes[0].answer) ? 1 : 0));
  bench.ack(small);
  bench.ack(large);
  CHECK(bench.count("SELECT count(*) FROM note") == 3001);
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("ledger: the wall clock is set while the disk is full, that is kept later") {
  FaultyDisk disk;
  LedgerBench bench(kSchema);
  LocalTime local{WallTime{1'700'000'000'000}, 7, 10'000};
  bench.options.local_now = [&local] { return local; };
  bench.open();
  bench.write("INSERT INTO note (body) VALUES (0)");
  local.wall.ms += 3'600'000;
  disk.fail_writes(SQLITE_FULL);
  (void)bench.ledger->housekeeping();
  disk.mend();
  (void)bench.ledger->housekeeping();
  const Database db(bench.path, Database::Mode::kReadOnly);
  const std::optional<ClockAnchor> kept = parse_clock_anchor(*read_private(db, kClockKey));
  REQUIRE(kept.has_value());
  CHECK(kept->local == local);
}

#ifdef CSA_PLANTED
TEST_CASE("ledger: no memory is left for a group, it is refused and the next one is made") {
  LedgerBench bench(kSchema);
  bench.write("INSERT INTO note (body) VALUES (0)");
  const WriteJob job = bench.job("INSERT INTO note (body) VALUES (1)");
  const auto short_of_memory = [](std::string_view at) {
    if (at == "ledger: before commit") throw std::bad_alloc();
  };
  on_crash_point(short_of_memory);
  const WriteAnswer answer = bench.run(job);
  on_crash_point({});
  REQUIRE(std::holds_alternative<Nack>(answer));
  CHECK(std::get<Nack>(answer).code == NackCode::kLimit);
  CHECK(std::get<Nack>(answer).message.find("not enough memory") != std::string::npos);
  CHECK(!bench.ack(job).repeated);
  CHECK(bench.count("SELECT count(*) FROM note") == 2);
  CHECK(bench.replay_difference() == "");
}
#endif

TEST_CASE("ledger: a sync fails, it throws and a restart tells what became of the write") {
  FaultyDisk disk;
  LedgerBench bench(kSchema);
  bench.write("INSERT INTO note (body) VALUES (0)");
  const WriteJob job = bench.job("INSERT INTO note (body) VALUES (1)");
  disk.fail_syncs(SQLITE_IOERR_FSYNC);
  CHECK_THROWS_AS(static_cast<void>(bench.ledger->commit({job})), SqliteError);
  disk.mend();
  bench.open();
  bench.ack(job);
  CHECK(bench.count("SELECT count(*) FROM note") == 2);
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("ledger: the database becomes read-only, writes are refused and it goes on later") {
  FaultyDisk disk;
  LedgerBench bench(kSchema);
  disk.fail_writes(SQLITE_READONLY);
  const WriteJob job = bench.job("INSERT INTO note (body) VALUES (1)");
  const Nack nack = bench.nack(job);
  CHECK(nack.code == NackCode::kLimit);
  CHECK(nack.message.find("read-only") != std::string::npos);
  disk.mend();
  CHECK(!bench.ack(job).repeated);
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("ledger: a reader that stops checkpoints is told of when the WAL is large and doubles") {
  LedgerBench bench("CREATE TABLE big (id INTEGER PRIMARY KEY, body)");
  const Database reader(bench.path, Database::Mode::kReadOnly);
  reader.exec("BEGIN; SELECT count(*) FROM big");
  const auto told = [&] {
    std::size_t lines = 0;
    for (std::size_t at = 0; (at = bench.lines.find("pages wait", at)) != std::string::npos; ++at) {
      ++lines;
    }
    return lines;
  };
  const auto grow = [&] { bench.write("INSERT INTO big (body) VALUES (zeroblob(36000000))"); };
  CHECK(told() == 0);
  for (int i = 0; i < 5 && told() == 0; ++i) grow();
  CHECK(told() == 1);
  bench.write("INSERT INTO big (body) VALUES ('one more')");
  CHECK(told() == 1);
  for (int i = 0; i < 5 && told() == 1; ++i) grow();
  CHECK(told() == 2);
  reader.exec("COMMIT");
  while (bench.ledger->housekeeping()) {
  }
  bench.lines.clear();
  bench.write("INSERT INTO big (body) VALUES ('after it')");
  CHECK(told() == 0);
}

}  // namespace csa::test::ledger_disk_test
