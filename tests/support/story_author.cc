#include "tests/support/story_author.h"

namespace csa::test {
namespace {

constexpr const char* kColumns = "a TEXT, b TEXT, w TEXT, n INTEGER, hi INTEGER, lo INTEGER";

std::string put(std::string text, const std::string& mark, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += by.size()) {
    text.replace(at, mark.size(), by);
  }
  return text;
}

std::string literal(const std::string& text) { return "'" + text + "'"; }

StoryRow first_row(const std::string& key) { return {key, "a", "b", "w", 100, 50, 50}; }

std::string insert_sql(const StoryTable& table, const StoryRow& row) {
  return "INSERT INTO " + std::string(table.name) + " VALUES (" + put(table.values, "#", row.key) +
         ", " + literal(row.a) + ", " + literal(row.b) + ", " + literal(row.w) + ", " +
         std::to_string(row.n) + ", " + std::to_string(row.hi) + ", " + std::to_string(row.lo) +
         ");";
}

}  // namespace

StoryRows first_story_rows() {
  StoryRows rows;
  for (const char* const key : {"1", "2"}) {
    for (const StoryTable& table : kStoryTables) rows[{table.name, key}] = first_row(key);
    rows[{kStoryDocuments, key}] = {key, "a", {}, {}};
  }
  return rows;
}

std::string story_schema() {
  std::string sql;
  for (const StoryTable& table : kStoryTables) {
    sql += "CREATE TABLE " + std::string(table.name) + " (" + put(table.key, "@", kColumns) + ")";
    sql += table.name == std::string("story_pair") ? " WITHOUT ROWID;" : ";";
  }
  sql +=
      "CREATE VIRTUAL TABLE story_doc USING fts5(a);"
      "CREATE TABLE story_auto (id INTEGER PRIMARY KEY, who TEXT);"
      "CREATE TABLE story_child (who TEXT, parent INTEGER REFERENCES story_auto (id));";
  for (const auto& [key, row] : first_story_rows()) {
    if (key.first == kStoryDocuments) {
      sql += "INSERT INTO story_doc (rowid, a) VALUES (" + key.second + ", 'a');";
    }
    for (const StoryTable& table : kStoryTables) {
      if (table.name == key.first) sql += insert_sql(table, row);
    }
  }
  return sql;
}

std::vector<const StoryEdit*> parts_of(const StoryEdit& edit) {
  std::vector<const StoryEdit*> parts{&edit};
  for (const StoryEdit& other : edit.more) parts.push_back(&other);
  return parts;
}

std::int64_t StoryAuthor::roll(std::int64_t sides) {
  return std::uniform_int_distribution<std::int64_t>(0, sides - 1)(*engine_);
}

void StoryAuthor::write(StoryEdit& edit, const std::string& own) {
  const std::int64_t kind = roll(12);
  if (kind == 0) return add_family(edit, own);
  if (kind <= 2) return write_document(edit, own);
  // Much of it in one place, so that they meet.
  const StoryTable& table =
      kStoryTables[roll(3) > 0 ? style_.common
                               : static_cast<std::size_t>(roll(std::size(kStoryTables)))];
  edit.table = table.name;
  if (style_.pairs && roll(3) == 0 && write_both(edit, table, own)) return;
  edit.key = roll(3) == 0 ? "2" : "1";
  if (roll(4) == 0) edit.key = table.takes_chosen ? "7" : own;
  const StoryKey key{edit.table, edit.key};
  if (deleted_.contains(key)) edit.key = edit.key == "1" ? "2" : "1";
  if (deleted_.contains({edit.table, edit.key})) return write_document(edit, own);
  // SQLite would give it the number of the one that was deleted, and that is its name.
  const bool names_rowid = !table.takes_chosen && edit.key == own;
  const bool gone = deleted_.contains({edit.table, "1"}) || deleted_.contains({edit.table, "2"});
  if (names_rowid && gone) return write_document(edit, own);
  change(edit, table, own);
}

void StoryAuthor::change(StoryEdit& edit, const StoryTable& table, const std::string& own) {
  const std::int64_t k = 1 + roll(9);
  const std::string count = std::to_string(k);
  const StoryKey key{edit.table, edit.key};
  const auto known = rows_.find(key);
  if (known == rows_.end()) {
    edit.image = rows_[key] = {edit.key, own, own, own, k, 1, 1};
    edit.key_changed = edit.a = edit.b = edit.w = true;
    edit.added = k;
    edit.own = own;
    edit.sql = insert_sql(table, *edit.image);
    return;
  }
  StoryRow& row = known->second;
  edit.before = row;
  const std::string before = row.key;
  std::string set;
  switch (style_.deletes ? roll(6) : roll(style_.renames ? 9 : 8) / 2) {
    case 0:
      set = "a = " + literal(row.a = edit.own = own);
      edit.a = true;
      break;
    case 1:
      row.b = edit.own = own;
      row.w = style_.appends ? row.w + own : own;
      edit.b = edit.w = true;
      set = "b = " + literal(own) + ", w = " + (style_.appends ? "w || " : "") + literal(own);
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
      if (!style_.deletes) {
        row.key = edit.own = "5" + own.substr(own.size() - 4);
        edit.key_changed = true;
        set = std::string(table.shown) + " = " + literal(row.key);
        break;
      }
      [[fallthrough]];
    default:
      deleted_.insert(key);
      rows_.erase(known);
      edit.sql = "DELETE FROM " + edit.table + " WHERE " + put(table.where, "#", edit.key);
      return;
  }
  edit.image = row;
  edit.sql = "UPDATE " + edit.table + " SET " + set + " WHERE " + put(table.where, "#", before);
  if (table.takes_chosen && !edit.key_changed) reword(edit, insert_sql(table, row));
}

// False: the author does not have both.
bool StoryAuthor::write_both(StoryEdit& edit, const StoryTable& table, const std::string& own) {
  std::vector<StoryEdit> parts;
  std::string keys;
  for (const char* const key : {"1", "2"}) {
    const auto known = rows_.find({edit.table, key});
    if (known == rows_.end()) return false;
    StoryEdit part = edit;
    part.key = key;
    part.own = own;
    part.before = part.image = known->second;
    part.image->a = own;
    part.a = true;
    keys += (keys.empty() ? "" : ", ") + literal(known->second.key);
    parts.push_back(std::move(part));
  }
  for (const StoryEdit& part : parts) rows_[{part.table, part.key}] = *part.image;
  edit = std::move(parts.front());
  edit.more.push_back(std::move(parts.back()));
  edit.sql = "UPDATE " + edit.table + " SET a = " + literal(own) + " WHERE " + table.shown +
             " IN (" + keys + ")";
  return true;
}

// The same, as replacing the row.
void StoryAuthor::reword(StoryEdit& edit, const std::string& whole) {
  const std::int64_t words = roll(6);
  if (words == 0) edit.sql = "INSERT OR REPLACE" + whole.substr(std::string("INSERT").size());
  if (words == 1) {
    edit.sql =
        "DELETE FROM " + edit.table + edit.sql.substr(edit.sql.rfind(" WHERE ")) + ";" + whole;
  }
}

void StoryAuthor::write_document(StoryEdit& edit, const std::string& own) {
  edit.table = kStoryDocuments;
  edit.key = std::to_string(1 + roll(2));
  if (roll(3) == 0) edit.key = "7";
  const bool fresh = !rows_.contains({edit.table, edit.key});
  if (!fresh) edit.before = rows_[{edit.table, edit.key}];
  StoryRow& row = rows_[{edit.table, edit.key}];
  row.key = edit.key;
  row.a = edit.own = own;
  edit.a = true;
  edit.image = row;
  edit.sql = fresh ? "INSERT INTO story_doc (rowid, a) VALUES (7, " + literal(own) + ")"
                   : "UPDATE story_doc SET a = " + literal(own) + " WHERE rowid = " + edit.key;
}

// Rows that SQLite numbers.
void StoryAuthor::add_family(StoryEdit& edit, const std::string& own) {
  edit.own = own;
  edit.sql = "INSERT INTO story_auto (who) VALUES (" + literal(own) +
             "); INSERT INTO story_child VALUES (" + literal(own) + ", last_insert_rowid())";
}

}  // namespace csa::test
