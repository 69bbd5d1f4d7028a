// SQLite's own session module as the oracle: where it can follow, it saw the same net changes.
#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/support/row_pair.h"

namespace csa::capture_session_test {
namespace {

// Rows by key: before and after the transaction, "-" for none.
using NetChanges = std::map<std::string, std::pair<std::string, std::string>>;

constexpr const char* kSchema =
    "CREATE TABLE r(k INTEGER PRIMARY KEY, a INTEGER, b TEXT);"
    "CREATE TABLE w(k TEXT, j INTEGER, a, PRIMARY KEY(j, k)) WITHOUT ROWID;"
    "CREATE TRIGGER g AFTER DELETE ON r BEGIN INSERT OR REPLACE INTO w VALUES (old.b || '', old.k, "
    "old.a); END";

std::string text_of(sqlite3_value* value) {
  struct Shower {
    std::string operator()(const Null&) const { return "NULL"; }
    std::string operator()(std::int64_t v) const { return "i" + std::to_string(v); }
    std::string operator()(double v) const { return "d" + std::to_string(v); }
    std::string operator()(const Text& v) const { return "t" + to_hex(as_bytes(v.utf8)); }
    std::string operator()(const Bytes& v) const { return "b" + to_hex(v); }
    std::string operator()(const Text16&) const { return "16"; }
  };
  return value == nullptr ? std::string() : std::visit(Shower{}, value_of(value));
}

std::string text_of(const Value& value) {
  // Through SQLite, so that both sides are shown by one function.
  static const Database db(":memory:", Database::Mode::kCreate);
  Statement statement = db.prepare("SELECT ?1");
  statement.bind(1, value);
  CHECK(statement.step());
  return text_of(sqlite3_column_value(statement.handle(), 0));
}

NetChanges session_net(const Bytes& changeset) {
  NetChanges net;
  sqlite3_changeset_iter* iterator = nullptr;
  Bytes copy = changeset;
  REQUIRE(sqlite3changeset_start(&iterator, static_cast<int>(copy.size()), copy.data()) ==
          SQLITE_OK);
  while (sqlite3changeset_next(iterator) == SQLITE_ROW) {
    const char* table = nullptr;
    int columns = 0;
    int op = 0;
    unsigned char* primary = nullptr;
    sqlite3changeset_op(iterator, &table, &columns, &op, nullptr);
    sqlite3changeset_pk(iterator, &primary, &columns);
    std::string key = table;
    std::string before;
    std::string after;
    for (int i = 0; i < columns; ++i) {
      sqlite3_value* old_value = nullptr;
      sqlite3_value* new_value = nullptr;
      if (op != SQLITE_INSERT) sqlite3changeset_old(iterator, i, &old_value);
      if (op != SQLITE_DELETE) sqlite3changeset_new(iterator, i, &new_value);
      if (primary[i] != 0) {
        key += "," + text_of(old_value != nullptr ? old_value : new_value);
        continue;
      }
      // An update leaves out what did not change.
      if (op == SQLITE_UPDATE && new_value == nullptr) continue;
      before += op == SQLITE_INSERT ? "" : std::to_string(i) + text_of(old_value) + ",";
      after += op == SQLITE_DELETE ? "" : std::to_string(i) + text_of(new_value) + ",";
    }
    net[key] = {op == SQLITE_INSERT ? "-" : before, op == SQLITE_DELETE ? "-" : after};
  }
  sqlite3changeset_finalize(iterator);
  return net;
}

struct NetRow {
  std::map<std::size_t, Value> before, after;  // columns that the changes told
  bool was_there = false, is_there = false;
};

// In the schema above every key column lies before the others, and r's key is the rowid.
std::string key_text(const ChangeTable& table, const Row& key) {
  if (!table.without_rowid) return table.name + "," + text_of(key[0]);
  // Key order is (j, k), the session goes by columns.
  return table.name + "," + text_of(key[1]) + "," + text_of(key[0]);
}

void add_net(std::map<std::string, NetRow>& rows, const RowChange& change,
             const ChangeTable& table) {
  const auto [found, first] = rows.try_emplace(key_text(table, change.key));
  NetRow& row = found->second;
  if (first) row.was_there = row.is_there = change.op != RowOp::kInsert;
  for (std::size_t i = 0; i < change.old_values.size(); ++i) {
    if (!change.old_values[i]) continue;
    // What the row held before all: only where no earlier change of this transaction wrote it.
    if (row.was_there && row.after.find(i) == row.after.end()) {
      row.before.try_emplace(i, *change.old_values[i]);
    }
  }
  if (change.op == RowOp::kDelete) {
    for (std::size_t i = 0; i < change.old_values.size(); ++i) {
      if (change.old_values[i]) row.after.erase(i);
    }
    row.is_there = false;
    // Marked as written, so that a row put in later does not count as the first one.
    for (std::size_t i = 0; i < change.old_values.size(); ++i) {
      if (change.old_values[i]) row.after.emplace(i, Null{});
    }
    return;
  }
  row.is_there = true;
  for (std::size_t i = 0; i < change.new_values.size(); ++i) {
    if (change.new_values[i]) row.after.insert_or_assign(i, *change.new_values[i]);
  }
}

NetChanges captured_net(const Bytes& bytes) {
  const test::DecodedChanges decoded = test::decode(bytes);
  std::map<std::string, NetRow> rows;
  for (const Change& change : decoded.changes) {
    const auto& row = std::get<RowChange>(change);
    const ChangeTable& table = decoded.tables[row.table];
    REQUIRE(!row.new_key.has_value());
    add_net(rows, row, table);
  }
  NetChanges net;
  for (const auto& [key, row] : rows) {
    if (!row.was_there && !row.is_there) continue;
    std::string before;
    std::string after;
    for (const auto& [column, value] : row.after) {
      const auto old = row.before.find(column);
      const bool update = row.was_there && row.is_there;
      if (update && text_of(old->second) == text_of(value)) continue;
      const std::string number = std::to_string(column);
      if (row.was_there) before += number + text_of(old->second) + ",";
      if (row.is_there) after += number + text_of(value) + ",";
    }
    if (row.was_there && row.is_there && before.empty()) continue;
    net[key] = {row.was_there ? before : "-", row.is_there ? after : "-"};
  }
  return net;
}

struct SessionDeleter {
  void operator()(sqlite3_session* session) const { sqlite3session_delete(session); }
};

// What the session module says of the same statements on a database of its own.
Bytes session_changes(const Database& db, const std::vector<std::string>& statements) {
  sqlite3_session* raw = nullptr;
  REQUIRE(sqlite3session_create(db.handle(), "main", &raw) == SQLITE_OK);
  const std::unique_ptr<sqlite3_session, SessionDeleter> session(raw);
  REQUIRE(sqlite3session_attach(raw, nullptr) == SQLITE_OK);
  db.exec("BEGIN");
  for (const std::string& sql : statements) db.exec(sql);
  int size = 0;
  void* bytes = nullptr;
  REQUIRE(sqlite3session_changeset(raw, &size, &bytes) == SQLITE_OK);
  const auto* const start = static_cast<const std::uint8_t*>(bytes);
  Bytes copy(start, start + size);
  sqlite3_free(bytes);
  db.exec("COMMIT");
  return copy;
}

std::string random_statement(std::mt19937& random) {
  const auto n = [&](unsigned below) { return std::to_string(random() % below); };
  switch (random() % 6) {
    case 0:
      return "INSERT OR REPLACE INTO r VALUES (" + n(15) + ", " + n(4) + ", 't" + n(4) + "')";
    case 1:
      return "INSERT OR REPLACE INTO w VALUES ('k" + n(4) + "', " + n(5) + ", x'0" + n(9) + "')";
    case 2:
      return "UPDATE r SET a = " + n(4) + ", b = 't" + n(4) + "' WHERE k % 3 = " + n(3);
    case 3:
      return "UPDATE w SET a = nullif(" + n(4) + ", 0) WHERE j = " + n(5);
    case 4:
      return "DELETE FROM r WHERE k = " + n(15);
    default:
      return "DELETE FROM w WHERE j = " + n(5) + " AND k = 'k" + n(4) + "'";
  }
}

}  // namespace

TEST_CASE("capture: where SQLite's sessions can follow, they saw the same net changes") {
  std::mt19937 random(7);
  test::RowPair pair(kSchema);
  const Database oracle(":memory:", Database::Mode::kCreate);
  oracle.exec("PRAGMA recursive_triggers = ON");
  oracle.exec(kSchema);
  std::size_t compared = 0;
  for (int write = 0; write < 150; ++write) {
    std::vector<std::string> statements;
    for (int i = 0; i < 8; ++i) statements.push_back(random_statement(random));
    std::string text;
    for (const std::string& sql : statements) text += sql + ";\n";
    CAPTURE(text);
    const auto bytes = pair.write(statements);
    REQUIRE_MESSAGE(bytes.has_value(), pair.last_error());
    const NetChanges expected = session_net(session_changes(oracle, statements));
    const NetChanges captured = captured_net(*bytes);
    for (const auto& [key, change] : expected) {
      CAPTURE(key);
      REQUIRE(captured.count(key) == 1);
      CHECK(captured.at(key).first == change.first);
      CHECK(captured.at(key).second == change.second);
    }
    REQUIRE(captured.size() == expected.size());
    compared += expected.size();
  }
  CHECK(compared > 300);
}

}  // namespace csa::capture_session_test
