// What a shared database must not contain: found by asking SQLite to prepare statements against
// every object, because it then looks up each function, collation and module they name.
#include <algorithm>
#include <array>
#include <set>

#include "common/integrity.h"
#include "common/schema.h"

namespace csa {
namespace {

struct Object {
  std::string type;
  std::string name;
  std::string table;
  bool is_virtual = false;
  std::string sql;
};

class Finder {
 public:
  explicit Finder(const Database& db) : db_(db) {}

  std::vector<Unshareable> run(Probe probe) {
    std::vector<Object> objects;
    try {
      objects = read_objects();
    } catch (const SqliteError& error) {
      // Without a readable schema nothing else can be asked.
      add("the database", std::string("SQLite cannot read its schema (") + error.what() + ")",
          "repair it with \"sqlite3 FILE .recover\" into a new file, and use that");
      return std::move(found_);
    }
    if (probe == Probe::kSchemaAndPages) check_pages();
    for (const Object& object : objects) {
      check_name(object);
      if (object.type == "table") check_table(object);
      if (object.type == "view") check_view(object);
    }
    check_sequences();
    return std::move(found_);
  }

 private:
  void add(const std::string& object, const std::string& reason, const std::string& way_out) {
    // One function is met on many ways; once is enough for each object.
    if (reported_.insert(object + '\n' + reason).second) {
      found_.push_back({object, reason, way_out});
    }
  }

  [[nodiscard]] std::vector<Object> read_objects() const {
    Statement statement = db_.prepare(
        "SELECT type, name, tbl_name, rootpage = 0, sql FROM main.sqlite_schema ORDER BY type, "
        "name");
    std::vector<Object> objects;
    while (statement.step()) {
      objects.push_back({statement.column_text(0), statement.column_text(1),
                         statement.column_text(2), statement.column_int(3) != 0,
                         statement.column_text(4)});
    }
    return objects;
  }

  void check_name(const Object& object) {
    constexpr std::string_view kReserved = "csa_";
    const bool prefixed = sqlite3_strnicmp(object.name.c_str(), kReserved.data(),
                                           static_cast<int>(kReserved.size())) == 0;
    if (lower(object.name) == "json_each") {
      add(object.type + " " + object.name,
          "its name is that of a function by which csa_conflicts tells conflicts", "rename it");
    }
    // An index of csa's is called like its table.
    const std::string& table = object.type == "index" ? object.table : object.name;
    if (!prefixed || table_class(table) != TableClass::kApplication) return;
    add(object.type + " " + object.name, "names that begin with csa_ belong to csa itself",
        "rename it");
  }

  static bool says_missing(const std::string& message) {
    constexpr std::array<std::string_view, 7> kMissing = {
        "no such function",  "no such collation", "no such module",    "unknown function",
        "no such tokenizer", "unknown tokenizer", "vtable constructor"};
    return std::any_of(kMissing.begin(), kMissing.end(), [&](std::string_view part) {
      return message.find(part) != std::string::npos;
    });
  }

  // The reason why `sql` cannot be prepared, if it is one that sharing cares for. A view of a table
  // that is gone is broken on every copy alike, and stays so.
  [[nodiscard]] std::optional<std::string> missing(const std::string& sql, bool any_error) const {
    sqlite3_stmt* raw = nullptr;
    const int code = sqlite3_prepare_v2(db_.handle(), sql.c_str(), -1, &raw, nullptr);
    const std::string message = code == SQLITE_OK ? "" : sqlite3_errmsg(db_.handle());
    sqlite3_finalize(raw);
    if (code == SQLITE_OK) return std::nullopt;
    if (any_error || (code & 0xff) != SQLITE_ERROR) return message;
    return says_missing(message) ? std::optional(message) : std::nullopt;
  }

  void probe(const std::string& object, const std::string& sql, bool any_error) {
    const std::optional<std::string> message = missing(sql, any_error);
    if (message) add_missing(object, *message);
  }

  void add_missing(const std::string& object, const std::string& message) {
    add(object, "plain SQLite cannot use it: " + message,
        "nodes have no extensions: drop it, or rebuild it with what SQLite has itself");
  }

  void check_table(const Object& object) {
    if (table_class(object.name) != TableClass::kApplication) return;
    const std::string label = "table " + object.name;
    const std::string name = "main." + quote(object.name);
    probe(label, "SELECT * FROM " + name, true);
    if (!object.is_virtual) check_definition(label, object.sql);
    const std::vector<std::string> columns = writable_columns(object.name);
    if (object.is_virtual) {
      probe_writes(label, name, columns);
      return;
    }
    std::string order;
    for (const std::string& column : columns) order += (order.empty() ? "" : ", ") + quote(column);
    if (!order.empty()) probe(label, "SELECT 1 FROM " + name + " ORDER BY " + order, false);
    // These look at indexes, CHECKs, generated columns and triggers as well.
    probe_writes(label + " or its indexes, constraints and triggers", name, columns);
    const std::optional<TableInfo> info = table_info(db_, object.name);
    if (info && !info->change_table.without_rowid && info->rowid_name.empty()) {
      add(label, "its columns take all three names of the rowid, so that rows cannot be told apart",
          "rename one of the columns rowid, _rowid_ and oid");
    }
  }

  // On a read-only connection SQLite compiles no CHECKs, so the table is made once more elsewhere.
  void check_definition(const std::string& label, const std::string& sql) {
    const Database scratch(":memory:", Database::Mode::kCreate);
    const int code = sqlite3_exec(scratch.handle(), sql.c_str(), nullptr, nullptr, nullptr);
    if (code == SQLITE_OK) return;
    const std::string message = sqlite3_errmsg(scratch.handle());
    if (says_missing(message)) add_missing(label, message);
  }

  void check_view(const Object& object) {
    const std::string label = "view " + object.name;
    const std::string name = "main." + quote(object.name);
    probe(label, "SELECT * FROM " + name, false);
    // INSTEAD OF triggers; "cannot modify" is no reason here.
    probe_writes(label + " or its triggers", name, writable_columns(object.name));
  }

  void probe_writes(const std::string& label, const std::string& name,
                    const std::vector<std::string>& columns) {
    probe(label, "DELETE FROM " + name, false);
    if (columns.empty()) return;
    std::string list;
    std::string values;
    std::string set;
    for (const std::string& column : columns) {
      const std::string comma = list.empty() ? "" : ", ";
      list += comma + quote(column);
      values += comma + "NULL";
      set += comma + quote(column) + " = NULL";
    }
    probe(label, "INSERT INTO " + name + " (" + list + ") VALUES (" + values + ")", false);
    probe(label, "UPDATE " + name + " SET " + set, false);
  }

  [[nodiscard]] std::vector<std::string> writable_columns(const std::string& table) const {
    std::vector<std::string> columns;
    try {
      Statement statement =
          db_.prepare("SELECT name FROM pragma_table_xinfo(?1, 'main') WHERE hidden = 0");
      statement.bind(1, std::string_view(table));
      while (statement.step()) columns.push_back(statement.column_text(0));
    } catch (const SqliteError&) {
      // A view or virtual table that cannot be opened: its SELECT was probed and says why.
      columns.clear();
    }
    return columns;
  }

  void check_pages() {
    try {
      for (const std::string& line : integrity_faults(db_, IntegrityCheck::kQuick, 1)) {
        report_pages(line);
      }
    } catch (const SqliteError& error) {
      // An index on an unknown function or collation ends here as well; the probes name it.
      if (error.primary_code() == SQLITE_CORRUPT) report_pages(error.what());
    }
  }

  void report_pages(const std::string& message) {
    add("the database", "its file is damaged (" + message + ")",
        "repair it with \"sqlite3 FILE .recover\" into a new file, and use that");
  }

  void check_sequences() {
    if (!db_.query_int("SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence'")) return;
    if (db_.query_int("SELECT 1 FROM main.sqlite_sequence GROUP BY name "
                      "HAVING count(*) > 1 OR name IS NULL")) {
      add("table sqlite_sequence", "it has more than one row for a table, or one without a name",
          "delete the wrong rows from sqlite_sequence");
    }
  }

  const Database& db_;
  std::vector<Unshareable> found_;
  std::set<std::string> reported_;
};

}  // namespace

std::vector<Unshareable> find_unshareable(const Database& db, Probe probe) {
  return Finder(db).run(probe);
}

}  // namespace csa
