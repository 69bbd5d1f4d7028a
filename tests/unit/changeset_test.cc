#include "common/changeset.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "common/change_bytes.h"
#include "tests/support/row_pair.h"

namespace csa::changeset_test {
namespace {

ChangeTable rowid_table() {
  // Carried: id (the rowid), code (declared key), a, b.
  ChangeTable table;
  table.name = "things";
  table.column_count = 4;
  table.key_columns = {0};
  return table;
}

ChangeTable text_key_table() {
  ChangeTable table;
  table.name = "coded";
  table.column_count = 3;
  table.declared_key = {1};
  return table;
}

ChangeTable keyed_table() {
  ChangeTable table;
  table.name = "keyed";
  table.without_rowid = true;
  table.column_count = 3;
  table.key_columns = {2, 0};
  return table;
}

const std::vector<Value>& nasty_values() {
  static const std::vector<Value> kValues = {
      Null{},
      std::int64_t{0},
      std::int64_t{-1},
      std::numeric_limits<std::int64_t>::max(),
      std::numeric_limits<std::int64_t>::min(),
      0.0,
      -0.0,
      std::numeric_limits<double>::infinity(),
      5e-324,
      Text{""},
      Text{std::string("a\0b", 3)},
      Text{"\xff\xfe\x80"},
      Bytes{},
      Bytes{0, 1, 255},
      Text16{{}},
      Text16{std::u16string{char16_t{0xD800}, char16_t{0}, char16_t{0xFEFF}}},
  };
  return kValues;
}

struct Encoded {
  Bytes bytes;
  std::vector<Change> changes;
};

// Every kind of record, every kind of value.
Encoded sample() {
  Encoded encoded;
  ChangeEncoder encoder;
  const auto add = [&](Change change) {
    encoder.append(change, encoded.bytes);
    encoded.changes.push_back(std::move(change));
  };
  const std::uint32_t things = encoder.table(rowid_table(), encoded.bytes);
  const std::uint32_t coded = encoder.table(text_key_table(), encoded.bytes);
  const std::uint32_t keyed = encoder.table(keyed_table(), encoded.bytes);
  std::int64_t rowid = 0;
  for (const Value& value : nasty_values()) {
    RowChange insert;
    insert.table = things;
    insert.key = {++rowid};
    insert.new_values = {std::nullopt, value, value, Value(Null{})};
    add(insert);
    add(inverse(insert));
  }
  RowChange update;
  update.op = RowOp::kUpdate;
  update.table = coded;
  update.key = {std::int64_t{7}};
  update.old_values = {Value(1.0), Value(Text{"code"}), std::nullopt};
  update.new_values = {Value(std::int64_t{1}), std::nullopt, std::nullopt};
  add(update);
  update.table = keyed;
  update.key = {Text{"k"}, std::int64_t{1}};
  update.new_key = Row{Text{"K"}, 1.5};
  update.old_values = {std::nullopt, std::nullopt, std::nullopt};
  update.new_values = update.old_values;
  add(update);
  add(SequenceChange{"things", std::nullopt, Value(std::int64_t{9})});
  add(SchemaStatement{"CREATE TABLE later(a)"});
  RowChange later;
  ChangeTable later_table;
  later_table.name = "later";
  later_table.column_count = 1;
  later.table = encoder.table(later_table, encoded.bytes);
  later.key = {std::int64_t{1}};
  later.new_values = {Value(Text{"x"})};
  add(later);
  return encoded;
}

// Equality of changes is equality of their encoding.
Bytes encoding_of(const Change& change, const std::vector<ChangeTable>& tables) {
  ChangeEncoder encoder;
  Bytes ignored;
  for (const ChangeTable& table : tables) encoder.table(table, ignored);
  Bytes bytes;
  encoder.append(change, bytes);
  return bytes;
}

}  // namespace

TEST_CASE("changeset: every kind of record in pieces of any size, the same changes come out") {
  const Encoded encoded = sample();
  for (std::size_t piece = 1; piece < 40; ++piece) {
    CAPTURE(piece);
    ChangeReader reader;
    std::size_t count = 0;
    for (std::size_t at = 0; at < encoded.bytes.size(); at += piece) {
      reader.feed(ByteView(encoded.bytes).subspan(at, std::min(piece, encoded.bytes.size() - at)));
      for (;;) {
        auto change = reader.next();
        REQUIRE(change.has_value());
        if (!change->has_value()) break;
        REQUIRE(count < encoded.changes.size());
        CHECK(encoding_of(**change, reader.tables()) ==
              encoding_of(encoded.changes[count], reader.tables()));
        ++count;
      }
    }
    CHECK(count == encoded.changes.size());
    CHECK(reader.at_boundary());
  }
}

TEST_CASE("changeset: cut anywhere, the reader waits and is not at a boundary inside a record") {
  const Encoded encoded = sample();
  for (std::size_t length = 0; length < encoded.bytes.size(); ++length) {
    ChangeReader reader;
    reader.feed(ByteView(encoded.bytes).first(length));
    std::size_t count = 0;
    bool waiting = false;
    while (!waiting) {
      auto change = reader.next();
      REQUIRE(change.has_value());
      waiting = !change->has_value();
      if (!waiting) ++count;
    }
    CHECK(count < encoded.changes.size());
  }
}

TEST_CASE("changeset: any bit flipped, the reader ends with changes or an error") {
  const Encoded encoded = sample();
  std::size_t errors = 0;
  for (std::size_t bit = 0; bit < encoded.bytes.size() * 8; ++bit) {
    Bytes damaged = encoded.bytes;
    damaged[bit / 8] = static_cast<std::uint8_t>(damaged[bit / 8] ^ (1U << (bit % 8)));
    ChangeReader reader;
    reader.feed(damaged);
    std::size_t count = 0;
    for (;;) {
      auto change = reader.next();
      if (!change) {
        ++errors;
        CHECK(change.error().code == Errc::kMalformed);
        CHECK(!reader.next().has_value());
        break;
      }
      if (!change->has_value()) break;
      REQUIRE(++count <= encoded.bytes.size());
    }
  }
  CHECK(errors > 0);
}

TEST_CASE("changeset: impossible lengths, an error and no allocation") {
  const std::vector<Bytes> cases = {
      {0x00},                                    // empty record
      {0xFF, 0xFF, 0xFF, 0xFF, 0xFF},            // length beyond any row
      {0x03, 'S', 0xFF, 0x7F},                   // string longer than its record
      {0x04, 'I', 0x00, 0x02, 0x02},             // table that was never defined
      {0x06, 'T', 0x01, 't', 0x00, 0xFF, 0x7F},  // columns cut off
      {0x02, 'Z', 0x00},                         // unknown kind
  };
  for (const Bytes& bytes : cases) {
    ChangeReader reader;
    reader.feed(bytes);
    const auto change = reader.next();
    CAPTURE(to_hex(bytes));
    CHECK(!change.has_value());
  }
}

TEST_CASE("changeset: inverse of the inverse, the change itself") {
  const Encoded encoded = sample();
  const std::vector<ChangeTable> tables = {rowid_table(), text_key_table(), keyed_table()};
  for (const Change& change : encoded.changes) {
    if (std::holds_alternative<SchemaStatement>(change)) break;
    CHECK(encoding_of(inverse(inverse(change)), tables) == encoding_of(change, tables));
    CHECK(encoding_of(inverse(change), tables) != encoding_of(change, tables));
  }
}

TEST_CASE("changeset: same table twice, defined once, and anew after a schema statement") {
  ChangeEncoder encoder;
  Bytes bytes;
  CHECK(encoder.table(rowid_table(), bytes) == 0);
  const std::size_t once = bytes.size();
  CHECK(encoder.table(keyed_table(), bytes) == 1);
  const std::size_t twice = bytes.size();
  CHECK(encoder.table(rowid_table(), bytes) == 0);
  CHECK(bytes.size() == twice);
  encoder.append(SchemaStatement{"x"}, bytes);
  Bytes anew;
  CHECK(encoder.table(keyed_table(), anew) == 0);
  CHECK(anew.size() == twice - once);
}

TEST_CASE(
    "changeset: a journal's update tells what does not change once, the reader gives it twice") {
  ChangeTable table = rowid_table();
  const std::size_t columns = table.column_count;
  for (std::size_t i = 0; i < columns; ++i) table.column_names.push_back("c" + std::to_string(i));
  const std::string wide(1000, 'x');
  RowChange change;
  change.op = RowOp::kUpdate;
  change.key = {std::int64_t{1}};
  change.old_values.assign(columns, Text{wide});
  change.new_values.assign(columns, Text{wide});
  change.new_values.back() = Text{"y"};
  for (const std::uint32_t key : table.key_columns) {
    change.old_values[key].reset();
    change.new_values[key].reset();
  }
  ChangeEncoder encoder;
  Bytes bytes;
  change.table = encoder.table(table, bytes);
  encoder.append(change, bytes);
  CHECK(bytes.size() < (columns + 1) * wide.size());
  ChangeReader reader;
  reader.feed(bytes);
  const Result<std::optional<Change>> read = reader.next();
  REQUIRE(read);
  REQUIRE(read->has_value());
  CHECK(std::get<RowChange>(**read).old_values == change.old_values);
  CHECK(std::get<RowChange>(**read).new_values == change.new_values);
}

}  // namespace csa::changeset_test
