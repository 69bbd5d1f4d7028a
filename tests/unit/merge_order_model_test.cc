// What edits of some nodes, offline and at the master, come to is what a model of the rules
// expects, in whatever order they return. And that rules which go by arrival lose nothing in any
// order.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/support/cases.h"
#include "tests/support/edit_story.h"
#include "tests/support/merge_bench.h"

namespace csa::merge_order_model_test {
namespace {

using test::EditStory;
using test::MergeBench;
using test::StoryEdit;

constexpr const char* kSchema = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, a TEXT, b TEXT, w TEXT, n INTEGER, hi INTEGER,
                     lo INTEGER);
  INSERT INTO part VALUES (1, 'a', 'b', 'w', 100, 50, 50), (2, 'a', 'b', 'w', 100, 50, 50);
)";
constexpr std::size_t kNodes = 3;

void set_rules(MergeBench& b, std::vector<RuleSetting> settings) {
  const Rules rules{TxId{b.master.node, ++b.master.counter}, std::move(settings), false};
  REQUIRE(std::holds_alternative<Ack>(b.master.run({rules, "desk", 1})));
}

void add_nodes(MergeBench& b, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    Id128 id{};
    id.bytes[0] = static_cast<std::uint8_t>(i + 1);
    b.add_node(NodeId{id});
  }
}

void make_edits(MergeBench& b, const EditStory& story) {
  for (const StoryEdit& edit : story.edits()) {
    for (std::size_t node = 0; node < b.nodes.size(); ++node) {
      if (story.parts_at(node) == edit.at) REQUIRE(b.catch_up(b.nodes[node]) == "");
    }
    b.set_clock(edit.at);
    if (edit.online) {
      b.edit_online(b.nodes[edit.node], edit.sql);
    } else {
      b.edit(b.nodes[edit.node], edit.sql, edit.at);
    }
  }
}

// Who is online is at the master at once, the others return as in `order`.
std::vector<std::int64_t> arrivals_of(const EditStory& story,
                                      const std::vector<std::size_t>& order) {
  std::vector<std::int64_t> arrivals;
  for (const StoryEdit& edit : story.edits()) {
    if (edit.online) arrivals.push_back(edit.at);
  }
  for (const std::size_t node : order) {
    for (const StoryEdit& edit : story.edits()) {
      if (!edit.online && edit.node == node) arrivals.push_back(edit.at);
    }
  }
  return arrivals;
}

// Every value that was written and is not in the table is in the inbox.
void nothing_lost(const MergeBench& b, const std::vector<std::string>& values) {
  for (const std::string& value : values) {
    const std::string like = " LIKE '%" + value + "%'";
    CAPTURE(value);
    CHECK(b.text("SELECT (SELECT count(*) FROM part WHERE a || w" + like +
                 ") + (SELECT count(*) FROM csa_conflicts WHERE broker" + like + " OR node_row" +
                 like + ") > 0") == "1");
  }
}

}  // namespace

TEST_CASE("merge: random edits of some nodes, in every order what a model of the rules expects") {
  const char* const more = std::getenv("CSA_SEEDS");
  const std::uint64_t seeds = more == nullptr ? test::cases(12) : std::strtoull(more, nullptr, 10);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const std::size_t count = 2 + seed % 3;
    const EditStory story(seed, count);
    const std::string told = story.told();
    CAPTURE(seed);
    CAPTURE(told);
    std::vector<std::size_t> order;
    for (std::size_t node = 0; node < count; ++node) {
      if (story.parts_at(node)) order.push_back(node);
    }
    // Of four nodes' 24 orders, six.
    for (int i = 0; i < 6; ++i) {
      CAPTURE(order);
      MergeBench b(EditStory::schema(), 0);
      b.set_clock(0);
      set_rules(b, story.rules());
      add_nodes(b, count);
      make_edits(b, story);
      for (const std::size_t node : order) (void)b.hand_over(b.nodes[node]);
      for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
      const Database master(b.master.path, Database::Mode::kReadOnly);
      CHECK(EditStory::found(master) == story.expected(arrivals_of(story, order)));
      CHECK(story.missing(master) == "");
      for (int step = 0; step < (order.size() == 4 ? 4 : 1); ++step) {
        if (!std::ranges::next_permutation(order).found) i = 6;
      }
    }
  }
}

TEST_CASE("merge: rules that go by arrival, every version is kept in every order") {
  for (const std::string rule : {"broker", "node", "manual"}) {
    CAPTURE(rule);
    std::array<std::size_t, kNodes> order{0, 1, 2};
    do {
      CAPTURE(order[0]);
      CAPTURE(order[1]);
      MergeBench b(kSchema, 0);
      set_rules(b, {{"part", "", rule}, {"part", "w", "append"}});
      add_nodes(b, kNodes);
      b.edit(b.nodes[0], "UPDATE part SET a = 'red', w = w || '-one' WHERE id = 1", 3);
      b.edit(b.nodes[1], "UPDATE part SET a = 'green', w = w || '-two' WHERE id = 1", 2);
      b.edit(b.nodes[2], "UPDATE part SET a = 'blue', w = w || '-three' WHERE id = 1", 1);
      for (const std::size_t i : order) (void)b.hand_over(b.nodes[i]);
      nothing_lost(b, {"red", "green", "blue"});
      CHECK(b.text("SELECT w LIKE '%-one%' AND w LIKE '%-two%' AND w LIKE '%-three%' FROM part"
                   " WHERE id = 1") == "1");
      for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
    } while (std::ranges::next_permutation(order).found);
  }
}

TEST_CASE("merge: two nodes that chose one key count both what they bring, also if it is equal") {
  for (const std::size_t first : {std::size_t{0}, std::size_t{1}}) {
    MergeBench b(kSchema, 0);
    set_rules(b, {{"part", "n", "sum"}});
    add_nodes(b, kNodes);
    for (const std::size_t i : {0U, 1U}) {
      b.edit(b.nodes[i], "INSERT INTO part VALUES (7, 'a', 'b', 'w', 5, 1, 1)", 1);
    }
    for (const std::size_t i : {first, 1 - first}) (void)b.hand_over(b.nodes[i]);
    CHECK(b.text("SELECT n FROM part WHERE id = 7") == "10");
  }
}

}  // namespace csa::merge_order_model_test
