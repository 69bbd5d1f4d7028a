// Full-text and spatial tables whose rows a migration has put into a table made anew, met by edits
// of before it.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/merge_bench.h"

namespace csa::merge_rebuilt_virtual_test {
namespace {

using test::MergeBench;

// One kind of table: rows are told apart by `id`, and show what they are in `name` and `value`.
struct RebuiltKind {
  const char* create;  // behind the table's name
  const char* id;
  const char* names;  // all columns but the id
  const char* rows;   // 1 to 4
  const char* edit;   // to what no row is
  const char* shown;  // of one row
  const char* edited;
  std::vector<std::string> before;
};

const RebuiltKind kRebuiltKinds[] = {
    {"USING fts5 (title, body)",
     "rowid",
     "title, body",
     "(1, 'one', 'a'), (2, 'two', 'b'), (3, 'three', 'c'), (4, 'four', 'd')",
     "body = 'edited'",
     "title || body",
     "twoedited",
     {"onea", "twob", "threec", "fourd"}},
    {"USING fts4 (title, body)",
     "rowid",
     "title, body",
     "(1, 'one', 'a'), (2, 'two', 'b'), (3, 'three', 'c'), (4, 'four', 'd')",
     "body = 'edited'",
     "title || body",
     "twoedited",
     {"onea", "twob", "threec", "fourd"}},
    {"USING rtree (id, x0, x1, +label)",
     "id",
     "x0, x1, label",
     "(1, 1, 2, 'a'), (2, 2, 3, 'b'), (3, 3, 4, 'c'), (4, 4, 5, 'd')",
     "x1 = 9",
     "label || CAST(x1 AS INTEGER)",
     "b9",
     {"a2", "b3", "c4", "d5"}},
};

std::string all_of(const std::vector<std::string>& rows) {
  std::string all;
  for (const std::string& row : rows) all += (all.empty() ? "" : ",") + row;
  return all;
}

struct RebuiltBench : MergeBench {
  explicit RebuiltBench(const RebuiltKind& of)
      : MergeBench("CREATE VIRTUAL TABLE page " + std::string(of.create) + "; INSERT INTO page (" +
                       of.id + ", " + of.names + ") VALUES " + of.rows,
                   2),
        kind(of) {}

  void migrate(const std::string& sql) {
    const WriteAnswer answer = master.run(master.migration(sql));
    const auto* const nack = std::get_if<Nack>(&answer);
    REQUIRE_MESSAGE(nack == nullptr, nack->message);
  }
  enum class Way : std::uint8_t { kRenamed, kCopied };  // the new table, or the rows
  // `which`: rows and their order, by their KEY.
  void rebuild(Way way, bool with_key, std::string which = {}) {
    const std::string key = way == Way::kCopied ? "key" : kind.id;
    for (auto at = which.find("KEY"); at != std::string::npos; at = which.find("KEY")) {
      which.replace(at, 3, key);
    }
    const std::string into = with_key ? std::string(kind.id) + ", " : "";
    const std::string from = with_key ? key + ", " : "";
    const std::string filled = std::string(kind.create) + "; INSERT INTO NAME (" + into +
                               kind.names + ") SELECT " + from + kind.names + " FROM OLD " + which;
    const auto made = [&](const std::string& name, const std::string& old) {
      std::string sql = "CREATE VIRTUAL TABLE " + name + " " + filled;
      sql.replace(sql.find("NAME"), 4, name);
      return sql.replace(sql.find("OLD"), 3, old);
    };
    if (way == Way::kRenamed) {
      return migrate(made("anew", "page") + "; DROP TABLE page; ALTER TABLE anew RENAME TO page");
    }
    migrate(std::string("CREATE TABLE old AS SELECT ") + kind.id + " AS key, " + kind.names +
            " FROM page; DROP TABLE page; " + made("page", "old") + "; DROP TABLE old");
  }
  [[nodiscard]] std::string rows() const {
    return text(std::string("SELECT group_concat(r) FROM (SELECT ") + kind.shown +
                " AS r FROM page ORDER BY " + kind.id + ")");
  }
  [[nodiscard]] std::string where(int id) const {
    return std::string(" WHERE ") + kind.id + " = " + std::to_string(id);
  }
  [[nodiscard]] std::string update(int id) const {
    return std::string("UPDATE page SET ") + kind.edit + where(id);
  }
  void check_parked(const std::vector<Replayed>& outcomes) {
    for (const Replayed& outcome : outcomes) {
      CHECK(outcome.result == ReplayResult::kParked);
      CHECK_MESSAGE(outcome.text.find("made anew") != std::string::npos, outcome.text);
    }
    for (Node& node : nodes) CHECK(catch_up(node) == "");
    CHECK(text("SELECT count(*) FROM csa_touch") == "0");
  }

  const RebuiltKind& kind;
};
using Way = RebuiltBench::Way;
constexpr Way kWays[] = {Way::kRenamed, Way::kCopied};

}  // namespace

TEST_CASE("merge: documents and places got other numbers in a rebuild, old edits are parked") {
  for (const RebuiltKind& kind : kRebuiltKinds) {
    for (const Way way : kWays) {
      CAPTURE(kind.create);
      CAPTURE(way);
      RebuiltBench b(kind);
      b.edit(b.nodes[0], b.update(2), 1'000'000'000'000'000);
      b.edit(b.nodes[0], "DELETE FROM page" + b.where(1), 1'000'000'000'000'000);
      b.rebuild(way, false, "ORDER BY KEY DESC");
      b.check_parked(b.hand_over(b.nodes[0]));
      CHECK(b.rows() == all_of({kind.before.rbegin(), kind.before.rend()}));
      CHECK(b.text("SELECT count(*) FROM csa_conflicts WHERE state = 'open'") == "2");
    }
  }
}

TEST_CASE("merge: documents and places kept their numbers in a rebuild, old edits are applied") {
  for (const RebuiltKind& kind : kRebuiltKinds) {
    for (const Way way : kWays) {
      CAPTURE(kind.create);
      CAPTURE(way);
      RebuiltBench b(kind);
      b.edit(b.nodes[0], b.update(2), 1);
      b.edit(b.nodes[0], "DELETE FROM page" + b.where(1), 2);
      b.rebuild(way, true);
      for (const Replayed& outcome : b.hand_over(b.nodes[0])) {
        CHECK_MESSAGE(outcome.result == ReplayResult::kApplied, outcome.text);
      }
      CHECK(b.rows() == all_of({kind.edited, kind.before[2], kind.before[3]}));
      CHECK(b.text("SELECT count(*) FROM csa_conflicts") == "0");
      for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
    }
  }
}

TEST_CASE("merge: a rebuild left out documents or places, rows as they were are edited alone") {
  for (const RebuiltKind& kind : kRebuiltKinds) {
    CAPTURE(kind.create);
    RebuiltBench b(kind);
    b.edit(b.nodes[0], b.update(2), 1);
    b.edit(b.nodes[0], b.update(3), 2);
    b.edit(b.nodes[0], "DELETE FROM page" + b.where(4), 3);
    b.edit(b.nodes[1], "DELETE FROM page" + b.where(1), 2000);
    b.rebuild(Way::kCopied, true, "WHERE KEY NOT IN (1, 3)");
    const std::vector<Replayed> outcomes = b.hand_over(b.nodes[0]);
    REQUIRE(outcomes.size() == 3);
    CHECK_MESSAGE(outcomes[0].result == ReplayResult::kApplied, outcomes[0].text);
    CHECK_MESSAGE(outcomes[2].result == ReplayResult::kApplied, outcomes[2].text);
    CHECK(b.hand_over(b.nodes[1]).size() == 1);
    CHECK(b.rows() == kind.edited);
    b.check_parked({outcomes[1]});
  }
}

TEST_CASE("merge: an edit later than another's and a rebuild's same rows meet by their times") {
  for (const RebuiltKind& kind : kRebuiltKinds) {
    CAPTURE(kind.create);
    RebuiltBench b(kind);
    b.edit(b.nodes[0], "DELETE FROM page" + b.where(2), 1);
    b.edit(b.nodes[1], b.update(2), 2000);
    (void)b.hand_over(b.nodes[1]);
    b.rebuild(Way::kCopied, true);
    const Replayed outcome = b.hand_over(b.nodes[0]).at(0);
    CHECK_MESSAGE(outcome.result == ReplayResult::kSuperseded, outcome.text);
    CHECK(b.rows() == all_of({kind.before[0], kind.edited, kind.before[2], kind.before[3]}));
    for (MergeBench::Node& node : b.nodes) CHECK(b.catch_up(node) == "");
  }
}

}  // namespace csa::merge_rebuilt_virtual_test
