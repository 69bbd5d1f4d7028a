#include "common/assigned_keys.h"

#include <utility>

#include "common/schema.h"
#include "common/undefended.h"

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
}

AssignedKeys::~AssignedKeys() {
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
  const Undefended undefended(db_);  // for triggers on shadow tables
  Statement shadows =
      db_.prepare("SELECT 1 FROM pragma_table_list(?1) WHERE schema = 'main' AND type = 'shadow'");
  for (const std::string& table : shared_tables(db_)) {
    shadows.bind(1, table);
    const bool shadow = shadows.step();
    shadows.reset();
    // Of a virtual table's own, those that hold its rowids: full text's and R*Trees'.
    if (shadow && !table.ends_with("_content") && !table.ends_with("_rowid")) continue;
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

bool AssignedKeys::take(std::string_view table, std::int64_t rowid) {
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
