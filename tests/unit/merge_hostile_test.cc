// Ledger: entries of journals that no honest node would send. Each is answered in words, the master
// stays sound, and the next write of somebody else is served.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "common/change_bytes.h"
#include "common/codec.h"
#include "common/system_clock.h"
#include "tests/support/ledger_bench.h"

namespace csa::test {
namespace {

constexpr const char* kSchema = R"(
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
  Hostile() : LedgerBench(kSchema) {}
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

ChangeTable table_of(std::string name, std::vector<std::string> columns,
                     std::vector<std::uint32_t> key = {}, bool without_rowid = false) {
  ChangeTable table;
  table.name = std::move(name);
  table.column_count = static_cast<std::uint32_t>(columns.size());
  table.column_names = std::move(columns);
  table.key_columns = std::move(key);
  table.without_rowid = without_rowid;
  return table;
}

RowChange inserted(const ChangeTable& table, Row key, const Row& values, bool assigned = false) {
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

const std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
const std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
const ChangeTable kPart = table_of("part", {"id", "name", "qty"}, {0});
const ChangeTable kNote = table_of("note", {"text", "at"});
const ChangeTable kTag = table_of("tag", {"word", "n", "x"}, {0, 1}, true);
const ChangeTable kBin = table_of("bin", {"id", "part", "at"}, {0});

Value num(std::int64_t n) { return n; }
Value str(const char* text) { return Text{text}; }
Bytes one_part(std::int64_t id) {
  return Hostile::encoded({{kPart, inserted(kPart, {num(id)}, {num(id), str("x"), num(1)})}});
}

// Random rows of random kinds in every table that the file has.
class RandomRows {
 public:
  RandomRows(const std::string& path, std::uint64_t seed) : random_(seed) {
    const Database db(path, Database::Mode::kReadOnly);
    Statement names = db.prepare(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'csa%'");
    while (names.step()) {
      Statement columns = db.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid");
      columns.bind(1, names.column_text(0));
      tables_.emplace_back(names.column_text(0), std::vector<std::string>{});
      while (columns.step()) tables_.back().second.push_back(columns.column_text(0));
    }
  }
  Rows entry() {
    Rows rows;
    for (std::uint64_t n = 1 + below(5); n > 0; --n) rows.push_back(row());
    return rows;
  }
  std::uint64_t below(std::uint64_t count) { return random_() % count; }

 private:
  Value value() {
    switch (below(12)) {
      case 0:
        return Null{};
      case 1:
        return 1.5;
      case 2:
        return std::numeric_limits<double>::infinity();
      case 3:
        return Bytes(below(30), static_cast<std::uint8_t>(random_()));
      case 4:
        return Text{std::string(below(20), static_cast<char>(random_()))};
      case 5:
        return str("one");
      case 6:
        return num(below(2) == 0 ? kMost : kLeast);
      default:
        return num(static_cast<std::int64_t>(below(6)));
    }
  }
  Row key(const ChangeTable& table) {
    Row made;
    for (std::size_t i = 0; i < key_size(table); ++i) {
      made.push_back(table.without_rowid ? value() : num(static_cast<std::int64_t>(below(6))));
    }
    return made;
  }
  std::pair<ChangeTable, RowChange> row() {
    const auto& [name, columns] = tables_[below(tables_.size())];
    ChangeTable table = table_of(name, columns);
    const bool two = name == "tag" || name.ends_with("_idx");
    table.without_rowid = two || name.ends_with("_config") || below(8) == 0;
    const std::uint64_t keys = two ? 2 : table.without_rowid ? 1 : below(2);
    for (std::uint32_t k = 0; k < keys && k < columns.size(); ++k) table.key_columns.push_back(k);
    if (table.key_columns.empty() && below(3) == 0) table.declared_key = {0};
    if (below(10) == 0) table.column_names.front() = columns.back();
    Row all;
    for (std::size_t i = 0; i < columns.size(); ++i) all.push_back(value());
    RowChange change = inserted(table, key(table), all, !table.without_rowid && below(2) == 0);
    const std::uint64_t kind = below(4);
    if (kind == 0) return {std::move(table), std::move(change)};
    change.assigned = false;
    change.old_values = change.new_values;
    change.op = kind == 1 ? RowOp::kDelete : RowOp::kUpdate;
    if (kind == 1) change.new_values.clear();
    if (kind == 3) change.new_key = key(table);
    for (auto& one : change.new_values) {
      if (one && below(2) == 0) one = value();
    }
    return {std::move(table), std::move(change)};
  }

  std::mt19937_64 random_;
  std::vector<std::pair<std::string, std::vector<std::string>>> tables_;
};

}  // namespace

TEST_CASE("hostile journal: csa's and SQLite's own tables by name, parked") {
  Hostile h;
  for (const char* const name :
       {"csa_meta", "CSA_META", "csa_log", "csa_rule", "csa_private", "csa_conflicts",
        "csa_outcome", "sqlite_master", "sqlite_schema", "sqlite_sequence", "sqlite_temp_master",
        "sqlite_stat1", "temp.part", "main.part", "pragma_table_info", "", "nobody"}) {
    CAPTURE(name);
    const ChangeTable table = table_of(name, {"a", "b"});
    const Replayed answer = h.give({{table, inserted(table, {num(1)}, {num(1), num(2)})}});
    CHECK(answer.result == ReplayResult::kParked);
    CHECK(answer.text.find("is none of the application's") != std::string::npos);
  }
  h.check_unharmed();
}

TEST_CASE("hostile journal: kinds of tables, keys and values that the master lacks, parked") {
  Hostile h;
  const auto parked = [&](const ChangeTable& table, const RowChange& row) {
    const Replayed answer = h.give({{table, row}});
    CAPTURE(table.name);
    CAPTURE(table.column_names.back());
    CAPTURE(table.key_columns.size());
    CHECK(answer.result == ReplayResult::kParked);
    CHECK_FALSE(answer.text.empty());
  };
  const ChangeTable tag_by_rowid = table_of("tag", {"word", "n", "x"});
  parked(tag_by_rowid, inserted(tag_by_rowid, {num(1)}, {str("c"), num(1), num(2)}));
  const ChangeTable by_name = table_of("part", {"id", "name", "qty"}, {1}, true);
  parked(by_name, inserted(by_name, {str("x")}, {num(3), str("x"), num(2)}));
  const ChangeTable odd = table_of("part", {"id", "name", "colour"}, {0});
  parked(odd, inserted(odd, {num(9)}, {num(9), str("x"), str("red")}));
  const ChangeTable renamed = table_of("part", {"number", "name", "qty"}, {0});
  RowChange update = inserted(renamed, {num(1)}, {num(1), str("bolt"), num(6)});
  update.op = RowOp::kUpdate;
  update.old_values = {std::nullopt, str("bolt"), num(5)};
  parked(renamed, update);
  const ChangeTable hard = table_of("hard", {"id", "n", "t"}, {0});
  parked(hard, inserted(hard, {num(3)}, {num(3), str("text"), str("x")}));
  const ChangeTable made = table_of("made", {"a", "b", "c"});
  parked(made, inserted(made, {num(3)}, {num(3), num(4), num(1)}));
  const ChangeTable check = table_of("made", {"a", "c"});
  parked(check, inserted(check, {num(3)}, {num(3), num(99)}));
  parked(kPart, inserted(kPart, {num(9)}, {num(9), str("x"), Null{}}));
  parked(kBin, inserted(kBin, {num(9)}, {num(9), num(999), num(1)}));
  CHECK(h.count("SELECT count(*) FROM part") == 2);
  h.check_unharmed();
}

TEST_CASE("hostile journal: rowids at the ends of 64 bits, an outcome each, nothing stops") {
  Hostile h;
  const auto note = [&](std::int64_t rowid, const char* text, bool assigned) {
    return h.give({{kNote, inserted(kNote, {num(rowid)}, {str(text), num(1)}, assigned)}}).result;
  };
  CHECK(is_outcome(note(kMost, "a", false)));
  CHECK(is_outcome(note(7, "b", true)));
  CHECK(is_outcome(note(8, "c", true)));
  CHECK(is_outcome(note(kMost, "d", true)));
  CHECK(is_outcome(note(kLeast, "e", true)));
  // Where the table has no higher number to give, the row waits in the inbox.
  CHECK(h.count("SELECT count(*) FROM note WHERE text IN ('a', 'b', 'c', 'd', 'e')") +
            h.count("SELECT count(*) FROM csa_conflicts WHERE decision = 'parked'") ==
        5);
  const auto bin = [&](std::int64_t id, bool assigned) {
    return h.give({{kBin, inserted(kBin, {num(id)}, {Null{}, num(1), num(1)}, assigned)}}).result;
  };
  CHECK(is_outcome(bin(kMost, false)));
  CHECK(bin(3, true) == ReplayResult::kParked);
  h.check_unharmed();
}

TEST_CASE("hostile journal: records behind the end, cut, of schema, sequences that run away") {
  Hostile h;
  const Bytes good = one_part(8);
  Bytes more = good;
  more.push_back(0x05);
  CHECK(h.give(h.entry(more)).result == ReplayResult::kParked);
  CHECK(h.give(h.entry(Bytes(good.begin(), good.end() - 1))).result == ReplayResult::kParked);
  CHECK(h.give(h.entry(Bytes(100, 0xFF))).result == ReplayResult::kParked);
  CHECK(h.give(h.entry(Bytes{0})).result == ReplayResult::kParked);
  Bytes schema;
  ChangeEncoder().append(SchemaStatement{"DROP TABLE part"}, schema);
  CHECK(h.give(h.entry(schema)).result == ReplayResult::kParked);
  for (const Value& value : {num(kMost), num(kLeast), str("junk"), Value{1e300}}) {
    for (const char* const name : {"bin", "csa_meta", "nobody", "part"}) {
      Bytes body;
      ChangeEncoder().append(SequenceChange{name, std::nullopt, value}, body);
      CHECK(is_outcome(h.give(h.entry(body)).result));
    }
  }
  CHECK(h.count("SELECT count(*) FROM part WHERE id = 8") == 0);
  h.check_unharmed();
}

TEST_CASE("hostile journal: many definitions of wide tables, refused before they fill memory") {
  Hostile h;
  Bytes body;
  for (int i = 0; i < 30000; ++i) {
    Bytes record{kRecordTable};
    append_string("t" + std::to_string(i), record);
    record.push_back(0);
    append_varint(kColumnsMax, record);
    append_varint(0, record);
    append_varint(0, record);
    append_record(record, body);
  }
  Replay replay = h.entry(body);
  REQUIRE(body.size() < 2 * limits::kPieceMax);
  std::string said;
  ChangeReader reader;
  reader.feed(body);
  const Result<std::optional<Change>> read = reader.next();
  REQUIRE_FALSE(read.has_value());
  CHECK(reader.tables().size() < 1000);
}

TEST_CASE("hostile journal: headers that lie, asked again, told, or judged by what is there") {
  Hostile h;
  Replay wrong = h.entry(one_part(8));
  wrong.checksum.bytes[0] ^= 1;
  CHECK(h.give(wrong).result == ReplayResult::kAgain);
  Replay ahead = h.entry(one_part(8));
  ahead.header.tx.counter = 900;
  ahead.previous = 899;
  Hostile::seal(ahead);
  CHECK(h.give(ahead).result == ReplayResult::kAgain);
  Replay huge = h.entry(one_part(8));
  huge.header.size = std::uint64_t{1} << 62U;
  Hostile::seal(huge);
  CHECK(h.give(huge).result == ReplayResult::kBusy);
  CHECK(h.give(huge).text.find("--max-changes") != std::string::npos);
  Replay gap = h.entry(one_part(8));
  gap.header.size += 10;
  gap.offset = 10;
  CHECK(h.give(gap).result == ReplayResult::kAgain);
  for (const std::int64_t edited : {kMost, kLeast}) {
    for (const std::int64_t correction : {kMost, kLeast}) {
      Replay odd = h.entry(one_part(1));
      odd.header.edited = WallTime{edited};
      odd.header.base.seq = Seq{std::numeric_limits<std::uint64_t>::max()};
      odd.header.boot_ms = edited;
      odd.header.changes = kLeast;
      odd.correction_ms = correction;
      odd.error_ms = std::numeric_limits<std::uint32_t>::max();
      Hostile::seal(odd);
      CHECK(is_outcome(h.give(odd).result));
    }
  }
  h.check_unharmed();
}

TEST_CASE("hostile journal: honest bytes changed by seed, an outcome each, the master sound") {
  Hostile h;
  std::mt19937_64 random(7);
  const ChangeTable content = table_of("doc_content", {"id", "c0", "c1"}, {0});
  RowChange update = inserted(kPart, {num(1)}, {num(1), str("bolt"), num(6)});
  update.op = RowOp::kUpdate;
  update.old_values = {std::nullopt, str("bolt"), num(5)};
  const Bytes whole = Hostile::encoded(
      {{kPart, inserted(kPart, {num(30)}, {num(30), str("washer"), num(4)}, true)},
       {kBin, inserted(kBin, {num(3)}, {num(3), num(30), num(1)}, true)},
       {kPart, update},
       {kTag, inserted(kTag, {str("z"), num(4)}, {str("z"), num(4), num(1)})},
       {kNote, inserted(kNote, {num(3)}, {str("third"), num(4)}, true)},
       {content, inserted(content, {num(2)}, {num(2), str("four"), str("five")})}});
  REQUIRE(h.give(h.entry(whole)).result != ReplayResult::kParked);
  const TimePoint end = monotonic_now() + std::chrono::milliseconds{1000};
  int applied = 0;
  for (int i = 0; monotonic_now() < end; ++i) {
    CAPTURE(i);
    Bytes body = whole;
    for (std::uint64_t n = 1 + random() % 3; n > 0; --n) {
      const std::size_t at = random() % body.size();
      const auto byte = static_cast<std::uint8_t>(random());
      const auto place = body.begin() + static_cast<std::ptrdiff_t>(at);
      switch (random() % 4) {
        case 0:
          body[at] = byte;
          break;
        case 1:
          body[at] ^= static_cast<std::uint8_t>(1U << (byte % 8));
          break;
        case 2:
          body.erase(place);
          break;
        default:
          body.insert(place, byte);
      }
    }
    h.another_node();
    const Replayed answer = h.give(h.entry(body));
    applied += answer.result != ReplayResult::kParked ? 1 : 0;
    CHECK_MESSAGE(is_outcome(answer.result), answer.text);
  }
  CHECK(applied > 0);
  h.check_unharmed();
}

TEST_CASE("hostile journal: random rows in every table, shadows too, an outcome each") {
  for (const std::uint64_t seed : {std::uint64_t{1}, std::uint64_t{6}}) {
    CAPTURE(seed);
    Hostile h;
    RandomRows random(h.path, seed);
    int applied = 0;
    for (int i = 0; i < 250; ++i) {
      CAPTURE(i);
      if (random.below(4) != 0) h.another_node();
      const Replayed answer = h.give(random.entry());
      applied += answer.result != ReplayResult::kParked ? 1 : 0;
      CHECK_MESSAGE(is_outcome(answer.result), answer.text);
    }
    CHECK(applied > 20);
    h.check_unharmed();
  }
}

}  // namespace csa::test
