#include "tools/tail.h"

#include <doctest/doctest.h>

#include "common/changeset.h"

namespace csa::tail_test {
namespace {

ChangeTable item_table() { return {"item", false, 3, {0}, {}}; }

Bytes inserted(std::int64_t id, const char* name, std::int64_t qty) {
  ChangeEncoder encoder;
  Bytes body;
  const std::uint32_t table = encoder.table(item_table(), body);
  RowChange change;
  change.op = RowOp::kInsert;
  change.table = table;
  change.key = {id};
  change.new_values = {std::nullopt, Value{Text{name}}, Value{qty}};
  encoder.append(change, body);
  return body;
}

LogPiece piece(std::uint64_t seq, Bytes body, std::uint64_t version = 1) {
  LogPiece piece;
  piece.header.seq = Seq{seq};
  piece.header.hostname = "till";
  piece.header.schema_version = version;
  piece.header.size = body.size();
  piece.bytes = std::move(body);
  return piece;
}

LayoutReply layout(std::uint64_t version) {
  return {version, R"({"item":{"columns":["id","name","qty"],"key":["id"]}})"};
}

struct Printed {
  std::vector<std::string> lines;
  Tail tail;
  explicit Printed(TailOptions options)
      : tail(std::move(options), [this](const std::string& line) { lines.push_back(line); }) {}
};

TailOptions as_json() {
  TailOptions options;
  options.json = true;
  return options;
}

}  // namespace

TEST_CASE("tail: nothing is printed before the layout is known, and it is asked for once") {
  Printed p(as_json());
  p.tail.add({piece(1, inserted(7, "nut", 3))});
  REQUIRE(p.tail.print());
  CHECK(p.lines.empty());
  CHECK(p.tail.take_wanted() == 1);
  REQUIRE(p.tail.print());
  CHECK(!p.tail.take_wanted());
  p.tail.on_layout(layout(1));
  REQUIRE(p.tail.print());
  REQUIRE(p.lines.size() == 1);
  CHECK(p.lines[0].find(R"("table":"item","op":"insert","key":{"id":7},)"
                        R"("new":{"id":7,"name":"nut","qty":3})") != std::string::npos);
}

TEST_CASE("tail: an entry in pieces is printed as its rows become complete") {
  Printed p(as_json());
  p.tail.on_layout(layout(1));
  const Bytes body = inserted(7, "nut", 3);
  for (std::size_t i = 0; i < body.size(); ++i) {
    LogPiece part = piece(1, {body[i]});
    part.offset = i;
    part.header.size = body.size();
    p.tail.add({part});
    REQUIRE(p.tail.print());
    CHECK(p.lines.size() == (i + 1 == body.size() ? 1 : 0));
  }
}

TEST_CASE("tail: --since, --until and --count cut where they say") {
  TailOptions options = as_json();
  options.until = Seq{3};
  Printed until(options);
  until.tail.on_layout(layout(1));
  until.tail.skip_before(Seq{2});
  for (std::uint64_t seq = 1; seq <= 4; ++seq) until.tail.add({piece(seq, inserted(1, "a", 1))});
  REQUIRE(until.tail.print());
  CHECK(until.lines.size() == 2);
  CHECK(until.tail.done());
  options.until.reset();
  options.count = 1;
  Printed count(options);
  count.tail.on_layout(layout(1));
  for (std::uint64_t seq = 1; seq <= 4; ++seq) count.tail.add({piece(seq, inserted(1, "a", 1))});
  REQUIRE(count.tail.print());
  CHECK(count.lines.size() == 1);
  CHECK(count.tail.done());
}

TEST_CASE("tail: other tables and operations than asked for are left out") {
  TailOptions options = as_json();
  options.tables = {"other"};
  Printed tables(options);
  tables.tail.on_layout(layout(1));
  tables.tail.add({piece(1, inserted(1, "a", 1))});
  REQUIRE(tables.tail.print());
  CHECK(tables.lines.empty());
  options.tables.clear();
  options.ops = {"delete"};
  Printed ops(options);
  ops.tail.on_layout(layout(1));
  ops.tail.add({piece(1, inserted(1, "a", 1))});
  REQUIRE(ops.tail.print());
  CHECK(ops.lines.empty());
}

TEST_CASE("tail: a layout that does not fit gives made-up names rather than wrong ones") {
  Printed p(as_json());
  p.tail.on_layout({1, R"({"item":{"columns":["id","name"],"key":["id"]}})"});
  p.tail.add({piece(1, inserted(7, "nut", 3))});
  REQUIRE(p.tail.print());
  REQUIRE(p.lines.size() == 1);
  CHECK(p.lines[0].find(R"("column2":"nut")") != std::string::npos);
  CHECK(p.lines[0].find("qty") == std::string::npos);
}

TEST_CASE("tail: names and values of others are escaped in lines for people") {
  Printed p{TailOptions{}};
  p.tail.on_layout(layout(1));
  LogPiece evil = piece(1, inserted(7, "\x7f\xc2\x9b[2J", 3));
  evil.header.hostname = "till\x1b]0;x\a";
  p.tail.add({evil});
  REQUIRE(p.tail.print());
  REQUIRE(p.lines.size() == 1);
  CHECK(p.lines[0].find("name=\\x7f\\u009b[2J") != std::string::npos);
  CHECK(p.lines[0].find("till\\x1b]0;x\\x07") != std::string::npos);
}

TEST_CASE("tail: damaged changes are an error, not lines") {
  Printed p(as_json());
  p.tail.on_layout(layout(1));
  Bytes body = inserted(7, "nut", 3);
  body[1] ^= 0xFFU;
  p.tail.add({piece(1, body)});
  CHECK(!p.tail.print());
  CHECK(p.lines.empty());
}

namespace {

// The broker's answer names the columns of csa's own tables too.
LayoutReply own_layout() {
  return {1, R"({"item":{"columns":["id","name","qty"],"key":["id"]},
    "csa_inbox":{"columns":["first","last","decided","rows"],"key":["first"]},
    "csa_inbox_later":{"columns":["id","state","decided","row"],"key":["id"]},
    "csa_remap":{"columns":["before"],"key":["before"]}})"};
}

// What became of conflict 3; nothing: that column stays NULL.
void append_later(ChangeEncoder& encoder, Bytes& body, RowOp op,
                  const std::vector<std::optional<Value>>& values) {
  RowChange change;
  change.op = op;
  change.table = encoder.table({"csa_inbox_later", false, 4, {0}, {}}, body);
  change.key = {std::int64_t{3}};
  change.new_values = values;
  if (op == RowOp::kUpdate) {
    for (const std::optional<Value>& value : values) {
      change.old_values.push_back(value ? std::optional<Value>(Text{"before"}) : std::nullopt);
    }
  }
  encoder.append(change, body);
}

Bytes conflict_of(const std::string& table) {
  ChangeEncoder encoder;
  Bytes body;
  RowChange change;
  change.table = encoder.table({"csa_remap", false, 1, {0}, {}}, body);
  change.key = {std::int64_t{5}};
  change.new_values = {std::nullopt};
  encoder.append(change, body);
  change.table = encoder.table({"csa_inbox", false, 4, {0}, {}}, body);
  change.key = {std::int64_t{3}};
  change.new_values = {
      std::nullopt, std::int64_t{3},
      Text{R"([[")" + table + R"(","update","newest","broker","newer",null,1,0]])"},
      Text{R"([[0,{"id":7},{"a":1},null,null]])"}};
  encoder.append(change, body);
  append_later(encoder, body, RowOp::kInsert, {{}, Text{"restored"}, Null{}, Null{}});
  return body;
}

Bytes later(RowOp op, const std::vector<std::optional<Value>>& values) {
  ChangeEncoder encoder;
  Bytes body;
  append_later(encoder, body, op, values);
  return body;
}

Bytes dismissed() { return later(RowOp::kUpdate, {{}, Text{"dismissed"}, {}, {}}); }

}  // namespace

TEST_CASE("tail: a conflict decided and settled, lines of their own kind without bytes") {
  Printed p(as_json());
  p.tail.on_layout(own_layout());
  p.tail.add({piece(1, conflict_of("item"))});
  REQUIRE(p.tail.print());
  REQUIRE(p.lines.size() == 2);
  CHECK(p.lines[0].find(R"("op":"conflict","id":3,"table":"item","key":{"id":7},"change":"update",)"
                        R"("rule":"newest","decision":"broker","reason":"newer","base":{"a":1},)"
                        R"("broker":null,"node_row":null,"close":true,"state":"open"})") !=
        std::string::npos);
  CHECK(p.lines[1].find(R"("op":"conflict","id":3,"state":"restored"})") != std::string::npos);
  Printed people{TailOptions{}};
  people.tail.on_layout(own_layout());
  people.tail.add({piece(1, conflict_of("item"))});
  REQUIRE(people.tail.print());
  REQUIRE(people.lines.size() == 2);
  CHECK(people.lines[0].find("broker: newer  (csa-admin conflicts show 3)") != std::string::npos);
  CHECK(people.lines[1].ends_with("3 restored"));
}

TEST_CASE("tail: a conflict, shown with the table that it is about, and by its name as a row") {
  TailOptions options = as_json();
  options.tables = {"item"};
  Printed p(options);
  p.tail.on_layout(own_layout());
  p.tail.add({piece(1, conflict_of("item")), piece(2, conflict_of("other"))});
  REQUIRE(p.tail.print());
  REQUIRE(p.lines.size() == 2);
  CHECK(p.lines[0].find(R"("seq":1)") != std::string::npos);
  CHECK(p.lines[1].find(R"("state":"restored")") != std::string::npos);
  options.tables = {"csa_conflicts"};
  options.ops = {"insert"};
  Printed raw(options);
  raw.tail.on_layout(own_layout());
  raw.tail.add({piece(1, conflict_of("item"))});
  REQUIRE(raw.tail.print());
  REQUIRE(raw.lines.size() == 1);
  CHECK(raw.lines[0].find(R"("op":"insert")") != std::string::npos);
  options.tables = {};
  options.ops = {"update"};
  Printed none(options);
  none.tail.on_layout(own_layout());
  none.tail.add({piece(1, conflict_of("item"))});
  REQUIRE(none.tail.print());
  CHECK(none.lines.empty());
}

TEST_CASE("tail: what becomes of a conflict from before is shown with any table, of others not") {
  TailOptions options;
  options.tables = {"item"};
  Printed p(options);
  p.tail.on_layout(own_layout());
  p.tail.add({piece(1, dismissed())});
  REQUIRE(p.tail.print());
  REQUIRE(p.lines.size() == 1);
  CHECK(p.lines[0].ends_with("3 dismissed"));
  p.tail.add({piece(2, conflict_of("other")), piece(3, dismissed())});
  REQUIRE(p.tail.print());
  CHECK(p.lines.size() == 1);
}

TEST_CASE("tail: of a conflict that came again, the number and how to see it") {
  const Text decided{R"(["item","update","newest","broker","rule",null,0,0])"};
  const Text row{R"([0,{"id":7},null,null,{"a":2}])"};
  Printed p{TailOptions{}};
  p.tail.on_layout(own_layout());
  p.tail.add({piece(1, later(RowOp::kInsert, {{}, Text{"open"}, decided, row})),
              piece(2, later(RowOp::kUpdate, {{}, {}, {}, row}))});
  REQUIRE(p.tail.print());
  REQUIRE(p.lines.size() == 2);
  CHECK(p.lines[0].ends_with("3 again  broker: rule  (csa-admin conflicts show 3)"));
  CHECK(p.lines[1].ends_with("3 again    (csa-admin conflicts show 3)"));
}

TEST_CASE("tail: conflicts in one row of the inbox are lines of their own, damaged ones none") {
  const auto inbox = [](const std::string& decided, const std::string& rows) {
    ChangeEncoder encoder;
    Bytes body;
    RowChange change;
    change.table = encoder.table({"csa_inbox", false, 4, {0}, {}}, body);
    change.key = {std::int64_t{10}};
    change.new_values = {std::nullopt, std::int64_t{11}, Text{decided}, Text{rows}};
    encoder.append(change, body);
    return body;
  };
  const std::string decided = R"([["item","update","newest","broker","newer",null,0,0],)"
                              R"(["other","delete","newest","node","later",null,0,0]])";
  TailOptions options;
  options.count = 2;
  Printed p(options);
  p.tail.on_layout(own_layout());
  for (const char* const damaged :
       {"[[2,{},null,null,null]]", "[[0,1,null,null,null]]", "[7]", "{"}) {
    p.tail.add({piece(1, inbox(decided, damaged))});
  }
  const std::string row = R"(,{"id":7},null,null,null])";
  p.tail.add({piece(2, inbox(decided, "[[1" + row + ",[0" + row + ",[0" + row + "]"))});
  REQUIRE(p.tail.print());
  REQUIRE(p.lines.size() == 2);
  CHECK(p.lines[0].ends_with("node: later  (csa-admin conflicts show 10)"));
  CHECK(p.lines[1].ends_with("broker: newer  (csa-admin conflicts show 11)"));
}

TEST_CASE("tail: a table is asked for in any capitals, its conflicts too") {
  TailOptions options = as_json();
  options.tables = {"ITEM"};
  Printed p(options);
  p.tail.on_layout(own_layout());
  p.tail.add({piece(1, inserted(7, "nut", 3)), piece(2, conflict_of("Item"))});
  REQUIRE(p.tail.print());
  CHECK(p.lines.size() == 3);
  CHECK(p.tail.take_notices().empty());
  options.tables = {"CSA_Conflicts"};
  Printed view(options);
  view.tail.on_layout(own_layout());
  view.tail.add({piece(1, conflict_of("item"))});
  REQUIRE(view.tail.print());
  CHECK(view.lines.size() == 2);
  CHECK(view.tail.take_notices().empty());
}

}  // namespace csa::tail_test
