// Ledger: entries of journals that no honest node would send. Each is answered in words, the master
// stays sound, and the next write of somebody else is served.
#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "common/change_bytes.h"
#include "common/codec.h"
#include "tests/support/hostile_journal.h"

namespace csa::test::merge_hostile_test {

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

}  // namespace csa::test::merge_hostile_test
