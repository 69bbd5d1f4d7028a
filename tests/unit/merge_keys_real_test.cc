// Keys that SQLite assigned at several places at once: rows get fresh ones, whatever names them
// follows; keys that the application chose stay.
#include <doctest/doctest.h>

#include "common/codec.h"
#include "tests/support/merge_bench.h"

namespace csa::merge_keys_real_test {
namespace {

using test::MergeBench;

// Everything is equal everywhere, and no reference dangles.
void check_sound(MergeBench& b) {
  for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
  CHECK(b.master.count("SELECT count(*) FROM pragma_foreign_key_check") == 0);
  CHECK(b.master.replay_difference() == "");
}

void check_applied(const std::vector<Replayed>& outcomes) {
  for (const Replayed& outcome : outcomes) {
    CHECK_MESSAGE(outcome.result == ReplayResult::kApplied, outcome.text);
  }
}

constexpr const char* kOrders = R"(
  CREATE TABLE orders (id INTEGER PRIMARY KEY, who TEXT);
  CREATE TABLE line (order_id INTEGER REFERENCES orders (id) DEFERRABLE INITIALLY DEFERRED,
    number INTEGER, what TEXT, PRIMARY KEY (order_id, number));
  CREATE TABLE serial (order_id INTEGER, number INTEGER, code TEXT,
    FOREIGN KEY (order_id, number) REFERENCES line (order_id, number));
  INSERT INTO orders VALUES (1, 'start');
)";

}  // namespace

TEST_CASE("merge keys: orders, their lines and the lines' own children, in both orders of return") {
  for (const bool first : {true, false}) {
    CAPTURE(first);
    MergeBench b(kOrders, 2);
    for (std::size_t i = 0; i < 2; ++i) {
      const std::string n = std::to_string(i);
      b.edit(b.nodes[i],
             "INSERT INTO orders (who) VALUES ('node" + n +
                 "');"
                 "INSERT INTO line VALUES (2, 1, 'line" +
                 n +
                 "');"
                 "INSERT INTO serial VALUES (2, 1, 'serial" +
                 n + "')",
             1);
      b.edit(b.nodes[i], "INSERT INTO line VALUES (2, 2, 'later" + n + "')", 2);
      b.edit(b.nodes[i], "INSERT INTO serial VALUES (2, 2, 'deep" + n + "')", 3);
      b.edit(b.nodes[i], "UPDATE serial SET code = code || '!' WHERE number = 2", 4);
    }
    b.master.write("INSERT INTO orders (who) VALUES ('master')");
    b.master.write("INSERT INTO line VALUES (2, 1, 'linem')");
    check_applied(b.hand_over(b.nodes[first ? 0 : 1]));
    check_applied(b.hand_over(b.nodes[first ? 1 : 0]));
    check_sound(b);
    for (const std::string& n : {std::string("0"), std::string("1")}) {
      CHECK(b.text("SELECT group_concat(code) FROM (SELECT code FROM orders JOIN line ON order_id ="
                   " id JOIN serial USING (order_id, number) WHERE who = 'node" +
                   n + "' ORDER BY number)") == "serial" + n + ",deep" + n + "!");
    }
    CHECK(b.text("SELECT group_concat(what) FROM line WHERE order_id = 2") == "linem");
    CHECK(b.master.count("SELECT count(*) FROM csa_conflicts") == 0);
  }
}

TEST_CASE("merge keys: trees that refer to themselves, the parent inserted after its child") {
  MergeBench b(
      "CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree (id) DEFERRABLE"
      " INITIALLY DEFERRED, name TEXT)",
      2);
  b.edit(b.nodes[0],
         "INSERT INTO tree (up, name) VALUES (2, 'child'); UPDATE tree SET name = 'the child';"
         "INSERT INTO tree (up, name) VALUES (2, 'root')",
         1);
  b.edit(b.nodes[0], "INSERT INTO tree (up, name) VALUES (1, 'grandchild')", 2);
  b.edit(b.nodes[0], "UPDATE tree SET up = 3 WHERE id = 2; DELETE FROM tree WHERE id = 9", 3);
  b.master.write("INSERT INTO tree VALUES (1, NULL, 'm1'), (2, 1, 'm2'), (3, 2, 'm3')");
  check_applied(b.hand_over(b.nodes[0]));
  check_sound(b);
  CHECK(b.text("SELECT group_concat(a.name || '<' || z.name) FROM tree a JOIN tree z ON z.id = a.up"
               " WHERE a.id > 3 ORDER BY a.id") ==
        "the child<root,root<grandchild,grandchild<the child");
  CHECK(b.text("SELECT group_concat(name || coalesce(up, '-')) FROM tree WHERE id <= 3") ==
        "m1-,m21,m32");
}

TEST_CASE("merge keys: references held as text, and a row that shares its parent's") {
  MergeBench b(
      "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT);"
      "CREATE TABLE note (person TEXT REFERENCES person (id), words TEXT);"
      "CREATE TABLE staff (id INTEGER PRIMARY KEY REFERENCES person (id), room TEXT);"
      "CREATE TABLE badge (staff INTEGER REFERENCES staff (id), code TEXT)",
      2);
  b.master.write("INSERT INTO person (name) VALUES ('m1'), ('m2')");
  b.edit(b.nodes[0],
         "INSERT INTO person (name) VALUES ('n1'); INSERT INTO note VALUES ('1', 'w');"
         "INSERT INTO staff VALUES (1, 'r')",
         1);
  b.edit(b.nodes[0], "INSERT INTO badge VALUES (1, 'c')", 2);
  b.edit(b.nodes[0], "UPDATE staff SET room = 'other'", 3);
  check_applied(b.hand_over(b.nodes[0]));
  check_sound(b);
  CHECK(b.text("SELECT name || words || room || code FROM person p JOIN note n ON n.person"
               " = p.id JOIN staff f ON f.id = p.id JOIN badge g ON"
               " g.staff = f.id") == "n1wotherc");
  CHECK(b.text("SELECT typeof(person) || person FROM note") == "text3");
}

TEST_CASE("merge keys: later entries update, delete and give again a row whose key was changed") {
  MergeBench b(
      "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);"
      "CREATE TABLE c (t INTEGER REFERENCES t (id), y TEXT)",
      2);
  b.master.write("INSERT INTO t (x) VALUES ('m1'), ('m2')");
  MergeBench::Node& node = b.nodes[0];
  b.edit(node, "INSERT INTO t (x) VALUES ('a'), ('b')", 1);
  b.edit(node, "UPDATE t SET x = 'a2' WHERE id = 1", 2);
  b.edit(node, "DELETE FROM t WHERE id = 2", 3);
  b.edit(node, "INSERT INTO t (x) VALUES ('again')", 4);  // 2, for the second time
  b.edit(node, "INSERT INTO c VALUES (1, 'of a'), (2, 'of again')", 5);
  check_applied(b.hand_over(node));
  check_sound(b);
  CHECK(b.text("SELECT group_concat(x) FROM (SELECT x FROM t ORDER BY id)") == "m1,m2,a2,again");
  CHECK(b.text("SELECT group_concat(x || y) FROM (SELECT x, y FROM c JOIN t ON t.id = c.t ORDER BY"
               " y)") == "a2of a,againof again");
}

TEST_CASE("merge keys: a row deleted and its number given again in one entry") {
  for (const bool moved_on : {false, true}) {
    CAPTURE(moved_on);
    MergeBench b(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);"
        "CREATE TABLE c (t INTEGER REFERENCES t (id), y TEXT);"
        "INSERT INTO t VALUES (1, 'one'), (2, 'two')",
        2);
    b.edit(b.nodes[0],
           "DELETE FROM t WHERE id = 2; INSERT INTO t (x) VALUES ('new');"
           "INSERT INTO c VALUES (2, 'of new')",
           1);
    b.edit(b.nodes[0], "INSERT INTO c VALUES (2, 'of new too')", 2);
    // Later than the deletion: the deletion loses, and the new row is not the old one.
    if (moved_on) b.master.write("UPDATE t SET x = 'changed' WHERE id = 2");
    const std::vector<Replayed> outcomes = b.hand_over(b.nodes[0]);
    CHECK(outcomes[0].result == (moved_on ? ReplayResult::kSplit : ReplayResult::kApplied));
    CHECK(outcomes[1].result == ReplayResult::kApplied);
    check_sound(b);
    CHECK(b.text("SELECT group_concat(x) FROM (SELECT x FROM t ORDER BY id)") ==
          (moved_on ? "one,changed,new" : "one,new"));
    CHECK(b.text("SELECT group_concat(x || y) FROM (SELECT x, y FROM c JOIN t ON t.id = c.t ORDER"
                 " BY y)") == "newof new,newof new too");
    CHECK(b.master.count("SELECT count(*) FROM csa_conflicts") == (moved_on ? 1 : 0));
  }
}

TEST_CASE("merge keys: a fresh key is never one that the same entry has chosen") {
  MergeBench b("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)", 2);
  b.master.write("INSERT INTO t (x) VALUES ('m1'), ('m2')");
  b.edit(b.nodes[0],
         "INSERT INTO t (x) VALUES ('given'); INSERT INTO t VALUES (3, 'chosen');"
         "INSERT INTO t (x) VALUES ('next')",
         1);
  check_applied(b.hand_over(b.nodes[0]));
  check_sound(b);
  CHECK(b.text("SELECT x FROM t WHERE id = 3") == "chosen");
  CHECK(b.master.count("SELECT count(*) FROM t") == 5);
  CHECK(b.master.count("SELECT count(*) FROM csa_conflicts") == 0);
}

TEST_CASE("merge keys: a key that the application chose stays, though SQLite gave it before") {
  MergeBench b("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)", 2);
  b.master.write("INSERT INTO t (x) VALUES ('m1')");
  b.edit(b.nodes[0], "INSERT INTO t (x) VALUES ('given')", 1);
  b.edit(b.nodes[0], "DELETE FROM t", 2);
  b.edit(b.nodes[0], "INSERT INTO t VALUES (1, 'chosen')", 3);
  const std::vector<Replayed> outcomes = b.hand_over(b.nodes[0]);
  REQUIRE(outcomes.size() == 3);
  check_sound(b);
  CHECK(outcomes[2].result == ReplayResult::kSuperseded);
  CHECK(b.text("SELECT group_concat(id || x) FROM t") == "1m1");
  CHECK(b.master.count("SELECT count(*) FROM csa_conflicts WHERE node_row LIKE '%chosen%'") == 1);
}

TEST_CASE("merge keys: AUTOINCREMENT gives no key twice, and its sequence is never lowered") {
  MergeBench b(
      "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT);"
      "CREATE TABLE c (t INTEGER REFERENCES t (id))",
      2);
  b.master.write("INSERT INTO t (x) VALUES ('m1'), ('m2'), ('m3')");
  b.master.write("DELETE FROM t");
  b.edit(b.nodes[0], "INSERT INTO t (x) VALUES ('a'), ('b'); INSERT INTO c VALUES (2)", 1);
  b.edit(b.nodes[1],
         "INSERT INTO t (x) VALUES ('z'); DELETE FROM t; INSERT INTO t (x) VALUES ('y')", 2);
  check_applied(b.hand_over(b.nodes[0]));
  check_applied(b.hand_over(b.nodes[1]));
  check_sound(b);
  CHECK(b.text("SELECT group_concat(id || x) FROM t") == "4a,5b,7y");
  CHECK(b.text("SELECT x FROM t JOIN c ON t.id = c.t") == "b");
  CHECK(b.master.count("SELECT seq FROM sqlite_sequence WHERE name = 't'") == 7);
}

TEST_CASE("merge keys: tables without a key, with text keys, keys with NULL, WITHOUT ROWID") {
  MergeBench b(
      "CREATE TABLE plain (x TEXT);"
      "CREATE TABLE named (name TEXT PRIMARY KEY, x TEXT);"
      "CREATE TABLE pair (a TEXT, b INTEGER, x TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID",
      2);
  b.master.write("INSERT INTO plain VALUES ('m')");
  b.master.write("INSERT INTO named VALUES ('m', 'master'), ('m2', 'master')");
  b.master.write("INSERT INTO pair VALUES ('m', 1, 'master')");
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string n = std::to_string(i);
    b.edit(b.nodes[i],
           "INSERT INTO plain VALUES ('p" + n + "'); INSERT INTO named VALUES ('k" + n +
               "', 'a'), (NULL, 'none" + n + "'), ('q" + n +
               "', 'b'); INSERT INTO pair VALUES ('k" + n + "', 1, 'a')",
           1);
    b.edit(b.nodes[i],
           "UPDATE plain SET x = x || '!'; UPDATE named SET x = x || '!'; UPDATE pair SET x = 'b'",
           2);
    b.edit(b.nodes[i], "UPDATE named SET name = NULL WHERE name = 'k" + n + "'", 3);
    b.edit(b.nodes[i], "UPDATE named SET x = x || '?' WHERE name IS NULL", 4);
  }
  check_applied(b.hand_over(b.nodes[1]));
  check_applied(b.hand_over(b.nodes[0]));
  check_sound(b);
  CHECK(b.text("SELECT group_concat(x) FROM (SELECT x FROM plain ORDER BY x)") == "m,p0!,p1!");
  CHECK(b.text("SELECT group_concat(coalesce(name, '-') || x) FROM (SELECT name, x FROM named ORDER"
               " BY name, x)") == "-a!?,-a!?,-none0!?,-none1!?,mmaster,m2master,q0b!,q1b!");
  CHECK(b.text("SELECT group_concat(a || x) FROM pair") == "k0b,k1b,mmaster");
}

TEST_CASE("merge keys: a table that has no higher key to give parks what needs one") {
  MergeBench b("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)", 2);
  b.edit(b.nodes[0], "INSERT INTO t (x) VALUES ('a')", 1);
  b.edit(b.nodes[0], "INSERT INTO t VALUES (50, 'b')", 2);
  b.master.write("INSERT INTO t VALUES (1, 'm'), (9223372036854775807, 'last')");
  const std::vector<Replayed> outcomes = b.hand_over(b.nodes[0]);
  REQUIRE(outcomes.size() == 2);
  CHECK(outcomes[0].result == ReplayResult::kParked);
  CHECK(outcomes[0].text.find("no higher one") != std::string::npos);
  CHECK(outcomes[1].result == ReplayResult::kApplied);
  check_sound(b);
}

TEST_CASE("merge keys: what refers to a parked row is parked with it, not hung on another's") {
  MergeBench b(
      "CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT UNIQUE);"
      "CREATE TABLE c (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t (id), y TEXT)",
      2);
  MergeBench::Node& node = b.nodes[0];
  b.master.write("INSERT INTO t (code) VALUES ('same')");
  b.edit(node, "INSERT INTO t (code) VALUES ('same')", 1);      // 1: parked, UNIQUE
  b.edit(node, "INSERT INTO c (t, y) VALUES (1, 'child')", 2);  // of the parked row
  b.edit(node, "UPDATE c SET y = 'changed' WHERE id = 1", 3);   // of the parked child
  b.edit(node, "INSERT INTO t (code) VALUES ('other')", 4);     // 2
  b.edit(node, "INSERT INTO c (t, y) VALUES (2, 'free')", 5);   // of that
  const std::vector<Replayed> outcomes = b.hand_over(node);
  REQUIRE(outcomes.size() == 5);
  for (std::size_t i = 0; i < 3; ++i) CHECK(outcomes[i].result == ReplayResult::kParked);
  for (std::size_t i = 3; i < 5; ++i) {
    CHECK_MESSAGE(outcomes[i].result == ReplayResult::kApplied, outcomes[i].text);
  }
  CHECK(outcomes[0].text.find("UNIQUE") != std::string::npos);
  CHECK(outcomes[1].text.find("waits in the inbox") != std::string::npos);
  check_sound(b);
  CHECK(b.text("SELECT group_concat(code || y) FROM t JOIN c ON t.id = c.t") == "otherfree");
}

TEST_CASE("merge keys: a call in flight that the master held, later work follows to its rows") {
  for (const bool other : {false, true}) {
    CAPTURE(other);
    MergeBench b(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);"
        "CREATE TABLE c (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t (id), y TEXT)",
        2);
    MergeBench::Node& node = b.nodes[0];
    b.master.write("INSERT INTO t (x) VALUES ('m1'), ('m2')");
    OfflineWrite sent;
    sent.write.tx = {node.replica->state().node, ++node.counter};
    sent.write.sql = other ? "INSERT INTO t (x) SELECT 'sent' FROM (SELECT 1 UNION SELECT id FROM"
                             " t); INSERT INTO c (t, y) VALUES (1, 'with it')"
                           : "INSERT INTO t (x) VALUES ('sent'), ('sent too')";
    sent.request_hash = request_hash(sent.write);
    sent.edited = WallTime{1'000'001};
    REQUIRE(std::holds_alternative<Ack>(b.master.run(WriteJob{sent.write, "node", 7})));
    REQUIRE(std::holds_alternative<Journaled>(node.replica->write_offline(sent).value().answer));
    b.edit(node, "INSERT INTO c (t, y) VALUES (1, 'child')", 2);
    b.edit(node, "UPDATE t SET x = x || '!' WHERE id = 1", 3);
    const std::vector<Replayed> outcomes = b.hand_over(node);
    REQUIRE(outcomes.size() == 3);
    CHECK(outcomes[0].result == ReplayResult::kStood);
    for (std::size_t i = 1; i < 3; ++i) {
      CHECK_MESSAGE(outcomes[i].result == (other ? ReplayResult::kParked : ReplayResult::kApplied),
                    outcomes[i].text);
    }
    if (!other) {
      // Two rows here, two there; elsewhere one row here and others there: nobody can tell.
      CHECK(outcomes[0].keys == std::vector<KeyChange>{{"t", 1, 3}, {"t", 2, 4}});
      CHECK(b.text("SELECT x || y FROM t JOIN c ON t.id = c.t") == "sent!child");
    }
    CHECK(b.text("SELECT x FROM t WHERE id = 1") == "m1");
    check_sound(b);
    const Seq before = b.master.ledger->meta().position.seq;
    CHECK(b.master.ack(WriteJob{sent.write, "node", 8}).repeated);
    CHECK(b.master.ledger->meta().position.seq == before);
  }
}

}  // namespace csa::merge_keys_real_test
