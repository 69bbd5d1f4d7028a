// What offline edits of three nodes come to, told by a model that knows no master, no journal and
// no order: only who wrote what when. And that rules which go by arrival lose nothing in any order.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "tests/support/merge_bench.h"

namespace csa {
namespace {

using test::MergeBench;

constexpr const char* kSchema = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, a TEXT, b TEXT, w TEXT, n INTEGER, hi INTEGER,
                     lo INTEGER);
  INSERT INTO part VALUES (1, 'a', 'b', 'w', 100, 50, 50), (2, 'a', 'b', 'w', 100, 50, 50);
)";
constexpr std::size_t kNodes = 3;

struct Part {
  std::string a, b, w;
  std::int64_t n = 0, hi = 0, lo = 0;
};

struct Written {
  std::int64_t at = 0;
  std::size_t node = 0;
  std::size_t number = 0;  // of the node's
  std::int64_t id = 0;
  std::string sql;
  Part image;  // the row at the node afterwards
  bool a = false, b = false, w = false;
  std::int64_t added = 0;  // to n
};

bool is_before(const Written& x, const Written& y) {
  return std::tie(x.at, x.node, x.number) < std::tie(y.at, y.node, y.number);
}

std::map<std::int64_t, Part> first_parts() {
  const Part part{"a", "b", "w", 100, 50, 50};
  return {{1, part}, {2, part}};
}

class Author {
 public:
  explicit Author(std::uint64_t seed) : engine_(seed) {}

  std::vector<Written> write() {
    std::vector<Written> all;
    for (std::size_t node = 0; node < kNodes; ++node) {
      std::map<std::int64_t, Part> parts = first_parts();
      std::int64_t at = 0;
      const std::size_t count = 1 + roll(4);
      for (std::size_t i = 0; i < count; ++i) {
        at += static_cast<std::int64_t>(roll(4));
        Written one;
        one.at = at;
        one.node = node;
        one.number = i;
        one.id = roll(3) == 0 ? 7 : 1 + static_cast<std::int64_t>(roll(2));
        const std::string own = static_cast<char>('x' + node) + std::to_string(i);
        change(one, parts, own);
        all.push_back(one);
      }
    }
    return all;
  }
  std::size_t roll(std::size_t sides) {
    return std::uniform_int_distribution<std::size_t>(0, sides - 1)(engine_);
  }

 private:
  void change(Written& one, std::map<std::int64_t, Part>& parts, const std::string& own) {
    const auto k = static_cast<std::int64_t>(1 + roll(9));
    const std::string count = std::to_string(k);
    const std::string row = " WHERE id = " + std::to_string(one.id);
    const auto known = parts.find(one.id);
    if (known == parts.end()) {
      one.image = parts[one.id] = {own, own, own, k, 1, 1};
      one.a = one.b = one.w = true;
      one.added = k;
      one.sql = "INSERT INTO part VALUES (7, '" + own + "', '" + own + "', '" + own + "', " +
                count + ", 1, 1)";
      return;
    }
    Part& part = known->second;
    switch (roll(4)) {
      case 0:
        part.a = own;
        one.a = true;
        one.sql = "UPDATE part SET a = '" + own + "'" + row;
        break;
      case 1:
        part.b = part.w = own;
        one.b = one.w = true;
        one.sql = "UPDATE part SET b = '" + own + "', w = '" + own + "'" + row;
        break;
      case 2:
        part.hi += k;
        part.lo -= k;
        one.sql = "UPDATE part SET hi = hi + " + count + ", lo = lo - " + count + row;
        break;
      default:
        part.n -= k;
        one.added = -k;
        one.sql = "UPDATE part SET n = n - " + count + row;
    }
    one.image = part;
  }

  std::mt19937_64 engine_;
};

// By the rules' own words: n adds up, hi and lo are the extremes, w is the latest; the rest is the
// latest edit's, by row (newest) or by column (merge).
std::string expected(std::vector<Written> all, bool by_column) {
  std::sort(all.begin(), all.end(), is_before);
  std::map<std::int64_t, Part> parts = first_parts();
  for (const Written& one : all) {
    const auto [known, fresh] = parts.try_emplace(one.id);
    Part& part = known->second;
    if (fresh) part.hi = part.lo = one.image.hi;
    part.n += one.added;
    part.hi = std::max(part.hi, one.image.hi);
    part.lo = std::min(part.lo, one.image.lo);
    if (one.w) part.w = one.image.w;
    const bool row = !by_column && (one.a || one.b);
    if (one.a || row) part.a = one.image.a;
    if (one.b || row) part.b = one.image.b;
  }
  std::string text;
  for (const auto& [id, part] : parts) {
    text += (text.empty() ? "" : " ") + std::to_string(id) + "," + part.a + "," + part.b + "," +
            part.w + "," + std::to_string(part.n) + "," + std::to_string(part.hi) + "," +
            std::to_string(part.lo);
  }
  return text;
}

void set_rules(MergeBench& b, std::vector<RuleSetting> settings) {
  const Rules rules{TxId{b.master.node, ++b.master.counter}, std::move(settings), false};
  REQUIRE(std::holds_alternative<Ack>(b.master.run({rules, "desk", 1})));
}

void add_nodes(MergeBench& b) {
  for (std::size_t i = 0; i < kNodes; ++i) {
    Id128 id{};
    id.bytes[0] = static_cast<std::uint8_t>(i + 1);
    b.add_node(NodeId{id});
  }
}

std::string merged(const std::vector<Written>& all, const std::string& rule,
                   const std::array<std::size_t, kNodes>& order) {
  MergeBench b(kSchema, 0);
  set_rules(b, {{"part", "", rule},
                {"part", "n", "sum"},
                {"part", "hi", "max"},
                {"part", "lo", "min"},
                {"part", "w", "newest"}});
  add_nodes(b);
  for (const Written& one : all) b.edit(b.nodes[one.node], one.sql, one.at);
  for (const std::size_t i : order) (void)b.hand_over(b.nodes[i]);
  for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
  return b.text(
      "SELECT group_concat(id || ',' || a || ',' || b || ',' || w || ',' || n || ',' || hi || ','"
      " || lo, ' ') FROM (SELECT * FROM part ORDER BY id)");
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

TEST_CASE("merge: random edits of three nodes, in every order what a model of the rules expects") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    CAPTURE(seed);
    const bool by_column = seed % 2 == 0;
    const std::vector<Written> all = Author(seed).write();
    std::string what;
    for (const Written& one : all) {
      what += std::to_string(one.node) + " at " + std::to_string(one.at) + ": " + one.sql + "\n";
    }
    CAPTURE(what);
    std::array<std::size_t, kNodes> order{0, 1, 2};
    do {
      CAPTURE(order[0]);
      CAPTURE(order[1]);
      CHECK(merged(all, by_column ? "merge" : "newest", order) == expected(all, by_column));
    } while (std::ranges::next_permutation(order).found);
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
      add_nodes(b);
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
    add_nodes(b);
    for (const std::size_t i : {0U, 1U}) {
      b.edit(b.nodes[i], "INSERT INTO part VALUES (7, 'a', 'b', 'w', 5, 1, 1)", 1);
    }
    for (const std::size_t i : {first, 1 - first}) (void)b.hand_over(b.nodes[i]);
    CHECK(b.text("SELECT n FROM part WHERE id = 7") == "10");
  }
}

}  // namespace csa
