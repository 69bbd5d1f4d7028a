// Capture's inside, shared by its two sources. Belongs to the thread of the Database.
#pragma once

#include <exception>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/capture.h"
#include "common/capture_table.h"
#include "common/changeset.h"

namespace csa {

struct Capture::Impl {
  Impl(const Database& database, Options capture_options);

  // One reported change. Throws SqliteError, std::system_error.
  void on_change(int op, const char* table, std::int64_t old_rowid, std::int64_t new_rowid);
  // Keeps what went wrong inside the hook, where nothing may be thrown.
  void fail(std::string what);

  // Tables. In capture_rows.cc, like everything about rows.
  CapturedTable& table(std::string_view name);
  void forget_tables();
  void insert_row(CapturedTable& table, std::int64_t rowid);
  void settle_insert();
  void delete_row(CapturedTable& table, std::int64_t rowid);
  void update_row(CapturedTable& table, std::int64_t old_rowid, std::int64_t new_rowid);
  void touch_old(CapturedTable& table, std::int64_t rowid);
  void touch_new(CapturedTable& table, int op, std::int64_t rowid);
  void flush_touched();
  // A row that is written in place: the hook shows it before, and it is read after.
  void begin_blob_write(CapturedTable& table, std::int64_t rowid);
  void finish_blob_write();
  [[nodiscard]] Bytes selected_key(const CapturedTable& table, const Statement& row) const;
  void append_selected(CapturedTable& table, std::uint8_t kind, Statement& row);

  // sqlite_sequence.
  using Sequences = std::vector<std::pair<std::string, Value>>;
  bool sequences_unchanged();
  Sequences read_sequences();
  void append_sequences();

  // Starts a record of `table` in record.
  void start_record(CapturedTable& table, std::uint8_t kind);
  // record goes to the changeset.
  void finish_record();

  const Database& db;  // must outlive this
  const Options options;
  Spill body;
  ChangeEncoder encoder;
  std::map<std::string, CapturedTable, std::less<>> tables;
  CapturedTable* last_table = nullptr;
  std::string last_name;
  std::uint64_t changeset = 0;  // number of the encoder's present set of tables
  bool active = false;
  bool any = false;  // a change was written, not only definitions of tables
  int own_work = 0;  // see Capture::at_work
  bool utf16 = false;
  std::uint64_t mark = 0;
  struct HalfWritten {
    CapturedTable* table = nullptr;
    std::int64_t rowid = 0;
  };
  std::optional<HalfWritten> half_written;  // the row's old values are in the changeset
  std::optional<Error> failure;
  std::exception_ptr exception;
  std::int64_t schema_version = -1;
  Statement schema_version_statement;
  Statement sequence_statement;  // empty: there is no sqlite_sequence
  Sequences sequences;
  bool sequences_known = false;
  Bytes record, frame;          // kept for their memory
  bool marks_assigned = false;  // see mark_assigned()
  bool unsettled = false;       // record is a row's of which it is not told yet who numbered it
};

}  // namespace csa
