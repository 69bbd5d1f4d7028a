#include "common/sandbox.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "common/assigned_keys.h"

namespace csa {
namespace {

// How many steps of SQLite's machine pass between two looks at the clock.
constexpr int kStepsBetweenLooks = 2000;

constexpr std::string_view kMigrateHint =
    "; schema changes go to every computer at once: put it into a file and run csa-admin migrate"
    " FILE";

// Read the database and nothing else, without an argument.
constexpr std::array<std::string_view, 18> kReadingPragmas = {
    "application_id", "auto_vacuum",    "collation_list", "compile_options", "data_version",
    "database_list",  "encoding",       "foreign_keys",   "freelist_count",  "function_list",
    "journal_mode",   "max_page_count", "module_list",    "page_count",      "page_size",
    "schema_version", "table_list",     "user_version"};
// The same, with one.
constexpr std::array<std::string_view, 8> kAskingPragmas = {
    "foreign_key_check", "foreign_key_list", "index_info", "index_list",
    "index_xinfo",       "table_info",       "table_list", "table_xinfo"};

bool has_prefix(std::string_view name, std::string_view prefix) {
  return lower(name.substr(0, prefix.size())) == prefix;
}

bool is_schema_table(std::string_view name) {
  const std::string table = lower(name);
  return table == "sqlite_master" || table == "sqlite_schema";
}

template <class List>
bool is_in(const List& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

std::string_view text_of(const char* text) {
  return text == nullptr ? std::string_view() : std::string_view(text);
}

// The first word of a statement, in lower case; comments before it are skipped.
std::string first_word(std::string_view sql) {
  while (!sql.empty()) {
    if (sql.starts_with("--")) {
      sql.remove_prefix(std::min(sql.find('\n'), sql.size() - 1) + 1);
    } else if (sql.starts_with("/*")) {
      const std::size_t end = sql.find("*/", 2);
      sql.remove_prefix(end == std::string_view::npos ? sql.size() : end + 2);
    } else if (std::isspace(static_cast<unsigned char>(sql.front())) != 0 || sql.front() == ';') {
      sql.remove_prefix(1);
    } else {
      break;
    }
  }
  std::size_t length = 0;
  while (length < sql.size() && std::isalpha(static_cast<unsigned char>(sql[length])) != 0) {
    ++length;
  }
  return lower(sql.substr(0, length));
}

bool is_temp(int action) {
  switch (action) {
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW:
    case SQLITE_DROP_TEMP_INDEX:
    case SQLITE_DROP_TEMP_TABLE:
    case SQLITE_DROP_TEMP_TRIGGER:
    case SQLITE_DROP_TEMP_VIEW:
      return true;
    default:
      return false;
  }
}

}  // namespace

Sandbox::Sandbox(const Database& db, std::function<TimePoint()> now)
    : db_(db), now_(std::move(now)) {
  // Set once: setting an authorizer makes SQLite prepare every statement of the connection anew.
  sqlite3_set_authorizer(
      db.handle(),
      [](void* self, int action, const char* first, const char* second, const char* database,
         const char* trigger) {
        auto& sandbox = *static_cast<Sandbox*>(self);
        if (!sandbox.watching_) return SQLITE_OK;
        const Question question{action, text_of(first), text_of(second), text_of(database),
                                text_of(trigger)};
        return sandbox.allow(question) ? SQLITE_OK : SQLITE_DENY;
      },
      this);
  sqlite3_progress_handler(
      db.handle(), kStepsBetweenLooks,
      [](void* self) {
        const auto& sandbox = *static_cast<Sandbox*>(self);
        if (sandbox.progress_) sandbox.progress_();
        return sandbox.must_stop() ? 1 : 0;
      },
      this);
}

Sandbox::~Sandbox() {
  sqlite3_set_authorizer(db_.handle(), nullptr, nullptr);
  sqlite3_progress_handler(db_.handle(), 0, nullptr, nullptr);
}

Statement Sandbox::prepare(std::string_view& sql, Mode mode) {
  seen_ = Seen{};
  refusal_.clear();
  mode_ = mode;
  // VACUUM asks only when it runs, and then for what it does itself.
  if (first_word(sql) == "vacuum") {
    refusal_ =
        "VACUUM cannot be part of a shared write: it rewrites the whole file; run it on a"
        " stopped broker's database";
    throw SqliteError(SQLITE_AUTH, refusal_);
  }
  watching_ = true;
  try {
    Statement statement = db_.prepare_next(sql);
    watching_ = false;
    return statement;
  } catch (...) {
    watching_ = false;
    throw;
  }
}

bool Sandbox::refuse(std::string sentence) {
  if (refusal_.empty()) refusal_ = std::move(sentence);
  return false;
}

bool Sandbox::allow(const Question& question) {
  // ALTER TABLE looks into the TEMP schema for names to change as well.
  const bool own_look =
      mode_ == Mode::kMigration && seen_.schema &&
      (is_schema_table(question.first) || has_prefix(question.first, "sqlite_temp_"));
  if (is_temp(question.action) || (lower(question.database) == "temp" && !own_look)) {
    return refuse(
        "TEMP objects are refused: they would stay on the broker's connection and"
        " change what other writes do; use a common table expression (WITH) instead");
  }
  switch (question.action) {
    case SQLITE_READ:
      return allow_read(question);
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
      return allow_rows(question);
    case SQLITE_SELECT:
      seen_.select = true;
      return true;
    case SQLITE_RECURSIVE:
      return true;
    case SQLITE_FUNCTION: {
      const std::string name = lower(question.second);
      if (name == kAssignedKeysFunction && !has_prefix(question.trigger, kAssignedKeysTrigger)) {
        return refuse("the function " + name + "() belongs to csa");
      }
      if (name != "load_extension" && name != "fts3_tokenizer") return true;
      return refuse("the function " + name + "() is refused: it runs foreign code on the broker");
    }
    case SQLITE_PRAGMA:
      return allow_pragma(question);
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
      return refuse(std::string(question.first) +
                    " is refused: all statements of one call are one transaction already; leave"
                    " BEGIN, COMMIT, ROLLBACK and SAVEPOINT out");
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
      return refuse(
          "ATTACH and DETACH are refused: a shared write concerns the shared database"
          " only");
    case SQLITE_ANALYZE:
      return refuse(
          "ANALYZE is refused: statistics belong to each copy of the database and are"
          " not shared");
    case SQLITE_REINDEX:
      if (seen_.schema) return true;  // a part of CREATE INDEX
      return refuse("REINDEX is refused: it changes no content that could be shared");
    default:
      return allow_schema(question);
  }
}

bool Sandbox::allow_read(const Question& question) {
  if (has_prefix(question.first, "csa_")) {
    return refuse("table " + std::string(question.first) +
                  " belongs to csa; shared writes neither read nor change it");
  }
  if (has_prefix(question.first, "pragma_")) {
    const std::string name = lower(question.first.substr(7));
    if (is_in(kReadingPragmas, name) || is_in(kAskingPragmas, name)) return true;
    return refuse("pragma_" + name + " is refused: it may do more than read");
  }
  return true;
}

bool Sandbox::allow_rows(const Question& question) {
  if (has_prefix(question.first, "csa_")) {
    return refuse("table " + std::string(question.first) +
                  " belongs to csa; shared writes neither read nor change it");
  }
  if (is_schema_table(question.first) || has_prefix(question.first, "sqlite_temp_")) {
    // A part of CREATE, DROP, ALTER. UPDATE: also what SQLite does when it meets a virtual table
    // for the first time; it lets no statement of a user's update the schema table itself.
    if (mode_ == Mode::kMigration || question.action == SQLITE_UPDATE) return true;
    return refuse("a shared write cannot change the schema" + std::string(kMigrateHint));
  }
  if (has_prefix(question.first, "sqlite_") && lower(question.first) != "sqlite_sequence") {
    // DROP TABLE cleans the statistics; the copies do so too.
    if (mode_ == Mode::kMigration && question.action == SQLITE_DELETE && seen_.schema) return true;
    return refuse("table " + std::string(question.first) + " belongs to SQLite and is not shared");
  }
  if (question.trigger.empty()) {
    seen_.rows = true;
    if (question.action == SQLITE_INSERT) seen_.insert = true;
  }
  return true;
}

bool Sandbox::allow_schema(const Question& question) {
  const bool alter = question.action == SQLITE_ALTER_TABLE;
  for (const std::string_view name : {alter ? question.second : question.first, question.second}) {
    if (lower(name) == "json_each") {
      return refuse(
          "the name json_each is refused: it is that of a function by which csa_conflicts"
          " tells conflicts");
    }
    if (!has_prefix(name, "csa_")) continue;
    return refuse("the name " + std::string(name) +
                  ": names that begin with csa_ belong to csa and are refused");
  }
  if (mode_ == Mode::kWrite) {
    return refuse("a shared write cannot change the schema" + std::string(kMigrateHint));
  }
  seen_.schema = true;
  if (question.action == SQLITE_CREATE_TABLE) seen_.created_table = question.first;
  if (question.action == SQLITE_CREATE_VTABLE) seen_.virtual_table = true;
  return true;
}

bool Sandbox::allow_pragma(const Question& question) {
  const std::string name = lower(question.first);
  if (question.second.empty()) {
    if (is_in(kReadingPragmas, name) || name == "foreign_key_check") return true;
  } else if (is_in(kAskingPragmas, name)) {
    return true;
  }
  const bool number = name == "user_version" || name == "application_id";
  if (number && mode_ == Mode::kMigration) {
    seen_.schema = true;
    seen_.file_number = true;
    return true;
  }
  return refuse("PRAGMA " + name +
                (number ? " = ... is refused here" + std::string(kMigrateHint)
                        : std::string(" is refused: only pragmas that read the schema are allowed"
                                      " in a shared write")));
}

}  // namespace csa
