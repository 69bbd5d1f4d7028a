#include "common/store_meta.h"

#include <doctest/doctest.h>

#include "common/random.h"
#include "tests/support/scratch_folder.h"

namespace csa::store_meta_test {
namespace {

struct Tables {
  ScratchFolder folder;
  Database db{folder.file("t.db"), Database::Mode::kCreate};
  Tables() { create_tables(db); }
};

Meta sample() {
  Meta meta;
  meta.tables_version = kTablesVersion;
  meta.db = DbId{random_id()};
  meta.app = "csa";
  meta.group = "shop";
  meta.position = {Epoch{3, random_id()}, Seq{41}, Chain{random_id()}};
  meta.floor = Seq{7};
  meta.schema_version = 5;
  meta.fingerprint = random_id();
  return meta;
}

LogPiece piece(Seq seq, std::uint64_t size, std::uint64_t offset, std::size_t length) {
  LogPiece one;
  one.header.seq = seq;
  one.header.hostname = "desk";
  one.header.size = size;
  one.chain = Chain{hash128(as_bytes(std::to_string(seq.value)))};
  one.offset = offset;
  for (std::size_t i = 0; i < length; ++i) {
    one.bytes.push_back(static_cast<std::uint8_t>((offset + i) * 7));
  }
  return one;
}

}  // namespace

TEST_CASE("store_meta: written, read back equal") {
  const Tables tables;
  CHECK(has_tables(tables.db));
  const Meta meta = sample();
  write_meta(tables.db, meta);
  const Result<Meta> read = read_meta(tables.db);
  REQUIRE(read.has_value());
  CHECK(read->db == meta.db);
  CHECK(read->group == meta.group);
  CHECK(read->position == meta.position);
  CHECK(read->floor == meta.floor);
  CHECK(read->schema_version == 5);
  CHECK(read->fingerprint == meta.fingerprint);
}

TEST_CASE("store_meta: a value is missing, contradicts or is newer, an error says so") {
  const Tables tables;
  REQUIRE(!read_meta(tables.db).has_value());
  write_meta(tables.db, sample());
  tables.db.exec("UPDATE csa_meta SET value = 99 WHERE key = 'floor'");
  CHECK(read_meta(tables.db).error().code == Errc::kDamaged);
  write_meta(tables.db, sample());
  tables.db.exec("UPDATE csa_meta SET value = x'00' WHERE key = 'chain'");
  CHECK(read_meta(tables.db).error().what.find("chain") != std::string::npos);
  tables.db.exec("UPDATE csa_meta SET value = 3 WHERE key = 'tables_version'");
  CHECK(read_meta(tables.db).error().code == Errc::kRefused);
}

TEST_CASE("store_meta: private values, epochs and layouts") {
  const Tables tables;
  CHECK(!read_private(tables.db, "a").has_value());
  const std::string odd("\0\xff x", 4);
  write_private(tables.db, "a", odd);
  CHECK(read_private(tables.db, "a") == odd);
  clear_private(tables.db);
  CHECK(!read_private(tables.db, "a").has_value());
  const Position parent{Epoch{1, random_id()}, Seq{9}, Chain{random_id()}};
  add_epoch(tables.db, {Epoch{2, random_id()}, parent, WallTime{5}});
  add_epoch(tables.db, {parent.epoch, Position{}, WallTime{4}});
  const std::vector<EpochRecord> epochs = read_epochs(tables.db);
  REQUIRE(epochs.size() == 2);
  CHECK(epochs[1].parent == parent);
  CHECK(epochs[0].epoch == parent.epoch);
  write_layout(tables.db, 3, "{}");
  CHECK(read_layout_json(tables.db, 3) == "{}");
  CHECK(!read_layout_json(tables.db, 4).has_value());
}

TEST_CASE("store_log: parts of any size, every byte found again") {
  const Tables tables;
  LogTable log(tables.db);
  const std::vector<std::size_t> lengths = {1, 400, 7, 300000, 12, 262144, 5};
  std::uint64_t size = 0;
  for (const std::size_t length : lengths) size += length;
  std::uint64_t at = 0;
  for (const std::size_t length : lengths) {
    log.append(piece(Seq{5}, size, at, length));
    at += length;
  }
  log.append(piece(Seq{5}, size, 401, 7));  // again
  CHECK(log.bytes() > size);
  CHECK(log.bytes() < size + 500);
  for (std::uint64_t offset = 0; offset < size; offset += 997) {
    const std::optional<LogPiece> found = log.read(Seq{5}, offset, 100);
    REQUIRE(found.has_value());
    REQUIRE(!found->bytes.empty());
    CHECK(found->offset == offset);
    CHECK(found->bytes == piece(Seq{5}, size, offset, found->bytes.size()).bytes);
  }
  CHECK(log.read(Seq{5}, size, 10)->bytes.empty());
  CHECK(!log.read(Seq{5}, size + 1, 10).has_value());
  CHECK(!log.read(Seq{4}, 0, 10).has_value());
  LogTable again(tables.db);
  CHECK(again.bytes() == log.bytes());
}

TEST_CASE("store_log: an entry without changes, kept and read as whole") {
  const Tables tables;
  LogTable log(tables.db);
  log.append(piece(Seq{1}, 0, 0, 0));
  const std::optional<LogPiece> found = log.read(Seq{1}, 0, 10);
  REQUIRE(found.has_value());
  CHECK(found->completes());
  CHECK(!found->is_stub());
}

TEST_CASE("store_log: the kept sum is believed only where it belongs to the log") {
  const Tables tables;
  {
    LogTable log(tables.db);
    log.append(piece(Seq{1}, 100, 0, 100));
    log.append(piece(Seq{2}, 100, 0, 100));
    log.save_sum();
  }
  const std::uint64_t bytes = LogTable(tables.db).bytes();
  CHECK(bytes > 200);
  CHECK(bytes < 600);
  // A sum that nobody would find by adding up shows that nobody does.
  tables.db.exec(
      "UPDATE csa_meta SET value = '777777' || substr(value, instr(value, ' '))"
      " WHERE key = 'log_bytes'");
  CHECK(LogTable(tables.db).bytes() == 777777);
  {
    LogTable log(tables.db);
    tables.db.exec("SAVEPOINT lost");
    log.append(piece(Seq{3}, 100, 0, 100));
    CHECK(log.bytes() > 777777);
    tables.db.exec("ROLLBACK TO lost; RELEASE lost");
    log.forget_sum();
    CHECK(log.bytes() == 777777);
  }
  // An older program appends, or deletes, and knows nothing of the sum.
  const std::string kept =
      *tables.db.query_text("SELECT value FROM csa_meta WHERE key = 'log_bytes'");
  LogTable(tables.db).append(piece(Seq{3}, 100, 0, 100));
  CHECK(LogTable(tables.db).bytes() > bytes);
  CHECK(LogTable(tables.db).bytes() < 2 * bytes);
  tables.db.exec("DELETE FROM csa_log WHERE part_id < 3 << 20");
  CHECK(LogTable(tables.db).bytes() < bytes);
  tables.db.exec("DELETE FROM csa_log; DELETE FROM csa_meta WHERE key = 'log_bytes'");
  CHECK(LogTable(tables.db).bytes() == 0);
  CHECK(!kept.empty());
}

TEST_CASE("store_log: pruned in bounded steps, the head stays") {
  const Tables tables;
  LogTable log(tables.db);
  for (std::uint64_t part = 0; part < 10; ++part) log.append(piece(Seq{1}, 1000, part * 100, 100));
  for (std::uint64_t seq = 2; seq <= 6; ++seq) log.append(piece(Seq{seq}, 100, 0, 100));
  Seq floor = log.prune(Seq{1}, Seq{6}, 100000, 4);
  CHECK(floor == Seq{1});
  floor = log.prune(floor, Seq{6}, 900, 4);
  CHECK(floor == Seq{2});  // told at once, deleted step by step
  CHECK(tables.db.query_int("SELECT count(*) FROM csa_log") == 11);
  floor = log.prune(floor, Seq{6}, 0, 100);
  CHECK(floor == Seq{6});
  CHECK(tables.db.query_int("SELECT count(*) FROM csa_log") == 1);
  CHECK(log.bytes() == LogTable(tables.db).bytes());
  log.erase_from(Seq{6});
  CHECK(log.bytes() == 0);
}

TEST_CASE("store_outcome: forgotten in bounded steps, also after a rollback and a restart") {
  const Tables tables;
  const NodeId one{random_id()};
  const NodeId two{random_id()};
  const auto rows = [&] { return tables.db.query_int("SELECT count(*) FROM csa_outcome"); };
  {
    OutcomeTable outcomes(tables.db);
    for (std::uint64_t counter = 1; counter <= 20; ++counter) {
      outcomes.add({TxId{one, counter}, random_id(), Ack{}});
      outcomes.add({TxId{two, counter}, random_id(), Ack{}});
    }
    CHECK(!outcomes.has_forgotten());
    outcomes.raise_floor(one, 15);
    outcomes.raise_floor(two, 5);
    CHECK(rows() == 40);
    outcomes.forget(7);
    CHECK(rows() == 33);
    tables.db.exec("SAVEPOINT lost");
    outcomes.forget(100);
    CHECK(!outcomes.has_forgotten());
    tables.db.exec("ROLLBACK TO lost; RELEASE lost");
    outcomes.rolled_back();
    CHECK(outcomes.has_forgotten());
  }
  OutcomeTable again(tables.db);
  CHECK(again.has_forgotten());
  again.forget(8);
  CHECK(rows() == 25);
  again.forget(8);
  CHECK(rows() == 20);
  CHECK(!again.has_forgotten());
  CHECK(again.find(TxId{one, 16}).has_value());
  CHECK(again.find(TxId{two, 6}).has_value());
  CHECK(outcome_floors(tables.db) == std::map<NodeId, std::uint64_t>{{one, 15}, {two, 5}});
}

TEST_CASE("store_outcome: answers kept, and forgotten below the floor") {
  const Tables tables;
  OutcomeTable outcomes(tables.db);
  const NodeId node{random_id()};
  Ack ack;
  ack.tx = TxId{node, 1};
  ack.seq = Seq{9};
  ack.changes = 2;
  ack.last_insert_rowid = -4;
  ack.schema_version = 3;
  ack.columns = {"a"};
  ack.rows = {{Value{Text{"x"}}}, {Value{Null{}}}};
  outcomes.add({ack.tx, random_id(), ack});
  const Nack nack{TxId{node, 2}, NackCode::kConstraint, "why", 3};
  const Id128 hash = random_id();
  outcomes.add({nack.tx, hash, nack});
  Ack wide = ack;
  wide.tx.counter = 3;
  wide.rows.assign(100, {Value{Text{std::string(1000, 'x')}}});
  outcomes.add({wide.tx, hash, wide});

  ack.repeated = true;
  CHECK(std::get<Ack>(outcomes.find(ack.tx)->answer) == ack);
  CHECK(std::get<Nack>(outcomes.find(nack.tx)->answer) == nack);
  CHECK(outcomes.find(nack.tx)->request_hash == hash);
  const Ack lost = std::get<Ack>(outcomes.find(wide.tx)->answer);
  CHECK(lost.rows_lost);
  CHECK(lost.rows.empty());
  CHECK(!outcomes.find(TxId{node, 4}).has_value());
  CHECK(outcomes.last_counter(node) == 3);
  outcomes.raise_floor(node, 2);
  outcomes.raise_floor(node, 1);
  CHECK(outcomes.floor(node) == 2);
  CHECK(outcomes.has_forgotten());
  outcomes.forget(10);
  CHECK(!outcomes.has_forgotten());
  CHECK(!outcomes.find(ack.tx).has_value());
  CHECK(outcomes.find(wide.tx).has_value());
  outcomes.raise_floor(node, 8);
  CHECK(outcomes.last_counter(node) == 8);
}

}  // namespace csa::store_meta_test
