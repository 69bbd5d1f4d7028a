// The row changes of one transaction: csa's encoding of them, written by capture, read by apply and
// by csa-sub. A changeset is a sequence of records, each "length varint, kind byte, fields"
// (grammar above the encoder in changeset.cc and in schemas/protocol.md). Pure: no SQLite calls.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "common/value.h"

namespace csa {

// The virtual table that a shadow table belongs to.
struct VirtualOwner {
  std::string name;
  std::string definition;            // what stands behind USING
  std::vector<std::string> columns;  // those that an application sees
  bool operator==(const VirtualOwner&) const = default;
};

// The table that following row changes belong to, as capture saw it.
struct ChangeTable {
  std::string name;
  bool without_rowid = false;
  std::uint32_t column_count = 0;  // carried columns: those that are not generated, in table order
  // Positions (in carried columns) of the physical key; WITHOUT ROWID: key columns in key order;
  // rowid tables: the INTEGER PRIMARY KEY column or nothing.
  std::vector<std::uint32_t> key_columns;
  // Positions, in key order, of the declared PRIMARY KEY where that is not the physical key (TEXT
  // keys of rowid tables ...), else empty.
  std::vector<std::uint32_t> declared_key;
  // Names of the carried columns; in journals only, elsewhere empty.
  std::vector<std::string> column_names = {};
  // Of a shadow table; in journals only.
  std::optional<VirtualOwner> owner = {};
  bool operator==(const ChangeTable&) const = default;
};

enum class RowOp : std::uint8_t { kInsert = 1, kUpdate = 2, kDelete = 3 };

// One row change. Columns count over carried columns.
struct RowChange {
  RowOp op = RowOp::kInsert;
  bool assigned = false;       // an insert: SQLite chose the rowid, where that is told
  std::uint32_t table = 0;     // index into the reader's tables()
  Row key;                     // physical key before (delete, update) or of the new row (insert)
  std::optional<Row> new_key;  // update that moved the row
  // One value a carried column; columns that an update did not change hold nullopt in both, but
  // columns of declared_key are always in old_values. Key columns of the physical key are not
  // repeated: nullopt.
  std::vector<std::optional<Value>> old_values;  // empty for insert
  std::vector<std::optional<Value>> new_values;  // empty for delete
};

// sqlite_sequence of one AUTOINCREMENT table; nullopt: no row.
struct SequenceChange {
  std::string table;
  std::optional<Value> before;
  std::optional<Value> after;
};

// A schema statement to execute at this place. Tables must be looked up anew after it.
struct SchemaStatement {
  std::string sql;
};

using Change = std::variant<RowChange, SequenceChange, SchemaStatement>;

// Writes records. Not thread-safe.
class ChangeEncoder {
 public:
  // Index of `table` in this changeset; appends its definition to `out` at first sight.
  std::uint32_t table(const ChangeTable& table, Bytes& out);
  // REQUIRES: row.table was returned by table() of this encoder since the last schema statement.
  void append(const Change& change, Bytes& out);
  // Forgets tables: after a schema statement, or for a new changeset.
  void reset();

 private:
  std::vector<ChangeTable> tables_;
};

class ByteReader;
enum class ColumnRole : std::uint8_t;

// Reads a changeset that arrives in pieces of any size: feed(), then next() until it is empty.
// Keeps only the bytes of an unfinished record, so memory is bounded by the largest row. Never
// trusts a length; damage is an Error and the reader is then unusable.
class ChangeReader {
 public:
  void feed(ByteView piece);
  // nullopt: the rest needs more bytes.
  [[nodiscard]] Result<std::optional<Change>> next();
  [[nodiscard]] const std::vector<ChangeTable>& tables() const { return tables_; }
  // True at a record boundary: where a complete changeset must end.
  [[nodiscard]] bool at_boundary() const { return position_ == buffer_.size(); }

 private:
  Result<std::optional<Change>> read_record(ByteView body);
  RowChange read_row(std::uint8_t kind, ByteReader& reader) const;

  std::vector<ChangeTable> tables_;
  std::vector<std::vector<ColumnRole>> roles_;  // of tables_
  std::uint64_t columns_ = 0;                   // of all tables_ together
  Bytes buffer_;
  std::size_t position_ = 0;
  bool failed_ = false;
};

// The change that undoes `change` (schema statements have none: CSA_CHECK). Undoing a changeset is
// applying the inverses in reverse order.
[[nodiscard]] Change inverse(const Change& change);

}  // namespace csa
