// Rules of virtual tables, which are set by the table's own name.
#include <doctest/doctest.h>

#include "tests/support/merge_bench.h"

namespace csa::merge_virtual_rules_test {
namespace {

using test::MergeBench;

constexpr const char* kBoth =
    "CREATE VIRTUAL TABLE page USING fts5 (body); INSERT INTO page (rowid, body) VALUES (1, 'red');"
    "CREATE VIRTUAL TABLE area USING rtree_i32 (id, a, b); INSERT INTO area VALUES (1, 5, 10);";

void set(MergeBench& b, const std::vector<RuleSetting>& rules) {
  (void)b.master.ack({Rules{TxId{b.master.node, ++b.master.counter}, rules}, "desk", 1});
  for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
}

}  // namespace

TEST_CASE("merge: a rule of a full-text table, its documents are merged by it") {
  for (const auto& [rule, stays] : {std::pair("broker", "green"), std::pair("node", "blue"),
                                    std::pair("manual", "green"), std::pair("atomic", "blue")}) {
    CAPTURE(std::string(rule));
    MergeBench b(kBoth, 2);
    set(b, {{"page", "", rule}});
    b.edit(b.nodes[0], "UPDATE page SET body = 'green' WHERE rowid = 1", 1);
    b.edit(b.nodes[1], "UPDATE page SET body = 'blue' WHERE rowid = 1", 2000);
    (void)b.hand_over(b.nodes[0]);
    (void)b.hand_over(b.nodes[1]);
    for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
    CHECK(b.text("SELECT body FROM page") == stays);
    CHECK(b.text("SELECT group_concat(rowid) FROM page WHERE page MATCH '" + std::string(stays) +
                 "'") == "1");
    CHECK(b.text("SELECT count(*) FROM csa_conflicts") != "0");
  }
}

TEST_CASE("merge: rules of a spatial table and its columns, its rows are merged by them") {
  for (const bool first_a : {true, false}) {
    CAPTURE(first_a);
    MergeBench b(kBoth, 2);
    set(b, {{"area", "b", "sum"}, {"area", "a", "min"}});
    b.edit(b.nodes[0], "UPDATE area SET a = 3, b = b + 2 WHERE id = 1", 1);
    b.edit(b.nodes[1], "UPDATE area SET a = 4, b = b + 3 WHERE id = 1", 2000);
    (void)b.hand_over(b.nodes[first_a ? 0 : 1]);
    (void)b.hand_over(b.nodes[first_a ? 1 : 0]);
    for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
    CHECK(b.text("SELECT a || ' ' || b FROM area") == "3 15");
    CHECK(b.text("SELECT rtreecheck('area')") == "ok");
  }
}

}  // namespace csa::merge_virtual_rules_test
