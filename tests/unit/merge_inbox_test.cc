// What the inbox tells people of a row, value by value.
#include <doctest/doctest.h>

#include "tests/support/away_bench.h"

namespace csa::merge_inbox_test {
namespace {

using test::MergeBench;

// Both sides change the row; the node's version of column v, as the inbox has it.
std::string told(const std::string& value) {
  MergeBench b(
      "CREATE TABLE \"a \"\"b\" (id INTEGER PRIMARY KEY, v, \"w\"\"\\\" TEXT);"
      "INSERT INTO \"a \"\"b\" VALUES (1, 'old', 'x')",
      1);
  b.edit(b.nodes[0], "UPDATE \"a \"\"b\" SET v = " + value, 1);
  b.master.write("UPDATE \"a \"\"b\" SET v = 'master'");
  (void)b.hand_over(b.nodes[0]);
  CHECK(b.text("SELECT key || base || broker FROM csa_conflicts") ==
        R"({"id":1}{"id":1,"v":"old","w\"\\":"x"}{"id":1,"v":"master","w\"\\":"x"})");
  CHECK(b.catch_up(b.nodes[0]) == "");
  const std::string row = b.text("SELECT node_row FROM csa_conflicts");
  const std::string before = R"({"id":1,"v":)";
  const std::string after = R"(,"w\"\\":"x"})";
  REQUIRE(row.starts_with(before));
  REQUIRE(row.ends_with(after));
  return row.substr(before.size(), row.size() - before.size() - after.size());
}

// A transaction of 40 rows that the inbox has whole, in several rows of csa_inbox, the second of
// which a disk has changed, by another program's hand.
struct Torn {
  MergeBench b{
      "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w);"
      "CREATE TABLE u (v UNIQUE);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)"
      "INSERT INTO t SELECT i, 'old', hex(zeroblob(500)) FROM n",
      1};

  explicit Torn(const std::string& damage) {
    b.edit(b.nodes[0], "UPDATE t SET v = 'away'; INSERT INTO u VALUES ('once')", 1);
    b.master.write("INSERT INTO u VALUES ('once')");
    CHECK(b.hand_over(b.nodes[0]).at(0).result == ReplayResult::kParked);
    REQUIRE(b.text("SELECT count(*) > 1 FROM csa_inbox") == "1");
    b.master.write("DELETE FROM u");
    change(damage);
  }
  void change(const std::string& sql) {
    b.master.ledger.reset();
    Database(b.master.path, Database::Mode::kReadWrite).exec(sql.c_str());
    b.master.open();
  }
  WriteAnswer ask(std::int64_t id, ConflictVerb verb) {
    return b.master.run({Conflict{TxId{b.master.node, ++b.master.counter}, id, verb}, "desk", 8});
  }
  std::string refusal(std::int64_t id, ConflictVerb verb) {
    const WriteAnswer answer = ask(id, verb);
    return std::holds_alternative<Nack>(answer) ? std::get<Nack>(answer).message : "";
  }
};

constexpr const char* kBracket =
    "UPDATE csa_inbox SET rows = '{' || substr(rows, 2) WHERE first ="
    " (SELECT min(first) FROM csa_inbox WHERE first > 1)";
constexpr const char* kLater =
    "INSERT INTO csa_inbox_later VALUES (2, 'open', 1, '', 1, '', '{', '[', x'')";

}  // namespace

TEST_CASE("merge: the inbox tells every kind of value as JSON") {
  CHECK(told("NULL") == "null");
  CHECK(told("-9223372036854775807 - 1") == "-9223372036854775808");
  CHECK(told("0.1") == "0.1");
  CHECK(told("3.0") == "3.0");
  CHECK(told("1e300") == "1e+300");
  CHECK(told("-9e999") == R"("-Infinity")");
  CHECK(told("x'00ff'") == R"({"base64":"AP8="})");
  CHECK(told("''") == R"("")");
  CHECK(told("' ~plain/'") == R"(" ~plain/")");
  CHECK(told("'12\" pipe'") == R"("12\" pipe")");
  CHECK(told("'a\\b'") == R"("a\\b")");
  CHECK(told("char(9)") == R"("\t")");
  CHECK(told("'schön'") == R"("schön")");
  CHECK(told("char(34, 92, 10, 1, 127)") == "\"\\\"\\\\\\n\\u0001\x7f\"");
  CHECK(told("CAST(x'61ff62' AS TEXT)") ==
        "\"a\xef\xbf\xbd"
        "b\"");
}

// What was kept of the node's row when the master's won, put back; and whether the JSON alone
// tells it.
bool comes_back(const std::string& value) {
  MergeBench b("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'old')", 1);
  b.edit(b.nodes[0], "UPDATE t SET v = " + value, 1);
  b.master.write("UPDATE t SET v = 'master'");
  (void)b.hand_over(b.nodes[0]);
  const bool by_json = b.text("SELECT length(exact) FROM csa_inbox") == "0";
  CHECK(away_bench::restore(b, "1") == "");
  const std::string exactly = "SELECT typeof(v) || hex(v) || quote(v) FROM ";
  CHECK(b.text(exactly + "t") == b.text(exactly + "(SELECT " + value + " AS v)"));
  return by_json;
}

TEST_CASE("merge: what the inbox keeps comes back exactly, of whatever kind its values are") {
  for (const char* const value :
       {"NULL", "7", "-9223372036854775807 - 1", "9223372036854775807", "0.1", "3.0", "1e300",
        "1e15", "1e22", "4.9e-324", "0.1 + 0.2", "''", "'plain'", "'12'", "'a\"\\b'",
        "char(9, 10, 1, 127)", "'a' || char(0) || 'b'", "'schön ' || char(128512)"}) {
    CAPTURE(value);
    CHECK(comes_back(value));
  }
  for (const char* const value : {"9e999", "-9e999", "x'00ff'", "x''", "CAST(x'61ff62' AS TEXT)",
                                  "CAST(x'eda080' AS TEXT)"}) {
    CAPTURE(value);
    CHECK_FALSE(comes_back(value));
  }
}

TEST_CASE("merge: rows that lost in one transaction share rows of the table behind the inbox") {
  MergeBench b(
      "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, w);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
      "INSERT INTO t SELECT i, 'old ' || i, i FROM n",
      1);
  b.edit(b.nodes[0], "UPDATE t SET v = 'away ' || id", 1);
  b.master.write("UPDATE t SET v = NULL, w = id / 2.0 WHERE id % 2");
  b.master.write("DELETE FROM t WHERE id % 2 = 0");
  REQUIRE(b.hand_over(b.nodes[0]).size() == 1);
  CHECK(b.catch_up(b.nodes[0]) == "");
  CHECK(b.text("SELECT count(*) BETWEEN 2 AND 20 FROM csa_inbox") == "1");
  CHECK(b.text("SELECT count(*) || ' ' || min(id) || ' ' || max(id) || ' ' || count(DISTINCT id)"
               " FROM csa_conflicts") == "1000 1 1000 1000");
  CHECK(b.text("SELECT key || base || broker || node_row || close || state FROM csa_conflicts"
               " WHERE key ->> 'id' = 7") ==
        R"({"id":7}{"id":7,"v":"old 7","w":7}{"id":7,"v":null,"w":3.5})"
        R"({"id":7,"v":"away 7","w":7}0open)");
  CHECK(b.text("SELECT op || base || (broker IS NULL) || node_row FROM csa_conflicts"
               " WHERE key ->> 'id' = 8") ==
        R"(update{"id":8,"v":"old 8","w":8}1{"id":8,"v":"away 8","w":8})");
}

TEST_CASE("merge: what a journal loses once more is told in place of its version of before") {
  MergeBench b("CREATE TABLE t (id INTEGER PRIMARY KEY, v, w); INSERT INTO t VALUES (1, 'o', 1)",
               1);
  b.edit(b.nodes[0], "UPDATE t SET v = 'a'; UPDATE t SET v = 'b', w = NULL", 1);
  b.edit(b.nodes[0], "UPDATE t SET v = 'c'", 2);
  b.edit(b.nodes[0], "UPDATE t SET w = 'd'", 3);
  away_bench::set_rules(b, {{"t", "", "broker"}});
  b.master.write("UPDATE t SET v = 'master', w = 2");
  REQUIRE(b.hand_over(b.nodes[0]).size() == 3);
  CHECK(b.catch_up(b.nodes[0]) == "");
  CHECK(b.text("SELECT count(*) FROM csa_inbox_later") == "1");
  CHECK(
      b.text("SELECT group_concat(id || base || broker || node_row || state) FROM csa_conflicts") ==
      R"(1{"id":1,"v":"o","w":1}{"id":1,"v":"master","w":2}{"id":1,"v":"c","w":"d"}open)");
  CHECK(b.text("SELECT counter > (SELECT counter FROM csa_inbox) FROM csa_conflicts") == "1");
  CHECK(away_bench::restore(b, "1") == "");
  CHECK(b.text("SELECT v || w FROM t") == "cd");
  CHECK(b.text("SELECT state FROM csa_conflicts") == "restored");
}

TEST_CASE("merge: a master that was a replica finds what an earlier part of a journal has parked") {
  MergeBench b("CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE); INSERT INTO t VALUES (1, 'o')",
               1);
  b.edit(b.nodes[0], "UPDATE t SET v = 'twice' WHERE id = 1", 1);
  b.master.write("INSERT INTO t VALUES (2, 'twice')");
  CHECK(b.hand_over(b.nodes[0]).at(0).result == ReplayResult::kParked);
  b.edit(b.nodes[0], "UPDATE t SET v = 'free' WHERE id = 1", 2);
  // A copy has nothing of what only the broker keeps, and the log does not carry it.
  b.master.ledger.reset();
  {
    const Database db(b.master.path, Database::Mode::kReadWrite);
    Transaction transaction(db);
    clear_private(db);
    transaction.commit();
    CHECK(db.query_int("SELECT count(*) FROM csa_inbox_row") == 0);
  }
  b.master.open();
  const std::vector<Replayed> later = b.hand_over(b.nodes[0]);
  REQUIRE(later.size() == 1);
  CHECK(later[0].result == ReplayResult::kParked);
  CHECK(later[0].text.find("waits in the inbox") != std::string::npos);
  CHECK(b.text("SELECT count(*) FROM csa_conflicts") == "1");
}

TEST_CASE("merge: rows that a transaction changes twice, the last time much, are stored apart") {
  MergeBench b(
      "CREATE TABLE t (id INTEGER PRIMARY KEY, v);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
      "INSERT INTO t SELECT i, 'old' FROM n",
      1);
  b.edit(b.nodes[0], "UPDATE t SET v = 2; UPDATE t SET v = zeroblob(20000)", 1);
  away_bench::set_rules(b, {{"t", "", "broker"}});
  b.master.write("UPDATE t SET v = 'master'");
  REQUIRE(b.hand_over(b.nodes[0]).size() == 1);
  CHECK(b.catch_up(b.nodes[0]) == "");
  CHECK(b.text("SELECT max(length(rows)) < 100000 FROM csa_inbox") == "1");
  CHECK(b.text("SELECT count(*) || ' ' || sum(length(node_row) > 20000) FROM csa_conflicts") ==
        "100 100");
}

TEST_CASE("merge: a row is looked for in the inbox of its own journal, whatever others lost") {
  MergeBench b("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'o')", 3);
  away_bench::set_rules(b, {{"t", "", "broker"}});
  for (MergeBench::Node& node : b.nodes) b.edit(node, "UPDATE t SET v = 'first'", 1);
  b.master.write("UPDATE t SET v = 'master'");
  for (MergeBench::Node& node : b.nodes) REQUIRE(b.hand_over(node).size() == 1);
  for (MergeBench::Node& node : b.nodes) b.edit(node, "UPDATE t SET v = 'then'", 2);
  for (MergeBench::Node& node : b.nodes) REQUIRE(b.hand_over(node).size() == 1);
  CHECK(b.text("SELECT group_concat(node_row ->> 'v') FROM csa_conflicts") == "then,then,then");
}

TEST_CASE("merge: a transaction that was kept whole is not restored without what cannot be read") {
  for (const std::string damage : {kBracket, kLater}) {
    CAPTURE(damage);
    Torn t(damage);
    const std::int64_t unread =
        damage == kLater ? 2
                         : std::stoll(t.b.text("SELECT min(first) FROM csa_inbox WHERE first > 1"));
    const std::string why = t.refusal(1, ConflictVerb::kRestore);
    CHECK_MESSAGE(why.find("cannot be read") != std::string::npos, why);
    CHECK_MESSAGE(why.find(" " + std::to_string(unread)) != std::string::npos, why);
    CHECK(t.b.text("SELECT count(*) FROM t WHERE v = 'away'") == "0");
    CHECK(t.b.text("SELECT count(*) FROM csa_inbox_later WHERE state <> 'open'") == "0");
    for (const ConflictVerb verb :
         {ConflictVerb::kRestore, ConflictVerb::kRestoreRow, ConflictVerb::kDismiss}) {
      CHECK(
          t.refusal(unread, verb).find("conflict " + std::to_string(unread) + " cannot be read") ==
          0);
    }
    CHECK(t.refusal(1000, ConflictVerb::kRestore).find("there is no conflict") == 0);
    CHECK(t.refusal(1, ConflictVerb::kRestoreRow).empty());
    CHECK(t.b.text("SELECT group_concat(id) FROM t WHERE v = 'away'") == "1");
  }
}

TEST_CASE("merge: the list of the inbox tells of those that cannot be read, in their places") {
  for (const std::string damage : {kBracket, kLater}) {
    CAPTURE(damage);
    Torn t(damage);
    std::int64_t next = 1, unread = 0;
    while (true) {
      const WriteAnswer answer = t.ask(next, ConflictVerb::kShow);
      REQUIRE(std::holds_alternative<Ack>(answer));
      const Ack& ack = std::get<Ack>(answer);
      if (ack.rows.empty()) break;
      for (const Row& row : ack.rows) {
        REQUIRE(row.size() == ack.columns.size());
        CHECK(row[0] == Value{next++});
        if (row[9] == Value{Text{"unreadable"}}) ++unread;
        CHECK(row[17] == Value{Text{"open"}});
      }
    }
    CHECK(next == 42);
    const std::string damaged =
        t.b.text("SELECT length(hashes) / 16 FROM csa_inbox WHERE rows LIKE '{%'");
    CHECK(std::to_string(unread) == (damage == kLater ? "1" : damaged));
  }
}

}  // namespace csa::merge_inbox_test
