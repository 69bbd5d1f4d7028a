#include "common/sqlite.h"

#include <algorithm>
#include <limits>

#include "common/row_sum.h"

namespace csa {

std::string quote(std::string_view identifier) {
  std::string quoted = "\"";
  for (const char c : identifier) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string lower(std::string_view name) {
  std::string result(name);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

void throw_sqlite(sqlite3* db, int code, std::string_view step) {
  const char* const message = db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code);
  throw SqliteError(code, std::string(step) + ": " + message);
}

Value value_of(sqlite3_value* value) {
  switch (sqlite3_value_type(value)) {
    case SQLITE_INTEGER:
      return static_cast<std::int64_t>(sqlite3_value_int64(value));
    case SQLITE_FLOAT:
      return sqlite3_value_double(value);
    case SQLITE_TEXT: {
      const auto* const text = reinterpret_cast<const char*>(sqlite3_value_text(value));
      return Text{std::string(text, static_cast<std::size_t>(sqlite3_value_bytes(value)))};
    }
    case SQLITE_BLOB: {
      const auto* const blob = static_cast<const std::uint8_t*>(sqlite3_value_blob(value));
      return Bytes(blob, blob + sqlite3_value_bytes(value));
    }
    default:
      return Null{};
  }
}

Statement::Statement(const Database& db, std::string_view sql) {
  std::string_view rest = sql;
  *this = db.prepare_next(rest);
  if (!stmt_)
    throw SqliteError(SQLITE_MISUSE, "prepare: no statement in \"" + std::string(sql) + "\"");
}

void Statement::check(int code, const char* step) const {
  if (code != SQLITE_OK) throw_sqlite(sqlite3_db_handle(stmt_.get()), code, step);
}

Statement& Statement::bind(int position, std::int64_t value) {
  check(sqlite3_bind_int64(stmt_.get(), position, value), "bind");
  return *this;
}

Statement& Statement::bind(int position, double value) {
  check(sqlite3_bind_double(stmt_.get(), position, value), "bind");
  return *this;
}

Statement& Statement::bind(int position, std::string_view text) {
  const char* const start = text.data() == nullptr ? "" : text.data();
  check(
      sqlite3_bind_text64(stmt_.get(), position, start, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8),
      "bind");
  return *this;
}

Statement& Statement::bind_blob(int position, ByteView blob) {
  if (blob.empty()) {
    check(sqlite3_bind_zeroblob(stmt_.get(), position, 0), "bind");
  } else {
    check(sqlite3_bind_blob64(stmt_.get(), position, blob.data(), blob.size(), SQLITE_TRANSIENT),
          "bind");
  }
  return *this;
}

Statement& Statement::bind_null(int position) {
  check(sqlite3_bind_null(stmt_.get(), position), "bind");
  return *this;
}

Statement& Statement::bind(int position, const Value& value) {
  struct Binder {
    Statement& statement;
    int position;
    void operator()(const Null&) const { statement.bind_null(position); }
    void operator()(std::int64_t v) const { statement.bind(position, v); }
    void operator()(double v) const { statement.bind(position, v); }
    void operator()(const Text& v) const { statement.bind(position, std::string_view(v.utf8)); }
    void operator()(const Bytes& v) const { statement.bind_blob(position, v); }
    void operator()(const Text16& v) const {
      // SQLite takes a leading byte order mark for its own and drops it; so it gets one to drop.
      const bool marked =
          !v.units.empty() && (v.units[0] == char16_t{0xFEFF} || v.units[0] == char16_t{0xFFFE});
      const std::u16string& units = marked ? char16_t{0xFEFF} + v.units : v.units;
      statement.check(sqlite3_bind_text64(
                          statement.handle(), position, reinterpret_cast<const char*>(units.data()),
                          units.size() * sizeof(char16_t), SQLITE_TRANSIENT, SQLITE_UTF16),
                      "bind");
    }
  };
  std::visit(Binder{*this, position}, value);
  return *this;
}

// See RollbackGuard.
int Statement::try_step() {
  const int code = sqlite3_step(stmt_.get());
  return code == SQLITE_CONSTRAINT_COMMITHOOK ? SQLITE_ABORT_ROLLBACK : code;
}

bool Statement::step() {
  const int code = try_step();
  if (code == SQLITE_ROW) return true;
  sqlite3* const db = sqlite3_db_handle(stmt_.get());
  if (code != SQLITE_DONE) {
    const SqliteError error(
        code, std::string(sqlite3_sql(stmt_.get())).substr(0, 200) + ": " +
                  (code == SQLITE_ABORT_ROLLBACK ? kRolledBackBefore : sqlite3_errmsg(db)));
    sqlite3_reset(stmt_.get());
    throw error;
  }
  sqlite3_reset(stmt_.get());
  return false;
}

void Statement::run() {
  while (step()) {
  }
  sqlite3_clear_bindings(stmt_.get());
}

void Statement::reset() {
  sqlite3_reset(stmt_.get());
  sqlite3_clear_bindings(stmt_.get());
}

std::int64_t Statement::column_int(int column) const {
  return sqlite3_column_int64(stmt_.get(), column);
}

double Statement::column_double(int column) const {
  return sqlite3_column_double(stmt_.get(), column);
}

std::string Statement::column_text(int column) const {
  const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(stmt_.get(), column));
  if (text == nullptr) return {};
  return {text, static_cast<std::size_t>(sqlite3_column_bytes(stmt_.get(), column))};
}

Bytes Statement::column_blob(int column) const {
  const auto* const blob =
      static_cast<const std::uint8_t*>(sqlite3_column_blob(stmt_.get(), column));
  if (blob == nullptr) return {};
  return {blob, blob + sqlite3_column_bytes(stmt_.get(), column)};
}

bool Statement::column_is_null(int column) const {
  return sqlite3_column_type(stmt_.get(), column) == SQLITE_NULL;
}

Value Statement::column_value(int column) const {
  return value_of(sqlite3_column_value(stmt_.get(), column));
}

Value Statement::column_stored(int column, bool utf16) const {
  sqlite3_value* const value = sqlite3_column_value(stmt_.get(), column);
  if (!utf16 || sqlite3_value_type(value) != SQLITE_TEXT) return value_of(value);
  const auto* const units = static_cast<const char16_t*>(sqlite3_value_text16(value));
  if (units == nullptr) throw std::bad_alloc();
  return Text16{std::u16string(units, static_cast<std::size_t>(sqlite3_value_bytes16(value)) / 2)};
}

int Statement::column_count() const { return sqlite3_column_count(stmt_.get()); }

bool is_utf16(const Database& db) {
  return db.query_text("PRAGMA encoding").value_or("").starts_with("UTF-16");
}

Database::Database(const std::string& path, Mode mode) {
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  switch (mode) {
    case Mode::kReadOnly:
      flags |= SQLITE_OPEN_READONLY;
      break;
    case Mode::kReadWrite:
      flags |= SQLITE_OPEN_READWRITE;
      break;
    case Mode::kCreate:
      flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
      break;
  }
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  db_.reset(raw);
  if (code != SQLITE_OK) throw_sqlite(raw, code, "open " + path);
  sqlite3_busy_timeout(raw, kBusyTimeoutMs);
  if (const int added = add_row_sum(raw); added != SQLITE_OK) throw_sqlite(raw, added, "csa_sum");
}

void Database::exec(std::string_view sql) const {
  while (true) {
    Statement statement = prepare_next(sql);
    if (!statement) return;
    statement.run();
  }
}

Statement Database::prepare_next(std::string_view& sql) const {
  while (!sql.empty()) {
    const auto length =
        static_cast<int>(std::min<std::size_t>(sql.size(), std::numeric_limits<int>::max()));
    sqlite3_stmt* raw = nullptr;
    const char* tail = nullptr;
    const int code = sqlite3_prepare_v3(handle(), sql.data(), length, 0, &raw, &tail);
    Statement statement;
    statement.stmt_.reset(raw);
    if (code != SQLITE_OK) throw_sqlite(handle(), code, "prepare");
    const auto used = static_cast<std::size_t>(tail - sql.data());
    if (!statement && used == 0) {
      throw SqliteError(SQLITE_ERROR, "prepare: a NUL character in the SQL text");
    }
    sql.remove_prefix(used);
    if (statement) return statement;
  }
  return {};
}

std::optional<std::int64_t> Database::query_int(std::string_view sql) const {
  Statement statement = prepare(sql);
  if (!statement.step() || statement.column_is_null(0)) return std::nullopt;
  return statement.column_int(0);
}

std::optional<std::string> Database::query_text(std::string_view sql) const {
  Statement statement = prepare(sql);
  if (!statement.step() || statement.column_is_null(0)) return std::nullopt;
  return statement.column_text(0);
}

Transaction::Transaction(const Database& db) : db_(db) {
  db_.exec("BEGIN IMMEDIATE");
  guard_.emplace(db_.handle());
}

Transaction::~Transaction() {
  if (open_ && db_.in_transaction()) {
    // A failed ROLLBACK leaves nothing behind that a closed connection would keep.
    sqlite3_exec(db_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

void Transaction::commit() {
  guard_->prove();
  db_.exec("COMMIT");
  open_ = false;
}

ReadTransaction::ReadTransaction(const Database& db) : db_(db) { db_.exec("BEGIN"); }

ReadTransaction::~ReadTransaction() {
  sqlite3_exec(db_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

}  // namespace csa
