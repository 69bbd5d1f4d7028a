// What a replica's file says of itself (its NodeId, its counter), as a disk keeps it wrongly.
#include <doctest/doctest.h>

#include "common/codec.h"
#include "common/journal.h"
#include "common/limits.h"
#include "node/identity.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::replica_identity_test {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO t VALUES (1, 0)";

struct PrivateText {
  std::string key;
  std::string value;
  bool operator==(const PrivateText&) const = default;
};

struct OneReplica {
  ScratchFolder folder;
  HandMaster master{folder.path(), kSchema};
  std::string path = folder.file("r.db");
  std::unique_ptr<Replica> replica = open_replica(path);

  OneReplica() { REQUIRE(take_copy(*replica, master.copy()).has_value()); }
  OfflineDone write(std::uint64_t counter, const std::string& sql, bool sent = false) {
    OfflineWrite write;
    write.write.tx = {replica->state().node, counter};
    write.write.sql = sql;
    if (sent) write.request_hash = request_hash(write.write);
    return replica->write_offline(write).value();
  }
  // As the next start finds it, in a file of an older csa: without a sum.
  void rot(const std::string& key, const std::string& value) {
    replica.reset();
    run_sql(path, "UPDATE csa_private SET value = '" + value + "' WHERE key = '" + key +
                      "'; DELETE FROM csa_private WHERE key = 'sum'");
    replica = open_replica(path);
  }
  [[nodiscard]] std::vector<PrivateText> private_rows() const {
    const Database db(path, Database::Mode::kReadOnly);
    std::vector<PrivateText> rows;
    Statement read = db.prepare("SELECT key, value FROM csa_private");
    while (read.step()) {
      rows.push_back({read.column_text(0), std::string(as_text(read.column_blob(1)))});
    }
    return rows;
  }
  // A bit of that row.
  void turn(const PrivateText& row, bool of_key, std::size_t bit) const {
    std::string turned = of_key ? row.key : row.value;
    turned[bit / 8] = static_cast<char>(turned[bit / 8] ^ (1 << (bit % 8)));
    const Database db(path, Database::Mode::kReadWrite);
    Statement change = db.prepare(of_key ? "UPDATE csa_private SET key = ?1 WHERE key = ?2"
                                         : "UPDATE csa_private SET value = ?1 WHERE key = ?2");
    of_key ? change.bind(1, turned) : change.bind_blob(1, as_bytes(turned));
    change.bind(2, row.key);
    change.run();
  }
  [[nodiscard]] std::string damage() const {
    return read_identity(Database(path, Database::Mode::kReadOnly)).value().value().damage;
  }
  [[nodiscard]] std::int64_t value() const {
    return Database(path, Database::Mode::kReadOnly).query_int("SELECT v FROM t").value();
  }
};

bool is_mismatch(const OfflineDone& done) {
  const auto* const nack = std::get_if<Nack>(&done.answer);
  return nack != nullptr && nack->code == NackCode::kMismatch;
}

constexpr const char* kAdd = "UPDATE t SET v = v + 1";

}  // namespace

TEST_CASE("replica identity: a counter kept too low gives no number of the journal again") {
  OneReplica one;
  REQUIRE(one.replica->reserve_counters() < 2011);
  std::uint64_t reserved = 0;
  while (reserved < 3000) reserved = one.replica->reserve_counters();
  for (std::uint64_t counter = 2011; counter <= 2040; ++counter) {
    REQUIRE(std::holds_alternative<Journaled>(one.write(counter, kAdd).answer));
  }
  one.rot("counter", "1000");
  CHECK(one.replica->state().counter == 2040);
  CHECK(one.replica->reserve_counters() == 2040 + limits::kCounterBlock);
  CHECK(std::holds_alternative<Journaled>(one.write(2041, kAdd).answer));
  CHECK(one.value() == 31);
  SUBCASE("nor of an outcome that is kept after the journal") {
    CHECK(std::holds_alternative<Journaled>(one.write(2042, "UPDATE t SET v = v").answer));
    one.rot("counter", "1000");
    CHECK(one.replica->state().counter == 2042);
  }
}

TEST_CASE("replica identity: an entry is no answer to a write that was never sent") {
  OneReplica one;
  CHECK(std::holds_alternative<Journaled>(one.write(1, kAdd).answer));
  CHECK(std::holds_alternative<Journaled>(one.write(2, "UPDATE t SET v = v").answer));
  CHECK(is_mismatch(one.write(1, kAdd)));
  CHECK(is_mismatch(one.write(2, kAdd)));
  CHECK(one.value() == 1);
  // Of one that was sent it is: whoever took it over asks.
  CHECK(std::holds_alternative<Journaled>(one.write(1, kAdd, true).answer));
  CHECK(one.value() == 1);
}

TEST_CASE("replica identity: a NodeId kept wrongly is put right by the journal's entries") {
  OneReplica one;
  const NodeId node = one.replica->state().node;
  CHECK(std::holds_alternative<Journaled>(one.write(1, kAdd).answer));
  std::string turned = to_string(node);
  turned[5] = turned[5] == '1' ? '0' : '1';
  one.rot("node", turned);
  CHECK(one.replica->state().node == node);
  one.replica.reset();
  CHECK(Database(one.path, Database::Mode::kReadOnly)
            .query_text("SELECT value FROM csa_private WHERE key = 'node'") == to_string(node));
}

TEST_CASE("replica identity: any bit of what the file says of itself is wrong, put right") {
  OneReplica one;
  one.replica.reset();
  const std::vector<PrivateText> right = one.private_rows();
  REQUIRE(right.size() >= 7);
  for (const PrivateText& row : right) {
    for (const bool of_key : {true, false}) {
      const std::size_t bits = (of_key ? row.key : row.value).size() * 8;
      // In keys the lowest of each byte, with which it stays text.
      for (std::size_t bit = 0; bit < bits; bit += of_key ? 8 : 5) {
        CAPTURE(row.key);
        CAPTURE(of_key);
        CAPTURE(bit);
        one.turn(row, of_key, bit);
        REQUIRE(one.private_rows() != right);
        one.replica = open_replica(one.path);
        one.replica.reset();
        REQUIRE(one.private_rows() == right);
      }
    }
  }
}

TEST_CASE("replica identity: more than a bit of what the file says of itself is wrong, damaged") {
  OneReplica one;
  one.replica.reset();
  for (const char* const sql :
       {"UPDATE csa_private SET value = 'broker' WHERE key = 'role'",
        "UPDATE csa_private SET value = value || 'zz' WHERE key = 'group'",
        "DELETE FROM csa_private WHERE key = 'app'",
        "DELETE FROM csa_private WHERE key IN ('role', 'sum')",
        "WITH n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
        " INSERT INTO csa_private SELECT i, i FROM n",
        "UPDATE csa_private SET value = '7' WHERE key = 'sum'",
        "UPDATE csa_private SET value = zeroblob(100000) WHERE key = 'node'",
        "DROP TABLE csa_private; CREATE VIEW csa_private AS WITH RECURSIVE"
        " n (key) AS (VALUES (1) UNION ALL SELECT key + 1 FROM n) SELECT key, key AS value FROM "
        "n"}) {
    const ScratchFolder folder;
    const std::string path = folder.file("wrong.db");
    std::filesystem::copy_file(one.path, path);
    run_sql(path, sql);
    CAPTURE(sql);
    const auto opened = try_open(path);
    CAPTURE((opened ? "opened" : opened.error().what));
    REQUIRE_FALSE(opened.has_value());
    CHECK(opened.error().code == Errc::kDamaged);
    CHECK(opened.error().what.find("mv ") != std::string::npos);
  }
}

TEST_CASE("replica identity: another history in csa_meta than csa_epoch proves, put right") {
  OneReplica one;
  const Position position = one.replica->state().position.value();
  CHECK(std::holds_alternative<Journaled>(one.write(1, kAdd).answer));
  for (const char* const sql : {"UPDATE csa_meta SET value = value + 4 WHERE key = 'generation'",
                                "UPDATE csa_meta SET value = zeroblob(16) WHERE key = 'epoch'"}) {
    one.replica.reset();
    run_sql(one.path, sql);
    one.replica = open_replica(one.path);
    CHECK(one.replica->state().position == position);
    CHECK(one.replica->state().journal.waiting == 1);
    one.replica.reset();
    CHECK(read_meta(Database(one.path, Database::Mode::kReadOnly)).value().position == position);
  }
}

TEST_CASE("replica identity: another database in csa_meta than csa_private names, put right") {
  OneReplica one;
  const DbId db = one.replica->state().db.value();
  one.replica.reset();
  run_sql(one.path, "UPDATE csa_meta SET value = zeroblob(16) WHERE key = 'db'");
  one.replica = open_replica(one.path);
  CHECK(one.replica->state().db == db);
  one.replica.reset();
  CHECK(read_meta(Database(one.path, Database::Mode::kReadOnly)).value().db == db);
  SUBCASE("which an older csa has not named") {
    run_sql(one.path, "DELETE FROM csa_private WHERE key IN ('db', 'sum')");
    one.replica = open_replica(one.path);
    one.replica.reset();
    CHECK(std::ranges::count(one.private_rows(), "db", &PrivateText::key) == 1);
  }
}

TEST_CASE("replica identity: another history in csa_meta, where damage is marked, put right") {
  OneReplica one;
  const Position position = one.replica->state().position.value();
  one.replica.reset();
  {
    const Database db(one.path, Database::Mode::kReadWrite);
    Identity identity = read_identity(db).value().value();
    identity.damage = std::string(100000, 'x');  // kept in short
    Transaction transaction(db);
    write_identity(db, identity);
    transaction.commit();
    CHECK(read_identity(db).value()->damage.size() < 2000);
  }
  run_sql(one.path, "UPDATE csa_meta SET value = value + 4 WHERE key = 'generation'");
  one.replica = open_replica(one.path);
  CHECK(one.replica->state().position == position);
}

TEST_CASE("replica identity: the last row of csa_epoch is missing, damaged") {
  OneReplica one;
  one.replica.reset();
  {
    const Database db(one.path, Database::Mode::kReadWrite);
    db.exec("DELETE FROM csa_epoch");
    add_epoch(db, {});
  }
  const auto opened = try_open(one.path);
  REQUIRE_FALSE(opened.has_value());
  CHECK(opened.error().code == Errc::kDamaged);
  run_sql(one.path, "UPDATE csa_epoch SET sum = NULL");  // as of an older csa
  CHECK(try_open(one.path).has_value());
}

TEST_CASE("replica identity: the last row of csa_epoch is missing, what waits is handed over") {
  OneReplica one;
  CHECK(std::holds_alternative<Journaled>(one.write(1, kAdd).answer));
  one.replica.reset();
  {
    const Database db(one.path, Database::Mode::kReadWrite);
    db.exec("DELETE FROM csa_epoch");
    add_epoch(db, {});
  }
  auto opened = try_open(one.path);
  REQUIRE(opened.has_value());
  one.replica = std::move(opened).value();
  CHECK(one.replica->state().journal.waiting == 1);
  CHECK_FALSE(one.damage().empty());
}

TEST_CASE("replica identity: changes behind a journal that is all answered, marked") {
  OneReplica one;
  CHECK(std::holds_alternative<Journaled>(one.write(1, kAdd).answer));
  CHECK(std::holds_alternative<Journaled>(one.write(2, kAdd).answer));
  const NodeId node = one.replica->state().node;
  one.replica.reset();
  {
    const Database db(one.path, Database::Mode::kReadWrite);
    Replayed answer;
    answer.tx = {node, 1};
    answer.seq = Seq{1};
    JournalState state = Journal(db).read_state();
    Journal(db).mark_answered(answer, state);
    db.exec("DELETE FROM csa_journal WHERE entry = 2");
  }
  one.replica = open_replica(one.path);
  CHECK(one.replica->state().journal.waiting == 0);
  CHECK_FALSE(one.damage().empty());
}

TEST_CASE("replica identity: a file without a sum is taken as it is, and gets one") {
  OneReplica one;
  one.rot("counter", "3000");
  CHECK(one.replica->state().counter == 3000);
  (void)one.replica->reserve_counters();
  one.replica.reset();
  CHECK(std::ranges::count(one.private_rows(), "sum", &PrivateText::key) == 1);
}

TEST_CASE("replica identity: an entry whose checksum does not fit renames nobody") {
  OneReplica one;
  const NodeId node = one.replica->state().node;
  CHECK(std::holds_alternative<Journaled>(one.write(1, kAdd).answer));
  one.replica.reset();
  {
    // The header holds the NodeId as bytes.
    const Database db(one.path, Database::Mode::kReadWrite);
    Statement row = db.prepare("SELECT header FROM csa_journal");
    REQUIRE(row.step());
    Bytes header = row.column_blob(0);
    row.reset();
    const auto at =
        std::search(header.begin(), header.end(), node.value.bytes.begin(), node.value.bytes.end());
    REQUIRE(at != header.end());
    *at ^= 1;
    Statement change = db.prepare("UPDATE csa_journal SET header = ?1");
    change.bind_blob(1, header);
    change.run();
  }
  one.replica = open_replica(one.path);
  CHECK(one.replica->state().node == node);
}

}  // namespace csa::replica_identity_test
