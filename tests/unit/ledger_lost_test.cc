// Transactions of a lost history, offered to the ledger and recovered from it.
#include <doctest/doctest.h>

#include "broker/lost_transactions.h"
#include "common/codec.h"
#include "tests/support/merge_bench.h"

namespace csa::ledger_lost_test {
namespace {

using test::MergeBench;

constexpr const char* kStock = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, stock INTEGER);
  INSERT INTO part VALUES (1, 'bolt', 10);
)";

// The node's journal as entries that a lost history held under TxIds `lost`, `lost` + 1, …
std::vector<Replay> offered(MergeBench::Node& node, TxId lost) {
  std::vector<Replay> entries = node.replica->read_journal(0, 0, limits::kMiB).value();
  for (Replay& entry : entries) {
    entry.header.lost = lost;
    entry.header.lost_hostname = "till";
    ++lost.counter;
    JournalHasher hasher(entry.header);
    hasher.update(entry.bytes);
    entry.checksum = hasher.digest();
  }
  return entries;
}

Replayed replay(MergeBench& b, const Replay& entry) {
  return std::get<Replayed>(b.master.run({entry, "laptop", 7}));
}

WriteAnswer settle(MergeBench& b, std::int64_t id, ConflictVerb verb) {
  return b.master.run({Conflict{TxId{b.master.node, ++b.master.counter}, id, verb}, "desk", 8});
}

TEST_CASE("lost transaction: the master has it after all, it is not kept and the next one is") {
  MergeBench b(kStock, 1);
  b.edit(b.nodes[0], "UPDATE part SET stock = 9", 10);
  b.edit(b.nodes[0], "UPDATE part SET stock = 8", 20);
  const WriteJob again = b.master.job("UPDATE part SET name = 'nut'");
  const Ack had = b.master.ack(again);
  const std::vector<Replay> entries = offered(b.nodes[0], had.tx);
  REQUIRE(entries.size() == 2);
  for (int time = 0; time < 2; ++time) {
    CHECK(replay(b, entries[0]).result == ReplayResult::kOffered);
    CHECK(replay(b, entries[1]).result == ReplayResult::kOffered);
  }
  CHECK(b.text("SELECT group_concat(counter) FROM csa_lost") == std::to_string(had.tx.counter + 1));
  CHECK(b.text("SELECT stock FROM part") == "10");
}

TEST_CASE("lost transaction: recovered or thrown away once, then refused in words") {
  MergeBench b(kStock, 1);
  b.edit(b.nodes[0], "INSERT INTO part (name, stock) VALUES ('washer', 4)", 10);
  b.edit(b.nodes[0], "UPDATE part SET stock = 8 WHERE id = 1", 20);
  b.master.write("INSERT INTO part (name, stock) VALUES ('rod', 1)");
  for (const Replay& entry : offered(b.nodes[0], {NodeId{random_id()}, 5})) {
    CHECK(replay(b, entry).result == ReplayResult::kOffered);
  }
  CHECK(b.text("SELECT tables FROM csa_lost WHERE id = 1") == R"({"part":1})");
  const WriteAnswer done = settle(b, 1, ConflictVerb::kRecover);
  REQUIRE(std::holds_alternative<Ack>(done));
  CHECK(b.text("SELECT group_concat(id || name, ' ') FROM part") == "1bolt 2rod 3washer");
  CHECK(std::holds_alternative<Ack>(settle(b, 2, ConflictVerb::kForgetLost)));
  CHECK(b.text("SELECT stock FROM part WHERE id = 1") == "10");
  CHECK(b.text("SELECT count(*) FROM csa_lost_part") == "0");
  for (const std::int64_t id : {1, 2, 3}) {
    const WriteAnswer answer = settle(b, id, ConflictVerb::kRecover);
    REQUIRE(std::holds_alternative<Nack>(answer));
    CHECK(!std::get<Nack>(answer).message.empty());
  }
  CHECK(b.text("SELECT count(*) FROM part") == "3");
}

TEST_CASE("lost transaction: what its node has done since, it did not know, and does not tear") {
  MergeBench b(
      "CREATE TABLE account (id INTEGER PRIMARY KEY, a TEXT);"
      "INSERT INTO account VALUES (1, 'a'), (2, 'a'), (3, 'a')",
      2);
  const Rules rules{TxId{b.master.node, ++b.master.counter},
                    {{"account", "", "atomic"}, {"account", "", "node"}},
                    false};
  REQUIRE(std::holds_alternative<Ack>(b.master.run({rules, "desk", 1})));
  b.edit(b.nodes[1], "UPDATE account SET a = 'lost' WHERE id < 3", 10);
  for (const Replay& entry : offered(b.nodes[1], {b.nodes[0].replica->state().node, 1000})) {
    CHECK(replay(b, entry).result == ReplayResult::kOffered);
  }
  b.edit(b.nodes[0], "UPDATE account SET a = 'since' WHERE id > 1", 20);
  CHECK(b.hand_over(b.nodes[0]).at(0).result == ReplayResult::kApplied);
  REQUIRE(std::holds_alternative<Ack>(settle(b, 1, ConflictVerb::kRecover)));
  CHECK(b.text("SELECT group_concat(a) FROM account") == "a,since,since");
  CHECK(b.text("SELECT count(*) FROM csa_conflicts WHERE decision = 'broker'") == "2");
}

TEST_CASE("lost transaction: changes that nobody can read, parked and not kept") {
  MergeBench b(kStock, 1);
  b.edit(b.nodes[0], "UPDATE part SET stock = 9", 10);
  Replay entry = offered(b.nodes[0], {NodeId{random_id()}, 5}).at(0);
  entry.bytes.resize(entry.bytes.size() - 1);
  entry.header.size = entry.bytes.size();
  JournalHasher hasher(entry.header);
  hasher.update(entry.bytes);
  entry.checksum = hasher.digest();
  CHECK(replay(b, entry).result == ReplayResult::kParked);
  CHECK(b.text("SELECT count(*) FROM csa_lost") == "0");
  CHECK(b.text("SELECT stock FROM part") == "10");
}

// By another program, while no broker runs.
void change(MergeBench& b, const std::string& sql) {
  b.master.ledger.reset();
  Database(b.master.path, Database::Mode::kReadWrite).exec(sql.c_str());
  b.master.open();
}

TEST_CASE("lost transaction: a bit of what was offered has changed since, it waits on, unmerged") {
  for (const char* const damage :
       {"UPDATE csa_lost_part SET body = CAST(replace(body, 'washer', 'wasHer') AS BLOB)"
        " WHERE part_id > 0",
        "UPDATE csa_lost SET header = CAST(replace(header, 'till', 'tilL') AS BLOB)"}) {
    CAPTURE(damage);
    MergeBench b(kStock, 1);
    b.edit(b.nodes[0], "INSERT INTO part (name, stock) VALUES ('washer', 4)", 10);
    CHECK(replay(b, offered(b.nodes[0], {NodeId{random_id()}, 5}).at(0)).result ==
          ReplayResult::kOffered);
    const std::string kept = "SELECT group_concat(hex(body)) FROM csa_lost_part";
    change(b, damage);
    const std::string after = b.text(kept);
    const WriteAnswer answer = settle(b, 1, ConflictVerb::kRecover);
    REQUIRE(std::holds_alternative<Nack>(answer));
    CHECK(std::get<Nack>(answer).message.find("as it was offered") != std::string::npos);
    CHECK(b.text("SELECT state FROM csa_lost") == "lost");
    CHECK(b.text(kept) == after);
    CHECK(b.text("SELECT count(*) FROM part") == "1");
    CHECK(std::holds_alternative<Ack>(settle(b, 1, ConflictVerb::kForgetLost)));
    CHECK(b.text("SELECT count(*) FROM csa_lost_part") == "0");
  }
}

TEST_CASE("lost transaction: kept by a version that stored no checksum, it is recovered") {
  MergeBench b(kStock, 1);
  b.edit(b.nodes[0], "INSERT INTO part (name, stock) VALUES ('washer', 4)", 10);
  CHECK(replay(b, offered(b.nodes[0], {NodeId{random_id()}, 5}).at(0)).result ==
        ReplayResult::kOffered);
  change(b, "DELETE FROM csa_lost_part WHERE part_id < 0");
  CHECK(std::holds_alternative<Ack>(settle(b, 1, ConflictVerb::kRecover)));
  CHECK(b.text("SELECT count(*) FROM part") == "2");
}

// What the node's journal holds is brought by the node and offered by another, which has it from
// the lost history's log.
struct Both {
  MergeBench b{kStock, 2};
  Replay own;
  Replay offer;

  Both() {
    b.edit(b.nodes[0], "INSERT INTO part (name, stock) VALUES ('washer', 4)", 10);
    own = b.nodes[0].replica->read_journal(0, 0, limits::kMiB).value().at(0);
    offer = own;
    offer.header.tx = {b.nodes[1].replica->state().node, 1};
    offer.header.lost = own.header.tx;
    offer.header.lost_hostname = "till";
    offer.header.request_hash = request_hash(own);
    offer.header.base.epoch = {0, random_id()};
    offer.first = 1;
    offer.previous = 0;
    JournalHasher hasher(offer.header);
    hasher.update(offer.bytes);
    offer.checksum = hasher.digest();
  }
  [[nodiscard]] std::string washers() const {
    return b.text("SELECT count(*) FROM part WHERE name = 'washer'");
  }
  [[nodiscard]] std::string state() const { return b.text("SELECT state FROM csa_lost"); }
};

TEST_CASE("lost transaction: offered, then brought by its own node, it is there once") {
  Both t;
  CHECK(replay(t.b, t.offer).result == ReplayResult::kOffered);
  CHECK(t.state() == "lost");
  CHECK(replay(t.b, t.own).result == ReplayResult::kApplied);
  CHECK(t.state() == "brought");
  const WriteAnswer refused = settle(t.b, 1, ConflictVerb::kRecover);
  REQUIRE(std::holds_alternative<Nack>(refused));
  CHECK(std::get<Nack>(refused).message.find("its own node") != std::string::npos);
  CHECK(t.washers() == "1");
}

TEST_CASE("lost transaction: recovered, then brought by its own node, it is there once") {
  Both t;
  t.b.master.write("INSERT INTO part (name, stock) VALUES ('rod', 1)");
  CHECK(replay(t.b, t.offer).result == ReplayResult::kOffered);
  REQUIRE(std::holds_alternative<Ack>(settle(t.b, 1, ConflictVerb::kRecover)));
  // Its later work follows to the number that the row was given.
  t.b.edit(t.b.nodes[0], "UPDATE part SET stock = 3 WHERE name = 'washer'", 20);
  for (const Replayed& outcome : t.b.hand_over(t.b.nodes[0])) {
    CHECK(outcome.result == ReplayResult::kApplied);
  }
  CHECK(t.washers() == "1");
  CHECK(t.b.text("SELECT group_concat(id || name || stock, ' ') FROM part") ==
        "1bolt10 2rod1 3washer3");
  CHECK(t.b.catch_up(t.b.nodes[0]) == "");
}

TEST_CASE("lost transaction: brought by its own node and forgotten, then offered, it is not kept") {
  Both t;
  CHECK(replay(t.b, t.own).result == ReplayResult::kApplied);
  t.b.master.ledger->confirm(t.own.header.tx.node, t.own.header.tx.counter);
  t.b.master.write("UPDATE part SET stock = 5 WHERE id = 1");
  REQUIRE(t.b.text("SELECT count(*) FROM csa_outcome WHERE replay > 0") == "0");
  CHECK(replay(t.b, t.offer).result == ReplayResult::kOffered);
  CHECK(t.b.text("SELECT count(*) FROM csa_lost") == "0");
}

TEST_CASE("lost transaction: its node was here and the log tells no more, a person must compare") {
  Both t;
  t.b.master.options.log_keep = 1000;
  t.b.master.open();
  t.b.master.ledger->confirm(t.own.header.tx.node, t.own.header.tx.counter + 5);
  for (int i = 0; i < 20; ++i) t.b.master.write("UPDATE part SET stock = stock + 1 WHERE id = 1");
  REQUIRE(t.b.master.ledger->meta().floor > Seq{1});
  CHECK(replay(t.b, t.offer).result == ReplayResult::kOffered);
  CHECK(t.state() == "doubtful");
  CHECK(std::holds_alternative<Ack>(settle(t.b, 1, ConflictVerb::kRecover)));
  CHECK(t.washers() == "1");
}

TEST_CASE("lost transaction: another one under the same TxId, both are there in either order") {
  for (const int order : {0, 1, 2}) {
    CAPTURE(order);
    Both t;
    t.offer.header.request_hash = random_id();
    JournalHasher hasher(t.offer.header);
    hasher.update(t.offer.bytes);
    t.offer.checksum = hasher.digest();
    if (order == 0) CHECK(replay(t.b, t.offer).result == ReplayResult::kOffered);
    CHECK(replay(t.b, t.own).result == ReplayResult::kApplied);
    if (order == 2) {  // its outcome is forgotten, and the log has it
      t.b.master.ledger->confirm(t.own.header.tx.node, t.own.header.tx.counter);
      t.b.master.write("UPDATE part SET stock = 5 WHERE id = 1");
    }
    if (order != 0) CHECK(replay(t.b, t.offer).result == ReplayResult::kOffered);
    CHECK(t.state() == "lost");
    CHECK(std::holds_alternative<Ack>(settle(t.b, 1, ConflictVerb::kRecover)));
    CHECK(t.washers() == "2");
  }
}

// A node that was set back uses TxIds again: in one history another transaction had that of its
// entry, in the other none had.
struct BothNames : Both {
  void other_name_there() {
    offer.header.lost = name_of_stray(own.header.tx, request_hash(own));
    JournalHasher hasher(offer.header);
    hasher.update(offer.bytes);
    offer.checksum = hasher.digest();
  }
  // The node's first life.
  void taken_here() {
    Write first;
    first.tx = own.header.tx;
    first.sql = "UPDATE part SET stock = 1 WHERE id = 1";
    (void)b.master.ack({std::move(first), "till", 5});
  }
  void forget_own() {
    b.master.ledger->confirm(own.header.tx.node, own.header.tx.counter);
    b.master.write("UPDATE part SET stock = 5 WHERE id = 1");
  }
};

TEST_CASE(
    "lost transaction: of a node set back, by another name in either history, it is there once") {
  for (const bool there : {true, false}) {
    for (const int order : {0, 1, 2}) {
      CAPTURE(there);
      CAPTURE(order);
      BothNames t;
      if (there) t.other_name_there();
      if (!there) t.taken_here();
      if (order == 0) CHECK(replay(t.b, t.offer).result == ReplayResult::kOffered);
      CHECK(replay(t.b, t.own).result == ReplayResult::kApplied);
      if (order == 2) t.forget_own();
      if (order != 0) CHECK(replay(t.b, t.offer).result == ReplayResult::kOffered);
      CHECK(t.state() == (order == 0 ? "brought" : "-"));
      CHECK(t.washers() == "1");
    }
  }
}

TEST_CASE("lost transaction: of a node set back, offered by both its names, it is kept once") {
  for (const bool stray_first : {false, true}) {
    for (const bool recovered : {false, true}) {
      CAPTURE(stray_first);
      CAPTURE(recovered);
      BothNames t;
      Replay second = t.offer;
      t.other_name_there();
      std::swap(second, t.offer);
      if (stray_first) std::swap(second, t.offer);
      second.header.tx = {NodeId{random_id()}, 1};
      second.header.base.epoch = {0, random_id()};
      JournalHasher hasher(second.header);
      hasher.update(second.bytes);
      second.checksum = hasher.digest();
      CHECK(replay(t.b, t.offer).result == ReplayResult::kOffered);
      if (recovered) REQUIRE(std::holds_alternative<Ack>(settle(t.b, 1, ConflictVerb::kRecover)));
      CHECK(replay(t.b, second).result == ReplayResult::kOffered);
      CHECK(t.b.text("SELECT count(*) FROM csa_lost") == "1");
      CHECK(t.washers() == (recovered ? "1" : "0"));
      // Another one under that TxId is no such.
      second.header.request_hash = random_id();
      ++second.header.tx.counter;
      JournalHasher again(second.header);
      again.update(second.bytes);
      second.checksum = again.digest();
      CHECK(replay(t.b, second).result == ReplayResult::kOffered);
      CHECK(t.b.text("SELECT count(*) FROM csa_lost") == "2");
    }
  }
}

TEST_CASE("lost transaction: of a node set back, recovered by another name, it is there once") {
  for (const bool there : {true, false}) {
    CAPTURE(there);
    BothNames t;
    if (there) t.other_name_there();
    if (!there) t.taken_here();
    CHECK(replay(t.b, t.offer).result == ReplayResult::kOffered);
    REQUIRE(std::holds_alternative<Ack>(settle(t.b, 1, ConflictVerb::kRecover)));
    (void)replay(t.b, t.own);
    CHECK(t.washers() == "1");
  }
}

TEST_CASE("lost transaction: two of one TxId are offered, both are kept, each once") {
  Both t;
  const NodeId laptop = t.b.nodes[1].replica->state().node;
  for (const int time : {0, 1}) {
    for (std::uint8_t which = 1; which <= 2; ++which) {
      Replay offer = t.offer;
      offer.header.request_hash = Id128{{which}};
      offer.header.tx = {laptop, std::uint64_t{10} + 10U * static_cast<unsigned>(time) + which};
      JournalHasher hasher(offer.header);
      hasher.update(offer.bytes);
      offer.checksum = hasher.digest();
      CHECK(replay(t.b, offer).result == ReplayResult::kOffered);
    }
    CHECK(t.b.text("SELECT count(*) FROM csa_lost") == "2");
  }
}

}  // namespace
}  // namespace csa::ledger_lost_test
