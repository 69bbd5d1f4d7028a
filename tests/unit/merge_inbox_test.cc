// What the inbox tells people of a row, value by value.
#include <doctest/doctest.h>

#include "tests/support/merge_bench.h"

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

}  // namespace csa::merge_inbox_test
