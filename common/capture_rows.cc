// The rows of capture: how each reported change becomes a record.
#include <algorithm>
#include <cmath>

#include "common/assigned_keys.h"
#include "common/capture_impl.h"
#include "common/check.h"
#include "common/virtual_table.h"

namespace csa {
namespace {

sqlite3_value* old_value(sqlite3* db, int index) {
  sqlite3_value* value = nullptr;
  const int code = sqlite3_preupdate_old(db, index, &value);
  if (code != SQLITE_OK) throw_sqlite(db, code, "read a changed row");
  return value;
}

sqlite3_value* new_value(sqlite3* db, int index) {
  sqlite3_value* value = nullptr;
  const int code = sqlite3_preupdate_new(db, index, &value);
  if (code != SQLITE_OK) throw_sqlite(db, code, "read a new row");
  return value;
}

// The old row of the reported change, with what the hook hides: after ALTER TABLE ADD COLUMN it
// shows NULL where the table shows the default. The row is then read, at most once.
class OldRow {
 public:
  OldRow(const Capture::Impl& impl, CapturedTable& table, std::int64_t rowid)
      : impl_(impl), table_(table), rowid_(rowid) {}
  ~OldRow() {
    if (read_) table_.row_by_key.reset();
  }
  OldRow(const OldRow&) = delete;
  OldRow& operator=(const OldRow&) = delete;

  void append(std::size_t position, Bytes& out) {
    const CapturedColumn& column = table_.columns[position];
    sqlite3_value* value = old_value(impl_.db.handle(), column.hook_index);
    if (column.has_default && sqlite3_value_type(value) == SQLITE_NULL) {
      read();
      value = sqlite3_column_value(table_.row_by_key.handle(), static_cast<int>(position));
    }
    append_stored(value, column.affinity, impl_.utf16, out);
  }

  // Throws where there is no such row.
  void read() {
    if (read_) return;
    Statement& row = table_.row_by_key;
    row.reset();
    if (!table_.info.change_table.without_rowid) {
      row.bind(1, rowid_);
    } else {
      bind_key(row);
    }
    read_ = row.step();
    if (!read_) throw SqliteError(SQLITE_CORRUPT, "the changed row cannot be found by its key");
  }

 private:
  void bind_key(Statement& row) const {
    const std::vector<std::uint32_t>& key = table_.info.change_table.key_columns;
    constexpr double kExactIntegers = 9007199254740992.0;
    for (std::size_t i = 0; i < key.size(); ++i) {
      sqlite3_value* const value = old_value(impl_.db.handle(), table_.columns[key[i]].hook_index);
      if (table_.info.odd && table_.key_may_be_rounded[i] &&
          sqlite3_value_type(value) == SQLITE_FLOAT &&
          std::abs(sqlite3_value_double(value)) >= kExactIntegers) {
        throw SqliteError(SQLITE_CONSTRAINT,
                          "SQLite does not tell the key of the changed row exactly; make its key "
                          "the table's first columns");
      }
      if (sqlite3_bind_value(row.handle(), static_cast<int>(i) + 1, value) != SQLITE_OK) {
        throw_sqlite(impl_.db.handle(), SQLITE_NOMEM, "bind a key");
      }
    }
  }

  const Capture::Impl& impl_;
  CapturedTable& table_;
  const std::int64_t rowid_;
  bool read_ = false;
};

}  // namespace

CapturedTable& Capture::Impl::table(std::string_view name) {
  if (last_table != nullptr && name == last_name) return *last_table;
  auto found = tables.find(name);
  if (found == tables.end()) {
    const TableClass kind = table_class(name);
    const bool wanted = kind == TableClass::kApplication || kind == TableClass::kShared;
    std::optional<TableInfo> info = wanted ? table_info(db, name) : std::nullopt;
    if (info && options.journal != nullptr) {
      info->change_table = journal_table(db, *info);
    }
    found = tables.try_emplace(std::string(name), db, std::move(info)).first;
  }
  last_table = &found->second;
  last_name = name;
  return *last_table;
}

void Capture::Impl::forget_tables() {
  last_table = nullptr;
  tables.clear();
  sequence_statement = Statement();
  if (db.query_int("SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence'")) {
    sequence_statement = db.prepare("SELECT name, seq FROM main.sqlite_sequence");
  }
  sequences_known = false;
}

void Capture::Impl::start_record(CapturedTable& table, std::uint8_t kind) {
  if (table.changeset != changeset) {
    frame.clear();
    table.number = encoder.table(table.info.change_table, frame);
    table.changeset = changeset;
    body.append(frame);
  }
  record.clear();
  record.push_back(kind);
  append_varint(table.number, record);
}

void Capture::Impl::finish_record() {
  any = true;
  frame.clear();
  append_varint(record.size(), frame);
  body.append(frame);
  body.append(record);
}

void Capture::Impl::insert_row(CapturedTable& table, std::int64_t rowid) {
  const bool with_rowid = !table.info.change_table.without_rowid;
  const std::optional<bool> told = with_rowid && options.journal != nullptr
                                       ? options.journal->take(table.info.change_table.name, rowid)
                                       : with_rowid && marks_assigned;
  const bool assigned = told.value_or(false);
  if (table.info.odd) {
    touch_new(table, SQLITE_INSERT, rowid);
    if (assigned) {
      table.assigned.insert(rowid);
    } else {
      table.assigned.erase(rowid);
    }
    return;
  }
  const auto append = [&](std::size_t position) {
    const CapturedColumn& column = table.columns[position];
    append_stored(new_value(db.handle(), column.hook_index), column.affinity, utf16, record);
  };
  start_record(table, assigned ? kRecordAssigned : kRecordInsert);
  if (!with_rowid) {
    for (const std::uint32_t position : table.info.change_table.key_columns) append(position);
  } else {
    append_integer(rowid, record);
  }
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (table.columns[i].role != ColumnRole::kKey) append(i);
  }
  unsettled = !told;
  if (told) finish_record();
}

// The row that a virtual table has stored: by now it is known who numbered it.
void Capture::Impl::settle_insert() {
  if (!std::exchange(unsettled, false)) return;
  if (options.journal->take_stored()) record.front() = kRecordAssigned;
  finish_record();
}

void Capture::Impl::delete_row(CapturedTable& table, std::int64_t rowid) {
  if (table.info.odd) {
    touch_old(table, rowid);
    return;
  }
  OldRow row(*this, table, rowid);
  start_record(table, kRecordDelete);
  if (table.info.change_table.without_rowid) {
    for (const std::uint32_t position : table.info.change_table.key_columns) {
      row.append(position, record);
    }
  } else {
    append_integer(rowid, record);
  }
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (table.columns[i].role != ColumnRole::kKey) row.append(i, record);
  }
  finish_record();
}

namespace {

void append_new(Capture::Impl& impl, const CapturedTable& table, std::size_t position) {
  const CapturedColumn& column = table.columns[position];
  append_stored(new_value(impl.db.handle(), column.hook_index_update), column.affinity, impl.utf16,
                impl.record);
}

// The key of a table without rowids before an UPDATE and, where it is another (true), after it.
bool append_keys(Capture::Impl& impl, const CapturedTable& table, OldRow& row) {
  Bytes& record = impl.record;
  const std::vector<std::uint32_t>& key = table.info.change_table.key_columns;
  const auto start = static_cast<std::ptrdiff_t>(record.size());
  for (const std::uint32_t position : key) row.append(position, record);
  const auto end = static_cast<std::ptrdiff_t>(record.size());
  for (const std::uint32_t position : key) append_new(impl, table, position);
  const auto at = record.begin();
  if (!std::equal(at + start, at + end, at + end, record.end())) return true;
  record.resize(static_cast<std::size_t>(end));
  return false;
}

}  // namespace

void Capture::Impl::update_row(CapturedTable& table, std::int64_t old_rowid,
                               std::int64_t new_rowid) {
  if (table.info.odd) {
    touch_old(table, old_rowid);
    touch_new(table, SQLITE_UPDATE, new_rowid);
    if (old_rowid != new_rowid) table.assigned.erase(new_rowid);
    return;
  }
  OldRow row(*this, table, old_rowid);
  start_record(table, kRecordUpdate);
  bool moved = old_rowid != new_rowid;
  if (table.info.change_table.without_rowid) {
    moved = append_keys(*this, table, row);
  } else {
    append_integer(old_rowid, record);
    if (moved) append_integer(new_rowid, record);
  }
  if (moved) record[0] = kRecordMove;
  const std::size_t mask = record.size();
  record.resize(mask + (table.columns.size() + 7) / 8, 0);
  bool changed = moved;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const ColumnRole role = table.columns[i].role;
    if (role == ColumnRole::kKey) continue;
    const auto start = static_cast<std::ptrdiff_t>(record.size());
    row.append(i, record);
    const auto middle = static_cast<std::ptrdiff_t>(record.size());
    append_new(*this, table, i);
    const auto at = record.begin();
    const bool same = std::equal(at + start, at + middle, at + middle, record.end());
    if (same) {
      const bool told = role == ColumnRole::kDeclared || options.journal != nullptr;
      record.resize(static_cast<std::size_t>(told ? middle : start));
    } else {
      record[mask + i / 8] = static_cast<std::uint8_t>(record[mask + i / 8] | (1U << (i % 8)));
      changed = true;
    }
  }
  if (changed) finish_record();
}

Bytes Capture::Impl::selected_key(const CapturedTable& table, const Statement& row) const {
  Bytes key;
  if (!table.info.change_table.without_rowid) {
    append_integer(row.column_int(static_cast<int>(table.columns.size())), key);
    return key;
  }
  for (const std::uint32_t position : table.info.change_table.key_columns) {
    append_stored(sqlite3_column_value(row.handle(), static_cast<int>(position)),
                  table.columns[position].affinity, utf16, key);
  }
  return key;
}

// The first touch of an odd table's row takes the row away; the last look puts it back as it then
// is. In between the order of its changes does not matter, for other tables know nothing of it.
void Capture::Impl::touch_old(CapturedTable& table, std::int64_t rowid) {
  OldRow row(*this, table, rowid);
  row.read();
  if (!table.touched.insert(selected_key(table, table.row_by_key)).second) return;
  append_selected(table, kRecordDelete, table.row_by_key);
}

void Capture::Impl::touch_new(CapturedTable& table, int op, std::int64_t rowid) {
  Bytes key;
  if (table.info.change_table.without_rowid) {
    for (const std::uint32_t position : table.info.change_table.key_columns) {
      const CapturedColumn& column = table.columns[position];
      const int index = op == SQLITE_UPDATE ? column.hook_index_update : column.hook_index;
      append_stored(new_value(db.handle(), index), column.affinity, utf16, key);
    }
  } else {
    append_integer(rowid, key);
  }
  table.touched.insert(std::move(key));
}

// FTS5 counts its settings ("rank", "pgsz") in place, in the row of its structure.
void Capture::Impl::begin_blob_write(CapturedTable& table, std::int64_t rowid) {
  const std::string& name = table.info.change_table.name;
  const std::optional<VirtualOwner> owner = journal_table(db, table.info).owner;
  if (!owner) {
    return fail("capture: table " + name +
                ": incremental blob writes cannot be shared; write the value with UPDATE");
  }
  if (options.journal != nullptr) {
    return fail("settings of the full-text table " + owner->name +
                " are no rows that could be merged; change them while the broker is reached");
  }
  Statement& row = table.row_by_key;
  row.reset();
  row.bind(1, rowid);
  if (!row.step()) throw SqliteError(SQLITE_CORRUPT, "the changed row cannot be found by its key");
  append_selected(table, kRecordDelete, row);
  row.reset();
  half_written = {&table, rowid};
}

void Capture::Impl::finish_blob_write() {
  if (!half_written) return;
  const HalfWritten written = *std::exchange(half_written, std::nullopt);
  Statement& row = written.table->row_by_key;
  row.reset();
  row.bind(1, written.rowid);
  if (row.step()) append_selected(*written.table, kRecordInsert, row);
  row.reset();
}

void Capture::Impl::flush_touched() {
  settle_insert();
  finish_blob_write();
  for (auto& [name, table] : tables) {
    for (const Bytes& key : table.touched) {
      Statement& row = table.row_by_key;
      row.reset();
      ByteReader reader(key);
      for (int i = 1; !reader.at_end(); ++i) row.bind(i, reader.value());
      const int code = row.try_step();
      // SQLITE_ERROR: the schema statement that just ran dropped the table.
      if (code != SQLITE_ROW && code != SQLITE_DONE && (code & 0xff) != SQLITE_ERROR) {
        throw_sqlite(db.handle(), code, "read a changed row of " + name);
      }
      // 'a' finds 'A' in a NOCASE key; that row has an entry of its own.
      if (code == SQLITE_ROW && selected_key(table, row) == key) {
        const bool assigned =
            !table.assigned.empty() &&
            table.assigned.contains(row.column_int(static_cast<int>(table.columns.size())));
        append_selected(table, assigned ? kRecordAssigned : kRecordInsert, row);
      }
      row.reset();
    }
    table.touched.clear();
    table.assigned.clear();
  }
}

void Capture::Impl::append_selected(CapturedTable& table, std::uint8_t kind, Statement& row) {
  const auto append = [&](std::size_t position) {
    append_stored(sqlite3_column_value(row.handle(), static_cast<int>(position)),
                  table.columns[position].affinity, utf16, record);
  };
  start_record(table, kind);
  if (table.info.change_table.without_rowid) {
    for (const std::uint32_t position : table.info.change_table.key_columns) append(position);
  } else {
    append_integer(row.column_int(static_cast<int>(table.columns.size())), record);
  }
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (table.columns[i].role != ColumnRole::kKey) append(i);
  }
  finish_record();
}

}  // namespace csa
