#include "node/statement_split.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace csa::statement_split_test {
namespace {

SqlCall runs(std::string sql) { return {SqlCall::Kind::kRun, std::move(sql)}; }

}  // namespace

TEST_CASE("statement split: a statement is one call when its semicolon has come") {
  StatementSplitter splitter;
  splitter.feed("SELECT ';' ");
  CHECK(!splitter.next());
  CHECK(!splitter.empty());
  splitter.feed("; INSERT INTO t VALUES (1);\n");
  CHECK(splitter.next() == runs("SELECT ';' ;"));
  CHECK(splitter.next() == runs(" INSERT INTO t VALUES (1);"));
  CHECK(!splitter.next());
  CHECK(splitter.empty());
}

TEST_CASE("statement split: BEGIN to COMMIT is one call without the two words") {
  StatementSplitter splitter;
  splitter.feed("begin immediate; UPDATE a SET b = 1;\n-- why\nUPDATE c SET d = 2; COMMIT;");
  const auto call = splitter.next();
  REQUIRE(call);
  CHECK(call->sql.find("UPDATE a") != std::string::npos);
  CHECK(call->sql.find("UPDATE c") != std::string::npos);
  CHECK(call->sql.find("COMMIT") == std::string::npos);
  CHECK(call->sql.find("begin") == std::string::npos);
}

TEST_CASE("statement split: a block that is rolled back, empty or left open is answered, not run") {
  StatementSplitter splitter;
  splitter.feed("BEGIN; DELETE FROM t; ROLLBACK; SELECT 1; BEGIN; COMMIT; BEGIN; DELETE FROM t;");
  CHECK(splitter.next() == SqlCall{SqlCall::Kind::kRolledBack, ""});
  CHECK(splitter.next() == runs(" SELECT 1;"));
  CHECK(splitter.next() == runs(""));
  CHECK(!splitter.next());
  CHECK(splitter.rest() == SqlCall{SqlCall::Kind::kUnfinished, ""});
  CHECK(!splitter.rest());
  CHECK(splitter.empty());
}

TEST_CASE("statement split: a trigger's inner semicolons do not cut it") {
  StatementSplitter splitter;
  splitter.feed("CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM u; END;");
  CHECK(splitter.next() == runs("CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM u; END;"));
}

TEST_CASE("statement split: a last statement without semicolon is the rest") {
  StatementSplitter splitter;
  splitter.feed("SELECT 1");
  CHECK(!splitter.next());
  CHECK(splitter.rest() == runs("SELECT 1"));
  CHECK(!splitter.rest());
  splitter.feed("  -- only a comment\n");
  CHECK(!splitter.rest());
  CHECK(splitter.empty());
}

TEST_CASE("statement split: semicolons in strings, names and comments, however the text comes") {
  const std::string text =
      "SELECT ';', \"a;b\", `c;`, [d;'] -- e; '\n, 1 /* f; ' */ - 2 / 3 * 4;"
      "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; SELECT ';'; END;";
  const std::size_t first = text.find("CREATE");
  for (std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{7}, text.size()}) {
    CAPTURE(step);
    StatementSplitter splitter;
    std::vector<SqlCall> calls;
    for (std::size_t at = 0; at < text.size(); at += step) {
      splitter.feed(text.substr(at, step));
      while (auto call = splitter.next()) calls.push_back(std::move(*call));
    }
    CHECK(calls == std::vector{runs(text.substr(0, first)), runs(text.substr(first))});
    CHECK(splitter.empty());
  }
}

// Looking at the whole again for each semicolon would take hours.
TEST_CASE("statement split: a long text takes no longer for its semicolons") {
  StatementSplitter splitter;
  const std::string literal(2'000'000, ';');
  for (std::size_t at = 0; at < literal.size(); at += 1000) {
    splitter.feed(at == 0 ? "SELECT '" : "");
    splitter.feed(literal.substr(at, 1000));
    CHECK(!splitter.next().has_value());
  }
  CHECK(!splitter.too_long());
  splitter.feed("';");
  CHECK(splitter.next() == runs("SELECT '" + literal + "';"));
  std::string many;
  for (int i = 0; i < 200'000; ++i) many += "SELECT 1;\n";
  splitter.feed(many);
  int found = 0;
  while (splitter.next()) ++found;
  CHECK(found == 200'000);
}

TEST_CASE("statement split: more than a write may have is told before its end") {
  StatementSplitter splitter;
  splitter.feed("BEGIN;\n");
  const std::string insert = "INSERT INTO t VALUES ('" + std::string(1'000'000, 'x') + "');\n";
  for (int i = 0; i < 3; ++i) {
    splitter.feed(insert);
    CHECK(!splitter.next().has_value());
    CHECK(!splitter.too_long());
  }
  splitter.feed(insert);
  CHECK(!splitter.next().has_value());
  CHECK(splitter.too_long());
}

}  // namespace csa::statement_split_test
