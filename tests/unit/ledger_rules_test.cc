// RULES and CONFLICT at the master: validated, all or none, once, and in the log for every replica.
#include "broker/ledger_rules.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "broker/merge_inbox.h"
#include "tests/support/ledger_bench.h"

namespace csa::ledger_rules_test {
namespace {

using test::LedgerBench;

constexpr const char* kSchema =
    "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, qty INTEGER CHECK"
    " (qty >= 0), note TEXT);"
    "CREATE TABLE bin (part INTEGER NOT NULL REFERENCES part (id), place TEXT);"
    "INSERT INTO part VALUES (1, 'relay', 10, 'a'), (2, 'fuse', 5, NULL);";

WriteJob rules(LedgerBench& bench, std::vector<RuleSetting> list, bool replace = false) {
  return {Rules{TxId{bench.node, ++bench.counter}, std::move(list), replace}, "desk",
          bench.counter};
}

WriteJob conflict(LedgerBench& bench, std::int64_t id, ConflictVerb verb) {
  return {Conflict{TxId{bench.node, ++bench.counter}, id, verb}, "desk", bench.counter};
}

std::string text_of(const std::vector<Row>& rows) {
  std::string text;
  for (const Row& row : rows) {
    for (const Value& value : row) text += std::get<Text>(value).utf8 + " ";
    text += "; ";
  }
  return text;
}

std::string one(const LedgerBench& bench, const std::string& sql) {
  const Database db(bench.path, Database::Mode::kReadOnly);
  return db.query_text(sql).value_or("-");
}

// Puts a conflict into the inbox as a merge does.
void lose(LedgerBench& bench, const std::string& table, const std::string& decision,
          std::vector<std::optional<Row>> versions) {
  bench.ledger.reset();
  {
    const Database db(bench.path, Database::Mode::kReadWrite);
    Inbox inbox(db);
    ConflictRow row;
    const bool part = table == "part";
    row.columns = part ? std::vector<std::string>{"id", "name", "qty", "note"}
                       : std::vector<std::string>{"part", "place"};
    row.key_columns = {part ? "id" : "rowid"};
    row.identity = {table, {std::int64_t{1}}, false};
    row.op = "update";
    row.rule = "newest";
    row.decision = decision;
    row.reason = "the later edit wins";
    row.base = versions.at(0);
    row.broker = versions.at(1);
    row.node = versions.at(2);
    const ConflictOrigin origin{TxId{bench.node, 90}, 90, "till", WallTime{5}, Seq{1}, WallTime{6}};
    inbox.add(row, origin);
    inbox.store(origin);
  }
  bench.open();
}

Row part(std::int64_t qty, const std::string& name = "relay") {
  return {std::int64_t{1}, Text{name}, qty, Text{"a"}};
}

}  // namespace

TEST_CASE("ledger: rules are set, spelled as the schema does and told back") {
  LedgerBench bench(kSchema);
  Ack ack = bench.ack(rules(bench, {{"PART", "QTY", "sum"}, {"part", "", "merge"}}));
  CHECK(ack.changes == 2);
  CHECK(text_of(ack.rows) == "part  merge ; part qty sum ; ");
  const Seq seq = ack.seq;
  ack = bench.ack(rules(bench, {{"part", "", "atomic"}, {"part", "qty", "max"}}));
  CHECK(ack.seq == seq.next());
  CHECK(text_of(ack.rows) == "part  atomic ; part  merge ; part qty max ; ");
  ack = bench.ack(rules(bench, {{"part", "", "rowwise"}, {"part", "qty", "table"}}));
  CHECK(text_of(ack.rows) == "part  merge ; ");
  ack = bench.ack(rules(bench, {{"bin", "", "manual"}}, true));
  CHECK(text_of(ack.rows) == "bin  manual ; ");
  CHECK(bench.replay_difference() == "");
}

TEST_CASE("ledger: rules that hold already, nothing is logged") {
  LedgerBench bench(kSchema);
  const Ack first = bench.ack(rules(bench, {{"part", "qty", "sum"}}));
  const CommitResult again = bench.ledger->commit({rules(bench, {{"part", "qty", "sum"}})});
  CHECK(again.pieces.empty());
  CHECK(std::get<Ack>(again.outcomes.at(0).answer).changes == 0);
  CHECK(again.head.seq == first.seq);
}

TEST_CASE("ledger: rules under the same TxId again, the first outcome") {
  LedgerBench bench(kSchema);
  const WriteJob job = rules(bench, {{"part", "qty", "sum"}});
  const Ack first = bench.ack(job);
  CHECK(bench.ack(rules(bench, {{"part", "qty", "max"}})).seq == first.seq.next());
  const Ack repeated = bench.ack(job);
  CHECK(repeated.repeated);
  CHECK(repeated.seq == first.seq);
  CHECK(one(bench, "SELECT rule FROM csa_rule") == "max");
}

TEST_CASE("ledger: a rule that cannot be, none of them is set and the reason is said") {
  LedgerBench bench(kSchema);
  const struct {
    RuleSetting setting;
    const char* reason;
  } kBad[] = {{{"parts", "", "merge"}, "no table parts"},
              {{"csa_rule", "", "merge"}, "no table csa_rule"},
              {{"sqlite_schema", "", "merge"}, "no table sqlite_schema"},
              {{"part", "colour", "sum"}, "no such column"},
              {{"part", "", "sum"}, "no rule of a table"},
              {{"part", "qty", "merge"}, "no rule of a column"},
              {{"part", "name", "sum"}, "holds text"},
              {{"part", "qty", "append"}, "holds numbers"},
              {{"part", "id", "max"}, "part of the key"}};
  for (const auto& bad : kBad) {
    const Nack why = bench.nack(rules(bench, {{"bin", "", "node"}, bad.setting}));
    CAPTURE(why.message);
    CHECK(why.message.find(bad.reason) != std::string::npos);
    CHECK(why.statement == 1);
  }
  CHECK(one(bench, "SELECT count(*) FROM csa_rule") == "0");
}

TEST_CASE("ledger: rules of virtual tables, by what can be merged in them") {
  LedgerBench bench(
      "CREATE VIRTUAL TABLE page USING fts5 (title, body);"
      "CREATE VIRTUAL TABLE old USING fts4 (body); CREATE VIRTUAL TABLE area USING rtree (id, a, "
      "b);"
      "CREATE TABLE part (id INTEGER PRIMARY KEY, name);"
      "CREATE VIRTUAL TABLE search USING fts5 (name, content = 'part', content_rowid = 'id');"
      "CREATE VIRTUAL TABLE bare USING fts5 (name, content = '');"
      "CREATE VIEW names AS SELECT name FROM part");
  const Ack ack = bench.ack(rules(
      bench,
      {{"PAGE", "", "manual"}, {"old", "", "atomic"}, {"area", "", "node"}, {"area", "B", "max"}}));
  CHECK(text_of(ack.rows) == "area  node ; area b max ; old  atomic ; page  manual ; ");
  CHECK(bench.replay_difference() == "");
  const struct {
    RuleSetting setting;
    const char* reason;
  } kBad[] = {{{"page", "", "merge"}, "replaces the whole row"},
              {{"page", "body", "append"}, "replaces the whole row"},
              {{"page", "", "sum"}, "no rule of a table"},
              {{"page_content", "", "node"}, "inside a virtual table"},
              {{"area_rowid", "", "node"}, "inside a virtual table"},
              {{"area", "", "merge"}, "replaces the whole row"},
              {{"area", "b", "newest"}, "for columns sum"},
              {{"area", "id", "max"}, "part of the key"},
              {{"area", "c", "max"}, "no such column"},
              {{"search", "", "node"}, "set that one's rules"},
              {{"bare", "", "node"}, "no rows of its own"},
              {{"names", "", "node"}, "no table names"}};
  for (const auto& bad : kBad) {
    const Nack why = bench.nack(rules(bench, {bad.setting}));
    CAPTURE(why.message);
    CHECK(why.message.find(bad.reason) != std::string::npos);
  }
}

TEST_CASE("ledger: the loser restored, a new write in the log") {
  LedgerBench bench(kSchema);
  lose(bench, "part", "broker", {part(9), part(10), part(7)});
  const CommitResult result = bench.ledger->commit({conflict(bench, 1, ConflictVerb::kRestore)});
  CHECK(std::get<Ack>(result.outcomes.at(0).answer).changes == 1);
  CHECK(result.pieces.size() == 1);
  CHECK(one(bench, "SELECT qty FROM part WHERE id = 1") == "7");
  CHECK(one(bench, "SELECT state FROM csa_conflicts") == "restored");
  const Nack again = bench.nack(conflict(bench, 1, ConflictVerb::kRestore));
  CHECK(again.message.find("restored already") != std::string::npos);
}

TEST_CASE("ledger: the master's version lost, that one is restored") {
  LedgerBench bench(kSchema);
  lose(bench, "part", "node", {part(9), part(3), part(10)});
  CHECK(bench.ack(conflict(bench, 1, ConflictVerb::kRestore)).changes == 1);
  CHECK(one(bench, "SELECT qty FROM part WHERE id = 1") == "3");
}

TEST_CASE("ledger: a lost deletion restored, the row goes") {
  LedgerBench bench(kSchema);
  lose(bench, "part", "broker", {part(9), part(10), std::nullopt});
  CHECK(bench.ack(conflict(bench, 1, ConflictVerb::kRestore)).changes == 1);
  CHECK(one(bench, "SELECT count(*) FROM part WHERE id = 1") == "0");
}

TEST_CASE("ledger: a deleted row restored, it comes back under its key") {
  LedgerBench bench(kSchema);
  lose(bench, "bin", "broker",
       {Row{std::int64_t{1}, Text{"x"}}, std::nullopt, Row{std::int64_t{1}, Text{"y"}}});
  CHECK(bench.ack(conflict(bench, 1, ConflictVerb::kRestore)).changes == 1);
  CHECK(one(bench, "SELECT rowid || place FROM bin") == "1y");
}

TEST_CASE("ledger: a restore that no longer fits, refused and nothing changes") {
  const auto refused = [](const char* before, std::optional<Row> loser, const char* reason) {
    LedgerBench bench(std::string(kSchema) + before);
    lose(bench, "part", "broker", {part(9), part(10), std::move(loser)});
    const Nack why = bench.nack(conflict(bench, 1, ConflictVerb::kRestore));
    CAPTURE(why.message);
    CHECK(why.message.find(reason) != std::string::npos);
    CHECK(one(bench, "SELECT state FROM csa_conflicts") == "open");
    CHECK(one(bench, "SELECT qty FROM part WHERE id = 1") == "10");
  };
  refused("", part(-1), "CHECK");
  refused("", part(3, "fuse"), "UNIQUE");
  refused("INSERT INTO bin VALUES (1, 'shelf');", std::nullopt, "rows of table bin refer to it");
}

TEST_CASE("ledger: a conflict dismissed, marked once") {
  LedgerBench bench(kSchema);
  lose(bench, "part", "broker", {part(9), part(10), part(7)});
  const Ack first = bench.ack(conflict(bench, 1, ConflictVerb::kDismiss));
  CHECK(one(bench, "SELECT state FROM csa_conflicts") == "dismissed");
  CHECK(one(bench, "SELECT qty FROM part WHERE id = 1") == "10");
  CHECK(bench.ack(conflict(bench, 1, ConflictVerb::kDismiss)).seq == first.seq);
  CHECK(bench.nack(conflict(bench, 7, ConflictVerb::kDismiss)).message.find("no conflict 7") !=
        std::string::npos);
}

TEST_CASE("ledger: the inbox shown, from an id on and within an answer's size") {
  LedgerBench bench(kSchema);
  bench.options.rows_max = 4000;
  for (int i = 0; i < 8; ++i) {
    const std::string decision = "broker" + std::to_string(i);
    lose(bench, "part", decision, {part(9), part(10), part(7, std::string(200, 'x'))});
  }
  std::int64_t next = 1;
  std::vector<std::int64_t> seen;
  int answers = 0;
  while (true) {
    const Ack ack = bench.ack(conflict(bench, next, ConflictVerb::kShow));
    if (ack.rows.empty()) break;
    for (const Row& row : ack.rows) seen.push_back(std::get<std::int64_t>(row.at(0)));
    next = seen.back() + 1;
    ++answers;
  }
  CHECK(seen == std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8});
  CHECK(answers > 1);
}

}  // namespace csa::ledger_rules_test
