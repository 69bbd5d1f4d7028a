// A master whose text is UTF-16: what the journal carries and what the master reads are the same.
#include <doctest/doctest.h>

#include "tests/support/merge_bench.h"

namespace csa::merge_utf16_test {
namespace {

using test::MergeBench;

constexpr const char* kSchema = R"(
  PRAGMA encoding = 'UTF-16le';
  CREATE TABLE part (name TEXT PRIMARY KEY, a TEXT, b TEXT);
  CREATE TABLE item (id INTEGER PRIMARY KEY, part TEXT REFERENCES part (name));
  CREATE TABLE note (item TEXT REFERENCES item (id), body TEXT);
  INSERT INTO part VALUES ('schön', 'ä', 'ö');
)";

void set_rule(MergeBench& b, const RuleSetting& setting) {
  const Rules rules{TxId{b.master.node, ++b.master.counter}, {setting}, false};
  REQUIRE(std::holds_alternative<Ack>(b.master.run({rules, "desk", 1})));
}

}  // namespace

TEST_CASE("merge: a UTF-16 master, text that nobody else changed is no conflict") {
  MergeBench b(kSchema, 1);
  b.edit(b.nodes[0], "UPDATE part SET a = 'schöner' WHERE name = 'schön'", 1);
  b.edit(b.nodes[0], "UPDATE part SET a = 'am schönsten' WHERE name = 'schön'", 2);
  b.master.write("INSERT INTO part VALUES ('anderes', 'x', 'y')");
  for (const Replayed& outcome : b.hand_over(b.nodes[0])) {
    CHECK(outcome.result == ReplayResult::kApplied);
  }
  CHECK(b.text("SELECT a || b FROM part WHERE name = 'schön'") == "am schönstenö");
  CHECK(b.text("SELECT count(*) FROM csa_conflicts") == "0");
  CHECK(b.catch_up(b.nodes[0]) == "");
}

TEST_CASE("merge: a UTF-16 master, columns are merged and text is appended") {
  MergeBench b(kSchema, 1);
  set_rule(b, {"part", "", "merge"});
  set_rule(b, {"part", "b", "append"});
  b.edit(b.nodes[0], "UPDATE part SET a = 'ä1', b = b || 'ß𝄞'", 1);
  b.master.write("UPDATE part SET b = b || 'é'");
  CHECK(b.hand_over(b.nodes[0])[0].result == ReplayResult::kMerged);
  CHECK(b.text("SELECT a || b FROM part") == "ä1öéß𝄞");
  CHECK(b.catch_up(b.nodes[0]) == "");
}

TEST_CASE("merge: a UTF-16 master, references to fresh keys follow, also where they are text") {
  MergeBench b(kSchema, 1);
  b.edit(b.nodes[0],
         "INSERT INTO item (part) VALUES ('schön');"
         "INSERT INTO note VALUES (last_insert_rowid(), 'node')",
         1);
  b.master.write("INSERT INTO item (part) VALUES ('schön')");
  CHECK(b.hand_over(b.nodes[0])[0].result == ReplayResult::kApplied);
  CHECK(b.text("SELECT item FROM note") == "2");
  CHECK(b.catch_up(b.nodes[0]) == "");
}

}  // namespace csa::merge_utf16_test
