// An entry of the log is not what was written: nobody is given it, nothing is judged by it.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "broker/archive.h"
#include "broker/spool.h"
#include "broker/verify_result.h"
#include "common/past_log.h"
#include "node/file_proof.h"
#include "tests/support/merge_bench.h"

namespace csa::log_damage_test {
namespace {

using test::MergeBench;

constexpr const char* kSchema =
    "CREATE TABLE part (id INTEGER PRIMARY KEY, text TEXT); CREATE INDEX by_text ON part (text);"
    "INSERT INTO part VALUES (1, 'of the beginning'), (2, 'of the beginning')";

std::string where(std::uint64_t seq) { return " WHERE part_id = " + std::to_string(seq << 20U); }

// Turns a bit of a column of an entry's first row.
void damage(const std::string& path, std::uint64_t seq, const std::string& column) {
  const Database db(path, Database::Mode::kReadWrite);
  Bytes bytes;
  {
    Statement read = db.prepare("SELECT " + column + " FROM csa_log" + where(seq));
    REQUIRE(read.step());
    bytes = read.column_blob(0);
  }
  bytes[bytes.size() / 2] ^= 4U;
  Statement write = db.prepare("UPDATE csa_log SET " + column + " = ?1" + where(seq));
  write.bind_blob(1, bytes);
  write.run();
}

void flip_in_file(const std::string& path, const std::string& text, std::size_t from = 0) {
  std::string bytes;
  {
    std::ifstream file(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
  }
  const std::size_t at = bytes.find(text, from);
  REQUIRE(at != std::string::npos);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(bytes[at] ^ 2));
}

// A master with six entries.
struct Master {
  ScratchFolder folder;
  HandMaster master{folder.path(), kSchema};
  Position begin = master.meta().position;
  std::uint64_t first = begin.seq.value + 1;
  std::string lines;
  Log log{LogLevel::kInfo, [this](LogLevel, std::string_view line) { lines += line; }};

  Master() {
    for (int i = 1; i <= 6; ++i) {
      master.exec("INSERT INTO part (text) VALUES ('number " + std::to_string(i) + "')");
    }
  }
  [[nodiscard]] std::variant<LogSlice, LogGone> ask(const Position& after) {
    Archive archive(master.path(), folder.file("spool"), log);
    return archive.read_log({1, after, 0, 1'000'000}, master.meta().position);
  }
};

}  // namespace

TEST_CASE("archive: an entry of the log is damaged, what is before it is told, then LOG_GONE") {
  for (const char* const column : {"body", "header", "chain"}) {
    CAPTURE(column);
    Master m;
    damage(m.master.path(), m.first + 3, column);
    const auto answer = m.ask(m.begin);
    REQUIRE(std::holds_alternative<LogSlice>(answer));
    const LogSlice& slice = std::get<LogSlice>(answer);
    REQUIRE(slice.pieces.size() == 3);
    CHECK(m.lines.empty());
    const Position before{m.begin.epoch, slice.pieces.back().header.seq, slice.pieces.back().chain};
    const auto next = m.ask(before);
    REQUIRE(std::holds_alternative<LogGone>(next));
    const std::string name = "entry " + std::to_string(m.first + 3);
    CHECK(std::get<LogGone>(next).text.find(name) != std::string::npos);
    CHECK(m.lines.find(name) != std::string::npos);
    CHECK(m.lines.find("csa-broker check") != std::string::npos);
  }
}

TEST_CASE("archive: the chain of the entry that a reader has is damaged, its history is the same") {
  Master m;
  const auto all = m.ask(m.begin);
  const LogPiece third = std::get<LogSlice>(all).pieces.at(2);
  for (const char* const column : {"chain", "header"}) {
    damage(m.master.path(), third.header.seq.value, column);
    const auto answer = m.ask({m.begin.epoch, third.header.seq, third.chain});
    REQUIRE(std::holds_alternative<LogSlice>(answer));
    CHECK(std::get<LogSlice>(answer).pieces.size() == 3);
  }
}

TEST_CASE("archive: the log has lost the entry that a reader has, a copy is due and that is said") {
  Master m;
  const auto all = m.ask(m.begin);
  const LogPiece third = std::get<LogSlice>(all).pieces.at(2);
  const std::uint64_t seq = third.header.seq.value;
  damage(m.master.path(), seq + 1, "chain");
  Database(m.master.path(), Database::Mode::kReadWrite).exec("DELETE FROM csa_log" + where(seq));
  CHECK(std::holds_alternative<LogGone>(m.ask({m.begin.epoch, third.header.seq, third.chain})));
  CHECK(m.lines.find("entry " + std::to_string(seq)) != std::string::npos);
  CHECK(m.lines.find("csa-broker check") != std::string::npos);
}

TEST_CASE("archive: the first entry of a first history is damaged, it is told and goes to nobody") {
  for (const char* const column : {"body", "header", "chain"}) {
    CAPTURE(column);
    test::LedgerBench bench(kSchema);
    bench.write("UPDATE part SET text = 'one'");
    bench.write("UPDATE part SET text = 'two'");
    const Position head = bench.ledger->meta().position;
    const Database db(bench.path, Database::Mode::kReadOnly);
    LogTable log(db);
    CHECK_FALSE(LogProof(db, log).doubts(Seq{1}));
    CHECK(proven_floor(db, *read_meta(db)) == Seq{1});
    damage(bench.path, 1, column);
    CHECK(LogProof(db, log).doubts(Seq{1}));
    CHECK(proven_floor(db, *read_meta(db)) > Seq{1});
    std::string lines;
    const Log told{LogLevel::kInfo, [&](LogLevel, std::string_view line) { lines += line; }};
    Archive archive(bench.path, bench.folder.file("spool"), told);
    const Position begin{head.epoch, Seq{0}, Chain{}};
    CHECK(std::holds_alternative<LogGone>(archive.read_log({1, begin, 0, 1'000'000}, head)));
    CHECK(lines.find("entry 1 of the log") != std::string::npos);
  }
}

TEST_CASE("archive: a reader of another history, the log is sound and nothing is said of it") {
  Master m;
  const auto all = m.ask(m.begin);
  const LogPiece third = std::get<LogSlice>(all).pieces.at(2);
  Chain other = third.chain;
  other.value.bytes[0] ^= 1U;
  CHECK(std::holds_alternative<LogGone>(m.ask({m.begin.epoch, third.header.seq, other})));
  CHECK(m.lines.empty());
}

TEST_CASE("archive: a page of a spool is not what was cut, it is not handed out") {
  Master m;
  Archive archive(m.master.path(), m.folder.file("spool"), m.log);
  const Result<SnapshotInfo> copy = archive.cut();
  REQUIRE(copy.has_value());
  std::string path;
  for (const auto& entry : std::filesystem::directory_iterator(m.folder.file("spool"))) {
    path = entry.path().string();
  }
  REQUIRE(archive.read_chunk(copy->id, false, 0, copy->total).has_value());
  flip_in_file(path, "number 3");
  CHECK_FALSE(archive.read_chunk(copy->id, false, 0, copy->total).has_value());
  CHECK(m.lines.find("is not what was cut") != std::string::npos);
  CHECK(archive.read_chunk(copy->id, true, 0, 1000).has_value());
}

TEST_CASE("archive: a page of the master is kept wrongly, no copy is cut, and it says so") {
  Master m;
  std::int64_t root = 0;
  {
    const Database db(m.master.path(), Database::Mode::kReadWrite);
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    root = db.query_int("SELECT rootpage FROM sqlite_schema WHERE name = 'part'").value();
  }
  {
    // The second row of the page is where the first one is.
    std::fstream file(m.master.path(), std::ios::binary | std::ios::in | std::ios::out);
    constexpr std::streamoff kPointers = 8;
    std::array<char, 2> first{};
    file.seekg((root - 1) * 4096 + kPointers);
    file.read(first.data(), first.size());
    file.seekp((root - 1) * 4096 + kPointers + 2);
    file.write(first.data(), first.size());
  }
  const std::string spool = m.folder.file("spool");
  Archive archive(m.master.path(), spool, m.log);
  try {
    (void)archive.cut();
    FAIL("a copy of it was cut");
  } catch (const SqliteError& error) {
    CHECK(error.primary_code() == SQLITE_CORRUPT);
    CHECK(std::string(error.what()).find("page") != std::string::npos);
  }
  CHECK(std::filesystem::is_empty(spool));
}

TEST_CASE("install: what is damaged of the master's log is left out of the copy's, and is told") {
  Master m;
  const auto replica = open_replica(m.folder.file("r.db"));
  damage(m.master.path(), m.first + 3, "body");
  REQUIRE(take_copy(*replica, m.master.copy()));
  const Database db(m.folder.file("r.db"), Database::Mode::kReadOnly);
  CHECK(db.query_int("SELECT min(part_id) >> 20 FROM csa_log") ==
        static_cast<std::int64_t>(m.first + 4));
  CHECK(read_meta(db)->floor == Seq{m.first + 4});
  CHECK_FALSE(fault_of_file(db));
  m.master.exec("INSERT INTO part (text) VALUES ('after it')");
  REQUIRE(follow(*replica, m.master));
  CHECK(content_of(m.folder.file("r.db")) == content_of(m.master.db()));
}

TEST_CASE("file_proof: a row of csa's own breaks its table's rule, named") {
  const Master m;
  const auto change = [&m](const char* sql) {
    const Database db(m.master.path(), Database::Mode::kReadWrite);
    sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
    db.exec("PRAGMA writable_schema=ON");
    db.exec(sql);
  };
  change(
      "UPDATE sqlite_schema SET sql = replace(sql, 'id BLOB NOT NULL', 'id BLOB')"
      " WHERE name = 'csa_epoch'");
  change("UPDATE csa_epoch SET id = NULL");
  change(
      "UPDATE sqlite_schema SET sql = replace(sql, 'id BLOB,', 'id BLOB NOT NULL,')"
      " WHERE name = 'csa_epoch'");
  const auto fault = fault_of_file(Database(m.master.path(), Database::Mode::kReadOnly));
  REQUIRE(fault.has_value());
  CHECK(fault->text.find("csa_epoch") != std::string::npos);
}

TEST_CASE("file_proof: a log entry or an index is damaged, named; else nothing is") {
  Master m;
  const std::string path = m.folder.file("r.db");
  {
    const auto replica = open_replica(path);
    REQUIRE(take_copy(*replica, m.master.copy()));
  }
  CHECK_FALSE(fault_of_file(Database(path, Database::Mode::kReadOnly)));
  damage(path, m.first + 2, "body");
  const auto log = fault_of_file(Database(path, Database::Mode::kReadOnly));
  REQUIRE(log);
  CHECK(log->part == "its log");
  std::int64_t index = 0;
  {
    const Database db(path, Database::Mode::kReadWrite);
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    index = db.query_int("SELECT rootpage FROM sqlite_schema WHERE name = 'by_text'").value();
  }
  flip_in_file(path, "number 5", static_cast<std::size_t>(index - 1) * 4096);
  const Database db(path, Database::Mode::kReadOnly);
  const auto file = fault_of_file(db);
  REQUIRE(file);
  CHECK(file->part == "its file");
}

TEST_CASE("verify: a node's file is damaged beside its rows, it is no equal one") {
  DigestReply reference;
  reference.tables = {{"part", true, 2, 3, 4}};
  Checked checked;
  checked.tables = reference.tables;
  checked.differences = {{"its log", 0, {}, {}}};
  NodeVerdict verdict;
  judge(reference, checked, verdict);
  CHECK(verdict.equal == false);
  REQUIRE(verdict.tables.size() == 1);
  CHECK(verdict.tables[0].table == "its log");
}

TEST_CASE("merge: the log entry of a later edit is damaged, the earlier one does not win unseen") {
  for (const bool damaged : {false, true}) {
    CAPTURE(damaged);
    MergeBench b(kSchema, 0);
    // What leads to the first entry of a log nobody can tell.
    REQUIRE(std::holds_alternative<Ack>(
        b.master.run(b.master.job("INSERT INTO part VALUES (9, 'before')"))));
    b.add_node();
    b.add_node();
    b.edit(b.nodes[0], "UPDATE part SET text = 'earlier' WHERE id = 1", 1);
    b.edit(b.nodes[1], "UPDATE part SET text = 'the later one' WHERE id = 1", 2);
    (void)b.hand_over(b.nodes[1]);
    if (damaged) {
      b.master.ledger.reset();
      const Database db(b.master.path, Database::Mode::kReadOnly);
      const std::int64_t last = db.query_int("SELECT max(part_id) >> 20 FROM csa_log").value();
      damage(b.master.path, static_cast<std::uint64_t>(last), "body");
      b.master.open();
    }
    (void)b.hand_over(b.nodes[0]);
    CHECK(b.text("SELECT count(*) FROM csa_conflicts") == "1");
    CHECK((b.master.lines.find("is not what was written") != std::string::npos) == damaged);
    if (damaged) CHECK(b.text("SELECT close FROM csa_conflicts") == "1");
  }
}

}  // namespace csa::log_damage_test
