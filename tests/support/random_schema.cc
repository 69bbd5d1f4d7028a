#include "tests/support/random_schema.h"

#include <algorithm>

namespace csa::test {

RandomSchema::RandomSchema(std::uint64_t seed) : random_(seed) {
  sql_ =
      "CREATE TABLE journal(what TEXT, a, b);\n"
      "CREATE TABLE parent(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE);\n"
      "CREATE TABLE child(p INTEGER REFERENCES parent(id) ON DELETE CASCADE ON UPDATE CASCADE, "
      "q INTEGER REFERENCES parent(id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED, v);\n"
      "CREATE VIRTUAL TABLE words USING fts5(t);\n"
      "CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1, +note);\n"
      "INSERT INTO parent(name) VALUES ('a'), ('b'), ('c');\n"
      "INSERT INTO child SELECT id, id, name FROM parent;\n"
      "INSERT INTO words VALUES ('one two'), ('three');\n";
  const std::uint64_t count = 2 + below(3);
  for (std::uint64_t i = 0; i < count; ++i) add_table("t" + std::to_string(i));
}

std::string RandomSchema::key_sql(RandomTable& table, std::string& suffix) {
  const auto key = [&](const std::string& name, const std::string& type) {
    table.columns.push_back({name, type, false});
    table.key.push_back(name);
  };
  const std::string int_type = "INTEGER";
  switch (below(10)) {
    case 0:
      return "";
    case 1:
      key("k", int_type);
      return "k INTEGER PRIMARY KEY, ";
    case 2:
      key("k", int_type);
      return "k INTEGER PRIMARY KEY AUTOINCREMENT, ";
    case 3:
      key("k", "TEXT");
      return "k TEXT PRIMARY KEY, ";
    case 4:
      key("k", "TEXT");
      key("\"k 2\"", int_type);
      suffix = ", PRIMARY KEY(\"k 2\", k)";
      return "k TEXT, \"k 2\" INTEGER, ";
    case 5:
      key("k", "TEXT COLLATE NOCASE");
      suffix = ") WITHOUT ROWID";
      return "k TEXT COLLATE NOCASE PRIMARY KEY, ";
    case 6:
      key("k", "REAL");
      key("j", int_type);
      suffix = ", PRIMARY KEY(j, k)) WITHOUT ROWID";
      return "k REAL, j INTEGER, ";
    case 7:
      key("k", int_type);
      return "k INTEGER PRIMARY KEY DESC, ";
    case 8:
      if (table.strict) return "";
      table.columns.push_back({"early", "", true});
      key("k", int_type);
      return "early AS (k + 1), k INTEGER PRIMARY KEY, ";
    default:
      if (table.strict) return "";
      // The hook takes this table's values for others: an odd one.
      table.columns.push_back({"r", "REAL", false});
      key("k", "");
      suffix = ", PRIMARY KEY(k)) WITHOUT ROWID";
      return "r REAL, k, ";
  }
}

std::string RandomSchema::column_sql(RandomTable& table, std::size_t number) {
  static const std::vector<std::string> kTypes = {
      "", "INTEGER", "REAL", "TEXT", "BLOB", "NUMERIC", "VARCHAR", "TEXT COLLATE NOCASE"};
  static const std::vector<std::string> kStrict = {"ANY", "INTEGER", "REAL", "TEXT", "BLOB"};
  const std::string name = "c" + std::to_string(number);
  if (number > 0 && chance(20)) {
    table.columns.push_back({name, "", true});
    return name + (table.strict ? " ANY" : "") + " AS (c0 || 'x') " +
           (chance(50) ? "VIRTUAL" : "STORED");
  }
  const std::string type = pick(table.strict ? kStrict : kTypes);
  table.columns.push_back({name, type, false});
  std::string sql = name + " " + type;
  if (chance(25)) sql += std::string(" UNIQUE") + (chance(40) ? " ON CONFLICT REPLACE" : "");
  if (chance(15)) sql += " NOT NULL ON CONFLICT IGNORE";
  if (chance(10) && !table.strict) sql += " CHECK(" + name + " IS NOT 3)";
  return sql;
}

void RandomSchema::add_table(const std::string& name) {
  RandomTable table;
  table.name = name;
  table.strict = chance(25);
  std::string suffix;
  std::string sql = "CREATE TABLE " + name + "(" + key_sql(table, suffix);
  const std::size_t count = 1 + below(4);
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) sql += ", ";
    sql += column_sql(table, i);
  }
  const bool closed = suffix.find("WITHOUT") != std::string::npos;
  sql += closed ? suffix : suffix + ")";
  if (table.strict) sql += closed ? ", STRICT" : " STRICT";
  sql_ += sql + ";\n";
  tables_.push_back(table);
  filling_ = true;
  for (int i = 0; i < 4; ++i) {
    const std::string statement = insert(tables_.back());
    // The first rows must not fail; OR REPLACE may still miss a NOT NULL, so OR IGNORE.
    sql_ += "INSERT OR IGNORE" + statement.substr(statement.find(" INTO")) + ";\n";
  }
  filling_ = false;
  add_extras(table);
}

void RandomSchema::add_extras(const RandomTable& table) {
  const std::string& name = table.name;
  if (chance(50)) {
    sql_ += "ALTER TABLE " + name + " ADD COLUMN added " + (table.strict ? "ANY" : "") +
            " DEFAULT 'later';\n";
    tables_.back().columns.push_back({"added", table.strict ? "ANY" : "", false});
  }
  if (chance(40)) {
    sql_ += "CREATE " + std::string(chance(30) ? "UNIQUE " : "") + "INDEX OR_" + name + " ON " +
            name + "(typeof(c0), lower(c0)) WHERE c0 > 'm';\n";
    if (sql_.find("UNIQUE INDEX OR_" + name) != std::string::npos) {
      const std::size_t at = sql_.rfind("CREATE UNIQUE INDEX OR_" + name);
      sql_.insert(at, "DELETE FROM " + name + ";\n");
    }
  }
  if (chance(40)) {
    sql_ += "CREATE TRIGGER ins_" + name + " AFTER INSERT ON " + name +
            " BEGIN INSERT INTO journal VALUES ('" + name + "', new.c0, 1); END;\n";
  }
  if (chance(30)) {
    sql_ += "CREATE TRIGGER upd_" + name + " BEFORE UPDATE ON " + name +
            " BEGIN UPDATE journal SET b = b + 1 WHERE a IS old.c0; END;\n";
  }
  if (chance(30)) {
    sql_ += "CREATE TRIGGER del_" + name + " AFTER DELETE ON " + name +
            " BEGIN INSERT INTO words VALUES (quote(old.c0)); DELETE FROM journal WHERE rowid % 5 "
            "= 0; END;\n";
  }
}

std::string RandomSchema::literal(const RandomTable& table, const RandomColumn& column) {
  static const std::vector<std::string> kIntegers = {"0",
                                                     "1",
                                                     "2",
                                                     "3",
                                                     "5",
                                                     "-7",
                                                     "9223372036854775807",
                                                     "(-9223372036854775807 - 1)",
                                                     "4503599627370497"};
  static const std::vector<std::string> kReals = {"0.5",   "1.0",   "5.0",   "-0.0",
                                                  "1e300", "9e999", "-1e18", "(0.0 * -1)"};
  static const std::vector<std::string> kTexts = {"'a'",
                                                  "'A'",
                                                  "'abc'",
                                                  "''",
                                                  "'5'",
                                                  "'5.0'",
                                                  "'zeta'",
                                                  "CAST(x'ff00fe' AS TEXT)",
                                                  "'nul' || char(0) || 'in'",
                                                  "char(233, 128512)"};
  static const std::vector<std::string> kBlobs = {"x''", "x'00'", "x'61'", "zeroblob(300)"};
  const std::string& type = column.type;
  const bool is_key = std::find(table.key.begin(), table.key.end(), column.name) != table.key.end();
  if (!(is_key && filling_) && chance(12)) return "NULL";
  if (is_key && type == "INTEGER" && (filling_ || chance(90))) return std::to_string(below(12));
  if (table.strict && type != "ANY") {
    if (type == "INTEGER") return pick(kIntegers);
    if (type == "REAL") return chance(50) ? pick(kReals) : pick(kIntegers);
    if (type == "BLOB") return pick(kBlobs);
    return pick(kTexts);
  }
  switch (below(4)) {
    case 0:
      return pick(kIntegers);
    case 1:
      return pick(kReals);
    case 2:
      return pick(kBlobs);
    default:
      return pick(kTexts);
  }
}

std::vector<RandomColumn> RandomSchema::writable(const RandomTable& table) const {
  std::vector<RandomColumn> columns;
  std::copy_if(table.columns.begin(), table.columns.end(), std::back_inserter(columns),
               [](const RandomColumn& column) { return !column.generated; });
  return columns;
}

std::string RandomSchema::insert(const RandomTable& table) {
  static const std::vector<std::string> kWays = {"INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE",
                                                 "REPLACE"};
  std::string columns;
  std::string values;
  for (const RandomColumn& column : writable(table)) {
    if (chance(10)) continue;
    columns += (columns.empty() ? "" : ", ") + column.name;
    values += (values.empty() ? "" : ", ") + literal(table, column);
  }
  if (columns.empty()) return "INSERT OR IGNORE INTO " + table.name + " DEFAULT VALUES";
  std::string sql =
      pick(kWays) + " INTO " + table.name + "(" + columns + ") VALUES (" + values + ")";
  if (!filling_ && sql.starts_with("INSERT INTO") && chance(40)) {
    const RandomColumn column = pick(writable(table));
    sql += " ON CONFLICT DO UPDATE SET " + column.name + " = " + literal(table, column);
  }
  return sql;
}

std::string RandomSchema::where(const RandomTable& table) {
  const RandomColumn& column = pick(table.columns);
  switch (below(6)) {
    case 0:
      return chance(30) ? "" : " WHERE " + column.name + " IS NOT NULL";
    case 1:
      return " WHERE " + column.name + " > " + literal(table, column);
    case 2:
      return " WHERE " + column.name + " IS NULL";
    default:
      return " WHERE " + column.name + " IS " + literal(table, column);
  }
}

std::string RandomSchema::update(const RandomTable& table) {
  const RandomColumn column = pick(writable(table));
  const std::string way = chance(30)   ? "UPDATE OR REPLACE "
                          : chance(20) ? "UPDATE OR IGNORE "
                                       : "UPDATE ";
  std::string value = literal(table, column);
  if (chance(20)) value = "upper(" + column.name + ")";
  if (chance(10)) value = "lower(" + column.name + ")";
  if (chance(15)) value = column.name + " + 1";
  return way + table.name + " SET " + column.name + " = " + value + where(table);
}

std::string RandomSchema::special() {
  const std::string n = std::to_string(1 + below(6));
  const std::string m = std::to_string(1 + below(6));
  switch (below(12)) {
    case 0:
      return "INSERT INTO parent(name) VALUES ('p" + std::to_string(below(30)) + "')";
    case 1:
      return "DELETE FROM parent WHERE id = " + n;
    case 2:
      return "UPDATE OR IGNORE parent SET id = id + 20 WHERE id = " + n;
    case 3:
      // A swap of unique names.
      return "UPDATE parent SET name = '~' || name WHERE id IN (" + n + ", " + m +
             "); UPDATE parent SET name = (SELECT substr(name, 2) FROM parent WHERE id = " + m +
             ") WHERE id = " + n + " AND (SELECT count(*) FROM parent WHERE id = " + m +
             ") > 0 AND " + n + " <> " + m;
    case 4:
      return "INSERT INTO child VALUES (" + n + ", " + m + ", randomblob(0))";
    case 5:
      return "INSERT INTO words VALUES ('word" + n + " and " + m + "')";
    case 6:
      return "DELETE FROM words WHERE rowid = " + n;
    case 7:
      return "UPDATE words SET t = t || ' more' WHERE words MATCH 'one OR word" + n + "'";
    case 8:
      return "INSERT OR REPLACE INTO boxes VALUES (" + n + ", " + m + ", " + m + " + 1, 'note')";
    case 9:
      return "DELETE FROM boxes WHERE id = " + n;
    case 10:
      return "UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'parent'";
    default:
      return "DELETE FROM journal WHERE rowid = " + n;
  }
}

std::vector<std::string> RandomSchema::write() {
  std::vector<std::string> statements;
  const std::uint64_t count = 1 + below(6);
  for (std::uint64_t i = 0; i < count; ++i) {
    const RandomTable& table = pick(tables_);
    switch (below(8)) {
      case 0:
      case 1:
      case 2:
        statements.push_back(insert(table));
        break;
      case 3:
      case 4:
        statements.push_back(update(table));
        break;
      case 5:
        statements.push_back("DELETE FROM " + table.name + where(table));
        break;
      default:
        statements.push_back(special());
    }
  }
  return statements;
}

}  // namespace csa::test
