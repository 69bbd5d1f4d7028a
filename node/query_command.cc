// csa-node query: reads the replica, never the broker.
#include <iostream>

#include "common/exit_code.h"
#include "common/sqlite.h"
#include "node/commands.h"

namespace csa {
namespace {

int query_failed(sqlite3* db, int code) {
  const bool writes = (code & 0xff) == SQLITE_READONLY;
  std::cerr << "csa-node: " << sqlite3_errmsg(db)
            << (writes ? ". query only reads; use csa-node exec to write." : "") << std::endl;
  const bool damaged = (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
  return exit_code(damaged ? Errc::kDamaged : Errc::kFailed);
}

int bind_all(sqlite3_stmt* statement, const Row& parameters, std::size_t& next) {
  for (int i = 1; i <= sqlite3_bind_parameter_count(statement); ++i, ++next) {
    if (next >= parameters.size()) {
      std::cerr << "csa-node: the SQL has more parameters than the " << parameters.size()
                << " given with --param" << std::endl;
      return 2;
    }
    struct Binder {
      sqlite3_stmt* s;
      int i;
      int operator()(const Null&) const { return sqlite3_bind_null(s, i); }
      int operator()(std::int64_t v) const { return sqlite3_bind_int64(s, i, v); }
      int operator()(double v) const { return sqlite3_bind_double(s, i, v); }
      int operator()(const Text& v) const {
        return sqlite3_bind_text64(s, i, v.utf8.data(), v.utf8.size(), SQLITE_TRANSIENT,
                                   SQLITE_UTF8);
      }
      int operator()(const Bytes& v) const {
        if (v.empty()) return sqlite3_bind_zeroblob(s, i, 0);
        return sqlite3_bind_blob64(s, i, v.data(), v.size(), SQLITE_TRANSIENT);
      }
      int operator()(const Text16&) const { return SQLITE_MISUSE; }  // no parameter is one
    };
    if (std::visit(Binder{statement, i}, parameters[next]) != SQLITE_OK) return 2;
  }
  return 0;
}

int print_statement(sqlite3* db, sqlite3_stmt* statement, const RowOutput& to) {
  std::vector<std::string> columns;
  columns.reserve(static_cast<std::size_t>(sqlite3_column_count(statement)));
  for (int i = 0; i < sqlite3_column_count(statement); ++i) {
    columns.emplace_back(sqlite3_column_name(statement, i));
  }
  RowPrinter printer(to.out, to.format, columns);
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    Row row;
    for (int i = 0; i < sqlite3_column_count(statement); ++i) {
      row.push_back(value_of(sqlite3_column_value(statement, i)));
    }
    printer.row(row);
  }
  if (!columns.empty()) printer.finish();
  return code == SQLITE_DONE ? 0 : query_failed(db, code);
}

}  // namespace

int print_query(sqlite3* db, std::string_view sql, const Row& parameters, const RowOutput& to) {
  std::size_t next = 0;
  const char* at = sql.data();
  const char* const end = sql.data() + sql.size();
  while (at < end) {
    sqlite3_stmt* raw = nullptr;
    const char* const start = at;
    const int code = sqlite3_prepare_v2(db, at, static_cast<int>(end - at), &raw, &at);
    const std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)> owner(raw, sqlite3_finalize);
    if (code != SQLITE_OK) return query_failed(db, code);
    if (raw == nullptr) {
      if (at == start) break;
      continue;
    }
    if (sqlite3_stmt_readonly(raw) == 0) return query_failed(db, sqlite3_step(raw));
    if (const int bad = bind_all(raw, parameters, next); bad != 0) return bad;
    if (const int failed = print_statement(db, raw, to); failed != 0) return failed;
  }
  if (next < parameters.size()) {
    std::cerr << "csa-node: " << parameters.size() << " parameters given, " << next << " used"
              << std::endl;
    return 2;
  }
  return 0;
}

int query_command(const NodeOptions& options) {
  const SqlText text = sql_text(options);
  if (!text.error.empty()) {
    std::cerr << "csa-node: " << text.error << std::endl;
    return 2;
  }
  OpenedClient opened = join(options);
  if (!opened.client) return report(opened.failure);
  const ClientStatus status = opened.client->status();
  if (const auto code = nothing_to_read(status)) return *code;
  notice_standalone(status);
  const Reader reader = opened.client->open_reader();
  if (!reader.db) return report(reader.failure);
  return print_query(reader.db.get(), text.sql, options.parameters,
                     {std::cout, options.json ? RowFormat::kJson : options.format});
}

}  // namespace csa
