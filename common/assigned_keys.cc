#include "common/assigned_keys.h"

#include <memory>
#include <utility>

#include "common/schema.h"
#include "common/virtual_table.h"

namespace csa {
namespace {

constexpr std::int64_t kNotGiven = -1;

std::string literal(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    quoted += c;
    if (c == '\'') quoted += c;
  }
  return quoted + "'";
}

std::optional<std::string> table_inserted_into(std::string_view sql) {
  SqlWords words(sql);
  const std::string verb = lower(words.next());
  if (verb != "insert" && verb != "replace") return std::nullopt;
  for (std::string_view word = words.next(); lower(word) != "into"; word = words.next()) {
    if (word.empty()) return std::nullopt;
  }
  std::string_view name = words.next();
  if (words.next() == ".") name = words.next();
  return unquoted(name);
}

// The first value that the INSERT was bound to is NULL. REQUIRES: it has ended, for SQLite does not
// show what is bound to a statement that runs inside another one.
bool begins_with_null(sqlite3_stmt* insert) {
  const std::unique_ptr<char, void (*)(void*)> sql(sqlite3_expanded_sql(insert), sqlite3_free);
  if (!sql) return false;
  SqlWords words(sql.get());
  for (std::string_view word = words.next(); lower(word) != "values"; word = words.next()) {
    if (word.empty()) return false;
  }
  return words.next() == "(" && words.next() == "NULL";
}

}  // namespace

AssignedKeys::AssignedKeys(const Database& db) : db_(db) {
  const auto function = [](sqlite3_context* context, int /*count*/, sqlite3_value** values) {
    auto& self = *static_cast<AssignedKeys*>(sqlite3_user_data(context));
    const auto* const table = reinterpret_cast<const char*>(sqlite3_value_text(values[0]));
    try {
      self.note(table == nullptr ? "" : table, sqlite3_value_int64(values[1]));
    } catch (const std::bad_alloc&) {
      sqlite3_result_error_nomem(context);
    }
  };
  const int code =
      sqlite3_create_function_v2(db.handle(), std::string(kAssignedKeysFunction).c_str(), 2,
                                 SQLITE_UTF8, this, function, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) throw_sqlite(db.handle(), code, "make a function");
  const auto ended = [](unsigned /*event*/, void* self, void* statement, void* /*time*/) {
    try {
      static_cast<AssignedKeys*>(self)->on_ended(static_cast<sqlite3_stmt*>(statement));
    } catch (const std::bad_alloc&) {
      return SQLITE_NOMEM;  // which SQLite ignores
    }
    return SQLITE_OK;
  };
  sqlite3_trace_v2(db.handle(), SQLITE_TRACE_PROFILE, ended, this);
}

AssignedKeys::~AssignedKeys() {
  sqlite3_trace_v2(db_.handle(), 0, nullptr, nullptr);
  for (const std::string& trigger : triggers_) {
    const std::string sql = "DROP TRIGGER IF EXISTS temp." + quote(trigger);
    sqlite3_exec(db_.handle(), sql.c_str(), nullptr, nullptr, nullptr);
  }
  sqlite3_create_function_v2(db_.handle(), std::string(kAssignedKeysFunction).c_str(), 2,
                             SQLITE_UTF8, nullptr, nullptr, nullptr, nullptr, nullptr);
}

void AssignedKeys::refresh() {
  const std::int64_t version = db_.query_int("PRAGMA main.schema_version").value_or(0);
  if (version == schema_version_) return;
  for (const std::string& trigger : std::exchange(triggers_, {})) {
    db_.exec("DROP TRIGGER IF EXISTS temp." + quote(trigger));
  }
  shadows_.clear();
  Statement shadows =
      db_.prepare("SELECT 1 FROM pragma_table_list(?1) WHERE schema = 'main' AND type = 'shadow'");
  for (const std::string& table : shared_tables(db_)) {
    shadows.bind(1, table);
    const bool shadow = shadows.step();
    shadows.reset();
    if (shadow) {
      if (table.ends_with("_content") || table.ends_with("_rowid")) shadows_.insert(table);
      continue;
    }
    const std::optional<TableInfo> info = table_info(db_, table);
    if (!info || info->change_table.without_rowid || info->rowid_name.empty()) continue;
    triggers_.push_back(std::string(kAssignedKeysTrigger) + std::to_string(triggers_.size()));
    db_.exec("CREATE TEMP TRIGGER " + quote(triggers_.back()) + " BEFORE INSERT ON main." +
             quote(table) + " BEGIN SELECT " + std::string(kAssignedKeysFunction) + "(" +
             literal(table) + ", NEW." + quote(info->rowid_name) + "); END");
  }
  schema_version_ = version;
}

void AssignedKeys::note(std::string table, std::int64_t rowid) {
  notes_[std::move(table)].push_back(rowid);
}

void AssignedKeys::on_ended(sqlite3_stmt* statement) {
  const char* const text = sqlite3_sql(statement);
  if (text == nullptr || shadows_.empty()) return;
  const std::optional<std::string> table = table_inserted_into(text);
  if (table && shadows_.contains(*table)) stored_unnumbered_ = begins_with_null(statement);
}

std::optional<bool> AssignedKeys::take(std::string_view table, std::int64_t rowid) {
  if (shadows_.contains(table)) return std::nullopt;
  const auto found = notes_.find(table);
  if (found == notes_.end()) return false;
  std::vector<std::int64_t>& notes = found->second;
  while (!notes.empty()) {
    const std::int64_t given = notes.back();
    notes.pop_back();
    if (given == rowid) return false;
    if (given == kNotGiven) return true;
  }
  return false;
}

}  // namespace csa
