// What the inbox tells people of a row, value by value.
#include <doctest/doctest.h>

#include "tests/support/away_bench.h"

namespace csa::merge_inbox_test {
namespace {

using test::MergeBench;

// Both sides change the row; the node's version of column v, as the inbox has it.
std::string told(const std::string& value) {
  MergeBench b(
      "CREATE TABLE \"a \"\"b\" (id INTEGER PRIMARY KEY, v, \"w\"\"\\\" TEXT);"
      "INSERT INTO \"a \"\"b\" VALUES (1, 'old', 'x')",
      1);
  b.edit(b.nodes[0], "UPDATE \"a \"\"b\" SET v = " + value, 1);
  b.master.write("UPDATE \"a \"\"b\" SET v = 'master'");
  (void)b.hand_over(b.nodes[0]);
  CHECK(b.text("SELECT key || base || broker FROM csa_conflicts") ==
        R"({"id":1}{"id":1,"v":"old","w\"\\":"x"}{"id":1,"v":"master","w\"\\":"x"})");
  CHECK(b.catch_up(b.nodes[0]) == "");
  const std::string row = b.text("SELECT node_row FROM csa_conflicts");
  const std::string before = R"({"id":1,"v":)";
  const std::string after = R"(,"w\"\\":"x"})";
  REQUIRE(row.starts_with(before));
  REQUIRE(row.ends_with(after));
  return row.substr(before.size(), row.size() - before.size() - after.size());
}

}  // namespace

TEST_CASE("merge: the inbox tells every kind of value as JSON") {
  CHECK(told("NULL") == "null");
  CHECK(told("-9223372036854775807 - 1") == "-9223372036854775808");
  CHECK(told("0.1") == "0.1");
  CHECK(told("3.0") == "3.0");
  CHECK(told("1e300") == "1e+300");
  CHECK(told("-9e999") == R"("-Infinity")");
  CHECK(told("x'00ff'") == R"({"base64":"AP8="})");
  CHECK(told("''") == R"("")");
  CHECK(told("' ~plain/'") == R"(" ~plain/")");
  CHECK(told("'12\" pipe'") == R"("12\" pipe")");
  CHECK(told("'a\\b'") == R"("a\\b")");
  CHECK(told("char(9)") == R"("\t")");
  CHECK(told("'schön'") == R"("schön")");
  CHECK(told("char(34, 92, 10, 1, 127)") == "\"\\\"\\\\\\n\\u0001\x7f\"");
  CHECK(told("CAST(x'61ff62' AS TEXT)") ==
        "\"a\xef\xbf\xbd"
        "b\"");
}

// What was kept of the node's row when the master's won, put back; and whether the JSON alone
// tells it.
bool comes_back(const std::string& value) {
  MergeBench b("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'old')", 1);
  b.edit(b.nodes[0], "UPDATE t SET v = " + value, 1);
  b.master.write("UPDATE t SET v = 'master'");
  (void)b.hand_over(b.nodes[0]);
  const bool by_json = b.text("SELECT length(rows) FROM csa_conflicts") == "0";
  CHECK(away_bench::restore(b, "1") == "");
  const std::string exactly = "SELECT typeof(v) || hex(v) || quote(v) FROM ";
  CHECK(b.text(exactly + "t") == b.text(exactly + "(SELECT " + value + " AS v)"));
  return by_json;
}

TEST_CASE("merge: what the inbox keeps comes back exactly, of whatever kind its values are") {
  for (const char* const value :
       {"NULL", "7", "-9223372036854775807 - 1", "9223372036854775807", "0.1", "3.0", "1e300",
        "1e15", "1e22", "4.9e-324", "0.1 + 0.2", "''", "'plain'", "'12'", "'a\"\\b'",
        "char(9, 10, 1, 127)", "'a' || char(0) || 'b'", "'schön ' || char(128512)"}) {
    CAPTURE(value);
    CHECK(comes_back(value));
  }
  for (const char* const value : {"9e999", "-9e999", "x'00ff'", "x''", "CAST(x'61ff62' AS TEXT)",
                                  "CAST(x'eda080' AS TEXT)"}) {
    CAPTURE(value);
    CHECK_FALSE(comes_back(value));
  }
}

}  // namespace csa::merge_inbox_test
