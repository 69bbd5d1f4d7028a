#include "common/changeset.h"

#include <algorithm>

#include "common/change_bytes.h"
#include "common/check.h"

namespace csa {

// A changeset is a sequence of records:
//
//   changeset = *record
//   record    = length body            ; length: varint, bytes of body, at most 2^32
//   body      = table / insert / delete / update / move / sequence / schema
//
//   table     = "T" string flags columns keys keys [names]
//               ; name; flags byte: bit 0 WITHOUT ROWID, bit 1 names, others 0; columns: varint,
//               ; number of carried columns; positions of the physical key; positions of the
//               ; declared key where it is another; names (journals): a string a carried column.
//               ; Tables are numbered from 0 in order of their definitions; the numbering starts
//               ; anew after a schema record.
//   keys      = varint *varint         ; number of positions, positions in carried columns
//
//   insert    = ("I" / "A") number key *value
//               ; "A": in a journal, where SQLite chose the rowid; new values of the columns that
//               are not in the physical
//   delete    = "D" number key *value  ; key, in table order; delete: old values
//   update    = "U" number key changes
//   move      = "K" number key key changes  ; the row's key before and after
//   number    = varint                 ; of the table
//   key       = integer value          ; rowid
//             / 1*value                ; WITHOUT ROWID: values of the key columns in key order
//   changes   = mask *( value value / value )
//               ; mask: one bit a carried column, lowest bit of the first byte first, in
//               ; ceil(columns / 8) bytes, unused bits and bits of key columns 0. Then for each
//               ; column in table order: old and new value where its bit is set; else the
//               ; value that it keeps where the column belongs to the declared key, or the table
//               ; has names; else nothing.
//
//   sequence  = "Q" string optional optional  ; sqlite_sequence: table, value before and after
//   schema    = "S" string             ; a schema statement to execute here
//
//   optional  = %x00 / value           ; 0: no row
//   value     = %x01                   ; NULL
//             / %x02 varint            ; INTEGER, zigzag
//             / %x03 8OCTET            ; REAL, IEEE 754, little-endian
//             / %x04 string            ; TEXT, UTF-8 as stored, perhaps invalid
//             / %x05 string            ; BLOB
//             / %x06 varint *2OCTET    ; TEXT of a UTF-16 database: number of code units, code
//                                      ; units little-endian, perhaps unpaired surrogates
//   string    = varint *OCTET
//   varint    = 1*10OCTET              ; 7 bits an octet, lowest first, top bit: more follow
namespace {

void append_positions(const std::vector<std::uint32_t>& positions, Bytes& out) {
  append_varint(positions.size(), out);
  for (const std::uint32_t position : positions) append_varint(position, out);
}

void append_key(const ChangeTable& table, const Row& key, Bytes& out) {
  CSA_CHECK(key.size() == key_size(table));
  for (const Value& value : key) append_value(value, out);
}

void append_present(const std::vector<std::optional<Value>>& values, const ChangeTable& table,
                    Bytes& out) {
  CSA_CHECK(values.size() == table.column_count);
  const std::vector<ColumnRole> roles = column_roles(table);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (roles[i] == ColumnRole::kKey) continue;
    CSA_CHECK(values[i].has_value());
    append_value(*values[i], out);
  }
}

// What stands from `middle` on is the same as what stands between `start` and there.
bool is_repeated(const Bytes& bytes, std::size_t start, std::size_t middle) {
  const ByteView all(bytes);
  return std::ranges::equal(all.subspan(start, middle - start), all.subspan(middle));
}

void append_changes(const RowChange& row, const ChangeTable& table, Bytes& out) {
  CSA_CHECK(row.old_values.size() == table.column_count);
  CSA_CHECK(row.new_values.size() == table.column_count);
  const std::vector<ColumnRole> roles = column_roles(table);
  const std::size_t mask = out.size();
  out.resize(mask + (table.column_count + 7) / 8, 0);
  for (std::size_t i = 0; i < roles.size(); ++i) {
    if (roles[i] == ColumnRole::kKey) continue;
    const bool full = !table.column_names.empty();
    if (!full && !row.new_values[i] && roles[i] != ColumnRole::kDeclared) continue;
    CSA_CHECK(row.old_values[i].has_value());
    const std::size_t start = out.size();
    append_value(*row.old_values[i], out);
    if (!row.new_values[i]) continue;
    const std::size_t middle = out.size();
    append_value(*row.new_values[i], out);
    if (full && is_repeated(out, start, middle)) {
      out.resize(middle);
      continue;
    }
    out[mask + i / 8] = static_cast<std::uint8_t>(out[mask + i / 8] | (1U << (i % 8)));
  }
}

Bytes row_body(const RowChange& row, const ChangeTable& table) {
  Bytes body;
  switch (row.op) {
    case RowOp::kInsert:
    case RowOp::kDelete:
      body.push_back(row.op == RowOp::kDelete ? kRecordDelete
                     : row.assigned           ? kRecordAssigned
                                              : kRecordInsert);
      append_varint(row.table, body);
      append_key(table, row.key, body);
      append_present(row.op == RowOp::kInsert ? row.new_values : row.old_values, table, body);
      break;
    case RowOp::kUpdate:
      body.push_back(row.new_key ? kRecordMove : kRecordUpdate);
      append_varint(row.table, body);
      append_key(table, row.key, body);
      if (row.new_key) append_key(table, *row.new_key, body);
      append_changes(row, table, body);
      break;
  }
  return body;
}

void append_optional(const std::optional<Value>& value, Bytes& out) {
  if (value) {
    append_value(*value, out);
  } else {
    append_absent(out);
  }
}

RowChange inverse_row(const RowChange& row) {
  RowChange back = row;
  switch (row.op) {
    case RowOp::kInsert:
      back.op = RowOp::kDelete;
      back.assigned = false;
      std::swap(back.old_values, back.new_values);
      break;
    case RowOp::kDelete:
      back.op = RowOp::kInsert;
      std::swap(back.old_values, back.new_values);
      break;
    case RowOp::kUpdate:
      if (back.new_key) std::swap(back.key, *back.new_key);
      // Unchanged columns of a declared key keep their old value: it is the new one as well.
      for (std::size_t i = 0; i < back.new_values.size(); ++i) {
        if (back.new_values[i]) std::swap(back.old_values[i], back.new_values[i]);
      }
      break;
  }
  return back;
}

}  // namespace

std::uint32_t ChangeEncoder::table(const ChangeTable& table, Bytes& out) {
  const auto found = std::find(tables_.begin(), tables_.end(), table);
  const auto index = static_cast<std::uint32_t>(found - tables_.begin());
  if (found != tables_.end()) return index;
  Bytes body;
  body.push_back(kRecordTable);
  append_string(table.name, body);
  const bool names = !table.column_names.empty();
  body.push_back(static_cast<std::uint8_t>((table.without_rowid ? kTableWithoutRowid : 0) |
                                           (names ? kTableNames : 0) |
                                           (table.owner ? kTableOwner : 0)));
  append_varint(table.column_count, body);
  append_positions(table.key_columns, body);
  append_positions(table.declared_key, body);
  CSA_CHECK(!names || table.column_names.size() == table.column_count);
  for (const std::string& name : table.column_names) append_string(name, body);
  if (table.owner) {
    append_string(table.owner->name, body);
    append_string(table.owner->definition, body);
    append_varint(table.owner->columns.size(), body);
    for (const std::string& name : table.owner->columns) append_string(name, body);
  }
  append_record(body, out);
  tables_.push_back(table);
  return index;
}

void ChangeEncoder::append(const Change& change, Bytes& out) {
  Bytes body;
  if (const auto* const row = std::get_if<RowChange>(&change)) {
    CSA_CHECK(row->table < tables_.size());
    body = row_body(*row, tables_[row->table]);
  } else if (const auto* const sequence = std::get_if<SequenceChange>(&change)) {
    body.push_back(kRecordSequence);
    append_string(sequence->table, body);
    append_optional(sequence->before, body);
    append_optional(sequence->after, body);
  } else {
    body.push_back(kRecordSchema);
    append_string(std::get<SchemaStatement>(change).sql, body);
    reset();
  }
  append_record(body, out);
}

void ChangeEncoder::reset() { tables_.clear(); }

Change inverse(const Change& change) {
  CSA_CHECK(!std::holds_alternative<SchemaStatement>(change));
  if (const auto* const row = std::get_if<RowChange>(&change)) return inverse_row(*row);
  SequenceChange back = std::get<SequenceChange>(change);
  std::swap(back.before, back.after);
  return back;
}

}  // namespace csa
