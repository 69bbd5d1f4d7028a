// Rules of merging through a migration: at the master, in its answer, and on a replica.
#include "broker/followed_rules.h"

#include <doctest/doctest.h>

#include "tests/support/merge_bench.h"

namespace csa::followed_rules_test {
namespace {

using test::MergeBench;

constexpr const char* kSchema = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, qty INTEGER, price INTEGER);
  CREATE TABLE bin (id INTEGER PRIMARY KEY, place TEXT, load INTEGER);
  INSERT INTO part VALUES (1, 'relay', 10, 5);
)";

const std::vector<RuleSetting> kRules = {{"part", "", "merge"},
                                         {"part", "", "atomic"},
                                         {"part", "qty", "sum"},
                                         {"bin", "", "manual"},
                                         {"bin", "load", "max"}};

struct Bench {
  MergeBench b;
  std::vector<std::string> told;  // by the last migration

  explicit Bench(const char* schema = kSchema, const std::vector<RuleSetting>& rules = kRules)
      : b(schema, 1) {
    (void)set(rules);
    CHECK(b.catch_up(b.nodes[0]) == "");
  }
  Ack set(const std::vector<RuleSetting>& rules) {
    return b.master.ack({Rules{TxId{b.master.node, ++b.master.counter}, rules}, "desk", 1});
  }
  // The rules after it, of master and replica.
  std::string migrate(const std::string& sql) {
    CAPTURE(sql);
    const Ack ack = b.master.ack(b.master.migration(sql));
    told.clear();
    for (const Row& row : ack.rows) told.push_back(std::get<Text>(row.at(0)).utf8);
    CHECK(b.catch_up(b.nodes[0]) == "");
    return rules();
  }
  [[nodiscard]] std::string rules() const {
    return b.text(
        "SELECT group_concat(table_name || iif(column_name = '', '', '.' || column_name) || ' ' ||"
        " rule, ', ') FROM (SELECT * FROM csa_rule ORDER BY 1, 2, 3)");
  }
};

constexpr const char* kAll = "bin manual, bin.load max, part atomic, part merge, part.qty sum";

}  // namespace

TEST_CASE("followed rules: a column is renamed, offline sums meet under its new name") {
  MergeBench b(kSchema, 2);
  const WriteJob rule{Rules{TxId{b.master.node, ++b.master.counter}, {{"part", "qty", "sum"}}},
                      "desk", 1};
  (void)b.master.ack(rule);
  (void)b.master.ack(b.master.migration("ALTER TABLE part RENAME COLUMN qty TO stock"));
  for (MergeBench::Node& node : b.nodes) {
    CHECK(b.catch_up(node) == "");
    b.edit(node, "UPDATE part SET stock = stock - 3 WHERE id = 1", 1);
  }
  for (MergeBench::Node& node : b.nodes) (void)b.hand_over(node);
  CHECK(b.text("SELECT stock FROM part") == "4");
}

TEST_CASE("followed rules: tables and columns renamed, the rules are theirs and it is told") {
  Bench bench;
  CHECK(bench.migrate("ALTER TABLE part RENAME COLUMN qty TO stock") ==
        "bin manual, bin.load max, part atomic, part merge, part.stock sum");
  CHECK(bench.told == std::vector<std::string>{"the rule part.qty sum is now that of part.stock"});
  CHECK(bench.b.master.lines.find("the rule part.qty sum is now that of part.stock") !=
        std::string::npos);
  CHECK(bench.migrate(
            "ALTER TABLE part RENAME TO piece; ALTER TABLE piece RENAME COLUMN stock TO n") ==
        "bin manual, bin.load max, piece atomic, piece merge, piece.n sum");
  CHECK(bench.told.size() == 3);
  // Two exchange their names.
  CHECK(bench.migrate("ALTER TABLE piece RENAME TO x; ALTER TABLE bin RENAME TO piece;"
                      "ALTER TABLE x RENAME TO bin") ==
        "bin atomic, bin merge, bin.n sum, piece manual, piece.load max");
  CHECK(bench.migrate("ALTER TABLE bin RENAME n TO x; ALTER TABLE bin RENAME price TO n;"
                      "ALTER TABLE bin RENAME x TO price") ==
        "bin atomic, bin merge, bin.price sum, piece manual, piece.load max");
}

TEST_CASE("followed rules: what was dropped takes its rules along and it is told") {
  Bench bench;
  CHECK(bench.migrate("ALTER TABLE part DROP COLUMN qty") ==
        "bin manual, bin.load max, part atomic, part merge");
  CHECK(bench.told == std::vector<std::string>{
                          "the rule part.qty sum is dropped: part.qty is not there any more"});
  CHECK(bench.migrate("DROP TABLE bin") == "part atomic, part merge");
  CHECK(bench.told.size() == 2);
  CHECK(bench.migrate("DROP TABLE part; CREATE TABLE other (id INTEGER PRIMARY KEY, qty)") == "-");
}

TEST_CASE("followed rules: nothing that a rule speaks of changes, nothing is told") {
  Bench bench;
  CHECK(bench.migrate("ALTER TABLE part ADD COLUMN note TEXT; CREATE INDEX by_qty ON part (qty);"
                      "CREATE TABLE more (id INTEGER PRIMARY KEY, qty); DROP TABLE more") == kAll);
  CHECK(bench.told.empty());
}

TEST_CASE("followed rules: a table built anew under its name keeps its rules") {
  for (const char* const rebuild :
       {"CREATE TABLE fresh (id INTEGER PRIMARY KEY, qty INTEGER, name TEXT);"
        "INSERT INTO fresh SELECT id, qty, name FROM part; DROP TABLE part;"
        "ALTER TABLE fresh RENAME TO part",
        "ALTER TABLE part RENAME TO old; CREATE TABLE part (id INTEGER PRIMARY KEY, qty INTEGER);"
        "INSERT INTO part SELECT id, qty FROM old; DROP TABLE old",
        "ALTER TABLE part RENAME TO old; CREATE TABLE part (id INTEGER PRIMARY KEY, qty INTEGER);"
        "INSERT INTO part SELECT id, qty FROM old",
        "ALTER TABLE part RENAME TO old; CREATE TABLE fresh (id INTEGER PRIMARY KEY, qty INTEGER);"
        "INSERT INTO fresh SELECT id, qty FROM old; ALTER TABLE fresh RENAME TO part",
        "DROP TABLE part; CREATE TABLE Part (id INTEGER PRIMARY KEY, qty INTEGER);"
        "ALTER TABLE part RENAME TO x; ALTER TABLE x RENAME TO part",
        "ALTER TABLE part RENAME COLUMN qty TO old; ALTER TABLE part ADD COLUMN qty INTEGER;"
        "UPDATE part SET qty = old; ALTER TABLE part DROP COLUMN old",
        "ALTER TABLE part ADD COLUMN fresh INTEGER; ALTER TABLE part RENAME COLUMN qty TO old;"
        "ALTER TABLE part RENAME COLUMN fresh TO qty"}) {
    CAPTURE(std::string(rebuild));
    Bench bench;
    CHECK(bench.migrate(rebuild) == kAll);
    CHECK(bench.told.empty());
  }
}

TEST_CASE("followed rules: a table is built anew and a column of it renamed, the rule follows") {
  constexpr const char* kStock =
      "bin manual, bin.load max, part atomic, part merge, part.stock sum";
  for (const char* const rebuild :
       {"ALTER TABLE part RENAME COLUMN qty TO stock;"
        "CREATE TABLE fresh (id INTEGER PRIMARY KEY, stock INTEGER);"
        "DROP TABLE part; ALTER TABLE fresh RENAME TO part",
        "CREATE TABLE fresh (id INTEGER PRIMARY KEY, qty INTEGER); DROP TABLE part;"
        "ALTER TABLE fresh RENAME TO part; ALTER TABLE part RENAME COLUMN qty TO stock"}) {
    CAPTURE(std::string(rebuild));
    Bench bench;
    CHECK(bench.migrate(rebuild) == kStock);
    CHECK(bench.told.size() == 1);
  }
  Bench bench;
  CHECK(bench.migrate("CREATE TABLE fresh (id INTEGER PRIMARY KEY, stock INTEGER);"
                      "DROP TABLE part; ALTER TABLE fresh RENAME TO part") ==
        "bin manual, bin.load max, part atomic, part merge");
}

TEST_CASE("followed rules: a table of its own rules takes a dropped one's name, its own stand") {
  Bench bench;
  CHECK(bench.migrate("DROP TABLE bin; ALTER TABLE part RENAME TO bin;"
                      "ALTER TABLE bin RENAME COLUMN price TO load") ==
        "bin atomic, bin merge, bin.load max, bin.qty sum");
  CHECK(bench.told.back() == "the rule bin manual is dropped: bin has one of its own");
  Bench columns(kSchema, {{"part", "qty", "sum"}, {"part", "price", "max"}});
  CHECK(columns.migrate("ALTER TABLE part DROP COLUMN price;"
                        "ALTER TABLE part RENAME COLUMN qty TO price") == "part.price sum");
}

TEST_CASE("followed rules: virtual tables are renamed and dropped") {
  Bench bench(
      "CREATE VIRTUAL TABLE page USING fts5 (body); CREATE VIRTUAL TABLE area USING rtree (id, a, "
      "b);"
      "CREATE VIRTUAL TABLE gone USING fts4 (body)",
      {{"page", "", "manual"}, {"area", "b", "max"}, {"gone", "", "node"}});
  CHECK(bench.migrate("ALTER TABLE page RENAME TO sheet; ALTER TABLE area RENAME TO place;"
                      "DROP TABLE gone") == "place.b max, sheet manual");
}

TEST_CASE("followed rules: a migration that fails leaves them as they are") {
  Bench bench;
  (void)bench.b.master.nack(
      bench.b.master.migration("ALTER TABLE part RENAME TO piece; SELECT nonsense"));
  CHECK(bench.rules() == kAll);
}

TEST_CASE("followed rules: a rule whose table or column is gone, taken away and by a migration") {
  Bench bench;
  bench.b.master.ledger.reset();
  {
    const Database db(bench.b.master.path, Database::Mode::kReadWrite);
    db.exec(
        "DELETE FROM csa_rule; INSERT INTO csa_rule VALUES ('gone', '', 'atomic'),"
        " ('gone', 'n', 'sum'), ('part', 'old', 'sum'), ('lost', '', 'merge')");
  }
  bench.b.master.open();
  (void)bench.set({{"GONE", "", "rowwise"}, {"gone", "N", "table"}, {"part", "old", "table"}});
  CHECK(bench.rules() == "lost merge");
  const Ack ack = bench.b.master.ack(bench.b.master.migration("CREATE TABLE more (a)"));
  CHECK(ack.rows.size() == 1);
  CHECK(bench.rules() == "-");
  const WriteJob again{
      Rules{TxId{bench.b.master.node, ++bench.b.master.counter}, {{"gone", "n", "table"}}}, "desk",
      1};
  CHECK(bench.b.master.nack(again).message.find("no table gone") != std::string::npos);
}

}  // namespace csa::followed_rules_test
