#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "broker/verifier.h"
#include "common/digest_scan.h"
#include "node/self_check.h"
#include "tests/support/ledger_bench.h"
#include "tests/support/random_schema.h"

namespace csa::test::digest_test {
namespace {

constexpr SliceBudget kWhole{1000000, std::uint64_t{1} << 30U};

Digest scan_now(const Database& db) {
  DigestScan scan(db);
  const Result<bool> done = scan.step(kWhole);
  REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
  REQUIRE(*done);
  return scan.digest();
}

// The tables of both that are known in both are equal; how many are not.
int compare(const Digest& a, const Digest& b) {
  CHECK(a.position == b.position);
  CHECK(a.fingerprint == b.fingerprint);
  REQUIRE(a.tables.size() == b.tables.size());
  int unknown = 0;
  for (std::size_t i = 0; i < a.tables.size(); ++i) {
    const TableDigest& left = a.tables[i];
    const TableDigest& right = b.tables[i];
    REQUIRE(left.name == right.name);
    if (!left.known || !right.known) {
      ++unknown;
      continue;
    }
    INFO(left.name);
    CHECK(left.sum == right.sum);
    CHECK(differing_buckets(left, right).empty());
  }
  return unknown;
}

std::string joined(const std::vector<std::string>& statements) {
  std::string text;
  for (const std::string& sql : statements) text += sql + ";\n";
  return text;
}

struct Copy {
  explicit Copy(LedgerBench& bench)
      : db(bench.folder.file("copy-" + to_string(random_id())), Database::Mode::kCreate) {
    backup(Database(bench.path, Database::Mode::kReadOnly), db);
  }
  Database db;
};

// Counts the rows that are read through a connection.
int count_row(unsigned /*kind*/, void* rows, void* /*statement*/, void* /*nothing*/) {
  ++*static_cast<int*>(rows);
  return 0;
}

std::vector<std::string> differing(const Digest& a, const Digest& b) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < a.tables.size(); ++i) {
    if (a.tables[i].sum != b.tables.at(i).sum) names.push_back(a.tables[i].name);
  }
  return names;
}

}  // namespace

TEST_CASE("digest: read in slices while others write, and led along the log, it is the content's") {
  int compared = 0;
  int unknown = 0;
  int slices = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    RandomSchema schema(seed);
    INFO("seed ", seed, "\n", schema.sql());
    LedgerBench bench(schema.sql());
    const Database reader(bench.path, Database::Mode::kReadOnly);
    const auto write = [&] { (void)bench.run(bench.job(joined(schema.write()))); };
    DigestScan scan(reader);
    while (true) {
      const Result<bool> done = scan.step({1 + seed % 3, 1 + seed % 200});
      REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
      ++slices;
      if (*done) break;
      if (slices % 2 == 0) write();
    }
    Digest early = scan.digest();
    unknown += compare(early, scan_now(reader));
    const Digest was = scan_now(reader);
    for (int i = 0; i < 12; ++i) write();
    const Digest now = scan_now(reader);
    Digest led = was;
    const ReadTransaction view(reader);
    REQUIRE(lead(reader, led, now.position.seq).has_value());
    unknown += compare(led, now);
    led = now;
    REQUIRE(lead(reader, led, was.position.seq).has_value());
    unknown += compare(led, was);
    compared += 3 * static_cast<int>(now.tables.size());
  }
  CHECK(slices > 500);
  CHECK(compared > 600);
  CHECK(unknown < compared / 4);  // of tables whose rows got other keys
}

TEST_CASE("digest: a changed cell, a missing row and another rowid are found, in their buckets") {
  LedgerBench bench(
      "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, qty);"
      "CREATE TABLE tag (word TEXT, n INTEGER, PRIMARY KEY (word, n)) WITHOUT ROWID;"
      "CREATE TABLE bare (body);"
      "CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT);");
  bench.write("INSERT INTO part VALUES (1,'a',1),(2,'b',2),(3,'c',2)");
  bench.write("INSERT INTO tag VALUES ('x',1),('y',2)");
  bench.write("INSERT INTO bare VALUES (1),(1)");
  bench.write("INSERT INTO counted VALUES (7)");
  const Digest right = scan_now(Copy(bench).db);
  const auto harmed = [&](const std::string& sql) {
    const Copy copy(bench);
    copy.db.exec(sql);
    const Digest digest = scan_now(copy.db);
    const std::vector<std::string> names = differing(right, digest);
    REQUIRE(names.size() == 1);
    CHECK(!differing_buckets(*right.find(names[0]), *digest.find(names[0])).empty());
    return names[0];
  };
  CHECK(harmed("UPDATE part SET qty = 3 WHERE id = 2") == "part");
  CHECK(harmed("UPDATE part SET qty = '2' WHERE id = 2") == "part");  // untyped: text
  CHECK(harmed("DELETE FROM part WHERE id = 3") == "part");
  CHECK(harmed("INSERT INTO part VALUES (4, NULL, NULL)") == "part");
  // Two rows have exchanged their values.
  CHECK(harmed("UPDATE part SET name = CASE id WHEN 2 THEN 'c' ELSE 'b' END WHERE id > 1") ==
        "part");
  CHECK(harmed("UPDATE bare SET rowid = 9 WHERE rowid = 2") == "bare");
  CHECK(harmed("UPDATE tag SET n = 3 WHERE word = 'y'") == "tag");
  CHECK(harmed("UPDATE sqlite_sequence SET seq = 9") == "sqlite_sequence");
}

TEST_CASE("digest: a schema change, a log that is too short and offline changes are said") {
  LedgerBench bench("CREATE TABLE part (id INTEGER PRIMARY KEY, qty)");
  bench.write("INSERT INTO part VALUES (1,1),(2,2),(3,3)");
  const Database reader(bench.path, Database::Mode::kReadOnly);
  DigestScan scan(reader);
  REQUIRE(scan.step({1, 1}).has_value());
  Digest before = scan_now(reader);
  bench.ack(bench.migration("ALTER TABLE part ADD COLUMN name"));
  const Result<bool> stopped = scan.step({1, 1});
  REQUIRE(!stopped);
  CHECK(stopped.error().code == Errc::kRejected);
  const Status led = lead(reader, before, bench.ledger->meta().position.seq);
  REQUIRE(!led);
  CHECK(led.error().code == Errc::kRejected);
  Digest now = scan_now(reader);
  CHECK(lead(reader, now, Seq{99}).error().code == Errc::kTimeout);
  const Copy copy(bench);
  copy.db.exec("DELETE FROM csa_log");
  now.position.seq = Seq{0};
  CHECK(lead(copy.db, now, Seq{1}).error().code == Errc::kNothing);
  copy.db.exec("INSERT INTO csa_journal VALUES (1, x'00', x'00', 0)");
  DigestScan offline(copy.db);
  CHECK(offline.step(kWhole).error().code == Errc::kRefused);
}

TEST_CASE("digest: led back to a log entry whose header is kept wrongly, it is the content's") {
  LedgerBench bench("CREATE TABLE part (id INTEGER PRIMARY KEY, qty)");
  bench.write("INSERT INTO part VALUES (1,1),(2,2),(3,3)");
  const Database reader(bench.path, Database::Mode::kReadOnly);
  const Digest was = scan_now(reader);
  bench.write("UPDATE part SET qty = 5");
  Digest led = scan_now(reader);
  const Copy copy(bench);
  copy.db.exec("UPDATE csa_log SET header = x'ff' WHERE part_id >> 20 = 1");
  REQUIRE(lead(copy.db, led, was.position.seq).has_value());
  CHECK(differing(was, led).empty());
}

TEST_CASE("digest: rows that are too many for one answer, the scan ends at the bound and says so") {
  LedgerBench bench(
      "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT);"
      "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
      " INSERT INTO part SELECT i, 'a' FROM n");
  Verifier verifier(bench.path, bench.log);
  RowsGet get{1, {}, "part", {0}};
  const RowsReply few = verifier.rows(get);
  CHECK(few.text.empty());
  CHECK(few.rows.size() > 50);
  for (std::uint32_t i = 1; i < kDigestBuckets; ++i) get.buckets.push_back(i);
  const RowsReply many = verifier.rows(get);
  CHECK(many.text == "There are too many rows for one answer.");
  CHECK(many.rows.empty());
  const Database reader(bench.path, Database::Mode::kReadOnly);
  const ReadTransaction view(reader);
  int read = 0;
  sqlite3_trace_v2(reader.handle(), SQLITE_TRACE_ROW, count_row, &read);
  CHECK_FALSE(row_sums(reader, "part", get.buckets, 1000));
  CHECK(read < 100);
  sqlite3_trace_v2(reader.handle(), 0, nullptr, nullptr);
  CHECK(row_sums(reader, "part", get.buckets, limits::kFrameMax)->size() == 100000);
}

TEST_CASE("digest: rows that differ and cannot be kept beside the replica, it is told why") {
  LedgerBench bench(
      "CREATE TABLE part (id INTEGER PRIMARY KEY, name); INSERT INTO part VALUES (1, 'a')");
  const std::string master = bench.folder.file("changed.db");
  {
    const Database db(master, Database::Mode::kCreate);
    backup(Database(bench.path, Database::Mode::kReadOnly), db);
    db.exec("UPDATE part SET name = 'b'");
  }
  Verifier verifier(master, bench.log);
  SelfCheckOptions options;
  options.replica = bench.path;
  options.pause = [](Duration) { return true; };
  options.wall_now = [] { return WallTime{1700000000000}; };
  SelfCheck check(options);
  const auto run = [&] {
    std::optional<CheckAnswer> answer = check.take(verifier.digest(1, true, bench.now));
    while (answer && std::holds_alternative<RowsGet>(*answer)) {
      answer = check.take(verifier.rows(std::get<RowsGet>(*answer)));
    }
    REQUIRE(answer.has_value());
    REQUIRE(std::get<Checked>(*answer).differences.size() == 1);
  };
  const std::string file = bench.path + "-differing-20231114T221320.sql";
  std::filesystem::create_directory(file);
  run();
  CHECK(check.kept().file.empty());
  CHECK(check.kept().failed.find("cannot write " + file) != std::string::npos);
  std::filesystem::remove(file);
  run();
  CHECK(check.kept().failed.empty());
  CHECK(check.kept().file == file);
  CHECK(std::filesystem::file_size(file) > 0);
}

TEST_CASE("digest: a node with too many rows that the master has not, its table is told whole") {
  LedgerBench bench(
      "CREATE TABLE word (word TEXT PRIMARY KEY) WITHOUT ROWID;"
      "CREATE TABLE part (id INTEGER PRIMARY KEY);"
      "INSERT INTO part VALUES (1);"
      "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10)"
      " INSERT INTO word SELECT i || hex(zeroblob(300000)) FROM n");
  const std::string master = bench.folder.file("emptied.db");
  {
    const Database db(master, Database::Mode::kCreate);
    backup(Database(bench.path, Database::Mode::kReadOnly), db);
    db.exec("DELETE FROM word; DELETE FROM part");
  }
  Verifier verifier(master, bench.log);
  SelfCheckOptions options;
  options.replica = bench.path;
  options.pause = [](Duration) { return true; };
  options.wall_now = [] { return WallTime{1700000000000}; };
  SelfCheck check(options);
  std::optional<CheckAnswer> answer = check.take(verifier.digest(1, true, bench.now));
  while (answer && std::holds_alternative<RowsGet>(*answer)) {
    answer = check.take(verifier.rows(std::get<RowsGet>(*answer)));
  }
  REQUIRE(answer.has_value());
  const std::vector<KeyRange> told = std::get<Checked>(*answer).differences;
  const KeyRange part{"part", 1, {Value(std::int64_t{1})}, {Value(std::int64_t{1})}};
  REQUIRE(told.size() == 2);
  CHECK(std::count(told.begin(), told.end(), part) == 1);
  CHECK(std::count(told.begin(), told.end(), KeyRange{"word", 0, {}, {}}) == 1);
}

}  // namespace csa::test::digest_test
