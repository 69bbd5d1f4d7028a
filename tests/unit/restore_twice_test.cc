// Losers that a person puts back where a row has lost more than once, or in part.
#include <doctest/doctest.h>

#include "tests/support/away_bench.h"

namespace csa::restore_twice_test {
namespace {

struct Twice : test::MergeBench {
  explicit Twice(const std::string& rule = "newest")
      : MergeBench(
            "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, phone TEXT, note TEXT, n);"
            "CREATE TABLE par (id INTEGER PRIMARY KEY, name TEXT UNIQUE);"
            "INSERT INTO person VALUES (1, 'n', 'p', 'm', 0)",
            1) {
    away_bench::set_rules(*this, {{"person", "", rule}, {"person", "n", "sum"}});
  }
  void away(const std::string& set, std::int64_t at) {
    edit(nodes[0], "UPDATE person SET " + set + " WHERE id = 1", at);
  }
  void master_sets(const std::string& set) { (void)master.write("UPDATE person SET " + set); }
  // Why it is refused; empty: done.
  std::string settle(std::int64_t id, ConflictVerb verb = ConflictVerb::kRestore) {
    const Conflict request{TxId{master.node, ++master.counter}, id, verb};
    const WriteAnswer done = master.run({request, "desk", 9});
    const auto* const nack = std::get_if<Nack>(&done);
    return nack == nullptr ? std::string() : nack->message;
  }
  [[nodiscard]] std::string row() const {
    return text("SELECT name || ',' || phone || ',' || note FROM person WHERE id = 1");
  }
  [[nodiscard]] std::string inbox() const {
    return text("SELECT group_concat(id || decision || state, ' ') FROM csa_conflicts");
  }
};

}  // namespace

TEST_CASE("restore: by column a row lost twice, to others each time, each loss is put back") {
  Twice b("merge");
  b.away("name = 'n1', phone = 'p1'", 1);
  b.master_sets("phone = 'theirs'");
  (void)b.hand_over(b.nodes[0]);
  REQUIRE(b.row() == "n1,theirs,m");
  b.away("name = 'n2'", 2);
  b.master_sets("name = 'theirs'");
  (void)b.hand_over(b.nodes[0]);
  REQUIRE(b.row() == "theirs,theirs,m");
  CHECK(b.inbox() == "1brokeropen 2brokeropen");
  CHECK(b.text("SELECT broker ->> 'name' FROM csa_conflicts WHERE id = 2") == "theirs");
  CHECK(b.settle(1) == "");
  CHECK(b.row() == "theirs,p1,m");
  CHECK(b.settle(2) == "");
  CHECK(b.row() == "n2,p1,m");
  CHECK(b.catch_up(b.nodes[0]) == "");
}

TEST_CASE("restore: a row lost twice, what others wrote in between is not undone") {
  Twice b;
  b.away("phone = 'p1', note = 'mine'", 1);
  b.master_sets("name = 'theirs'");
  (void)b.hand_over(b.nodes[0]);
  REQUIRE(b.row() == "theirs,p,m");
  b.away("phone = 'p2'", 2);
  b.master_sets("note = 'precious'");
  (void)b.hand_over(b.nodes[0]);
  (void)b.master.write("INSERT INTO par VALUES (1, 'unrelated')");
  CHECK(b.inbox() == "1brokeropen 2brokeropen");
  CHECK(b.settle(1).find("column note was changed since") != std::string::npos);
  CHECK(b.row() == "theirs,p,precious");
  CHECK(b.text("SELECT broker ->> 'note' FROM csa_conflicts WHERE id = 2") == "precious");
}

TEST_CASE("restore: a row lost twice, and others had deleted it in between, is told twice") {
  Twice b("broker");
  b.away("phone = 'p1'", 1);
  b.away("phone = 'p2'", 2);
  b.master_sets("name = 'theirs'");
  (void)b.hand_over(b.nodes[0]);
  CHECK(b.inbox() == "1brokeropen");
  b.away("phone = 'p3'", 3);
  (void)b.master.write("DELETE FROM person");
  (void)b.hand_over(b.nodes[0]);
  CHECK(b.inbox() == "1brokeropen 2brokeropen");
  CHECK(b.settle(2) == "");
  CHECK(b.row() == "n,p3,m");
}

TEST_CASE("inbox: what a journal wins or adds in between is no reason to tell its loss twice") {
  Twice b("merge");
  b.away("phone = 'p1', n = n + 1", 1);
  b.away("name = 'n1', n = n + 1", 2);
  b.away("phone = 'p2', n = n + 1", 3);
  b.master_sets("phone = 'theirs', n = 5");
  REQUIRE(b.hand_over(b.nodes[0]).size() == 3);
  CHECK(b.inbox() == "1brokeropen");
  CHECK(b.text("SELECT n FROM person") == "8");
  CHECK(b.settle(1) == "");
  CHECK(b.row() == "n1,p2,m");
  CHECK(b.text("SELECT n FROM person") == "8");
}

TEST_CASE("restore: one row of a parked transaction is back, all of it brings the others") {
  Twice b;
  b.edit(b.nodes[0],
         "INSERT INTO par VALUES (10, 'x');"
         "INSERT INTO person VALUES (11, 'a', 'b', 'c', 0), (12, 'a', 'b', 'c', 0)",
         1);
  (void)b.master.write("INSERT INTO par VALUES (20, 'x')");
  CHECK(b.hand_over(b.nodes[0]).at(0).result == ReplayResult::kParked);
  CHECK(b.settle(2, ConflictVerb::kRestoreRow) == "");
  const std::string why = b.settle(2);
  CHECK_MESSAGE(why.find("UNIQUE") != std::string::npos, why);
  (void)b.master.write("UPDATE par SET name = 'y' WHERE id = 20");
  CHECK(b.settle(2) == "");
  CHECK(b.inbox() == "1parkedrestored 2parkedrestored 3parkedrestored");
  CHECK(b.text("SELECT group_concat(id) FROM person") == "1,11,12");
  CHECK(b.text("SELECT name FROM par WHERE id = 10") == "x");
  CHECK(b.settle(2) == "");
  CHECK(b.catch_up(b.nodes[0]) == "");
}

TEST_CASE("restore: a column lost twice, another one written in between, the latest comes back") {
  for (const std::string rule : {"newest", "merge", "broker"}) {
    CAPTURE(rule);
    Twice b(rule);
    b.away("phone = 'p1'", 1);
    b.master_sets("name = 'x', phone = 'px'");
    (void)b.hand_over(b.nodes[0]);
    b.away("phone = 'p2'", 2);
    b.master_sets("name = 'y'");
    (void)b.hand_over(b.nodes[0]);
    CHECK(b.inbox() == "1brokeropen");
    CHECK(b.settle(1).empty());
    CHECK(b.row() == "y,p2,m");
  }
}

TEST_CASE("restore: a restored row once more, the dismissed ones of its transaction stay out") {
  Twice b;
  b.edit(b.nodes[0],
         "INSERT INTO par VALUES (10, 'x');"
         "INSERT INTO person VALUES (11, 'a', 'p', 'm', 0), (12, 'b', 'p', 'm', 0)",
         1);
  (void)b.master.write("INSERT INTO par VALUES (20, 'x')");
  (void)b.hand_over(b.nodes[0]);
  CHECK(b.settle(2, ConflictVerb::kRestoreRow).empty());
  CHECK(b.settle(1, ConflictVerb::kDismiss).empty());
  CHECK(b.settle(3, ConflictVerb::kDismiss).empty());
  (void)b.master.write("DELETE FROM par");
  const std::string before = b.inbox();
  CHECK(b.settle(2).empty());
  CHECK(b.inbox() == before);
}

}  // namespace csa::restore_twice_test
