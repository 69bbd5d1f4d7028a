#include "common/change_bytes.h"
#include "common/changeset.h"

namespace csa {
namespace {

// An emptied buffer larger than this is given back.
constexpr std::size_t kKeptBuffer = std::size_t{1} << 20U;

Error unreadable(const char* what) {
  return {Errc::kMalformed, std::string("changeset: ") + what +
                                "; the bytes are damaged, fetch them again from the broker"};
}

std::vector<std::uint32_t> read_positions(ByteReader& reader, std::uint32_t column_count) {
  const std::uint64_t count = reader.varint();
  if (count > column_count) reader.fail();
  std::vector<std::uint32_t> positions;
  std::vector<bool> seen(column_count, false);
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
    const std::uint64_t position = reader.varint();
    if (!reader.ok() || position >= column_count || seen[position]) {
      reader.fail();
      break;
    }
    seen[position] = true;
    positions.push_back(static_cast<std::uint32_t>(position));
  }
  return positions;
}

VirtualOwner read_owner(ByteReader& reader) {
  VirtualOwner owner;
  owner.name = reader.string();
  owner.definition = reader.string();
  const std::uint64_t columns = reader.varint();
  if (columns > kColumnsMax) reader.fail();
  for (std::uint64_t i = 0; i < columns && reader.ok(); ++i) {
    owner.columns.push_back(reader.string());
  }
  return owner;
}

ChangeTable read_table(ByteReader& reader) {
  ChangeTable table;
  table.name = reader.string();
  const std::uint8_t flags = reader.byte();
  if (flags > (kTableWithoutRowid | kTableNames | kTableOwner)) reader.fail();
  table.without_rowid = (flags & kTableWithoutRowid) != 0;
  const std::uint64_t columns = reader.varint();
  if (columns == 0 || columns > kColumnsMax) reader.fail();
  if (!reader.ok()) return table;
  table.column_count = static_cast<std::uint32_t>(columns);
  table.key_columns = read_positions(reader, table.column_count);
  table.declared_key = read_positions(reader, table.column_count);
  const bool key_fits =
      table.without_rowid ? !table.key_columns.empty() : table.key_columns.size() <= 1;
  if (!key_fits) reader.fail();
  if ((flags & kTableNames) != 0) {
    for (std::uint32_t i = 0; i < table.column_count && reader.ok(); ++i) {
      table.column_names.push_back(reader.string());
    }
  }
  if ((flags & kTableOwner) != 0) table.owner = read_owner(reader);
  return table;
}

Row read_key(ByteReader& reader, const ChangeTable& table) {
  Row key;
  for (std::size_t i = 0; i < key_size(table) && reader.ok(); ++i) key.push_back(reader.value());
  if (!table.without_rowid && reader.ok() && !std::holds_alternative<std::int64_t>(key[0])) {
    reader.fail();
  }
  return key;
}

std::vector<std::optional<Value>> read_values(ByteReader& reader,
                                              const std::vector<ColumnRole>& roles) {
  std::vector<std::optional<Value>> values(roles.size());
  for (std::size_t i = 0; i < roles.size() && reader.ok(); ++i) {
    if (roles[i] != ColumnRole::kKey) values[i] = reader.value();
  }
  return values;
}

// `full`: of a journal, where unchanged columns are told too.
void read_changes(ByteReader& reader, const std::vector<ColumnRole>& roles, bool full,
                  RowChange& row) {
  const ByteView mask = reader.bytes((roles.size() + 7) / 8);
  if (!reader.ok()) return;
  row.old_values.resize(roles.size());
  row.new_values.resize(roles.size());
  for (std::size_t i = 0; i < mask.size() * 8 && reader.ok(); ++i) {
    const bool changed = ((std::uint32_t{mask[i / 8]} >> (i % 8)) & 1U) != 0;
    if (i >= roles.size() || roles[i] == ColumnRole::kKey) {
      if (changed) reader.fail();
      continue;
    }
    if (changed || full || roles[i] == ColumnRole::kDeclared) row.old_values[i] = reader.value();
    if (changed) {
      row.new_values[i] = reader.value();
    } else if (full) {
      row.new_values[i] = row.old_values[i];
    }
  }
}

}  // namespace

void ChangeReader::feed(ByteView piece) {
  if (position_ > 0) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(position_));
    position_ = 0;
    if (buffer_.empty() && buffer_.capacity() > kKeptBuffer) Bytes().swap(buffer_);
  }
  buffer_.insert(buffer_.end(), piece.begin(), piece.end());
}

Result<std::optional<Change>> ChangeReader::next() {
  while (!failed_) {
    const ByteView rest = ByteView(buffer_).subspan(position_);
    std::size_t prefix = 0;
    std::uint64_t length = 0;
    bool complete = false;
    while (prefix < rest.size() && prefix < 5 && !complete) {
      length |= std::uint64_t{rest[prefix] & 0x7FU} << (7U * prefix);
      complete = (rest[prefix] & 0x80U) == 0;
      ++prefix;
    }
    if (!complete && prefix < 5) return std::optional<Change>();
    if (!complete || length == 0 || length > kRecordMax) {
      failed_ = true;
      return unreadable("a record's length is impossible");
    }
    if (rest.size() - prefix < length) return std::optional<Change>();
    auto change = read_record(rest.subspan(prefix, length));
    if (!change) {
      failed_ = true;
      return change.error();
    }
    position_ += prefix + length;
    if (change->has_value()) return change;
  }
  return unreadable("an earlier record could not be read");
}

// nullopt: the record defined a table.
Result<std::optional<Change>> ChangeReader::read_record(ByteView body) {
  ByteReader reader(body);
  std::optional<Change> change;
  const std::uint8_t kind = reader.byte();
  if (kind == kRecordTable) {
    ChangeTable table = read_table(reader);
    if (!reader.ok() || !reader.at_end()) return unreadable("a table's definition does not decode");
    columns_ += table.column_count + (table.owner ? table.owner->columns.size() : 0);
    if (columns_ > kColumnsTogetherMax) return unreadable("it defines too many columns");
    roles_.push_back(column_roles(table));
    tables_.push_back(std::move(table));
    return change;
  }
  if (kind == kRecordSequence) {
    SequenceChange sequence;
    sequence.table = reader.string();
    sequence.before = reader.optional_value();
    sequence.after = reader.optional_value();
    change = std::move(sequence);
  } else if (kind == kRecordSchema) {
    change = SchemaStatement{reader.string()};
  } else {
    change = read_row(kind, reader);
  }
  if (!reader.ok() || !reader.at_end()) return unreadable("a record does not decode");
  if (kind == kRecordSchema) {
    tables_.clear();
    roles_.clear();
    columns_ = 0;
  }
  return change;
}

RowChange ChangeReader::read_row(std::uint8_t kind, ByteReader& reader) const {
  RowChange row;
  const std::uint64_t number = reader.varint();
  if (!reader.ok() || number >= tables_.size()) {
    reader.fail();
    return row;
  }
  row.table = static_cast<std::uint32_t>(number);
  const ChangeTable& table = tables_[number];
  row.key = read_key(reader, table);
  switch (kind) {
    case kRecordInsert:
    case kRecordAssigned:
      row.op = RowOp::kInsert;
      row.assigned = kind == kRecordAssigned;
      if (row.assigned && table.without_rowid) reader.fail();
      row.new_values = read_values(reader, roles_[number]);
      break;
    case kRecordDelete:
      row.op = RowOp::kDelete;
      row.old_values = read_values(reader, roles_[number]);
      break;
    case kRecordUpdate:
      row.op = RowOp::kUpdate;
      read_changes(reader, roles_[number], !table.column_names.empty(), row);
      break;
    case kRecordMove:
      row.op = RowOp::kUpdate;
      row.new_key = read_key(reader, table);
      read_changes(reader, roles_[number], !table.column_names.empty(), row);
      break;
    default:
      reader.fail();
  }
  return row;
}

}  // namespace csa
