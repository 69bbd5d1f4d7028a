#include "broker/merge_virtual.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace csa {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) {
    text.remove_prefix(1);
  }
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) {
    text.remove_suffix(1);
  }
  return text;
}

// Behind the quoted text that begins at `at`.
std::size_t skip_quoted(std::string_view sql, std::size_t at) {
  const char end = sql[at] == '[' ? ']' : sql[at];
  for (++at; at < sql.size(); ++at) {
    if (sql[at] != end) continue;
    if (end == ']' || at + 1 >= sql.size() || sql[at + 1] != end) return at + 1;
    ++at;  // doubled: stands for itself
  }
  return at;
}

bool is_quote(char c) { return c == '"' || c == '\'' || c == '`' || c == '['; }

std::string unquoted(std::string_view text) {
  text = trimmed(text);
  if (text.size() < 2 || !is_quote(text.front())) return std::string(text);
  const char end = text.front() == '[' ? ']' : text.front();
  std::string result;
  for (std::size_t i = 1; i + 1 < text.size(); ++i) {
    result += text[i];
    if (text[i] == end) ++i;
  }
  return result;
}

// What lies between the commas of the outermost brackets.
std::vector<std::string_view> arguments_of(std::string_view text) {
  std::vector<std::string_view> found;
  int depth = 0;
  std::size_t from = 0;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (is_quote(c)) {
      i = skip_quoted(text, i);
      continue;
    }
    if (c == '(' && depth++ == 0) from = i + 1;
    const bool last = c == ')' && --depth == 0;
    if (last || (c == ',' && depth == 1)) {
      found.push_back(trimmed(text.substr(from, i - from)));
      from = i + 1;
    }
    if (last) break;
    ++i;
  }
  return found;
}

std::string comma_list(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += ", " + quote(name);
  return list;
}

// The columns that an application sees.
std::vector<std::string> columns_of(const Database& db, const std::string& table) {
  std::vector<std::string> names;
  Statement rows = db.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid");
  rows.bind(1, table);
  while (rows.step()) names.push_back(rows.column_text(0));
  return names;
}

// `column` is another name of the table's rowid. Not so for a view: which of its rows change with a
// row cannot be told.
bool is_rowid_of(const Database& db, const std::string& table, const std::string& column) {
  Statement kind =
      db.prepare("SELECT wr FROM pragma_table_list(?1) WHERE schema = 'main' AND type = 'table'");
  kind.bind(1, table);
  if (!kind.step() || kind.column_int(0) != 0) return false;
  const std::string name = lower(column);
  if (name == "rowid" || name == "oid" || name == "_rowid_") return true;
  Statement key = db.prepare("SELECT name, upper(type) FROM pragma_table_info(?1) WHERE pk > 0");
  key.bind(1, table);
  const bool alone =
      key.step() && lower(key.column_text(0)) == name && key.column_text(1) == "INTEGER";
  return alone && !key.step();
}

constexpr std::array kShadows = {"_data", "_idx",      "_docsize", "_config",
                                 "_stat", "_segments", "_segdir",  "_content"};

}  // namespace

VirtualDefinition parse_virtual(std::string_view create_statement) {
  VirtualDefinition definition;
  const std::string_view sql = create_statement;
  bool using_seen = false;
  std::size_t i = 0;
  while (i < sql.size()) {
    if (is_quote(sql[i])) {
      i = skip_quoted(sql, i);
      continue;
    }
    if (std::isalnum(static_cast<unsigned char>(sql[i])) == 0 && sql[i] != '_') {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end < sql.size() &&
           (std::isalnum(static_cast<unsigned char>(sql[end])) != 0 || sql[end] == '_')) {
      ++end;
    }
    const std::string word = lower(sql.substr(i, end - i));
    i = end;
    if (!using_seen) {
      using_seen = word == "using";
      continue;
    }
    definition.module = word;
    break;
  }
  for (const std::string_view argument : arguments_of(sql.substr(i))) {
    if (argument.empty() || is_quote(argument.front())) continue;  // a column
    const std::size_t equals = argument.find('=');
    if (equals == std::string_view::npos) continue;
    definition.options[lower(trimmed(argument.substr(0, equals)))] =
        unquoted(argument.substr(equals + 1));
  }
  return definition;
}

// Written through the virtual table.
struct MergeVirtual::Documents {
  Statement insert, update, remove;
};

// An index over the rows of another table.
struct MergeVirtual::External {
  std::string content;  // lower case
  Statement let_go, take, rebuild;
  bool changed = false;  // by the entry
};

MergeVirtual::MergeVirtual(const Database& db) : db_(db) {
  Statement tables =
      db.prepare("SELECT name, sql FROM main.sqlite_schema WHERE type = 'table' AND rootpage = 0");
  std::vector<std::pair<std::string, std::string>> found;
  while (tables.step()) found.emplace_back(tables.column_text(0), tables.column_text(1));
  for (const auto& [name, sql] : found) add(name, sql);
}

MergeVirtual::~MergeVirtual() = default;

void MergeVirtual::add(const std::string& name, const std::string& sql) {
  const VirtualDefinition definition = parse_virtual(sql);
  if (definition.module == "rtree" || definition.module == "rtree_i32") {
    return add_tree(name, definition.module == "rtree_i32");
  }
  const bool fts5 = definition.module == "fts5";
  const bool fts = fts5 || definition.module == "fts4" || definition.module == "fts3";
  const auto content = definition.options.find("content");
  const bool external = content != definition.options.end();
  // Compressed or told by language: the documents' rows are not what the application gave.
  const bool plain =
      fts && !definition.options.contains("compress") && !definition.options.contains("languageid");
  Part derived = Part::kOpaque;
  if (plain && !external) {
    add_documents(name, fts5);
    if (documents_.contains(lower(name + "_content"))) derived = Part::kDerived;
  } else if (plain && !content->second.empty()) {
    add_external(name, definition);
    if (external_of_.contains(lower(name))) derived = Part::kDerived;
  }
  Statement shadows = db_.prepare(
      "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow'"
      " AND substr(name, 1, length(?1) + 1) = ?1 || '_' COLLATE NOCASE");
  shadows.bind(1, name);
  while (shadows.step()) {
    const std::string shadow = lower(shadows.column_text(0));
    const std::string ending = shadow.substr(name.size());
    if (derived != Part::kOpaque && std::ranges::find(kShadows, ending) == kShadows.end()) continue;
    const bool rows = derived == Part::kDerived && !external && ending == "_content";
    parts_[shadow] = rows ? Part::kRows : derived;
    if (external && derived == Part::kDerived) external_of_[shadow] = external_of_[lower(name)];
  }
}

void MergeVirtual::add_tree(const std::string& name, bool integers) {
  auto tree = std::make_shared<Tree>();
  tree->tree = {name, columns_of(db_, name), 0, integers};
  tree->rowids = name + "_rowid";
  const std::size_t auxiliary = columns_of(db_, tree->rowids).size();
  if (auxiliary < 2 || tree->tree.columns.size() < auxiliary) return;  // not as we know it
  tree->tree.coordinates = tree->tree.columns.size() + 1 - auxiliary;
  tree->shadows = {{lower(name + "_node"), RTreeShadow::kNode},
                   {lower(name + "_parent"), RTreeShadow::kParent},
                   {lower(tree->rowids), RTreeShadow::kRowid}};
  for (const auto& [shadow, kind] : tree->shadows) {
    parts_[shadow] = Part::kTree;
    trees_[shadow] = tree;
  }
  parts_[lower(name)] = Part::kTree;
  trees_[lower(name)] = std::move(tree);
}

const MergeVirtual::Tree& MergeVirtual::tree_of(const std::string& table) const {
  return *trees_.at(lower(table));
}

std::optional<RTreeShadow> MergeVirtual::shadow_of(const std::string& table) const {
  const std::string name = lower(table);
  const auto& shadows = trees_.at(name)->shadows;
  const auto shadow = shadows.find(name);
  return shadow == shadows.end() ? std::nullopt : std::optional(shadow->second);
}

std::optional<TableInfo> MergeVirtual::tree_info(const std::string& table) const {
  const auto found = trees_.find(lower(table));
  if (found == trees_.end() || found->second->shadows.contains(lower(table))) return std::nullopt;
  const RTree& tree = found->second->tree;
  TableInfo info;
  info.change_table = RTreeRows(tree).table();
  info.change_table.column_names.clear();
  for (const std::string& name : tree.columns) {
    info.carried.push_back(static_cast<std::uint32_t>(info.columns.size()));
    info.columns.emplace_back().name = name;
  }
  info.rowid_name = tree.columns.front();
  return info;
}

void MergeVirtual::add_documents(const std::string& name, bool fts5) {
  const std::string shadow = name + "_content";
  const std::vector<std::string> columns = columns_of(db_, name);
  if (columns.empty() || columns_of(db_, shadow).size() != columns.size() + 1) return;
  const std::string key = fts5 ? "rowid" : "docid";
  std::string values;
  std::string set;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::string parameter = "?" + std::to_string(i + 2);
    values += ", " + parameter;
    set += (set.empty() ? "" : ", ") + quote(columns[i]) + " = " + parameter;
  }
  const std::string table = "main." + quote(name);
  auto documents = std::make_unique<Documents>();
  documents->insert = db_.prepare("INSERT INTO " + table + " (" + key + comma_list(columns) +
                                  ") VALUES (?1" + values + ")");
  documents->update = db_.prepare("UPDATE " + table + " SET " + set + " WHERE rowid = ?1");
  documents->remove = db_.prepare("DELETE FROM " + table + " WHERE rowid = ?1");
  documents_.emplace(lower(shadow), std::move(documents));
}

void MergeVirtual::add_external(const std::string& name, const VirtualDefinition& definition) {
  const std::string& content = definition.options.at("content");
  const auto option = definition.options.find("content_rowid");
  const bool fts5 = definition.module == "fts5";
  const std::string rowid = option == definition.options.end() ? "rowid" : option->second;
  if (!is_rowid_of(db_, content, rowid)) return;
  const std::string columns = comma_list(columns_of(db_, name));
  const std::string table = "main." + quote(name);
  const std::string from =
      columns + " FROM main." + quote(content) + " WHERE " + quote(rowid) + " = ?1";
  auto external = std::make_unique<External>();
  external->content = lower(content);
  try {
    if (fts5) {
      external->let_go = db_.prepare("INSERT INTO " + table + " (" + quote(name) + ", rowid" +
                                     columns + ") SELECT 'delete', " + quote(rowid) + from);
    } else {
      external->let_go = db_.prepare("DELETE FROM " + table + " WHERE docid = ?1");
    }
    external->take = db_.prepare("INSERT INTO " + table + " (" + (fts5 ? "rowid" : "docid") +
                                 columns + ") SELECT " + quote(rowid) + from);
    external->rebuild =
        db_.prepare("INSERT INTO " + table + " (" + quote(name) + ") VALUES ('rebuild')");
  } catch (const SqliteError&) {
    return;  // its columns are none of the other table's
  }
  external_of_[lower(name)] = external.get();
  externals_.push_back(std::move(external));
}

MergeVirtual::Part MergeVirtual::part_of(const std::string& table) const {
  const auto part = parts_.find(lower(table));
  return part == parts_.end() ? Part::kNone : part->second;
}

void MergeVirtual::begin() {
  noted_.clear();
  for (const auto& external : externals_) external->changed = false;
}

void MergeVirtual::note(const std::string& table) {
  const std::string name = lower(table);
  if (!noted_.insert(name).second) return;
  const auto external = external_of_.find(name);
  if (external != external_of_.end()) external->second->changed = true;
}

void MergeVirtual::insert(const std::string& table, const Row& row) {
  Statement& statement = documents_.at(lower(table))->insert;
  for (std::size_t i = 0; i < row.size(); ++i) statement.bind(static_cast<int>(i) + 1, row[i]);
  statement.run();
}

void MergeVirtual::update(const std::string& table, std::int64_t rowid, const Row& row) {
  Statement& statement = documents_.at(lower(table))->update;
  statement.bind(1, rowid);
  for (std::size_t i = 1; i < row.size(); ++i) statement.bind(static_cast<int>(i) + 1, row[i]);
  statement.run();
}

void MergeVirtual::remove(const std::string& table, std::int64_t rowid) {
  documents_.at(lower(table))->remove.bind(1, rowid).run();
}

bool MergeVirtual::is_indexed(const std::string& table) const {
  const std::string name = lower(table);
  return std::ranges::any_of(externals_, [&](const auto& external) {
    return external->changed && external->content == name;
  });
}

void MergeVirtual::before_write(const std::string& table, std::int64_t rowid) {
  const std::string name = lower(table);
  for (const auto& external : externals_) {
    if (external->changed && external->content == name) external->let_go.bind(1, rowid).run();
  }
}

void MergeVirtual::after_write(const std::string& table, std::int64_t rowid) {
  const std::string name = lower(table);
  for (const auto& external : externals_) {
    if (external->changed && external->content == name) external->take.bind(1, rowid).run();
  }
}

void MergeVirtual::finish() {
  for (const auto& external : externals_) {
    if (external->changed && !noted_.contains(external->content)) external->rebuild.run();
  }
}

}  // namespace csa
