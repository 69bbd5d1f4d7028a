// Writing without a broker on the real store, and the step back to the master's log.
#include <doctest/doctest.h>

#include "common/codec.h"
#include "common/journal.h"
#include "common/limits.h"
#include "tests/support/compare.h"
#include "tests/support/random_schema.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::replica_offline_test {
namespace {

constexpr const char* kSchema = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, qty REAL DEFAULT 1);
  CREATE TABLE note (text, at);
  CREATE TABLE item (id INTEGER PRIMARY KEY, part INTEGER REFERENCES part ON DELETE CASCADE);
  CREATE TABLE tag (word TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID;
  CREATE TRIGGER noted AFTER INSERT ON part BEGIN
    INSERT INTO note VALUES (new.name || ' came', 1);
  END;
  INSERT INTO part (name, qty) VALUES ('bolt', 5), ('nut', 7);
  INSERT INTO item (part) VALUES (1), (2);
  INSERT INTO tag VALUES ('a', 1);
)";

struct Offline {
  ScratchFolder folder;
  HandMaster master;
  std::string path = folder.file("r.db");
  std::unique_ptr<Replica> replica = open_replica(path);
  std::uint64_t counter = 0;

  explicit Offline(const std::string& schema = kSchema) : master(folder.path(), schema) {
    REQUIRE(take_copy(*replica, master.copy()).has_value());
  }
  OfflineWrite call(const std::string& sql, Row parameters = {}) {
    OfflineWrite write;
    write.write.tx = {replica->state().node, ++counter};
    write.write.sql = sql;
    write.write.parameters = std::move(parameters);
    write.edited = WallTime{1000 + static_cast<std::int64_t>(counter)};
    return write;
  }
  OfflineDone write(const std::string& sql, Row parameters = {}) {
    return replica->write_offline(call(sql, std::move(parameters))).value();
  }
  Journaled journaled(const std::string& sql, Row parameters = {}) {
    const OfflineDone done = write(sql, std::move(parameters));
    if (const auto* const nack = std::get_if<Nack>(&done.answer)) FAIL(nack->message);
    return std::get<Journaled>(done.answer);
  }
  void restart() {
    replica.reset();
    replica = open_replica(path);
  }
  // Every entry gets an outcome at the master's present head.
  void answer_all() {
    std::vector<Replayed> answers;
    std::uint64_t after = 0;
    while (true) {
      const auto parts = replica->read_journal(after, 0, 1).value();
      if (parts.empty()) break;
      after = parts.front().header.tx.counter;
      answers.push_back(
          {parts.front().header.tx, ReplayResult::kApplied, 0, master.meta().position.seq, {}, {}});
    }
    replica->mark_answered(answers);
  }
  struct Seen {
    RowChange change;
    ChangeTable table;
  };
  std::vector<Seen> changes() {
    std::vector<Seen> seen;
    ChangeReader reader;
    const std::vector<Replay> parts = replica->read_journal(0, 0, 64 * limits::kMiB).value();
    for (const Replay& part : parts) {
      if (part.offset == 0) reader = ChangeReader();
      reader.feed(part.bytes);
      while (true) {
        const auto change = reader.next().value();
        if (!change) break;
        if (const auto* const row = std::get_if<RowChange>(&*change)) {
          seen.push_back({*row, reader.tables().at(row->table)});
        }
      }
    }
    return seen;
  }
};

std::string differs(const std::string& a, const std::string& b) {
  return test::difference(Database(a, Database::Mode::kReadOnly),
                          Database(b, Database::Mode::kReadOnly));
}

}  // namespace

TEST_CASE("replica offline: a write runs with triggers and cascades, and is journaled") {
  Offline o;
  const Journaled done =
      o.journaled("INSERT INTO part (name) VALUES (?) RETURNING id", {Text{"washer"}});
  CHECK(done.changes == 1);
  CHECK(done.last_insert_rowid == 3);
  REQUIRE(done.rows.size() == 1);
  CHECK(done.rows[0][0] == Value{std::int64_t{3}});
  o.journaled("DELETE FROM part WHERE id = 1");
  const Database db(o.path, Database::Mode::kReadOnly);
  CHECK(db.query_int("SELECT count(*) FROM note WHERE text = 'washer came'") == 1);
  CHECK(db.query_int("SELECT count(*) FROM item") == 1);
  const JournalState journal = o.replica->state().journal;
  CHECK(journal.entries == 2);
  CHECK(journal.waiting == 2);
  CHECK(journal.first == 1);
  CHECK(journal.last == 2);
  o.restart();
  CHECK(o.replica->state().journal.waiting == 2);
}

TEST_CASE("replica offline: the journal carries full rows, names, and who chose the key") {
  Offline o;
  o.journaled("UPDATE part SET qty = 6 WHERE id = 1");
  o.journaled("INSERT INTO part (name) VALUES ('a')");
  o.journaled("INSERT INTO part (id, name) VALUES (70, 'b')");
  o.journaled("INSERT INTO item (id, part) VALUES (NULL, 1)");
  o.journaled("INSERT OR IGNORE INTO part (id, name) VALUES (80, 'a'), (NULL, 'c')");
  o.journaled("INSERT INTO item (part) SELECT id FROM part WHERE id < 3");
  o.journaled("INSERT INTO item (id, part) VALUES (90, 1) ON CONFLICT DO NOTHING");
  std::vector<std::string> inserts;
  const auto changes = o.changes();
  const RowChange& update = changes.at(0).change;
  CHECK(changes.at(0).table.column_names == std::vector<std::string>{"id", "name", "qty"});
  CHECK(update.old_values.at(1) == Value{Text{"bolt"}});
  CHECK(update.new_values.at(1) == Value{Text{"bolt"}});
  CHECK(update.new_values.at(2) == Value{6.0});
  for (const auto& [change, table] : changes) {
    if (change.op != RowOp::kInsert || table.name == "note") continue;
    inserts.push_back(table.name + " " + std::to_string(std::get<std::int64_t>(change.key.at(0))) +
                      (change.assigned ? " by SQLite" : ""));
  }
  const std::vector<std::string> expected = {
      "part 3 by SQLite", "part 70",          "item 3 by SQLite", "part 81 by SQLite",
      "item 4 by SQLite", "item 5 by SQLite", "item 90"};
  for (std::size_t i = 0; i < std::max(inserts.size(), expected.size()); ++i) {
    CHECK((i < inserts.size() ? inserts[i] : "") == (i < expected.size() ? expected[i] : ""));
  }
}

TEST_CASE("replica offline: what the schema refuses changes nothing and leaves no entry") {
  Offline o;
  const OfflineDone twice = o.write(
      "INSERT INTO part (name) VALUES ('x'); INSERT INTO part (name)"
      " VALUES ('bolt')");
  REQUIRE(std::holds_alternative<Nack>(twice.answer));
  CHECK(std::get<Nack>(twice.answer).code == NackCode::kConstraint);
  CHECK(std::get<Nack>(twice.answer).statement == 1);
  CHECK(std::holds_alternative<Nack>(o.write("PRAGMA user_version = 4").answer));
  CHECK(std::holds_alternative<Nack>(o.write("DELETE FROM csa_journal").answer));
  CHECK(std::holds_alternative<Nack>(o.write("SELECT csa_note_key('part', 1)").answer));
  CHECK(std::holds_alternative<Nack>(o.write("INSERT INTO item (part) VALUES (99)").answer));
  CHECK(o.replica->state().journal.entries == 0);
  CHECK(differs(o.path, o.master.path()).empty());
  // It may have been made at the broker, where it was sent before.
  OfflineWrite sent = o.call("INSERT INTO part (id, name) VALUES (1, 'again')");
  sent.request_hash = request_hash(sent.write);
  const Result<OfflineDone> open = o.replica->write_offline(sent);
  REQUIRE_FALSE(open.has_value());
  CHECK(open.error().what.find("ask for its outcome") != std::string::npos);
}

TEST_CASE("replica offline: a call that changes nothing leaves no entry, and an outcome") {
  Offline o;
  CHECK(o.journaled("UPDATE part SET qty = 5 WHERE id = 1").changes == 1);
  CHECK(o.journaled("UPDATE part SET qty = 5 WHERE id = 100").changes == 0);
  CHECK(o.replica->state().journal.entries == 0);
  CHECK(Database(o.path, Database::Mode::kReadOnly)
            .query_text("SELECT counter || result FROM csa_journal_outcome WHERE counter = 2") ==
        "2applied");
}

TEST_CASE("replica offline: the same TxId again runs once") {
  Offline o;
  OfflineWrite call = o.call("UPDATE part SET qty = qty + 1 WHERE id = 1");
  call.request_hash = request_hash(call.write);
  (void)o.replica->write_offline(call).value();
  const OfflineDone again = o.replica->write_offline(call).value();
  CHECK(std::get<Journaled>(again.answer).changes == 1);
  CHECK(o.replica->state().journal.entries == 1);
  CHECK(Database(o.path, Database::Mode::kReadOnly)
            .query_int("SELECT CAST(qty AS INTEGER) FROM part WHERE id = 1") == 6);
}

TEST_CASE("replica offline: a TxId older than the journal's last one is not run") {
  Offline o;
  const OfflineWrite old = o.call("UPDATE part SET qty = 0");
  o.journaled("UPDATE part SET qty = 8 WHERE id = 1");
  CHECK_FALSE(o.replica->write_offline(old).has_value());
  CHECK(o.replica->state().journal.entries == 1);
}

TEST_CASE("replica offline: a TxId that a copy of the replica has used is no answer to a write") {
  Offline o;
  const NodeId node = o.replica->state().node;
  const std::uint64_t reserved = o.replica->reserve_counters();
  OfflineWrite write = o.call("UPDATE part SET qty = 6 WHERE id = 1");
  const TxId far{node, reserved + 70};
  o.master.exec("INSERT INTO note VALUES ('of the copy', 1)");
  o.master.exec("INSERT INTO note VALUES ('of the copy, later', 1)");
  std::vector<LogPiece> pieces = o.master.after(Seq{0});
  REQUIRE(pieces.size() == 2);
  pieces[0].header.tx = write.write.tx;
  pieces[1].header.tx = far;
  Chain chain = o.replica->state().position->chain;
  for (LogPiece& piece : pieces) {
    ChainHasher hasher(chain, piece.header);
    hasher.update(piece.bytes);
    chain = piece.chain = hasher.digest();
  }
  REQUIRE(o.replica->apply(pieces).has_value());
  const OfflineDone done = o.replica->write_offline(write).value();
  REQUIRE(std::holds_alternative<Nack>(done.answer));
  CHECK(std::get<Nack>(done.answer).code == NackCode::kMismatch);
  CHECK(o.replica->state().journal.entries == 0);
  // It may have been sent under it: the master will tell the two apart.
  write.request_hash = request_hash(write.write);
  CHECK(std::holds_alternative<Journaled>(o.replica->write_offline(write)->answer));
  SUBCASE("no such number is reserved again") {
    CHECK(o.replica->reserve_counters() == far.counter + limits::kCounterBlock);
  }
  SUBCASE("nor after a restart") {
    o.restart();
    CHECK(o.replica->state().counter == far.counter);
  }
}

TEST_CASE("replica offline: another program's write is noticed before anything is run") {
  Offline o;
  o.journaled("UPDATE part SET qty = 6 WHERE id = 1");
  run_sql(o.path, "PRAGMA wal_checkpoint(TRUNCATE)");  // writes nothing
  o.journaled("UPDATE part SET qty = 7 WHERE id = 1");
  run_sql(o.path, "UPDATE part SET qty = 100 WHERE id = 2");
  OfflineWrite write = o.call("DELETE FROM part");
  const OfflineDone done = o.replica->write_offline(write).value();
  REQUIRE(std::holds_alternative<Nack>(done.answer));
  CHECK(std::get<Nack>(done.answer).code == NackCode::kLimit);
  CHECK(std::get<Nack>(done.answer).message.find("another program") != std::string::npos);
  // Of one that was sent before nobody here can say that it did not run.
  write.request_hash = request_hash(write.write);
  CHECK_FALSE(o.replica->write_offline(write).has_value());
}

TEST_CASE("replica offline: taking over undoes the journal and applies the tail in one step") {
  Offline o;
  o.journaled("UPDATE part SET qty = 6 WHERE id = 1; DELETE FROM part WHERE id = 2");
  o.journaled("INSERT INTO part (name) VALUES ('washer'); UPDATE tag SET n = 5");
  o.master.exec("INSERT INTO part (name) VALUES ('screw'); UPDATE part SET qty = 9");
  o.master.exec("DELETE FROM tag");
  const Seq seq = o.replica->state().position->seq;
  const std::vector<LogPiece> tail = o.master.after(seq, 20);
  for (std::size_t i = 0; i < tail.size(); ++i) {
    REQUIRE(o.replica->spool({tail[i]}).has_value());
    if (i == tail.size() / 2) {
      // The link is lost: the tail comes anew, cut elsewhere.
      REQUIRE(o.replica->spool(o.master.after(seq, 33)).has_value());
      break;
    }
  }
  CHECK(o.replica->state().position->seq == seq);
  o.answer_all();
  CHECK(o.replica->state().journal.waiting == 0);
  CHECK(o.replica->state().journal.entries == 2);
  const Result<Applied> applied = o.replica->take_over();
  REQUIRE_MESSAGE(applied.has_value(), applied.error().what);
  CHECK(applied->state.position == o.master.meta().position);
  CHECK(applied->state.journal.entries == 0);
  CHECK(differs(o.path, o.master.path()).empty());
  CHECK(Database(o.path, Database::Mode::kReadOnly)
            .query_int("SELECT count(*) FROM csa_journal_outcome") == 2);
  o.master.exec("INSERT INTO part (name) VALUES ('later')");
  CHECK(follow(*o.replica, o.master).has_value());
  CHECK(differs(o.path, o.master.path()).empty());
}

TEST_CASE("replica offline: a flipped bit in an entry is found and named, nothing is undone") {
  Offline o;
  o.journaled("UPDATE part SET qty = 6 WHERE id = 1");
  o.journaled("UPDATE part SET qty = 8 WHERE id = 1");
  o.replica->close();
  run_sql(o.path,
          "UPDATE csa_journal_part SET body = CAST(substr(body, 1, 20) || x'FF' ||"
          " substr(body, 22) AS BLOB) WHERE part_id = 2 << 20");
  o.restart();
  const auto read = o.replica->read_journal(0, 0, 1 << 20);
  REQUIRE_FALSE(read.has_value());
  CHECK(read.error().code == Errc::kDamaged);
  CHECK(read.error().what.find("offline change 2 ") != std::string::npos);
}

TEST_CASE("replica offline: a new identity renames what waits") {
  Offline o;
  o.counter = 41;
  o.journaled("UPDATE part SET qty = 6 WHERE id = 1");
  o.journaled("UPDATE part SET qty = 8 WHERE id = 1");
  const auto before = o.replica->read_journal(0, 0, 1 << 20).value();
  const NodeId old = o.replica->state().node;
  o.replica->renew_identity();
  const NodeId node = o.replica->state().node;
  const auto parts = o.replica->read_journal(0, 0, 1 << 20).value();
  REQUIRE(parts.size() == 2);
  CHECK(parts[0].header.tx == TxId{node, 42});
  CHECK(parts[1].header.tx == TxId{node, 43});
  CHECK(parts[1].header.origin == TxId{old, 43});
  CHECK(parts[1].previous == 42);
  CHECK(o.replica->state().counter == 43);
  // A second change of names keeps the first one, under which others may have handed it over.
  o.replica->renew_identity();
  const auto again = o.replica->read_journal(0, 0, 1 << 20).value();
  REQUIRE(again.size() == 2);
  CHECK(again[0].header.tx == TxId{o.replica->state().node, 42});
  CHECK(again[0].header.origin == TxId{old, 42});
  CHECK(request_hash(again[0]) == request_hash(before[0]));
  CHECK(again[0].bytes == before[0].bytes);
}

TEST_CASE("replica offline: answers are doubted, the last one or all, and all under a new name") {
  Offline o;
  for (int i = 0; i < 3; ++i) o.journaled("UPDATE part SET qty = qty + 1 WHERE id = 1");
  o.answer_all();
  REQUIRE(o.replica->state().journal.waiting == 0);
  o.replica->unmark_journal(false);
  CHECK(o.replica->state().journal.waiting == 1);
  auto parts = o.replica->read_journal(0, 0, 1 << 20).value();
  REQUIRE(parts.size() == 1);
  CHECK(parts[0].header.tx.counter == 3);
  CHECK(parts[0].previous == 2);
  o.replica->unmark_journal(true);
  CHECK(o.replica->state().journal.waiting == 3);
  CHECK(o.replica->state().journal.answered_to == Seq{});
  o.replica->unmark_journal(false);  // nothing to doubt
  CHECK(o.replica->state().journal.waiting == 3);
  o.answer_all();
  o.replica->renew_identity();
  CHECK(o.replica->state().journal.waiting == 3);
}

TEST_CASE("replica offline: opened anew, the last edit's time is told, so that none goes back") {
  Offline o;
  OfflineWrite late = o.call("UPDATE part SET qty = 6 WHERE id = 1");
  late.edited = WallTime{7'260'000'000'000};
  REQUIRE(o.replica->write_offline(late).has_value());
  o.restart();
  CHECK(o.replica->state().edited == WallTime{7'260'000'000'000});
}

TEST_CASE("replica offline: a large transaction is read in parts and undone") {
  Offline o;
  o.journaled(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000)"
      " INSERT INTO note SELECT hex(randomblob(20)), i FROM n");
  std::uint64_t offset = 0;
  std::size_t parts = 0;
  while (true) {
    const auto read = o.replica->read_journal(0, offset, limits::kPieceMax).value();
    REQUIRE_FALSE(read.empty());
    CHECK(read.front().offset == offset);
    ++parts;
    offset += read.front().bytes.size();
    if (read.front().completes()) break;
  }
  CHECK(parts >= 4);
  o.answer_all();
  REQUIRE(o.replica->take_over().has_value());
  CHECK(differs(o.path, o.master.path()).empty());
}

TEST_CASE("replica offline: random writes on random schemas, undone, leave every cell as before") {
  int entries = 0;
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    CAPTURE(seed);
    test::RandomSchema schema(seed);
    Offline o(schema.sql());
    for (int i = 0; i < 25; ++i) {
      std::string sql;
      for (const std::string& statement : schema.write()) sql += statement + ";\n";
      (void)o.replica->write_offline(o.call(sql)).value();
      if (i == 12) o.restart();
    }
    entries += static_cast<int>(o.replica->state().journal.entries);
    o.answer_all();
    const Result<Applied> applied = o.replica->take_over();
    REQUIRE_MESSAGE(applied.has_value(), applied.error().what);
    CHECK(differs(o.path, o.master.path()) == "");
  }
  CHECK(entries > 200);
}

}  // namespace csa::replica_offline_test
