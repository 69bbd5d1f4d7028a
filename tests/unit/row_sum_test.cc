// Rows of csa's own that no other copy proves: a wrong bit is met, and files of before have sums
// once they are opened.
#include "common/row_sum.h"

#include <doctest/doctest.h>

#include "broker/ledger.h"
#include "broker/spool.h"
#include "node/file_proof.h"
#include "tests/support/opening_place.h"
#include "tests/support/replica_steps.h"

namespace csa::row_sum_test {
namespace {

using opening::Place;

constexpr const char* kSchema = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)";

const TxId kWrite{NodeId{hash128(as_bytes("desk"))}, 7};

void write_rows(const Database& db, const std::string& message) {
  OutcomeTable outcomes(db);
  Outcome outcome;
  outcome.tx = kWrite;
  outcome.request_hash = hash128(as_bytes("request"));
  Ack ack;
  ack.tx = kWrite;
  ack.seq = Seq{3};
  ack.changes = 2;
  ack.last_insert_rowid = 99;
  ack.columns = {"id"};
  ack.rows = {{std::int64_t{5}}};
  outcome.answer = ack;
  outcomes.add(outcome);
  Nack nack;
  outcome.tx.counter = nack.tx.counter = 8;
  nack.tx.node = kWrite.node;
  nack.message = message;
  outcome.answer = nack;
  outcomes.add(outcome);
}

// What a disk may make of each value; the keys by which rows are found are another case.
std::vector<std::string> wrongs() {
  std::vector<std::string> all;
  const auto add = [&all](const std::string& table, std::initializer_list<const char*> sets) {
    for (const char* const set : sets) all.push_back("UPDATE " + table + " SET " + set);
  };
  add("csa_epoch", {"generation = generation | 64", "id = randomblob(16)",
                    "parent_generation = parent_generation + 1", "parent_id = zeroblob(15)",
                    "parent_seq = parent_seq + 4", "parent_chain = randomblob(16)",
                    "started_ms = started_ms - 1", "sum = sum + 1"});
  add("csa_layout", {"schema_version = 3", "json = json || ' '", "sum = -sum"});
  add("csa_outcome",
      {"counter = counter + 256", "node = randomblob(16)", "request_hash = randomblob(16)",
       "seq = seq + 1", "changes = changes + 1", "last_insert_rowid = 98",
       "last_insert_rowid = NULL WHERE counter = 7", "schema_version = schema_version + 1",
       "code = code + 1", "statement = statement + 1", "message = 'other'",
       "rows = x'00' WHERE counter = 8", "rows = NULL", "replay = 1"});
  add("csa_outcome_floor", {"node = randomblob(16)", "counter = counter + 1"});
  return all;
}

// As an older csa has left it.
void make_old(const Database& db) {
  for (const std::string table : {"csa_epoch", "csa_layout", "csa_outcome", "csa_outcome_floor"}) {
    db.exec("ALTER TABLE " + table + " DROP COLUMN sum");
  }
  db.exec("UPDATE csa_meta SET value = 1 WHERE key = 'tables_version'");
}

std::int64_t unproved(const Database& db) {
  std::int64_t rows = 0;
  for (const std::string table : {"csa_epoch", "csa_layout", "csa_outcome", "csa_outcome_floor"}) {
    rows += db.query_int("SELECT count(*) FROM " + table + " WHERE sum IS NULL").value();
  }
  return rows;
}

}  // namespace

TEST_CASE("row sum: any value is another one, in a database of any encoding, it is met") {
  for (const std::string encoding : {"UTF-8", "UTF-16le", "UTF-16be"}) {
    CAPTURE(encoding);
    const ScratchFolder folder;
    const HandMaster master(folder.path(), kSchema, "PRAGMA encoding='" + encoding + "'");
    const Database& db = master.db();
    write_rows(db, "it breaks \xc3\xa4 \xf0\x9f\x94\xa9 CHECK");
    CHECK_FALSE(unsound_row(db));
    CHECK(unproved(db) == 0);
    for (const std::string& wrong : wrongs()) {
      CAPTURE(wrong);
      db.exec("SAVEPOINT s");
      db.exec(wrong);
      CHECK(unsound_row(db));
      db.exec("ROLLBACK TO s; RELEASE s");
    }
    CHECK_FALSE(unsound_row(db));
  }
}

TEST_CASE(
    "row sum: a message that is no text, as a trigger may raise it, is sound when read back") {
  for (const std::string encoding : {"UTF-8", "UTF-16le"}) {
    CAPTURE(encoding);
    const ScratchFolder folder;
    const HandMaster master(folder.path(), kSchema, "PRAGMA encoding='" + encoding + "'");
    write_rows(master.db(), std::string("\xff\xfe\x00 \xed\xa0\x80 \xc3", 9));
    CHECK_FALSE(unsound_row(master.db()));
    OutcomeTable outcomes(master.db());
    CHECK(outcomes.find({kWrite.node, 8}).has_value());
  }
}

TEST_CASE("row sum: what is asked for is not what was written, an error and no answer") {
  const ScratchFolder folder;
  const HandMaster master(folder.path(), kSchema);
  const Database& db = master.db();
  write_rows(db, "no");
  const auto is_met = [&](const char* wrong, const auto& ask) {
    CAPTURE(wrong);
    db.exec("SAVEPOINT s");
    db.exec(wrong);
    CHECK_THROWS_AS(ask(), const SqliteError&);
    db.exec("ROLLBACK TO s; RELEASE s");
    ask();
  };
  OutcomeTable outcomes(db);
  is_met("UPDATE csa_outcome SET seq = 4", [&] { (void)outcomes.find(kWrite); });
  is_met("UPDATE csa_outcome SET counter = counter + 4096",
         [&] { (void)outcomes.last_counter(kWrite.node); });
  is_met("UPDATE csa_outcome_floor SET counter = 1 << 30",
         [&] { (void)outcomes.floor(kWrite.node); });
  is_met("UPDATE csa_epoch SET parent_seq = 9", [&] { (void)read_epochs(db); });
  is_met("UPDATE csa_layout SET json = '{}'", [&] { (void)read_layout_json(db, 1); });
}

TEST_CASE("row sum: a file of an older csa can be read, and is proved once it is opened for work") {
  const Place place;
  place.created();
  {
    const Database db(place.path, Database::Mode::kReadWrite);
    write_rows(db, "no");
    make_old(db);
    CHECK(read_meta(db)->tables_version == 1);
    CHECK(read_epochs(db).size() == 1);
    CHECK(read_layout_json(db, 1).has_value());
    CHECK_FALSE(unsound_row(db));
  }
  CHECK(place.found(true) == Finding::kSound);
  LedgerOptions options;
  options.monotonic_now = [] { return TimePoint{}; };
  options.local_now = opening::real().local_now;
  options.random_id = opening::real().random_id;
  { const Ledger ledger(place.path, options, Log()); }
  CHECK(place.found(true) == Finding::kSound);
  const Database db(place.path, Database::Mode::kReadWrite);
  CHECK(read_meta(db)->tables_version == kTablesVersion);
  CHECK(unproved(db) == 0);
  CHECK(OutcomeTable(db).find(kWrite)->request_hash == hash128(as_bytes("request")));
  for (const std::string& wrong : wrongs()) {
    CAPTURE(wrong);
    db.exec("SAVEPOINT s");
    db.exec(wrong);
    CHECK(unsound_row(db));
    db.exec("ROLLBACK TO s; RELEASE s");
  }
}

TEST_CASE(
    "row sum: a master with a wrong row, check names it, no copy is cut, no restore takes it") {
  const Place place;
  place.created();
  place.change("INSERT INTO csa_outcome_floor VALUES (zeroblob(16), 5, 1)");
  CHECK(place.found(true) == Finding::kDamaged);
  const Database db(place.path, Database::Mode::kReadOnly);
  CHECK_THROWS_AS((void)Spool::cut(db, place.folder.file("spool")), const SqliteError&);
  const Place other;
  const auto done = restore(other.name, place.path, opening::real());
  REQUIRE(!done.has_value());
  CHECK(done.error().code == Errc::kDamaged);
  CHECK(done.error().what.find("csa_outcome_floor") != std::string::npos);
}

TEST_CASE("row sum: another history in csa_meta than csa_epoch proves, no restore takes it") {
  const Place place;
  place.created();
  place.change("UPDATE csa_meta SET value = zeroblob(16) WHERE key = 'epoch'");
  const Place other;
  const auto done = restore(other.name, place.path, opening::real());
  REQUIRE_FALSE(done.has_value());
  CHECK(done.error().what.find("csa_epoch") != std::string::npos);
}

TEST_CASE("row sum: a replica of an older csa, or a copy of an older broker, has sums then") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  const std::string path = folder.file("r.db");
  REQUIRE(take_copy(*open_replica(path), master.copy()).has_value());
  {
    const Database db(path, Database::Mode::kReadWrite);
    make_old(db);
  }
  master.exec("INSERT INTO t VALUES (1, 'one')");
  {
    const auto replica = open_replica(path);
    CHECK(follow(*replica, master).has_value());
  }
  const auto check = [](const std::string& file) {
    const Database db(file, Database::Mode::kReadWrite);
    CHECK(read_meta(db)->tables_version == kTablesVersion);
    CHECK(unproved(db) == 0);
    CHECK_FALSE(fault_of_file(db));
    db.exec("UPDATE csa_epoch SET started_ms = started_ms + 1");
    const auto fault = fault_of_file(db);
    REQUIRE(fault.has_value());
    CHECK(fault->text.find("csa_epoch") != std::string::npos);
  };
  check(path);

  make_old(master.db());
  master.meta().tables_version = 1;
  const std::string second = folder.file("s.db");
  REQUIRE(take_copy(*open_replica(second), master.copy()).has_value());
  check(second);
}

TEST_CASE("row sum: a copy with a wrong row is not installed") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  master.db().exec("UPDATE csa_layout SET json = json || ' '");
  const auto replica = open_replica(folder.file("r.db"));
  const Result<Applied> taken = take_copy(*replica, master.copy());
  REQUIRE(!taken.has_value());
  CHECK(taken.error().what.find("csa_layout") != std::string::npos);
}

TEST_CASE("open replica: csa_meta is of another application, group or schema version, damaged") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  const std::string path = folder.file("r.db");
  REQUIRE(take_copy(*open_replica(path), master.copy()).has_value());
  for (const char* const wrong :
       {"value = 'csb' WHERE key = 'app'", "value = 'shop2' WHERE key = 'group'",
        "value = value + 1 WHERE key = 'schema_version'"}) {
    CAPTURE(wrong);
    const std::string sound = opening::bytes_of(path);
    run_sql(path, std::string("UPDATE csa_meta SET ") + wrong);
    const auto opened = try_open(path);
    REQUIRE(!opened.has_value());
    CHECK(opened.error().code == Errc::kDamaged);
    CHECK(opened.error().what.find("move it away") != std::string::npos);
    opening::write_file(path, sound);
  }
}

}  // namespace csa::row_sum_test
