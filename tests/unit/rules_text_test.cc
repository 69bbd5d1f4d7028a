// Rules as people write them, and as create and adopt take them from a file.
#include "common/rules_text.h"

#include <doctest/doctest.h>

#include <fstream>

#include "broker/opening.h"
#include "tests/support/ledger_bench.h"

namespace csa::rules_text_test {

TEST_CASE("rules text: tables, columns, quotes and comments, one setting a line") {
  const auto rules = parse_rules(
      "# stock\n\npart merge  # all of it\r\n\tpart.qty   sum\n\"odd #.\"\"name\".\"a b\" max",
      "f");
  REQUIRE(rules.has_value());
  REQUIRE(rules->size() == 3);
  CHECK(rules->at(0).setting == RuleSetting{"part", "", "merge"});
  CHECK(rules->at(0).line == 3);
  CHECK(rules->at(1).setting == RuleSetting{"part", "qty", "sum"});
  CHECK(rules->at(2).setting == RuleSetting{"odd #.\"name", "a b", "max"});
  CHECK(rules->at(2).line == 5);
}

TEST_CASE("rules text: printed rules are read again, also names that need quotes") {
  for (const RuleSetting& rule :
       {RuleSetting{"part", "", "merge"}, RuleSetting{"my table", "c.d", "append"},
        RuleSetting{"a\"b", "#", "sum"}, RuleSetting{"\"", " x ", "max"}}) {
    CAPTURE(rule_text(rule));
    const auto again = parse_rules(rule_text(rule) + "\n", "f");
    REQUIRE(again.has_value());
    REQUIRE(again->size() == 1);
    CHECK(again->front().setting == rule);
  }
  CHECK(rule_text({"part", "qty", "sum"}) == "part.qty sum");
}

TEST_CASE("rules text: a byte order mark before the first rule is no part of it") {
  const auto rules = parse_rules("\xEF\xBB\xBFpart merge\r\n", "f");
  REQUIRE(rules.has_value());
  CHECK(rules->at(0).setting == RuleSetting{"part", "", "merge"});
}

TEST_CASE("rules text: what is no rule, the error names file and line") {
  for (const char* const bad : {"part", ".qty sum", "part. sum", "\"part sum", "a.b.c sum",
                                "\"\" sum", "\"a\"b sum", "\"a b\""}) {
    CAPTURE(bad);
    const auto rules = parse_rules("part merge\n" + std::string(bad), "shop.rules");
    REQUIRE(!rules.has_value());
    CHECK(rules.error().what.starts_with("shop.rules, line 2: "));
  }
}

TEST_CASE("rules: a rule with a quote or '#' in it is none, or it would be written as another") {
  for (const char* const text : {"part b\" ris#e", "part newe\"st", "part \"merge"}) {
    CAPTURE(text);
    const auto rules = parse_rules(text, "r");
    REQUIRE(!rules);
    CHECK(rules.error().what.starts_with("r, line 1: '"));
    CHECK(rules.error().what.find("quote") != std::string::npos);
  }
}

TEST_CASE("rules: two that contradict each other are refused, and both lines are named") {
  constexpr const char* kAgree =
      "part merge\npart atomic\nPART merge\npart.qty sum\nitem.qty max\n\"part\".qty sum";
  CHECK(parse_rules(kAgree, "r").value().size() == 6);
  struct Pair {
    const char* text;
    const char* said;
  };
  for (const Pair& pair :
       {Pair{"part merge\n# more\nPart newest", "r, line 3: 'Part newest' contradicts line 1"},
        Pair{"part atomic\npart merge\npart rowwise", "line 3: 'part rowwise' contradicts line 1"},
        Pair{"part.qty sum\npart.\"QTY\" max", "line 2: 'part.QTY max' contradicts line 1"}}) {
    const auto rules = parse_rules(pair.text, "r");
    REQUIRE(!rules.has_value());
    CHECK_MESSAGE(rules.error().what.find(pair.said) != std::string::npos, rules.error().what);
    CHECK(rules.error().what.ends_with("; keep one of them"));
  }
}

namespace {

const Randomness kFrom{[] { return random_id(); }, [] { return LocalTime{WallTime{1}}; }};

RulesFile file_of(const std::string& text) { return {"r", *parse_rules(text, "r")}; }

std::string kept(const std::string& path) {
  const Database db(path, Database::Mode::kReadOnly);
  return db
      .query_text(
          "SELECT group_concat(table_name || '.' || column_name || ' ' || rule, ';')"
          " FROM (SELECT * FROM csa_rule ORDER BY 1, 2, 3)")
      .value_or("");
}

}  // namespace

TEST_CASE("opening: create with rules, they are set; with wrong ones, no file is made") {
  const ScratchFolder folder;
  const DatabaseName name{folder.file("new.db"), "csa", "default"};
  const std::vector<std::string> schema{"CREATE TABLE part (id INTEGER PRIMARY KEY, qty INTEGER)"};
  const auto wrong = create(name, schema, kFrom, file_of("part merge\n\npart.size sum"));
  REQUIRE(!wrong.has_value());
  CHECK(wrong.error().what.starts_with("r, line 3: "));
  CHECK(!std::ifstream(name.path));
  REQUIRE(create(name, schema, kFrom, file_of("PART merge\npart.qty sum")).has_value());
  CHECK(kept(name.path) == "part. merge;part.qty sum");
}

TEST_CASE("opening: adopt with wrong rules, the file is as it was; with right ones, they are set") {
  const ScratchFolder folder;
  const DatabaseName name{folder.file("old.db"), "csa", "default"};
  Database(name.path, Database::Mode::kCreate)
      .exec("CREATE TABLE part (id INTEGER PRIMARY KEY, q)");
  const auto bytes = [&] {
    std::ifstream in(name.path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const std::string before = bytes();
  CHECK(!adopt(name, kFrom, file_of("part bogus")).has_value());
  CHECK(bytes() == before);
  REQUIRE(adopt(name, kFrom, file_of("part atomic")).has_value());
  CHECK(kept(name.path) == "part. atomic");
}

}  // namespace csa::rules_text_test
