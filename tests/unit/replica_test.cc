#include "node/replica.h"

#include <doctest/doctest.h>

#include <fstream>

#include "common/limits.h"
#include "common/schema.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::replica_test {
namespace {

constexpr const char* kSchema = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, qty REAL DEFAULT 1);
  CREATE TABLE note (text, at);
  CREATE TABLE tag (word TEXT, part INTEGER REFERENCES part ON DELETE CASCADE,
                    PRIMARY KEY (word, part)) WITHOUT ROWID;
  CREATE TRIGGER noted AFTER INSERT ON part BEGIN
    INSERT INTO note VALUES (new.name || ' came', 1);
  END;
  INSERT INTO part (name, qty) VALUES ('bolt', 5), ('nut', 7);
)";

// Sanitizers keep freed memory.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

struct Pair {
  ScratchFolder folder;
  HandMaster master{folder.path(), kSchema};
  std::string path = folder.file("r.db");
  std::unique_ptr<Replica> replica = open_replica(path);

  Pair() { CHECK(take_copy(*replica, master.copy()).has_value()); }
  void restart() {
    replica.reset();
    replica = open_replica(path);
  }
};

// A large entry in parts small enough to have many of them.
std::vector<LogPiece> large_entry(HandMaster& master, Seq after) {
  master.exec(
      "INSERT INTO note SELECT hex(randomblob(400)), value FROM (WITH RECURSIVE n(value) AS "
      "(SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 1500) SELECT value FROM n)");
  std::vector<LogPiece> pieces = master.after(after);
  REQUIRE(pieces.size() >= 4);
  return pieces;
}

std::string peak_reset_and_read(bool reset) {
  if (reset) std::ofstream("/proc/self/clear_refs") << "5";
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("VmHWM:")) return line.substr(6);
  }
  return "0";
}

}  // namespace

TEST_CASE("replica: nothing there, begins empty with an identity that a restart keeps") {
  const ScratchFolder folder;
  NodeId node;
  {
    const auto replica = open_replica(folder.file("r.db"));
    node = replica->state().node;
    CHECK(!node.value.is_zero());
    CHECK(!replica->state().db.has_value());
    CHECK(!replica->state().position.has_value());
    CHECK(!replica->last_endpoint().has_value());
    CHECK(replica->reserve_counters() == limits::kCounterBlock);
    replica->remember_endpoint("10.0.0.1:5775");
    const Result<Applied> applied = replica->apply({LogPiece{}});
    REQUIRE(!applied);
    CHECK(applied.error().code == Errc::kDamaged);
  }
  const auto replica = open_replica(folder.file("r.db"));
  CHECK(replica->state().node == node);
  CHECK(replica->state().counter == limits::kCounterBlock);
  CHECK(replica->last_endpoint() == "10.0.0.1:5775");
  CHECK(replica->reserve_counters() == 2 * limits::kCounterBlock);
}

TEST_CASE("replica: identity renewed, another NodeId, counters go on, kept by a restart") {
  Pair pair;
  const NodeId old = pair.replica->state().node;
  (void)pair.replica->reserve_counters();
  pair.replica->renew_identity();
  const NodeId now = pair.replica->state().node;
  CHECK(now != old);
  CHECK(pair.replica->state().counter == limits::kCounterBlock);
  pair.restart();
  CHECK(pair.replica->state().node == now);
  CHECK(pair.replica->state().counter == limits::kCounterBlock);
  pair.replica->renew_identity(5 * limits::kCounterBlock);
  CHECK(pair.replica->state().counter == 5 * limits::kCounterBlock);
  CHECK(pair.replica->state().position == pair.master.meta().position);
}

TEST_CASE("replica: entries in order, content, position, outcomes and log are the master's") {
  Pair pair;
  pair.master.exec("INSERT INTO part (name) VALUES ('washer'); UPDATE part SET qty = 2.5");
  pair.master.exec("INSERT INTO tag VALUES ('new', 1), ('old', 2)");
  pair.master.db().exec("PRAGMA foreign_keys=ON");
  pair.master.exec("DELETE FROM part WHERE id = 1; UPDATE part SET id = 9 WHERE id = 3");
  const Result<Applied> applied = follow(*pair.replica, pair.master);
  REQUIRE(applied.has_value());
  CHECK(applied.value().tables == std::vector<std::string>{"note", "part", "tag"});
  CHECK(applied.value().state.position == pair.master.meta().position);
  CHECK(content_of(pair.path) == content_of(pair.master.db()));

  const Database db(pair.path, Database::Mode::kReadOnly);
  const TxId tx{NodeId{hash128(as_bytes("a writer"))}, 2};
  const std::optional<Outcome> outcome = OutcomeTable(db).find(tx);
  REQUIRE(outcome.has_value());
  REQUIRE(std::holds_alternative<Ack>(outcome->answer));
  CHECK(std::get<Ack>(outcome->answer).seq == Seq{2});
  CHECK(LogTable(db).entry(Seq{2}).has_value());
  pair.restart();
  CHECK(pair.replica->state().position == pair.master.meta().position);
}

TEST_CASE("replica: entries come again or too early, repeats are ignored and a gap is refused") {
  Pair pair;
  pair.master.exec("INSERT INTO part (name) VALUES ('a')");
  pair.master.exec("INSERT INTO part (name) VALUES ('b')");
  const std::vector<LogPiece> both = pair.master.after(Seq{0});
  REQUIRE(pair.replica->apply({both[0]}).has_value());
  CHECK(pair.replica->apply({both[0]}).has_value());
  CHECK(pair.replica->apply(both).has_value());
  pair.master.exec("INSERT INTO part (name) VALUES ('c')");
  pair.master.exec("INSERT INTO part (name) VALUES ('d')");
  const Result<Applied> gap = pair.replica->apply(pair.master.after(Seq{3}));
  REQUIRE(!gap);
  CHECK(gap.error().code == Errc::kMalformed);
  CHECK(pair.replica->state().position->seq == Seq{2});
  CHECK(follow(*pair.replica, pair.master).has_value());
  CHECK(content_of(pair.path) == content_of(pair.master.db()));
}

TEST_CASE("replica: a large entry in parts, goes on after a restart in the middle") {
  Pair pair;
  const std::vector<LogPiece> pieces = large_entry(pair.master, Seq{0});
  const std::string before = content_of(pair.path);
  REQUIRE(pair.replica->apply({pieces[0]}).has_value());
  CHECK(pair.replica->state().partial == pieces[0].bytes.size());
  REQUIRE(pair.replica->apply({pieces[0], pieces[1]}).has_value());
  CHECK(content_of(pair.path) == before);
  pair.restart();
  CHECK(pair.replica->state().partial == pieces[2].offset);
  CHECK(pair.replica->state().position->seq == Seq{0});
  const Result<Applied> gap = pair.replica->apply({pieces[3]});
  REQUIRE(!gap);
  CHECK(gap.error().code == Errc::kMalformed);
  REQUIRE(pair.replica->apply({pieces.begin() + 2, pieces.end()}).has_value());
  CHECK(pair.replica->state().partial == 0);
  CHECK(content_of(pair.path) == content_of(pair.master.db()));
}

TEST_CASE("replica: parts cut elsewhere than before, the overlap is taken once") {
  Pair pair;
  const std::vector<LogPiece> pieces = large_entry(pair.master, Seq{0});
  LogPiece begin = pieces[0];
  begin.bytes.resize(1000);
  REQUIRE(pair.replica->apply({begin}).has_value());
  CHECK(pair.replica->state().partial == 1000);
  REQUIRE(pair.replica->apply(pieces).has_value());
  CHECK(content_of(pair.path) == content_of(pair.master.db()));
}

TEST_CASE("replica: stored parts with a hole, are let go at the next start") {
  Pair pair;
  const std::vector<LogPiece> pieces = large_entry(pair.master, Seq{0});
  REQUIRE(pair.replica->apply({pieces[0], pieces[1], pieces[2]}).has_value());
  pair.replica.reset();
  run_sql(pair.path, "DELETE FROM csa_log WHERE offset = " + std::to_string(pieces[1].offset));
  pair.replica = open_replica(pair.path);
  CHECK(pair.replica->state().partial == 0);
  REQUIRE(pair.replica->apply(pieces).has_value());
  CHECK(content_of(pair.path) == content_of(pair.master.db()));
}

TEST_CASE("replica: a stub, is skipped and changes nothing") {
  Pair pair;
  LogPiece stub = large_entry(pair.master, Seq{0})[0];
  stub.bytes.clear();
  const Result<Applied> applied = pair.replica->apply({stub});
  REQUIRE(applied.has_value());
  CHECK(applied.value().state.position->seq == Seq{0});
}

TEST_CASE("replica: an entry of another history, refused by its chain before anything is done") {
  Pair pair;
  pair.master.exec("INSERT INTO part (name) VALUES ('a')");
  std::vector<LogPiece> pieces = pair.master.after(Seq{0});
  pieces[0].chain.value.bytes[3] ^= 1;
  const std::string before = content_of(pair.path);
  const Result<Applied> applied = pair.replica->apply(pieces);
  REQUIRE(!applied);
  CHECK(applied.error().code == Errc::kDamaged);
  CHECK(applied.error().what.find("chain") != std::string::npos);
  CHECK(content_of(pair.path) == before);
  CHECK(follow(*pair.replica, pair.master).has_value());

  std::vector<LogPiece> large = large_entry(pair.master, Seq{1});
  large[2].bytes[10] ^= 1;
  const Result<Applied> parts = pair.replica->apply(large);
  REQUIRE(!parts);
  CHECK(parts.error().code == Errc::kDamaged);
  CHECK(pair.replica->state().partial == 0);
  CHECK(follow(*pair.replica, pair.master).has_value());
  CHECK(content_of(pair.path) == content_of(pair.master.db()));
}

TEST_CASE("replica: a failed entry behind sound ones, none of the call is kept") {
  Pair pair;
  pair.master.exec("INSERT INTO part (name) VALUES ('a')");
  pair.master.exec("INSERT INTO part (name) VALUES ('b')");
  std::vector<LogPiece> pieces = pair.master.after(Seq{0});
  pieces[1].bytes.back() ^= 1;
  const std::string before = content_of(pair.path);
  CHECK(!pair.replica->apply(pieces).has_value());
  CHECK(content_of(pair.path) == before);
  CHECK(pair.replica->state().position->seq == Seq{0});
}

TEST_CASE("replica: rows changed while nobody looked, found by old values, kept aside, repaired") {
  Pair pair;
  pair.replica.reset();
  run_sql(pair.path, "UPDATE part SET qty = 77 WHERE id = 1");
  pair.replica = open_replica(pair.path);
  pair.master.exec("UPDATE part SET qty = 6 WHERE id = 1");
  const Result<Applied> applied = follow(*pair.replica, pair.master);
  REQUIRE(!applied);
  CHECK(applied.error().code == Errc::kDamaged);
  CHECK(applied.error().what.find("part") != std::string::npos);
  pair.restart();
  CHECK(!follow(*pair.replica, pair.master).has_value());
  REQUIRE(take_copy(*pair.replica, pair.master.copy()).has_value());
  CHECK(content_of(pair.path) == content_of(pair.master.db()));
  const std::vector<std::string> asides = asides_of(pair.folder.path());
  REQUIRE(asides.size() == 1);
  const Database aside(asides[0], Database::Mode::kReadOnly);
  CHECK(aside.query_int("SELECT qty FROM part WHERE id = 1") == 77);
  pair.master.exec("UPDATE part SET qty = 8 WHERE id = 1");
  CHECK(follow(*pair.replica, pair.master).has_value());
}

TEST_CASE("replica: another program writes while it is open, noticed at the next entry") {
  Pair pair;
  run_sql(pair.path, "INSERT INTO note VALUES ('from outside', 2)");
  pair.master.exec("INSERT INTO part (name) VALUES ('a')");
  const Result<Applied> applied = follow(*pair.replica, pair.master);
  REQUIRE(!applied);
  CHECK(applied.error().code == Errc::kDamaged);
  CHECK(applied.error().what.find("another program") != std::string::npos);
  CHECK(applied.error().what.find(pair.path) != std::string::npos);
  REQUIRE(take_copy(*pair.replica, pair.master.copy()).has_value());
  CHECK(asides_of(pair.folder.path()).size() == 1);
  CHECK(content_of(pair.path) == content_of(pair.master.db()));
  pair.master.exec("INSERT INTO part (name) VALUES ('b')");
  CHECK(follow(*pair.replica, pair.master).has_value());
  CHECK(asides_of(pair.folder.path()).size() == 1);
}

TEST_CASE("replica: another program empties the -wal, that is no writing; a row as well, it is") {
  Pair pair;
  const std::string empty = "PRAGMA wal_checkpoint(TRUNCATE)";
  pair.master.exec("INSERT INTO part (name) VALUES ('a')");
  REQUIRE(follow(*pair.replica, pair.master).has_value());
  run_sql(pair.path, empty);
  pair.master.exec("INSERT INTO part (name) VALUES ('b')");
  REQUIRE(follow(*pair.replica, pair.master).has_value());
  run_sql(pair.path, "INSERT INTO note VALUES ('from outside', 2);" + empty);
  pair.master.exec("INSERT INTO part (name) VALUES ('c')");
  CHECK(follow(*pair.replica, pair.master).error().code == Errc::kDamaged);
}

TEST_CASE("replica: schema entries, layout and version follow; another result is damage") {
  Pair pair;
  pair.master.migrate("ALTER TABLE part ADD COLUMN bin TEXT DEFAULT 'none'");
  pair.master.exec("UPDATE part SET bin = 'A1' WHERE id = 1");
  const Result<Applied> applied = follow(*pair.replica, pair.master);
  REQUIRE(applied.has_value());
  CHECK(applied.value().schema_changed);
  CHECK(applied.value().state.schema_version == 2);
  CHECK(content_of(pair.path) == content_of(pair.master.db()));
  {
    const Database db(pair.path, Database::Mode::kReadOnly);
    CHECK(read_layout_json(db, 2) == read_layout_json(pair.master.db(), 2));
    CHECK(schema_fingerprint(db) == pair.master.meta().fingerprint);
  }
  pair.restart();
  CHECK(pair.replica->state().schema_version == 2);

  // The master's schema is not what its own statement gives: a table made behind its back.
  pair.master.db().exec("CREATE TABLE hidden (x)");
  pair.master.migrate("CREATE TABLE seen (x)");
  const Result<Applied> differs = follow(*pair.replica, pair.master);
  REQUIRE(!differs);
  CHECK(differs.error().code == Errc::kDamaged);
  CHECK(differs.error().what.find("schema") != std::string::npos);
  CHECK(pair.replica->state().schema_version == 2);
}

TEST_CASE("replica: an entry that cannot be repeated, says that it needs a full copy") {
  Pair pair;
  pair.master.append_copy_entry("INSERT INTO part (name) VALUES ('a')");
  const Result<Applied> applied = follow(*pair.replica, pair.master);
  REQUIRE(!applied);
  CHECK(applied.error().code == Errc::kDamaged);
  CHECK(applied.error().what.find("needs a full copy") != std::string::npos);
  REQUIRE(take_copy(*pair.replica, pair.master.copy()).has_value());
  CHECK(asides_of(pair.folder.path()).empty());
}

TEST_CASE("replica: the broker's floor rises, older entries go in bounded steps") {
  Pair pair;
  for (int i = 0; i < 700; ++i) {
    pair.master.exec("INSERT INTO part (name) VALUES ('p" + std::to_string(i) + "')");
  }
  REQUIRE(follow(*pair.replica, pair.master).has_value());
  const Database db(pair.path, Database::Mode::kReadOnly);
  const auto entries = [&db] { return db.query_int("SELECT count(*) FROM csa_log"); };
  CHECK(entries() == 700);
  pair.replica->trim(Seq{601});
  CHECK(entries() == 444);
  for (int i = 0; i < 5; ++i) pair.replica->housekeeping();
  CHECK(entries() == 100);
  CHECK(read_meta(db).value().floor == Seq{601});
  pair.replica->trim(Seq{5000});
  CHECK(entries() == 0);
  CHECK(read_meta(db).value().floor == Seq{701});
  pair.master.exec("INSERT INTO part (name) VALUES ('last')");
  CHECK(follow(*pair.replica, pair.master).has_value());
  CHECK(content_of(pair.path) == content_of(pair.master.db()));
}

TEST_CASE("replica: a page of the file is damaged, found when it is needed, repaired by a copy") {
  Pair pair;
  pair.replica.reset();
  std::int64_t page = 0;
  {
    const Database db(pair.path, Database::Mode::kReadOnly);
    page = *db.query_int("SELECT rootpage FROM sqlite_schema WHERE name = 'part'");
  }
  {
    std::fstream file(pair.path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp((page - 1) * 4096);
    file << std::string(4096, 'x');
  }
  pair.replica = open_replica(pair.path);
  pair.master.exec("UPDATE part SET qty = 6 WHERE id = 1");
  const Result<Applied> applied = follow(*pair.replica, pair.master);
  REQUIRE(!applied);
  CHECK(applied.error().code == Errc::kDamaged);
  REQUIRE(take_copy(*pair.replica, pair.master.copy()).has_value());
  CHECK(asides_of(pair.folder.path()).size() == 1);
  CHECK(content_of(pair.path) == content_of(pair.master.db()));
}

TEST_CASE("replica: one entry of 200,000 rows, applied with little memory") {
  Pair pair;
  pair.master.exec(
      "INSERT INTO note SELECT 'a line of text that is about as long as usual ' || value, value "
      "FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 200000)"
      " SELECT value FROM n)");
  const Seq head = pair.master.meta().position.seq;
  const long before = std::stol(peak_reset_and_read(true));
  std::uint64_t offset = 0;
  while (pair.replica->state().position->seq < head) {
    LogTable log(pair.master.db());
    const std::optional<LogPiece> piece = log.read(head, offset, limits::kPieceMax);
    REQUIRE(piece.has_value());
    REQUIRE(pair.replica->apply({*piece}).has_value());
    offset += piece->bytes.size();
  }
  CHECK(offset > 10 * limits::kMiB);
  const long after = std::stol(peak_reset_and_read(false));
  MESSAGE("grew by KiB: " << after - before);
  if (!kSanitized) CHECK(after - before < 60 * 1024);
  const Database db(pair.path, Database::Mode::kReadOnly);
  CHECK(db.query_int("SELECT count(*) FROM note") ==
        pair.master.db().query_int("SELECT count(*) FROM note"));
  CHECK(db.query_int("SELECT sum(at) FROM note") ==
        pair.master.db().query_int("SELECT sum(at) FROM note"));
}

}  // namespace csa::replica_test
