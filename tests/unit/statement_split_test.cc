#include "node/statement_split.h"

#include <doctest/doctest.h>

using csa::StatementSplitter;

TEST_CASE("statement split: a statement is one call when its semicolon has come") {
  StatementSplitter splitter;
  splitter.feed("SELECT ';' ");
  CHECK(!splitter.next());
  CHECK(!splitter.empty());
  splitter.feed("; INSERT INTO t VALUES (1);\n");
  CHECK(splitter.next() == "SELECT ';' ;");
  CHECK(splitter.next() == " INSERT INTO t VALUES (1);");
  CHECK(!splitter.next());
  CHECK(splitter.empty());
}

TEST_CASE("statement split: BEGIN to COMMIT is one call without the two words") {
  StatementSplitter splitter;
  splitter.feed("begin immediate; UPDATE a SET b = 1;\n-- why\nUPDATE c SET d = 2; COMMIT;");
  const auto call = splitter.next();
  REQUIRE(call);
  CHECK(call->find("UPDATE a") != std::string::npos);
  CHECK(call->find("UPDATE c") != std::string::npos);
  CHECK(call->find("COMMIT") == std::string::npos);
  CHECK(call->find("begin") == std::string::npos);
}

TEST_CASE("statement split: a block that is rolled back is no call") {
  StatementSplitter splitter;
  splitter.feed("BEGIN; DELETE FROM t; ROLLBACK; SELECT 1;");
  CHECK(splitter.next() == " SELECT 1;");
}

TEST_CASE("statement split: a trigger's inner semicolons do not cut it") {
  StatementSplitter splitter;
  splitter.feed("CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM u; END;");
  CHECK(splitter.next() == "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM u; END;");
}

TEST_CASE("statement split: a last statement without semicolon is the rest") {
  StatementSplitter splitter;
  splitter.feed("SELECT 1");
  CHECK(!splitter.next());
  CHECK(splitter.rest() == "SELECT 1");
  CHECK(splitter.rest().empty());
  splitter.feed("  -- only a comment\n");
  CHECK(splitter.rest().empty());
  CHECK(splitter.empty());
}
