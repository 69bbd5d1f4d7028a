// What csa must know of a database's schema: classes of tables, their columns as capture and apply
// need them, the fingerprint that proves two schemas equal, names for changed columns, and what
// cannot be shared. Calls read the schema through the given connection and throw SqliteError.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/changeset.h"
#include "common/sqlite.h"

namespace csa {

// Who writes a table, and how it travels.
enum class TableClass : std::uint8_t {
  kApplication,  // the user's: captured and applied
  kShared,   // csa's, replicated as ordinary rows: csa_inbox, csa_rule, csa_remap, csa_lost, ...
  kDerived,  // csa's, computed by every copy from the log: csa_log, csa_outcome, csa_layout, ...
  kPrivate,  // csa's, of one file: csa_private, csa_journal, ...
  kSqlite,   // sqlite_*: never captured (sqlite_sequence travels by value)
};
[[nodiscard]] TableClass table_class(std::string_view table);

enum class Affinity : std::uint8_t { kBlob, kText, kNumeric, kInteger, kReal };

struct Column {
  std::string name;
  Affinity affinity = Affinity::kBlob;
  bool untyped = false;    // keeps every value as it comes (BLOB affinity), so 5 and 5.0 differ
  bool generated = false;  // VIRTUAL or STORED: never carried
  bool virtual_ = false;
  bool has_default = false;
  // Indexes for the pre-update hook's old and new values; -1: VIRTUAL.
  int hook_index = 0;         // old values, and new values of an INSERT
  int hook_index_update = 0;  // new values of an UPDATE
};

struct TableInfo {
  ChangeTable change_table;            // as it is written into changesets
  std::vector<Column> columns;         // all, in table order
  std::vector<std::uint32_t> carried;  // indexes into columns of those that are carried
  std::string rowid_name;  // a spelling of the rowid that no column takes; empty if none
  bool odd = false;        // the hook lies about it: capture by reading rows
  bool autoincrement = false;
};

// Of the main database. nullopt: no such table, or a view or a virtual table (their shadow tables
// are ordinary).
[[nodiscard]] std::optional<TableInfo> table_info(const Database& db, std::string_view table);
// Application tables that hold rows of their own, by name (virtual tables left out, shadow tables
// in).
[[nodiscard]] std::vector<std::string> shared_tables(const Database& db);
// Those, and csa's own that are replicated (kShared).
[[nodiscard]] std::vector<std::string> replicated_tables(const Database& db);

// Hash over type, name, table and SQL of everything in sqlite_schema but csa's and SQLite's own.
[[nodiscard]] Id128 schema_fingerprint(const Database& db);
// The last record of a schema entry's changeset: a SchemaStatement of this remark followed by
// to_string(schema_fingerprint()) after it. To SQLite a comment; replicas prove their schema by it.
inline constexpr std::string_view kFingerprintRemark = "-- csa fingerprint ";

// Names that a table and its columns had before the migration, where these were others.
struct TableRenames {
  std::string table;                           // empty: the same
  std::map<std::string, std::string> columns;  // by the name after it
  bool operator==(const TableRenames&) const = default;
};
using Renames = std::map<std::string, TableRenames, std::less<>>;  // by the name after it
// A record of a schema entry's changeset, to SQLite a comment; nothing: the statement is none.
[[nodiscard]] std::string renames_remark(const Renames& renames);
[[nodiscard]] std::optional<Renames> parse_renames_remark(std::string_view sql);

// Column names of every replicated table of one schema version, as csa-sub needs them; stored and
// sent as JSON text: {"table":{"columns":[carried names],"key":[names of the declared key, or the
// rowid's spelling],"was":{...}}}. Was: TableRenames of the migration that made the version, left
// out where there are none.
struct TableLayout {
  std::vector<std::string> columns;
  std::vector<std::string> key;
  TableRenames was = {};
};
using Layout = std::map<std::string, TableLayout, std::less<>>;
[[nodiscard]] Layout read_layout(const Database& db, const Renames& renames = {});
[[nodiscard]] std::string to_json(const Layout& layout);
[[nodiscard]] std::optional<Layout> parse_layout(std::string_view json);

// One thing that cannot be shared, with the reason and the way out, as sentences.
struct Unshareable {
  std::string object;
  std::string reason;
  std::string way_out;
};
// Empty: every table can be shared. Looks for tables without a rowid spelling, collations,
// functions and virtual-table modules that a plain SQLite lacks, names that begin with csa_ and are
// not csa's, writable_schema damage, and what else capture or apply cannot carry.
// Pages are checked (quick_check, which reads the whole file) only where asked for: when a file is
// adopted, not after each migration. Functions and collations count as there when `db` has them, so
// give it a connection that has none of its own.
enum class Probe : std::uint8_t { kSchema, kSchemaAndPages };
[[nodiscard]] std::vector<Unshareable> find_unshareable(const Database& db,
                                                        Probe probe = Probe::kSchemaAndPages);

}  // namespace csa
