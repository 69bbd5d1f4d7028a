// What others did to a row before, in and after a schema change, met by an edit of before it.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/merge_bench.h"

namespace csa {
namespace {

using test::MergeBench;

constexpr const char* kParts = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, price INTEGER, shelf TEXT);
  INSERT INTO part VALUES (1, 'bolt', 10, 'A'), (2, 'nut', 20, 'B'), (3, 'rod', 30, 'C');
)";

void set_rules(MergeBench& b, std::vector<RuleSetting> settings) {
  const Rules rules{TxId{b.master.node, ++b.master.counter}, std::move(settings), false};
  REQUIRE(std::holds_alternative<Ack>(b.master.run({rules, "desk", 1})));
}

void migrate(MergeBench& b, const std::string& sql) {
  const WriteAnswer answer = b.master.run(b.master.migration(sql));
  const auto* const nack = std::get_if<Nack>(&answer);
  REQUIRE_MESSAGE(nack == nullptr, nack->message);
}

// One node edits at 1, another at 2 and is back first; then the schema changes, and the first
// comes.
struct Met {
  std::string first, second, migration;
  std::vector<RuleSetting> rules = {};
  const char* schema = kParts;
};
struct Meeting {
  Replayed first;
  std::unique_ptr<MergeBench> bench;
  [[nodiscard]] std::string text(const std::string& sql) const { return bench->text(sql); }
};
Meeting meet(const Met& met) {
  auto bench = std::make_unique<MergeBench>(met.schema, 0);
  if (!met.rules.empty()) set_rules(*bench, met.rules);
  bench->add_node();
  bench->add_node();
  bench->edit(bench->nodes[0], met.first, 1);
  if (!met.second.empty()) bench->edit(bench->nodes[1], met.second, 2);
  if (!met.second.empty()) (void)bench->hand_over(bench->nodes[1]);
  if (!met.migration.empty()) migrate(*bench, met.migration);
  std::vector<Replayed> outcomes = bench->hand_over(bench->nodes[0]);
  REQUIRE(outcomes.size() == 1);
  for (MergeBench::Node& node : bench->nodes) CHECK(bench->catch_up(node) == "");
  CHECK(bench->text("SELECT count(*) FROM csa_touch") == "0");
  return {std::move(outcomes[0]), std::move(bench)};
}

}  // namespace

TEST_CASE("merge: a column to the left was dropped, each column keeps the time of its own edit") {
  for (const char* const migration :
       {"", "ALTER TABLE part DROP COLUMN name",
        "ALTER TABLE part DROP COLUMN name; ALTER TABLE part ADD COLUMN unit TEXT"}) {
    CAPTURE(migration);
    const Meeting same = meet({"UPDATE part SET price = 55 WHERE id = 1",
                               "UPDATE part SET price = 99 WHERE id = 1",
                               migration,
                               {{"part", "", "merge"}}});
    CHECK(same.text("SELECT price FROM part WHERE id = 1") == "99");
    CHECK(same.text("SELECT node_row LIKE '%55%' FROM csa_conflicts") == "1");
    const Meeting other = meet({"UPDATE part SET shelf = 'Z' WHERE id = 1",
                                "UPDATE part SET price = 99 WHERE id = 1",
                                migration,
                                {{"part", "", "merge"}}});
    CHECK(other.text("SELECT price || shelf FROM part WHERE id = 1") == "99Z");
    CHECK(other.text("SELECT count(*) FROM csa_conflicts") == "0");
    const Meeting newest = meet({"UPDATE part SET price = 55, shelf = 'Z' WHERE id = 1",
                                 "UPDATE part SET price = 99 WHERE id = 1",
                                 migration,
                                 {{"part", "price", "newest"}}});
    CHECK(newest.text("SELECT price || shelf FROM part WHERE id = 1") == "99Z");
  }
}

TEST_CASE("merge: what a migration itself writes counts for the column that it has afterwards") {
  for (const char* const migration :
       {"ALTER TABLE part DROP COLUMN name; UPDATE part SET price = 99 WHERE id = 1",
        "UPDATE part SET price = 99 WHERE id = 1; ALTER TABLE part DROP COLUMN name",
        "ALTER TABLE part ADD COLUMN unit; UPDATE part SET price = 99 WHERE id = 1;"
        "ALTER TABLE part ADD COLUMN weight"}) {
    CAPTURE(migration);
    const Meeting other =
        meet({"UPDATE part SET shelf = 'Z' WHERE id = 1", "", migration, {{"part", "", "merge"}}});
    CHECK(other.text("SELECT price || shelf FROM part WHERE id = 1") == "99Z");
    CHECK(other.text("SELECT count(*) FROM csa_conflicts") == "0");
    const Meeting same =
        meet({"UPDATE part SET price = 55 WHERE id = 1", "", migration, {{"part", "", "merge"}}});
    CHECK(same.text("SELECT price FROM part WHERE id = 1") == "99");
  }
}

}  // namespace csa
