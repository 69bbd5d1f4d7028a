#include "node/statement_split.h"

#include <doctest/doctest.h>

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

}  // namespace csa::statement_split_test
