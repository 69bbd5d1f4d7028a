// Tables that csa-sub was asked for, found in the layout in force or told to be missing.
#include "tools/tail_tables.h"

#include <doctest/doctest.h>

#include "common/changeset.h"
#include "tools/tail.h"

namespace csa::tail_tables_test {
namespace {

struct Printed {
  std::vector<std::string> lines;
  Tail tail;
  explicit Printed(TailOptions options)
      : tail(std::move(options), [this](const std::string& line) { lines.push_back(line); }) {}
};

LogPiece piece(std::uint64_t seq, Bytes body, std::uint64_t version = 1) {
  LogPiece piece;
  piece.header.seq = Seq{seq};
  piece.header.hostname = "till";
  piece.header.schema_version = version;
  piece.header.size = body.size();
  piece.bytes = std::move(body);
  return piece;
}

Bytes inserted_into(const std::string& name, std::uint32_t columns) {
  ChangeEncoder encoder;
  Bytes body;
  RowChange change;
  change.table = encoder.table({name, false, columns, {0}, {}}, body);
  change.key = {std::int64_t{1}};
  change.new_values.assign(columns, Value{std::int64_t{2}});
  change.new_values[0] = std::nullopt;
  encoder.append(change, body);
  return body;
}

LogPiece migration(std::uint64_t seq, std::uint64_t version) {
  ChangeEncoder encoder;
  Bytes body;
  encoder.append(SchemaStatement{"-- whatever was done"}, body);
  LogPiece one = piece(seq, body, version);
  one.header.kind = EntryKind::kSchema;
  return one;
}

std::string tables_json(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    text += (text.empty() ? "{\"" : ",\"") + name + R"(":{"columns":["id","a"],"key":["id"]})";
  }
  return text + "}";
}

TailOptions only(std::set<std::string> tables) {
  TailOptions options;
  options.json = true;
  options.tables = std::move(tables);
  return options;
}

const std::vector<std::string> kVirtual = {
    "area_node",    "area_parent", "area_rowid",   "item",     "page_config",
    "page_content", "page_data",   "page_docsize", "page_idx", "page_remarks",
    "bare_config",  "bare_data",   "bare_idx"};

}  // namespace

TEST_CASE("tail: a name that no table has is told once, until one has it") {
  Printed p(only({"Itm\x1b"}));
  p.tail.on_layout({1, tables_json({"csa_rule", "item"})});
  p.tail.add({piece(1, inserted_into("item", 2)), piece(2, inserted_into("item", 2))});
  REQUIRE(p.tail.print());
  CHECK(p.lines.empty());
  CHECK(p.tail.take_notices() ==
        std::vector<std::string>{"schema version 1 has no table Itm\\x1b; nothing is printed of it "
                                 "until a migration makes one. Its tables: item."});
  p.tail.on_layout({2, tables_json({"item", "other"})});
  p.tail.on_layout({3, tables_json({"itm\\u001b"})});
  p.tail.add({migration(3, 1), migration(4, 2), piece(5, inserted_into("itm\x1b", 2), 3)});
  REQUIRE(p.tail.print());
  CHECK(p.lines.size() == 1);
  CHECK(p.tail.take_notices().empty());
}

TEST_CASE("tail: a name that no table has is told before the first entry comes") {
  Printed p(only({"prt"}));
  p.tail.begin_with(4);
  CHECK(p.tail.take_wanted() == 4);
  CHECK(!p.tail.take_wanted());
  p.tail.forget_wanted();
  CHECK(p.tail.take_wanted() == 4);
  CHECK(p.tail.take_notices().empty());
  p.tail.on_layout({4, tables_json({"part"})});
  CHECK(p.tail.take_notices().size() == 1);
  p.tail.add({piece(1, inserted_into("part", 2), 4)});
  REQUIRE(p.tail.print());
  CHECK(p.tail.take_notices().empty());
  Printed all(only({}));
  all.tail.begin_with(4);
  CHECK(!all.tail.take_wanted());
}

TEST_CASE("tail: a full-text table and an R*Tree are asked for by their own names") {
  const auto printed = [](const std::string& wanted) {
    Printed p(only({wanted}));
    p.tail.on_layout({1, tables_json(kVirtual)});
    for (std::size_t i = 0; i < kVirtual.size(); ++i) {
      p.tail.add({piece(i + 1, inserted_into(kVirtual[i], 2))});
    }
    REQUIRE(p.tail.print());
    std::string tables;
    for (const std::string& line : p.lines) {
      const std::size_t at = line.find(R"("table":")") + 9;
      tables += line.substr(at, line.find('"', at) - at) + " ";
    }
    for (const std::string& notice : p.tail.take_notices()) tables += notice;
    return tables;
  };
  CHECK(printed("Page") == "page_content ");
  CHECK(printed("area") == "area_node area_rowid ");
  CHECK(printed("page_docsize") == "page_docsize ");
  CHECK(printed("bare").starts_with("bare keeps no rows of its own"));
  CHECK(printed("pages").ends_with("Its tables: area, bare, item, page, page_remarks."));
}

TEST_CASE("tail: a migration that takes a table away, or its name, is told") {
  Printed p(only({"item", "page", "gone"}));
  p.tail.on_layout(
      {1, tables_json({"Gone", "item", "page_config", "page_content", "page_data", "page_idx"})});
  p.tail.on_layout({2, R"({"thing":{"columns":["id","a"],"key":["id"],"was":{"table":"Item"}},
    "sheet_config":{"columns":[],"key":[]},"sheet_data":{"columns":[],"key":[]},
    "sheet_idx":{"columns":[],"key":[]},
    "sheet_content":{"columns":[],"key":[],"was":{"table":"page_content"}}})"});
  p.tail.add({piece(1, inserted_into("item", 2)), migration(2, 1),
              piece(3, inserted_into("thing", 2), 2)});
  REQUIRE(p.tail.print());
  CHECK(p.lines.size() == 1);
  CHECK(p.tail.take_notices() ==
        std::vector<std::string>{
            "schema version 2 has no table gone any more; nothing is printed of it until a "
            "migration makes one. Its tables: sheet, thing.",
            "from schema version 2 on, the table item is named thing. Use --table thing to go on "
            "with it.",
            "from schema version 2 on, the table page is named sheet. Use --table sheet to go on "
            "with it."});
}

}  // namespace csa::tail_tables_test
