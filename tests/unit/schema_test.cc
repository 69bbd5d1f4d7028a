#include "common/schema.h"

#include <doctest/doctest.h>

namespace csa::schema_test {
namespace {

Database make(const std::string& sql) {
  Database db(":memory:", Database::Mode::kCreate);
  db.exec(sql);
  return db;
}

TableInfo info_of(const std::string& sql, const std::string& table = "t") {
  const Database db = make(sql);
  std::optional<TableInfo> info = table_info(db, table);
  REQUIRE(info.has_value());
  return *info;
}

using Positions = std::vector<std::uint32_t>;

}  // namespace

TEST_CASE("schema: classes of tables, by name in any case") {
  CHECK(table_class("t") == TableClass::kApplication);
  CHECK(table_class("CSA_Log") == TableClass::kDerived);
  CHECK(table_class("csa_private") == TableClass::kPrivate);
  CHECK(table_class("csa_rule") == TableClass::kShared);
  CHECK(table_class("sqlite_sequence") == TableClass::kSqlite);
  CHECK(table_class("csa_mine") == TableClass::kApplication);
}

TEST_CASE("schema: shapes of keys, physical and declared key") {
  CHECK(info_of("CREATE TABLE t(a, b)").rowid_name == "rowid");
  CHECK(info_of("CREATE TABLE t(RowID TEXT, b)").rowid_name == "_rowid_");
  CHECK(info_of("CREATE TABLE t(rowid, oid, _rowid_ AS (1))").rowid_name.empty());
  const TableInfo alias = info_of("CREATE TABLE t(a, id INTEGER PRIMARY KEY)");
  CHECK(alias.rowid_name == "id");
  CHECK(alias.change_table.key_columns == Positions{1});
  CHECK(alias.change_table.declared_key.empty());
  CHECK(!alias.autoincrement);
  const TableInfo descending = info_of("CREATE TABLE t(a, id INTEGER PRIMARY KEY DESC)");
  CHECK(descending.rowid_name == "rowid");
  CHECK(descending.change_table.declared_key == Positions{1});
  CHECK(info_of("CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT)").autoincrement);
  const TableInfo without =
      info_of("CREATE TABLE t(a AS (b), b, c, PRIMARY KEY(c, b)) WITHOUT ROWID");
  CHECK(without.change_table.without_rowid);
  CHECK(without.change_table.column_count == 2);
  CHECK(without.change_table.key_columns == Positions{1, 0});
}

TEST_CASE("schema: affinities as SQLite decides them") {
  const TableInfo info = info_of(
      "CREATE TABLE t(a, b INT, c VARCHAR, d REAL, e DOUBLE, f NUMERIC, g BLOB, h ANY, "
      "i CHARINT, j FLOATING, k DATE)");
  const std::vector<Affinity> expected = {Affinity::kBlob, Affinity::kInteger, Affinity::kText,
                                          Affinity::kReal, Affinity::kReal,    Affinity::kNumeric,
                                          Affinity::kBlob, Affinity::kNumeric, Affinity::kInteger,
                                          Affinity::kReal, Affinity::kNumeric};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK(info.columns[i].affinity == expected[i]);
  }
  CHECK(info_of("CREATE TABLE t(a ANY) STRICT").columns[0].untyped);
}

TEST_CASE("schema: tables that the hook lies about are odd") {
  CHECK(info_of("CREATE TABLE t(v AS (1), id INTEGER PRIMARY KEY)").odd);
  CHECK(info_of("CREATE TABLE t(r REAL, k PRIMARY KEY) WITHOUT ROWID").odd);
  CHECK(!info_of("CREATE TABLE t(id INTEGER PRIMARY KEY, v AS (1), r REAL)").odd);
  CHECK(!info_of("CREATE TABLE t(k PRIMARY KEY, r REAL) WITHOUT ROWID").odd);
}

TEST_CASE("schema: views, virtual tables and other names are no tables") {
  const Database db =
      make("CREATE VIEW v AS SELECT 1; CREATE VIRTUAL TABLE f USING fts5(x); CREATE TABLE t(a)");
  CHECK(!table_info(db, "v"));
  CHECK(!table_info(db, "f"));
  CHECK(!table_info(db, "nowhere"));
  CHECK(table_info(db, "f_data"));
  const std::vector<std::string> tables = shared_tables(db);
  CHECK(tables ==
        std::vector<std::string>{"f_config", "f_content", "f_data", "f_docsize", "f_idx", "t"});
}

TEST_CASE("schema: fingerprint, same for the same schema, other for any change, blind to csa_") {
  const Database a = make("CREATE TABLE t(a); CREATE INDEX i ON t(a)");
  const Database b = make("CREATE TABLE csa_log(x); CREATE TABLE t(a); CREATE INDEX i ON t(a)");
  const Database c = make("CREATE TABLE t(a); CREATE INDEX i ON t(a DESC)");
  CHECK(schema_fingerprint(a) == schema_fingerprint(b));
  CHECK(schema_fingerprint(a) != schema_fingerprint(c));
}

TEST_CASE("schema: layout through JSON and back, the same; damaged JSON, nothing") {
  const Database db = make(
      "CREATE TABLE \"a \"\"b\"(x, y AS (x), z TEXT PRIMARY KEY); CREATE TABLE bare(v); "
      "CREATE TABLE csa_log(x); CREATE TABLE csa_rule(a)");
  const Layout layout = read_layout(db);
  CHECK(layout.size() == 3);
  CHECK(layout.at("csa_rule").columns == std::vector<std::string>{"a"});
  const TableLayout& table = layout.at("a \"b");
  CHECK(table.columns == std::vector<std::string>{"x", "z"});
  CHECK(table.key == std::vector<std::string>{"z"});
  CHECK(layout.at("bare").key == std::vector<std::string>{"rowid"});
  const std::string json = to_json(layout);
  const auto parsed = parse_layout(json);
  REQUIRE(parsed.has_value());
  CHECK(to_json(*parsed) == json);
  for (std::size_t length = 0; length < json.size(); ++length) {
    CHECK(!parse_layout(json.substr(0, length)));
  }
  CHECK(!parse_layout("{\"t\":{\"columns\":[1],\"key\":[]}}"));
}

TEST_CASE("schema: renames through a remark and back, the same; SQL behind it, none") {
  const Database db = make("CREATE TABLE t(a, b)");
  const Renames renames = {{"t", {"a\n\"b", {{"b", "c\n"}, {"a", "b"}}}}, {"u", {"t", {}}}};
  const std::string remark = renames_remark(renames);
  CHECK(parse_renames_remark(remark) == renames);
  CHECK(!parse_renames_remark(remark + "\nDROP TABLE t"));
  CHECK(!parse_renames_remark("-- csa renames {\"t\":{\"table\":1}}"));
  db.exec(remark);
  const Layout layout = read_layout(db, renames);
  CHECK(layout.at("t").was == renames.at("t"));
  const auto parsed = parse_layout(to_json(layout));
  REQUIRE(parsed.has_value());
  CHECK(parsed->at("t").was == renames.at("t"));
  CHECK(!parse_layout("{\"t\":{\"columns\":[],\"key\":[],\"was\":1}}"));
}

}  // namespace csa::schema_test
