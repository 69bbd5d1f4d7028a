#include "tests/sim/contents.h"

#include <sys/stat.h>

#include "common/schema.h"
#include "common/types.h"

namespace csa::sim {
namespace {

constexpr const char* kSchemaQuery =
    "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'csa\\_%' ESCAPE '\\' "
    "AND tbl_name NOT LIKE 'csa\\_%' ESCAPE '\\' ORDER BY type, name";

void append(std::string& text, const void* bytes, std::size_t size) {
  text.append(reinterpret_cast<const char*>(&size), sizeof size);
  if (size != 0) text.append(static_cast<const char*>(bytes), size);
}

void append(std::string& text, sqlite3_stmt* row, int column) {
  const int type = sqlite3_column_type(row, column);
  text.push_back(static_cast<char>(type));
  if (type == SQLITE_INTEGER) {
    const std::int64_t value = sqlite3_column_int64(row, column);
    text.append(reinterpret_cast<const char*>(&value), sizeof value);
  } else if (type == SQLITE_FLOAT) {
    const double value = sqlite3_column_double(row, column);
    text.append(reinterpret_cast<const char*>(&value), sizeof value);
  } else if (type != SQLITE_NULL) {
    const void* const bytes =
        type == SQLITE_TEXT ? sqlite3_column_text(row, column) : sqlite3_column_blob(row, column);
    append(text, bytes, static_cast<std::size_t>(sqlite3_column_bytes(row, column)));
  }
}

void append_rows(std::string& text, Statement& question) {
  while (question.step()) {
    text.push_back('r');
    for (int i = 0; i < question.column_count(); ++i) append(text, question.handle(), i);
  }
}

// The questions that read all of the application's rows, each in the order of its table.
std::vector<Statement> questions(const Database& db) {
  std::vector<Statement> all;
  for (const std::string& table : replicated_tables(db)) {
    const std::optional<TableInfo> info = table_info(db, table);
    const bool rowid = info && !info->change_table.without_rowid && !info->rowid_name.empty();
    all.push_back(db.prepare("SELECT " + (rowid ? quote(info->rowid_name) + ", " : std::string()) +
                             "* FROM " + quote(table) + " NOT INDEXED" +
                             (rowid ? " ORDER BY " + quote(info->rowid_name) : "")));
  }
  if (db.query_int("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'")) {
    all.push_back(db.prepare("SELECT name, seq FROM sqlite_sequence ORDER BY name"));
  }
  return all;
}

::ino_t file_at(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

}  // namespace

void Contents::open(View& view, const std::string& path) {
  view.db = Database(path, Database::Mode::kReadOnly);
  view.file = file_at(path);
  view.version_asked = view.db.prepare("PRAGMA data_version");
  view.schema_asked = view.db.prepare(kSchemaQuery);
}

void Contents::read(View& view) {
  const ReadTransaction one_state(view.db);
  text_.clear();
  append_rows(text_, view.schema_asked);
  if (text_ != view.schema || view.questions.empty()) {
    view.questions = questions(view.db);
    view.schema = text_;
  }
  for (Statement& question : view.questions) {
    text_.push_back('t');
    append_rows(text_, question);
  }
  Hasher hasher;
  hasher.update({reinterpret_cast<const std::uint8_t*>(text_.data()), text_.size()});
  view.hash = to_string(hasher.digest());
}

Contents::View& Contents::view_of(const std::string& path) {
  const auto known = views_.find(path);
  if (known != views_.end() && known->second.file != file_at(path)) views_.erase(known);
  View& view = views_[path];
  if (!view.db) open(view, path);
  return view;
}

Statement& Contents::question(const std::string& path, const std::string& sql) {
  View& view = view_of(path);
  const auto [known, fresh] = view.others.try_emplace(sql);
  if (fresh) known->second = view.db.prepare(sql);
  return known->second;
}

std::string Contents::of(const std::string& path) {
  View& view = view_of(path);
  view.version_asked.step();
  const std::int64_t version = view.version_asked.column_int(0);
  view.version_asked.reset();
  if (version != view.version || view.hash.empty()) read(view);
  view.version = version;
  return view.hash;
}

}  // namespace csa::sim
