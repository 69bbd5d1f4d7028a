// SQLite handles with owners. A Database and everything made from it belong to one thread for life.
// Every call throws SqliteError for what SQLite reports; callers that expect a failure (a statement
// sent by a user) use Statement::try_step.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "common/bytes.h"
#include "common/rollback_guard.h"
#include "common/value.h"

namespace csa {

class SqliteError : public std::runtime_error {
 public:
  // `code` is SQLite's extended result code; what() is "step: SQLite's message".
  SqliteError(int code, const std::string& what) : std::runtime_error(what), code_(code) {}
  [[nodiscard]] int code() const { return code_; }
  [[nodiscard]] int primary_code() const { return code_ & 0xff; }

 private:
  int code_;
};

// Pages of the file are not what was written.
[[nodiscard]] inline bool is_damage(const SqliteError& error) {
  return error.primary_code() == SQLITE_CORRUPT || error.primary_code() == SQLITE_NOTADB;
}

// "name" with quotes doubled: the one way an identifier gets into generated SQL.
[[nodiscard]] std::string quote(std::string_view identifier);
// A to Z made small, nothing else: SQLite takes names for equal that are equal then.
[[nodiscard]] std::string lower(std::string_view name);

// SQLite's integers have a sign: a number of 64 bits without one is stored as its bits.
[[nodiscard]] constexpr std::int64_t signed_of(std::uint64_t value) {
  return static_cast<std::int64_t>(value);
}
[[nodiscard]] constexpr std::uint64_t unsigned_of(std::int64_t value) {
  return static_cast<std::uint64_t>(value);
}

// How long a statement waits for another program's lock on the file.
inline constexpr int kBusyTimeoutMs = 5000;

class Database;

// A prepared statement. Must be gone before its Database.
class Statement {
 public:
  Statement() = default;
  // Prepares the first statement of `sql`; the rest is ignored (see Database::prepare_next).
  Statement(const Database& db, std::string_view sql);

  // Positions count from 1, columns from 0, as in SQLite. Bound bytes are copied.
  Statement& bind(int position, std::int64_t value);
  Statement& bind(int position, double value);
  Statement& bind(int position, std::string_view text);
  Statement& bind_blob(int position, ByteView blob);
  Statement& bind_null(int position);
  Statement& bind(int position, const Value& value);

  // True while there is a row. At the end the statement resets itself.
  bool step();
  // SQLite's extended code: SQLITE_ROW, SQLITE_DONE or an error; does not throw and does not reset.
  int try_step();
  // Runs to the end, throws away rows, resets and clears bindings.
  void run();
  void reset();

  [[nodiscard]] std::int64_t column_int(int column) const;
  [[nodiscard]] double column_double(int column) const;
  [[nodiscard]] std::string column_text(int column) const;
  [[nodiscard]] Bytes column_blob(int column) const;
  [[nodiscard]] bool column_is_null(int column) const;
  [[nodiscard]] Value column_value(int column) const;
  // The same as changes carry it; `utf16`: is_utf16() of the database.
  [[nodiscard]] Value column_stored(int column, bool utf16) const;
  [[nodiscard]] int column_count() const;
  [[nodiscard]] sqlite3_stmt* handle() const { return stmt_.get(); }
  explicit operator bool() const { return stmt_ != nullptr; }

 private:
  friend class Database;
  struct Finalizer {
    void operator()(sqlite3_stmt* stmt) const noexcept { sqlite3_finalize(stmt); }
  };
  void check(int code, const char* step) const;
  std::unique_ptr<sqlite3_stmt, Finalizer> stmt_;
};

class Database {
 public:
  enum class Mode : std::uint8_t { kReadOnly, kReadWrite, kCreate };

  Database() = default;
  // Opens `path` (a file, never a URI) with a busy timeout of 5 s, extended result codes,
  // double-quoted strings as the library has them, and csa_sum() (row_sum.h). Throws where SQLite
  // cannot open it.
  Database(const std::string& path, Mode mode);

  // Runs every statement of `sql`, throws away rows.
  void exec(std::string_view sql) const;
  // Prepares the next statement of `sql` and removes it from the front; empty at the end of text.
  [[nodiscard]] Statement prepare_next(std::string_view& sql) const;
  [[nodiscard]] Statement prepare(std::string_view sql) const { return {*this, sql}; }

  // The first column of the first row, if there is a row.
  [[nodiscard]] std::optional<std::int64_t> query_int(std::string_view sql) const;
  [[nodiscard]] std::optional<std::string> query_text(std::string_view sql) const;

  [[nodiscard]] bool in_transaction() const { return sqlite3_get_autocommit(handle()) == 0; }
  [[nodiscard]] sqlite3* handle() const { return db_.get(); }
  explicit operator bool() const { return db_ != nullptr; }
  void close() { db_.reset(); }

 private:
  struct Closer {
    void operator()(sqlite3* db) const noexcept { sqlite3_close_v2(db); }
  };
  std::unique_ptr<sqlite3, Closer> db_;
};

// BEGIN IMMEDIATE now, ROLLBACK in the destructor unless committed. All of it or nothing, also
// where SQLite rolls it back before (rollback_guard.h).
class Transaction {
 public:
  explicit Transaction(const Database& db);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  const Database& db_;  // must outlive this
  std::optional<RollbackGuard> guard_;
  bool open_ = true;
};

// BEGIN now, the end in the destructor: everything read meanwhile is of one state.
class ReadTransaction {
 public:
  explicit ReadTransaction(const Database& db);
  ~ReadTransaction();
  ReadTransaction(const ReadTransaction&) = delete;
  ReadTransaction& operator=(const ReadTransaction&) = delete;

 private:
  const Database& db_;  // must outlive this
};

// The value of a sqlite3_value (a column, a hook's value, a function's argument), copied.
[[nodiscard]] Value value_of(sqlite3_value* value);
// Its text is stored, and carried by changes, as Text16.
[[nodiscard]] bool is_utf16(const Database& db);
// Throws SqliteError{code} with "step: message of db".
[[noreturn]] void throw_sqlite(sqlite3* db, int code, std::string_view step);

}  // namespace csa
