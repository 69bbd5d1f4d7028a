// Journal: damaged rows and damaged files. Told in a sentence or found sound; never a crash, never
// an entry lost in silence, never one that is not what was written.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>

#include "common/journal.h"
#include "common/limits.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::journal_damage_test {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'one')";
constexpr std::uint64_t kEntries = 6;

struct Damaged {
  ScratchFolder folder;
  HandMaster master{folder.path(), kSchema};
  std::string sound = folder.file("sound.db");
  std::string path = folder.file("r.db");
  std::map<std::uint64_t, Bytes> bodies;

  Damaged() {
    const auto replica = open_replica(sound);
    REQUIRE(take_copy(*replica, master.copy()).has_value());
    for (std::uint64_t counter = 1; counter <= kEntries; ++counter) {
      OfflineWrite write;
      write.write.tx = {replica->state().node, counter};
      write.write.sql = "INSERT INTO t (v) VALUES ('offline " + std::to_string(counter) + "')";
      REQUIRE(replica->write_offline(write).has_value());
    }
    const std::vector<Replay> parts = replica->read_journal(0, 0, limits::kMiB).value();
    for (const Replay& part : parts) {
      bodies[part.header.tx.counter] = part.bytes;
    }
    replica->close();
    const Database db(sound, Database::Mode::kReadWrite);
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  void begin() const {
    for (const char* const suffix : {"", "-wal", "-shm"}) {
      std::filesystem::remove(path + suffix);
    }
    std::filesystem::copy_file(sound, path);
  }
  // Everything is read as it was written (true), or something is told.
  bool is_whole_or_told() {
    Result<std::unique_ptr<Replica>> replica = try_open(path);
    if (!replica) {
      CHECK(replica.error().what.size() > 20);
      return false;
    }
    try {
      const Result<std::vector<Replay>> read = (*replica)->read_journal(0, 0, limits::kMiB);
      if (!read) {
        CHECK(read.error().code == Errc::kDamaged);
        CHECK(read.error().what.find("csa-node journal") != std::string::npos);
        return false;
      }
      for (const Replay& part : *read) {
        CHECK(part.bytes == bodies.at(part.header.tx.counter));
      }
      const Result<std::vector<Replay>> end = (*replica)->read_journal(kEntries, 0, 1);
      if (!end) return false;
      CHECK(read->size() == kEntries);
      return true;
    } catch (const SqliteError& error) {
      CHECK(std::string(error.what()).size() > 10);
      return false;
    }
  }
  void damage(const std::string& sql) const {
    begin();
    run_sql(path, sql);
  }
};

}  // namespace

TEST_CASE(
    "damaged journal: rows that are gone, cut, changed or of a stranger, told by their number") {
  Damaged d;
  d.begin();
  CHECK(d.is_whole_or_told());
  for (const char* const sql :
       {"DELETE FROM csa_journal WHERE entry = 3", "DELETE FROM csa_journal WHERE entry = 6",
        "DELETE FROM csa_journal", "DELETE FROM csa_journal_part WHERE part_id >> 20 = 3",
        "UPDATE csa_journal SET header = x'' WHERE entry = 2",
        "UPDATE csa_journal SET checksum = x'00' WHERE entry = 2",
        "UPDATE csa_journal SET header = (SELECT header FROM csa_journal WHERE entry = 1)"
        " WHERE entry = 2",
        "UPDATE csa_journal SET entry = 40 WHERE entry = 2",
        "UPDATE csa_journal_part SET body = zeroblob(length(body)) WHERE part_id >> 20 = 5",
        "UPDATE csa_journal_part SET body = x'' WHERE part_id >> 20 = 5",
        "INSERT INTO csa_journal_part VALUES (9 << 20, x'01')"}) {
    CAPTURE(sql);
    d.damage(sql);
    CHECK_FALSE(d.is_whole_or_told());
    // Kept as it is.
    CHECK(Database(d.path, Database::Mode::kReadOnly)
              .query_int("SELECT count(*) FROM csa_journal_part") >= kEntries - 1);
  }
}

TEST_CASE("damaged journal: marked as handed over without an outcome, handed over anew") {
  Damaged d;
  d.damage("UPDATE csa_journal SET answered = 7 WHERE entry IN (2, 6)");
  CHECK(d.is_whole_or_told());
}

TEST_CASE("damaged journal: every bit of an entry's header and of its changes") {
  Damaged d;
  for (const char* const column :
       {"csa_journal.header", "csa_journal.checksum", "csa_journal_part.body"}) {
    const std::string name(column);
    const std::string table = name.substr(0, name.find('.'));
    const std::string field = name.substr(name.find('.') + 1);
    const std::string where =
        table == "csa_journal" ? " WHERE entry = 4" : " WHERE part_id = 4 << 20";
    Bytes bytes;
    {
      const Database db(d.sound, Database::Mode::kReadOnly);
      Statement row = db.prepare("SELECT " + field + " FROM " + table + where);
      REQUIRE(row.step());
      bytes = row.column_blob(0);
    }
    d.begin();
    const auto replica = open_replica(d.path);
    const Database db(d.path, Database::Mode::kReadWrite);
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      CAPTURE(column);
      CAPTURE(bit);
      Bytes flipped = bytes;
      flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
      Statement put = db.prepare("UPDATE " + table + " SET " + field + " = ?1" + where);
      put.bind_blob(1, flipped);
      put.run();
      const Result<std::vector<Replay>> read = replica->read_journal(0, 0, limits::kMiB);
      REQUIRE_FALSE(read.has_value());
      CHECK(read.error().code == Errc::kDamaged);
    }
  }
}

TEST_CASE("damaged replica: flipped bits and cuts anywhere in the file, told or read as written") {
  Damaged d;
  std::mt19937_64 random(11);
  const std::uintmax_t size = std::filesystem::file_size(d.sound);
  int whole = 0;
  for (int i = 0; i < 200; ++i) {
    CAPTURE(i);
    d.begin();
    if (i % 10 == 0) {
      std::filesystem::resize_file(d.path, random() % size);
    } else {
      std::fstream file(d.path, std::ios::in | std::ios::out | std::ios::binary);
      for (int n = 0; n < 1 + i % 8; ++n) {
        const auto at = static_cast<std::streamoff>(random() % size);
        file.seekg(at);
        const int old = file.get();
        file.seekp(at);
        file.put(static_cast<char>(old ^ (1 << (random() % 8))));
      }
    }
    try {
      whole += d.is_whole_or_told() ? 1 : 0;
    } catch (const std::exception& error) {
      FAIL_CHECK(error.what());
    }
  }
  CHECK(whole > 10);
  CHECK(whole < 200);
}

TEST_CASE("journal: pages of the application are damaged, the master has all: a full copy mends") {
  Damaged d;
  d.begin();
  {
    const Database db(d.path, Database::Mode::kReadOnly);
    const std::int64_t page =
        db.query_int("SELECT rootpage FROM sqlite_schema WHERE name = 't'").value();
    std::fstream file(d.path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp((page - 1) * 4096);
    file.write(std::string(4096, '\0').data(), 4096);
  }
  const auto replica = open_replica(d.path);
  const std::vector<Replay> parts = replica->read_journal(0, 0, limits::kMiB).value();
  REQUIRE(parts.size() == kEntries);
  OfflineWrite write;
  write.write.tx = {replica->state().node, kEntries + 1};
  write.write.sql = "INSERT INTO t (v) VALUES ('more')";
  const OfflineDone done = replica->write_offline(write).value();
  REQUIRE(std::holds_alternative<Nack>(done.answer));
  CHECK(std::get<Nack>(done.answer).message.find("damaged") != std::string::npos);
  std::vector<Replayed> answers;
  for (const Replay& part : parts) {
    answers.push_back({part.header.tx, ReplayResult::kApplied, 0, Seq{0}, {}, {}});
  }
  replica->mark_answered(answers);
  const Result<Applied> taken = replica->take_over();
  REQUIRE_FALSE(taken.has_value());
  CHECK(taken.error().code == Errc::kDamaged);
  const Result<Applied> copied = take_copy(*replica, d.master.copy());
  REQUIRE(copied.has_value());
  CHECK_FALSE(copied->kept_as.empty());
  CHECK(content_of(d.path) == content_of(d.master.db()));
  CHECK(replica->state().journal.entries == 0);
}

TEST_CASE("journal: an entry that nobody can undo is damage, whatever it holds") {
  for (const bool schema : {true, false}) {
    CAPTURE(schema);
    Damaged d;
    d.begin();
    const auto replica = open_replica(d.path);
    {
      ChangeEncoder encoder;
      Bytes bytes;
      if (schema) {
        encoder.append(SchemaStatement{"DROP TABLE t"}, bytes);
      } else {
        ChangeTable table;
        table.name = "sqlite_master";
        table.column_count = 1;
        table.column_names = {"type"};
        RowChange row;
        row.key = {std::int64_t{77}};
        row.new_values = {Text{"table"}};
        row.table = encoder.table(table, bytes);
        encoder.append(row, bytes);
      }
      Spill body(d.folder.path() + "/.", limits::kMiB);
      body.append(bytes);
      JournalHeader header;
      header.tx = {replica->state().node, kEntries + 1};
      header.base = *replica->state().position;
      header.size = body.size();
      const Database db(d.path, Database::Mode::kReadWrite);
      JournalState state = replica->state().journal;
      Journal(db).append(header, body, state);
    }
    const auto opened = open_replica(d.path);
    std::vector<Replayed> answers;
    for (std::uint64_t counter = 1; counter <= kEntries + 1; ++counter) {
      answers.push_back(
          {{opened->state().node, counter}, ReplayResult::kParked, 0, Seq{0}, {}, {}});
    }
    opened->mark_answered(answers);
    const Result<Applied> taken = opened->take_over();
    REQUIRE_FALSE(taken.has_value());
    CHECK(taken.error().code == Errc::kDamaged);
    CHECK(take_copy(*opened, d.master.copy()).has_value());
  }
}

TEST_CASE(
    "journal: outcomes of a damaged file name one counter twice, the copy keeps one of them") {
  Damaged d;
  d.begin();
  const Database db(d.path, Database::Mode::kReadWrite);
  JournalOutcome first;
  first.counter = 7;
  first.result = "applied";
  JournalOutcome other = first;
  other.result = "parked";
  Journal(db).replace_all({first, other});
  CHECK(Journal(db).read_outcomes().size() == 1);
}

}  // namespace csa::journal_damage_test
