// Losers that a person puts back: single rows, and transactions that were kept whole.
#include <doctest/doctest.h>

#include <algorithm>

#include "common/codec.h"
#include "tests/support/merge_bench.h"

namespace csa::restore_test {
namespace {

using test::MergeBench;

struct Inbox : MergeBench {
  using MergeBench::MergeBench;

  // Why it is refused; empty: done.
  std::string settle(std::int64_t id, ConflictVerb verb = ConflictVerb::kRestore) {
    const Conflict request{TxId{master.node, ++master.counter}, id, verb};
    const WriteAnswer done = master.run({request, "desk", 9});
    const auto* const nack = std::get_if<Nack>(&done);
    return nack == nullptr ? std::string() : nack->message;
  }
  void rule(const std::string& table, const std::string& rule) {
    const Rules rules{TxId{master.node, ++master.counter}, {{table, "", rule}}, false};
    REQUIRE(std::holds_alternative<Ack>(master.run({rules, "desk", 1})));
  }
  [[nodiscard]] std::int64_t id_of(const std::string& condition) const {
    return std::stoll(text("SELECT id FROM csa_conflicts WHERE " + condition));
  }
  void check_equal() {
    for (Node& node : nodes) CHECK(catch_up(node) == "");
  }
};

constexpr const char* kFamily = R"(
  CREATE TABLE par (id INTEGER PRIMARY KEY, name TEXT);
  CREATE TABLE kid (id INTEGER PRIMARY KEY, par INTEGER REFERENCES par (id), name TEXT UNIQUE);
)";
constexpr const char* kPerson = R"(
  CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, phone TEXT, note TEXT);
  INSERT INTO person VALUES (1, 'n', 'p', 'm'), (2, 'n', 'p', 'm');
)";
constexpr const char* kPages = R"(
  CREATE VIRTUAL TABLE page USING fts5 (body);
  INSERT INTO page (rowid, body) VALUES (1, 'red'), (2, 'white');
  CREATE VIRTUAL TABLE area USING rtree (id, x0, x1);
  INSERT INTO area VALUES (1, 1, 2);
  CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
  CREATE VIRTUAL TABLE search USING fts5 (name, content = 'part', content_rowid = 'id');
  CREATE TRIGGER part_in AFTER INSERT ON part BEGIN
    INSERT INTO search (rowid, name) VALUES (new.id, new.name);
  END;
  CREATE TRIGGER part_new AFTER UPDATE OF name ON part BEGIN
    INSERT INTO search (search, rowid, name) VALUES ('delete', old.id, old.name);
    INSERT INTO search (rowid, name) VALUES (new.id, new.name);
  END;
)";

}  // namespace

TEST_CASE("restore: a parked transaction comes back whole, under numbers that are free") {
  Inbox b(kFamily, 2);
  b.edit(b.nodes[0],
         "INSERT INTO par (name) VALUES ('A'); INSERT INTO kid (par, name) VALUES (1, 'DUP')", 1);
  b.edit(b.nodes[1],
         "INSERT INTO par (name) VALUES ('B'); INSERT INTO kid (par, name) VALUES (1, 'of B'), (1,"
         " 'DUP')",
         2);
  // Joined by what it names, though it touches none of its rows.
  b.edit(b.nodes[1], "INSERT INTO kid (par, name) VALUES (1, 'later of B')", 3);
  (void)b.hand_over(b.nodes[0]);
  for (const Replayed& outcome : b.hand_over(b.nodes[1])) {
    CHECK(outcome.result == ReplayResult::kParked);
  }
  CHECK(b.text("SELECT count(*) FROM csa_conflicts WHERE broker IS NOT NULL") == "0");
  CHECK(b.text("SELECT count(DISTINCT bundle) FROM csa_conflicts") == "1");
  const std::int64_t id = b.id_of("table_name = 'par'");
  CHECK(b.settle(id).find("UNIQUE") != std::string::npos);
  CHECK(b.text("SELECT count(*) FROM par") == "1");
  // Others get the numbers that the inbox tells.
  b.master.write("INSERT INTO par (name) VALUES ('C'), ('D')");
  b.master.write("UPDATE kid SET name = 'first' WHERE name = 'DUP'");
  CHECK(b.settle(id) == "");
  CHECK(
      b.text("SELECT group_concat(line, ', ') FROM (SELECT par.name || ' ' || kid.name AS line FROM"
             " kid JOIN par ON par.id = kid.par ORDER BY 1)") ==
      "A first, B DUP, B later of B, B of B");
  CHECK(b.text("SELECT group_concat(DISTINCT state) FROM csa_conflicts") == "restored");
  CHECK(b.text("SELECT count(*) FROM csa_remap WHERE lost <> 0") == "0");
  // The others of it were restored with it.
  CHECK(b.settle(b.id_of("table_name = 'kid' LIMIT 1")) == "");
  b.check_equal();
}

TEST_CASE("restore: what a journal brings after its parked row is back goes to that row") {
  Inbox b(kFamily, 1);
  b.master.write(
      "INSERT INTO par (name) VALUES ('A'); INSERT INTO kid (par, name) VALUES (1, 'DUP')");
  b.edit(b.nodes[0],
         "INSERT INTO par (name) VALUES ('B'); INSERT INTO kid (par, name) VALUES (1, 'DUP')", 2);
  (void)b.hand_over(b.nodes[0]);
  b.master.write("DELETE FROM kid");
  REQUIRE(b.settle(1) == "");
  b.rule("par", "node");
  b.edit(b.nodes[0], "UPDATE par SET name = 'late B' WHERE id = 1", 5);
  b.edit(b.nodes[0], "INSERT INTO kid (par, name) VALUES (1, 'late')", 6);
  for (const Replayed& outcome : b.hand_over(b.nodes[0])) {
    CHECK_MESSAGE(outcome.result != ReplayResult::kParked, outcome.text);
  }
  CHECK(b.text("SELECT group_concat(name) FROM par") == "A,late B");
  CHECK(b.text("SELECT par.name FROM kid JOIN par ON par.id = kid.par WHERE kid.name = 'late'") ==
        "late B");
  b.check_equal();
}

TEST_CASE("restore: rows of two parked transactions that meet in one are one bundle") {
  Inbox b("CREATE TABLE tag (name TEXT PRIMARY KEY, who TEXT UNIQUE)", 1);
  b.master.write("INSERT INTO tag VALUES ('m1', 'x'), ('m2', 'y')");
  b.edit(b.nodes[0], "INSERT INTO tag VALUES ('n1', 'x')", 1);
  b.edit(b.nodes[0], "INSERT INTO tag VALUES ('n2', 'y')", 2);
  b.edit(b.nodes[0], "UPDATE tag SET who = who || '!'", 3);
  b.edit(b.nodes[0], "INSERT INTO tag VALUES ('n3', 'z')", 4);
  const std::vector<Replayed> outcomes = b.hand_over(b.nodes[0]);
  CHECK(outcomes.back().result == ReplayResult::kApplied);
  CHECK(b.text("SELECT count(*) || count(DISTINCT bundle) FROM csa_conflicts") == "21");
  CHECK(b.settle(1) == "");
  CHECK(b.text("SELECT group_concat(name || who) FROM (SELECT * FROM tag ORDER BY name)") ==
        "m1x,m2y,n1x!,n2y!,n3z");
  b.check_equal();
}

TEST_CASE("restore: only the columns that lost are written, and none that was changed since") {
  Inbox b(kPerson, 0);
  b.rule("person", "merge");
  b.add_node();
  b.add_node();
  b.edit(b.nodes[0], "UPDATE person SET name = 'A', phone = 'A phone' WHERE id = 1", 5);
  b.edit(b.nodes[0], "UPDATE person SET name = 'A' WHERE id = 2", 6);
  b.edit(b.nodes[1], "UPDATE person SET name = 'B'", 1);
  (void)b.hand_over(b.nodes[0]);
  (void)b.hand_over(b.nodes[1]);
  b.master.write("UPDATE person SET note = 'phoned'");
  b.master.write("UPDATE person SET name = 'C' WHERE id = 2");
  CHECK(b.settle(b.id_of("key = '{\"id\":1}'")) == "");
  CHECK(b.text("SELECT name || phone || note FROM person WHERE id = 1") == "BA phonephoned");
  CHECK(b.settle(b.id_of("key = '{\"id\":2}'")).find("name was changed since") !=
        std::string::npos);
  CHECK(b.text("SELECT name || note FROM person WHERE id = 2") == "Cphoned");
  b.check_equal();
}

TEST_CASE("restore: the winner's own later edit is no reason against the loser") {
  Inbox b(kPerson, 2);
  b.edit(b.nodes[0], "UPDATE person SET name = 'A' WHERE id = 1", 1);
  b.edit(b.nodes[1], "UPDATE person SET name = 'B' WHERE id = 1", 2);
  b.edit(b.nodes[1], "UPDATE person SET name = 'B2' WHERE id = 1", 3);
  (void)b.hand_over(b.nodes[0]);
  (void)b.hand_over(b.nodes[1]);
  REQUIRE(b.text("SELECT name FROM person WHERE id = 1") == "B2");
  CHECK(b.settle(1) == "");
  CHECK(b.text("SELECT name FROM person WHERE id = 1") == "A");
  b.check_equal();
}

TEST_CASE("restore: a lost deletion spares a row that was changed since, and one with children") {
  Inbox b(std::string(kPerson) +
              "CREATE TABLE visit (id INTEGER PRIMARY KEY, person INTEGER REFERENCES person (id)"
              " ON DELETE CASCADE); INSERT INTO person VALUES (3, 'n', 'p', 'm')",
          2);
  b.edit(b.nodes[0], "UPDATE person SET name = 'A'", 5);
  b.edit(b.nodes[1], "DELETE FROM person", 1);
  (void)b.hand_over(b.nodes[0]);
  (void)b.hand_over(b.nodes[1]);
  REQUIRE(b.text("SELECT count(*) FROM person") == "3");
  b.master.write("UPDATE person SET note = 'since' WHERE id = 1");
  b.master.write("INSERT INTO visit (person) VALUES (2)");
  CHECK(b.settle(b.id_of("key = '{\"id\":1}'")).find("changed since") != std::string::npos);
  CHECK(b.settle(b.id_of("key = '{\"id\":2}'")).find("visit") != std::string::npos);
  CHECK(b.settle(b.id_of("key = '{\"id\":3}'")) == "");
  CHECK(b.text("SELECT group_concat(id) FROM person") == "1,2");
  b.check_equal();
}

TEST_CASE("restore: a key that is another row's now is left alone") {
  Inbox b(kPerson, 2);
  b.edit(b.nodes[0], "UPDATE person SET name = 'A' WHERE id = 1; DELETE FROM person WHERE id = 2",
         1);
  b.edit(b.nodes[1], "UPDATE person SET name = 'B'", 2);
  (void)b.hand_over(b.nodes[0]);
  (void)b.hand_over(b.nodes[1]);
  b.master.write("DELETE FROM person");
  b.master.write("INSERT INTO person VALUES (1, 'new', 'p', 'm'), (2, 'new', 'p', 'm')");
  for (const char* const key : {"{\"id\":1}", "{\"id\":2}"}) {
    CHECK(b.settle(b.id_of("key = '" + std::string(key) + "'")) != "");
  }
  CHECK(b.text("SELECT group_concat(name) FROM person") == "new,new");
  b.check_equal();
}

TEST_CASE("restore: the table was made anew, a row that is another one now is left alone") {
  Inbox b(std::string(kPerson) + "INSERT INTO person VALUES (3, 'n', 'p', 'm')", 2);
  b.edit(b.nodes[0], "UPDATE person SET name = 'A'", 1);
  b.edit(b.nodes[1], "UPDATE person SET name = 'B'", 2);
  (void)b.hand_over(b.nodes[0]);
  (void)b.hand_over(b.nodes[1]);
  const WriteAnswer done = b.master.run(b.master.migration(
      "DROP TABLE person;"
      "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, phone TEXT, note TEXT);"
      "INSERT INTO person VALUES (1, 'B', 'p', 'm'), (2, 'B', 'p2', 'm2'), (3, 'x', 'y', 'z')"));
  REQUIRE(std::holds_alternative<Ack>(done));
  CHECK(b.settle(b.id_of("key = '{\"id\":2}'")).find("made anew") != std::string::npos);
  CHECK(b.settle(b.id_of("key = '{\"id\":1}'")) == "");
  CHECK(b.text("SELECT group_concat(name) FROM person") == "A,B,x");
  b.check_equal();
}

TEST_CASE("restore: all or nothing holds for a restored transfer too") {
  Inbox b(
      "CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER);"
      "INSERT INTO account VALUES (1, 100), (2, 100), (3, 100)",
      0);
  b.rule("account", "atomic");
  b.add_node();
  b.edit(b.nodes[0],
         "UPDATE account SET balance = balance - 10 WHERE id = 1;"
         "UPDATE account SET balance = balance + 10 WHERE id = 2",
         1);
  b.master.write(
      "UPDATE account SET balance = balance - 5 WHERE id = 1;"
      "UPDATE account SET balance = balance + 5 WHERE id = 3");
  CHECK(b.hand_over(b.nodes[0])[0].result == ReplayResult::kSuperseded);
  for (const std::int64_t id : {1, 2}) CHECK(b.settle(id).find("--row") != std::string::npos);
  CHECK(b.text("SELECT sum(balance) FROM account") == "300");
  // The other transfer is taken back.
  b.master.write(
      "UPDATE account SET balance = balance + 5 WHERE id = 1;"
      "UPDATE account SET balance = balance - 5 WHERE id = 3");
  CHECK(b.settle(2) == "");
  CHECK(b.text("SELECT group_concat(balance) FROM account") == "90,110,100");
  b.check_equal();
}

TEST_CASE("restore: a document and a spatial row that lost are put back and found") {
  Inbox b(kPages, 2);
  b.edit(b.nodes[0], "UPDATE page SET body = 'green' WHERE rowid = 1", 1);
  b.edit(b.nodes[0], "UPDATE area SET x1 = 7 WHERE id = 1", 2);
  b.edit(b.nodes[0], "DELETE FROM page WHERE rowid = 2", 3);
  b.edit(b.nodes[1], "UPDATE page SET body = 'blue'", 2000);
  b.edit(b.nodes[1], "UPDATE area SET x1 = 9", 2001);
  (void)b.hand_over(b.nodes[1]);
  (void)b.hand_over(b.nodes[0]);
  CHECK(b.text("SELECT group_concat(table_name || key) FROM csa_conflicts") ==
        R"(page{"rowid":1},area{"id":1},page{"rowid":2})");
  for (const std::int64_t id : {1, 2, 3}) CHECK(b.settle(id) == "");
  CHECK(b.text("SELECT group_concat(rowid || body) FROM page") == "1green");
  CHECK(b.text("SELECT group_concat(rowid) FROM page WHERE page MATCH 'green OR blue'") == "1");
  CHECK(b.text("SELECT x1 FROM area") == "7.0");
  CHECK(b.text("SELECT rtreecheck('area')") == "ok");
  b.check_equal();
}

TEST_CASE("restore: documents, spatial and indexed rows of a parked transaction come back") {
  Inbox b(kPages, 1);
  b.edit(b.nodes[0],
         "INSERT INTO page (rowid, body) VALUES (7, 'cyan'); UPDATE page SET body = 'green'"
         " WHERE rowid = 1; DELETE FROM page WHERE rowid = 2; INSERT INTO area VALUES (7, 5, 6);"
         "UPDATE area SET x1 = 7 WHERE id = 1; INSERT INTO part (name) VALUES ('yellow nut')",
         1);
  b.master.write("INSERT INTO part (name) VALUES ('yellow nut')");
  CHECK(b.hand_over(b.nodes[0]).front().result == ReplayResult::kParked);
  const std::int64_t id = b.id_of("table_name = 'part'");
  CHECK(b.settle(id).find("UNIQUE") != std::string::npos);
  b.master.write("UPDATE part SET name = 'orange nut'");
  CHECK(b.settle(id) == "");
  CHECK(b.text("SELECT group_concat(rowid || body) FROM page") == "1green,7cyan");
  CHECK(b.text("SELECT group_concat(rowid) FROM page WHERE page MATCH 'green OR cyan OR red'") ==
        "1,7");
  CHECK(b.text("SELECT group_concat(id || ' ' || x1) FROM area") == "1 7.0,7 6.0");
  CHECK(b.text("SELECT rtreecheck('area')") == "ok");
  CHECK(b.text("SELECT group_concat(name) FROM search WHERE search MATCH 'yellow'") ==
        "yellow nut");
  b.check_equal();
}

TEST_CASE("restore: a document waits with the row whose number it has, and both get one again") {
  const std::string row = "INSERT INTO part (name) VALUES ('yellow nut')";
  const std::string document = "INSERT INTO page (rowid, body) VALUES (3, 'cyan')";
  for (const std::vector<std::string>& edits :
       {std::vector{row, document}, {row + ";" + document}}) {
    CAPTURE(edits.size());
    Inbox b(std::string(kPages) + "INSERT INTO part VALUES (1, 'a'), (2, 'b')", 1);
    for (const std::string& edit : edits) b.edit(b.nodes[0], edit, 1);
    b.master.write(row);
    for (const Replayed& outcome : b.hand_over(b.nodes[0])) {
      CHECK_MESSAGE(outcome.result == ReplayResult::kParked, outcome.text);
    }
    CHECK(b.text("SELECT count(*) || ' ' || count(DISTINCT bundle) FROM csa_conflicts") == "2 1");
    b.master.write("UPDATE part SET name = 'orange nut' WHERE id = 3");
    b.master.write("INSERT INTO part (name) VALUES ('pin'), ('peg')");
    CHECK(b.settle(b.id_of("table_name = 'page'")) == "");
    CHECK(b.text("SELECT part.id || name || body FROM part JOIN page ON page.rowid = part.id"
                 " WHERE part.id > 2") == "6yellow nutcyan");
    CHECK(b.text("SELECT rowid FROM page WHERE page MATCH 'cyan'") == "6");
    CHECK(b.text("SELECT count(*) FROM csa_remap WHERE lost <> 0") == "0");
    // What the journal brings now follows.
    b.rule("page", "node");
    b.edit(b.nodes[0], "UPDATE page SET body = 'magenta' WHERE rowid = 3", 4);
    const Replayed later = b.hand_over(b.nodes[0]).back();
    CHECK_MESSAGE(later.result != ReplayResult::kParked, later.text);
    CHECK(b.text("SELECT rowid FROM page WHERE page MATCH 'magenta'") == "6");
    b.check_equal();
  }
}

TEST_CASE("inbox: what an edit gave to a dropped column stays when the row is edited again") {
  Inbox b(
      "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, d TEXT); INSERT INTO t VALUES (1, 'a0', "
      "'d0')",
      1);
  b.edit(b.nodes[0], "UPDATE t SET d = 'PRECIOUS' WHERE id = 1", 1);
  b.edit(b.nodes[0], "UPDATE t SET a = 'a1' WHERE id = 1", 2);
  REQUIRE(
      std::holds_alternative<Ack>(b.master.run(b.master.migration("ALTER TABLE t DROP COLUMN d"))));
  (void)b.hand_over(b.nodes[0]);
  CHECK(b.text("SELECT count(*) FROM csa_conflicts WHERE node_row LIKE '%PRECIOUS%'") == "1");
  CHECK(b.text("SELECT count(*) FROM csa_conflicts WHERE node_row LIKE '%a1%'") == "1");
  CHECK(b.text("SELECT broker FROM csa_conflicts WHERE node_row LIKE '%PRECIOUS%'") ==
        R"({"id":1,"a":"a0","d":null})");
  b.check_equal();
}

TEST_CASE("restore: the log entry that decided cannot be read, done or refused in words") {
  constexpr const char* kSwap =
      "ALTER TABLE person RENAME COLUMN phone TO t; ALTER TABLE person RENAME COLUMN note TO phone;"
      "ALTER TABLE person RENAME COLUMN t TO note";
  constexpr const char* kAnew =
      "ALTER TABLE person DROP COLUMN note; ALTER TABLE person ADD COLUMN note TEXT";
  for (std::size_t i = 0; i <= 3; ++i) {
    const std::size_t migrations = std::min<std::size_t>(i, 2);
    const bool another_version = i == 3;  // it can be read, and says what is not so
    CAPTURE(i);
    Inbox b(kPerson, 1);
    b.edit(b.nodes[0], "UPDATE person SET phone = 'lost' WHERE id = 1", 1);
    b.master.write("UPDATE person SET phone = 'won' WHERE id = 1");
    (void)b.hand_over(b.nodes[0]);
    const Seq seq = b.master.ledger->meta().position.seq;
    const std::uint64_t version = b.master.ledger->meta().schema_version;
    if (migrations > 0) (void)b.master.ack(b.master.migration(kSwap));
    // Now the columns are called as they were when the row was kept, but are others.
    if (migrations > 1) (void)b.master.ack(b.master.migration(kAnew));
    b.master.ledger.reset();
    Bytes header(b.master.header_of(seq).size(), 0xff);
    if (another_version) {
      EntryHeader decoded = decode_header(b.master.header_of(seq)).value();
      decoded.schema_version = version + 2;
      header = encode_header(decoded);
    }
    b.master.set_header(seq, header);
    b.master.open();
    const std::string why = b.settle(b.id_of("table_name = 'person'"));
    CAPTURE(why);
    CHECK(why.empty() == (migrations < 2));
    if (migrations < 2) {
      CHECK(b.text(migrations == 0 ? "SELECT phone || note FROM person WHERE id = 1"
                                   : "SELECT note || phone FROM person WHERE id = 1") == "lostm");
    } else {
      CHECK(why.find("the log does not tell any more") != std::string::npos);
    }
  }
}

}  // namespace csa::restore_test
