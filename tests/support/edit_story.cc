#include "tests/support/edit_story.h"

#include <algorithm>
#include <random>
#include <set>

namespace csa::test {
namespace {

constexpr const char* kColumns = "a TEXT, b TEXT, w TEXT, n INTEGER, hi INTEGER, lo INTEGER";

struct StoryTable {
  const char* name;
  const char* key;     // columns with their types, and constraint
  const char* values;  // of a row's key; # stands for it
  const char* where;   // to find it
  const char* shown;   // the key as text
  bool takes_chosen;   // two nodes may insert the same key
};

constexpr StoryTable kTables[] = {
    {"story_int", "id INTEGER PRIMARY KEY, @", "#", "id = #", "id", true},
    {"story_text", "k TEXT PRIMARY KEY, @", "'#'", "k = '#'", "k", true},
    {"story_pair", "x INTEGER, k TEXT, @, PRIMARY KEY (k, x)", "5, '#'", "x = 5 AND k = '#'", "k",
     true},
    {"story_null", "x INTEGER, k TEXT, @, PRIMARY KEY (x, k)", "NULL, '#'", "k = '#'", "k", false},
    {"story_loose", "k TEXT, @", "'#'", "k = '#'", "k", false},
};
constexpr const char* kDocuments = "story_doc";

std::string put(std::string text, const std::string& mark, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += by.size()) {
    text.replace(at, mark.size(), by);
  }
  return text;
}

std::string quoted(const std::string& text) { return "'" + text + "'"; }

StoryRow first_row(const std::string& key) { return {key, "a", "b", "w", 100, 50, 50}; }

std::string insert_sql(const StoryTable& table, const StoryRow& row) {
  return "INSERT INTO " + std::string(table.name) + " VALUES (" + put(table.values, "#", row.key) +
         ", " + quoted(row.a) + ", " + quoted(row.b) + ", " + quoted(row.w) + ", " +
         std::to_string(row.n) + ", " + std::to_string(row.hi) + ", " + std::to_string(row.lo) +
         ");";
}

std::string line(const std::string& table, const StoryRow& row) {
  if (table == kDocuments) return table + " " + row.key + " " + row.a + "\n";
  return table + " " + row.key + " " + row.a + " " + row.b + " " + row.w + " " +
         std::to_string(row.n) + " " + std::to_string(row.hi) + " " + std::to_string(row.lo) + "\n";
}

}  // namespace

const std::string& EditStory::schema() {
  static const std::string text = [] {
    std::string sql;
    for (const StoryTable& table : kTables) {
      sql += "CREATE TABLE " + std::string(table.name) + " (" + put(table.key, "@", kColumns) + ")";
      sql += table.name == std::string("story_pair") ? " WITHOUT ROWID;" : ";";
    }
    sql +=
        "CREATE VIRTUAL TABLE story_doc USING fts5(a);"
        "CREATE TABLE story_auto (id INTEGER PRIMARY KEY, who TEXT);"
        "CREATE TABLE story_child (who TEXT, parent INTEGER REFERENCES story_auto (id));";
    for (const auto& [key, row] : first_rows()) {
      if (key.first == kDocuments) {
        sql += "INSERT INTO story_doc (rowid, a) VALUES (" + key.second + ", 'a');";
      }
      for (const StoryTable& table : kTables) {
        if (table.name == key.first) sql += insert_sql(table, row);
      }
    }
    return sql;
  }();
  return text;
}

EditStory::Rows EditStory::first_rows() {
  Rows rows;
  for (const char* const key : {"1", "2"}) {
    for (const StoryTable& table : kTables) rows[{table.name, key}] = first_row(key);
    rows[{kDocuments, key}] = {key, "a", {}, {}};
  }
  return rows;
}

// Writes as one node, which knows the first rows and its own edits.
struct EditStory::Author {
  std::mt19937_64& engine;
  std::size_t common;  // the table that all of them like best
  bool deletes;
  Rows rows = first_rows();
  std::set<Key> deleted = {};

  std::int64_t roll(std::int64_t sides) {
    return std::uniform_int_distribution<std::int64_t>(0, sides - 1)(engine);
  }

  void write(StoryEdit& edit, const std::string& own) {
    const std::int64_t kind = roll(12);
    if (kind == 0) return add_family(edit, own);
    if (kind <= 2) return write_document(edit, own);
    // Much of it in one place, so that they meet.
    const StoryTable& table =
        kTables[roll(3) > 0 ? common : static_cast<std::size_t>(roll(std::size(kTables)))];
    edit.table = table.name;
    edit.key = roll(3) == 0 ? "2" : "1";
    if (roll(4) == 0) edit.key = table.takes_chosen ? "7" : own;
    const Key key{edit.table, edit.key};
    if (deleted.contains(key)) edit.key = edit.key == "1" ? "2" : "1";
    if (deleted.contains({edit.table, edit.key})) return write_document(edit, own);
    // SQLite would give it the number of the one that was deleted, and that is its name.
    const bool names_rowid = !table.takes_chosen && edit.key == own;
    const bool gone = deleted.contains({edit.table, "1"}) || deleted.contains({edit.table, "2"});
    if (names_rowid && gone) return write_document(edit, own);
    change(edit, table, own);
  }

  void change(StoryEdit& edit, const StoryTable& table, const std::string& own) {
    const std::int64_t k = 1 + roll(9);
    const std::string count = std::to_string(k);
    const Key key{edit.table, edit.key};
    const auto known = rows.find(key);
    if (known == rows.end()) {
      edit.image = rows[key] = {edit.key, own, own, own, k, 1, 1};
      edit.key_changed = edit.a = edit.b = edit.w = true;
      edit.added = k;
      edit.own = own;
      edit.sql = insert_sql(table, *edit.image);
      return;
    }
    StoryRow& row = known->second;
    const std::string before = row.key;
    std::string set;
    switch (deletes ? roll(6) : roll(9) / 2) {
      case 0:
        set = "a = " + quoted(row.a = edit.own = own);
        edit.a = true;
        break;
      case 1:
        row.b = row.w = edit.own = own;
        edit.b = edit.w = true;
        set = "b = " + quoted(own) + ", w = " + quoted(own);
        break;
      case 2:
        row.hi += k;
        row.lo -= k;
        set = "hi = hi + " + count + ", lo = lo - " + count;
        break;
      case 3:
        row.n -= k;
        edit.added = -k;
        set = "n = n - " + count;
        break;
      case 4:
        if (!deletes) {
          row.key = edit.own = "5" + own.substr(own.size() - 4);
          edit.key_changed = true;
          set = std::string(table.shown) + " = " + quoted(row.key);
          break;
        }
        [[fallthrough]];
      default:
        deleted.insert(key);
        rows.erase(known);
        edit.sql = "DELETE FROM " + edit.table + " WHERE " + put(table.where, "#", edit.key);
        return;
    }
    edit.image = row;
    edit.sql = "UPDATE " + edit.table + " SET " + set + " WHERE " + put(table.where, "#", before);
    if (table.takes_chosen && !edit.key_changed) reword(edit, insert_sql(table, row));
  }

  // The same, as replacing the row.
  void reword(StoryEdit& edit, const std::string& whole) {
    const std::int64_t words = roll(6);
    if (words == 0) edit.sql = "INSERT OR REPLACE" + whole.substr(std::string("INSERT").size());
    if (words == 1) {
      edit.sql =
          "DELETE FROM " + edit.table + edit.sql.substr(edit.sql.rfind(" WHERE ")) + ";" + whole;
    }
  }

  void write_document(StoryEdit& edit, const std::string& own) {
    edit.table = kDocuments;
    edit.key = std::to_string(1 + roll(2));
    if (roll(3) == 0) edit.key = "7";
    const bool fresh = !rows.contains({edit.table, edit.key});
    StoryRow& row = rows[{edit.table, edit.key}];
    row.key = edit.key;
    row.a = edit.own = own;
    edit.a = true;
    edit.image = row;
    edit.sql = fresh ? "INSERT INTO story_doc (rowid, a) VALUES (7, " + quoted(own) + ")"
                     : "UPDATE story_doc SET a = " + quoted(own) + " WHERE rowid = " + edit.key;
  }

  // Rows that SQLite numbers.
  static void add_family(StoryEdit& edit, const std::string& own) {
    edit.own = own;
    edit.sql = "INSERT INTO story_auto (who) VALUES (" + quoted(own) +
               "); INSERT INTO story_child VALUES (" + quoted(own) + ", last_insert_rowid())";
  }
};

EditStory::EditStory(std::uint64_t seed, std::size_t nodes) {
  std::mt19937_64 engine(seed);
  const auto roll = [&engine](std::size_t sides) {
    return std::uniform_int_distribution<std::size_t>(0, sides - 1)(engine);
  };
  by_column_ = roll(2) == 0;
  deletes_ = roll(2) == 0;
  // By `newest`, what was counted in a row that is deleted is gone with it.
  counts_ = by_column_ || !deletes_;
  for (const StoryTable& table : kTables) {
    rules_.push_back({table.name, "", by_column_ ? "merge" : "newest"});
    if (!counts_) continue;
    for (const auto& [column, rule] : {std::pair("n", "sum"), std::pair("hi", "max"),
                                       std::pair("lo", "min"), std::pair("w", "newest")}) {
      rules_.push_back({table.name, column, rule});
    }
  }
  std::vector<std::size_t> writers;
  for (std::size_t node = 0; node < nodes; ++node) {
    writers.insert(writers.end(), 2 + roll(5), node);
  }
  std::shuffle(writers.begin(), writers.end(), engine);
  const std::size_t common = roll(std::size(kTables));
  std::vector<Author> authors;
  for (std::size_t node = 0; node < nodes; ++node) authors.push_back({engine, common, deletes_});
  for (std::size_t i = 0; i < writers.size(); ++i) {
    StoryEdit edit;
    edit.at = static_cast<std::int64_t>(i);
    edit.node = writers[i];
    // A word that is no part of another.
    authors[edit.node].write(edit, "own" + std::to_string(1000 + i));
    edits_.push_back(std::move(edit));
  }
}

std::optional<StoryRow> EditStory::outcome(const std::vector<const StoryEdit*>& of_row,
                                           const std::optional<StoryRow>& before) const {
  std::set<std::size_t> changed;
  std::set<std::size_t> deleted;
  for (const StoryEdit* const edit : of_row) (edit->image ? changed : deleted).insert(edit->node);
  // The latest of all wins the row.
  if (!counts_) return of_row.back()->image;
  // A change by anybody else is worth more than a deletion.
  for (const std::size_t node : deleted) {
    const std::size_t by_others = changed.size() - (changed.contains(node) ? 1 : 0);
    if (by_others == 0) return std::nullopt;
  }
  std::optional<StoryRow> row = before;
  for (const StoryEdit* const edit : of_row) {
    if (!edit->image) continue;
    if (!row) row = StoryRow{edit->image->key, {}, {}, {}, 0, edit->image->hi, edit->image->lo};
    row->n += edit->added;
    row->hi = std::max(row->hi, edit->image->hi);
    row->lo = std::min(row->lo, edit->image->lo);
    if (edit->w) row->w = edit->image->w;
    const bool whole = !by_column_ && (edit->a || edit->b || edit->key_changed);
    if (edit->key_changed || whole) row->key = edit->image->key;
    if (edit->a || whole) row->a = edit->image->a;
    if (edit->b || whole) row->b = edit->image->b;
  }
  return row;
}

std::string EditStory::expected() const {
  Rows rows = first_rows();
  std::map<Key, std::vector<const StoryEdit*>> by_row;
  std::string families;
  for (const StoryEdit& edit : edits_) {
    if (edit.table.empty()) {
      families += "story_auto " + edit.own + " " + edit.own + "\n";
    } else {
      by_row[{edit.table, edit.key}].push_back(&edit);
    }
  }
  for (const auto& [key, of_row] : by_row) {
    const auto known = rows.find(key);
    const auto before = known == rows.end() ? std::nullopt : std::optional(known->second);
    if (const auto row = outcome(of_row, before)) {
      rows[key] = *row;
    } else {
      rows.erase(key);
    }
  }
  std::string text;
  Rows sorted;
  for (const auto& [key, row] : rows) sorted[{key.first, row.key}] = row;
  for (const auto& [key, row] : sorted) text += line(key.first, row);
  return text + families;
}

std::string EditStory::found(const Database& db) {
  std::vector<std::pair<Key, StoryRow>> rows;
  for (const StoryTable& table : kTables) {
    Statement each = db.prepare("SELECT " + std::string(table.shown) +
                                ", a, b, w, n, hi, lo FROM " + table.name);
    while (each.step()) {
      rows.push_back(
          {{table.name, each.column_text(0)},
           {each.column_text(0), each.column_text(1), each.column_text(2), each.column_text(3),
            each.column_int(4), each.column_int(5), each.column_int(6)}});
    }
  }
  Statement documents = db.prepare("SELECT rowid, a FROM story_doc");
  while (documents.step()) {
    StoryRow row;
    row.key = documents.column_text(0);
    row.a = documents.column_text(1);
    rows.push_back({{kDocuments, documents.column_text(0)}, row});
  }
  std::ranges::sort(rows, {}, [](const auto& one) { return one.first; });
  std::string text;
  for (const auto& [key, row] : rows) text += line(key.first, row);
  Statement families = db.prepare(
      "SELECT a.who, c.who FROM story_auto a LEFT JOIN story_child c ON c.parent = a.id"
      " ORDER BY a.who, c.who");
  while (families.step()) {
    text += "story_auto " + families.column_text(0) + " " + families.column_text(1) + "\n";
  }
  return text;
}

// The same node has written over it later, or deleted it.
bool EditStory::is_overwritten(const StoryEdit& edit) const {
  bool a = !edit.a;
  bool b = !edit.b;
  bool key = !edit.key_changed || edit.a;
  for (const StoryEdit& later : edits_) {
    if (later.at <= edit.at || later.node != edit.node) continue;
    if (later.table != edit.table || later.key != edit.key) continue;
    a = a || later.a || !later.image;
    b = b || later.b || !later.image;
    key = key || later.key_changed || !later.image;
  }
  return a && b && key;
}

std::string EditStory::missing(const Database& db) const {
  const std::string rows = found(db);
  Statement inbox = db.prepare(
      "SELECT 1 FROM csa_conflicts WHERE instr(broker, ?1) > 0 OR instr(node_row, ?1) > 0");
  Statement search = db.prepare(
      "SELECT (SELECT group_concat(rowid) FROM story_doc WHERE story_doc MATCH ?1) IS"
      " (SELECT group_concat(rowid) FROM story_doc WHERE instr(a, ?1) > 0)");
  for (const StoryEdit& edit : edits_) {
    if (edit.own.empty()) continue;
    inbox.bind(1, std::string_view(edit.own));
    const bool kept = inbox.step();
    inbox.reset();
    if (!kept && rows.find(edit.own) == std::string::npos && !is_overwritten(edit)) {
      return edit.own + " is neither in the tables nor in the inbox";
    }
    search.bind(1, std::string_view(edit.own));
    const bool right = search.step() && search.column_int(0) == 1;
    search.reset();
    if (!right) return "a search for " + edit.own + " does not find what is there";
  }
  return {};
}

std::string EditStory::told() const {
  std::string text = std::string(by_column_ ? "merge" : "newest") + "\n";
  for (const StoryEdit& edit : edits_) {
    text += std::to_string(edit.at) + " node " + std::to_string(edit.node) + ": " + edit.sql + "\n";
  }
  return text;
}

}  // namespace csa::test
