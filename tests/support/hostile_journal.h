// Entries of journals that no honest node would send, and a master to send them to.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "common/change_bytes.h"
#include "common/codec.h"
#include "tests/support/ledger_bench.h"

namespace csa::test {
inline constexpr const char* kHostileSchema = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, qty INTEGER NOT NULL DEFAULT 1);
  CREATE TABLE bin (id INTEGER PRIMARY KEY AUTOINCREMENT, part REFERENCES part, at REAL);
  CREATE TABLE tag (word TEXT, n INTEGER, x BLOB, PRIMARY KEY (word, n)) WITHOUT ROWID;
  CREATE TABLE code (c TEXT PRIMARY KEY, v);
  CREATE TABLE note (text, at);
  CREATE TABLE made (a INTEGER, b GENERATED ALWAYS AS (a * 2) VIRTUAL, c INTEGER CHECK (c < 9));
  CREATE TABLE hard (id INTEGER PRIMARY KEY, n INTEGER, t TEXT) STRICT;
  CREATE VIRTUAL TABLE doc USING fts5(title, body);
  CREATE VIRTUAL TABLE word USING fts5(text, content='note', content_rowid='rowid');
  CREATE VIRTUAL TABLE box USING rtree(id, x0, x1);
  INSERT INTO part VALUES (1, 'bolt', 5), (2, 'nut', 7);
  INSERT INTO bin (part, at) VALUES (1, 1.5), (2, 2.5);
  INSERT INTO tag VALUES ('a', 1, x'00'), ('b', 2, NULL);
  INSERT INTO code VALUES ('k', 1), (NULL, 2);
  INSERT INTO note VALUES ('hello', 1), ('world', 2);
  INSERT INTO word (word) VALUES ('rebuild');
  INSERT INTO made (a, c) VALUES (1, 2);
  INSERT INTO hard VALUES (1, 1, 'x');
  INSERT INTO doc VALUES ('one', 'two three');
  INSERT INTO box VALUES (1, 0, 1);
)";

using Rows = std::vector<std::pair<ChangeTable, RowChange>>;

struct Hostile : LedgerBench {
  Hostile() : LedgerBench(kHostileSchema) {}
  NodeId sender{random_id()};
  std::uint64_t last = 0;

  // The next entry is the first one of a journal that nobody has seen.
  void another_node() {
    sender = NodeId{random_id()};
    last = 0;
  }
  Replay entry(Bytes body) const {
    Replay replay;
    replay.header.tx = {sender, last + 1};
    replay.header.edited = WallTime{1000};
    replay.header.base = ledger->meta().position;
    replay.header.size = body.size();
    replay.first = 1;
    replay.previous = last;
    replay.bytes = std::move(body);
    seal(replay);
    return replay;
  }
  static void seal(Replay& replay) {
    JournalHasher hasher(replay.header);
    hasher.update(replay.bytes);
    replay.checksum = hasher.digest();
  }
  Replayed give(const Replay& replay) {
    const Replayed answer = std::get<Replayed>(run({replay, "till", ++ticket_}));
    if (is_outcome(answer.result)) last = replay.header.tx.counter;
    return answer;
  }
  Replayed give(const Rows& rows) { return give(entry(encoded(rows))); }
  static Bytes encoded(const Rows& rows) {
    ChangeEncoder encoder;
    Bytes body;
    for (auto [table, row] : rows) {
      row.table = encoder.table(table, body);
      encoder.append(row, body);
    }
    return body;
  }
  void check_unharmed() {
    const Database db(path, Database::Mode::kReadOnly);
    CHECK(db.query_text("PRAGMA integrity_check") == "ok");
    CHECK(db.query_int("SELECT count(*) FROM pragma_foreign_key_check") == 0);
    (void)write("INSERT INTO part (name) VALUES ('still served')");
    CHECK(replay_difference().empty());
  }

 private:
  std::uint64_t ticket_ = 1'000'000;
};

inline ChangeTable table_of(std::string name, std::vector<std::string> columns,
                            std::vector<std::uint32_t> key = {}, bool without_rowid = false) {
  ChangeTable table;
  table.name = std::move(name);
  table.column_count = static_cast<std::uint32_t>(columns.size());
  table.column_names = std::move(columns);
  table.key_columns = std::move(key);
  table.without_rowid = without_rowid;
  return table;
}

inline RowChange inserted(const ChangeTable& table, Row key, const Row& values,
                          bool assigned = false) {
  RowChange row;
  row.assigned = assigned;
  row.key = std::move(key);
  for (std::uint32_t i = 0; i < values.size(); ++i) {
    const bool of_key =
        std::find(table.key_columns.begin(), table.key_columns.end(), i) != table.key_columns.end();
    row.new_values.push_back(of_key ? std::nullopt : std::optional(values[i]));
  }
  return row;
}

inline const std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
inline const std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
inline const ChangeTable kPart = table_of("part", {"id", "name", "qty"}, {0});
inline const ChangeTable kNote = table_of("note", {"text", "at"});
inline const ChangeTable kTag = table_of("tag", {"word", "n", "x"}, {0, 1}, true);
inline const ChangeTable kBin = table_of("bin", {"id", "part", "at"}, {0});

inline Value num(std::int64_t n) { return n; }
inline Value str(const char* text) { return Text{text}; }
inline Bytes one_part(std::int64_t id) {
  return Hostile::encoded({{kPart, inserted(kPart, {num(id)}, {num(id), str("x"), num(1)})}});
}

}  // namespace csa::test
