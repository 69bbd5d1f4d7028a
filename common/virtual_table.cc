#include "common/virtual_table.h"

#include <algorithm>
#include <cctype>
#include <optional>

namespace csa {
namespace {

bool is_blank(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }
bool is_quote(char c) { return c == '"' || c == '\'' || c == '`' || c == '['; }
bool is_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) != 0 || c == '_' || c == '$' || byte >= 0x80;
}

std::string_view stripped(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
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

// Behind blanks and comments.
std::size_t skip_blanks(std::string_view sql, std::size_t at) {
  while (at < sql.size()) {
    const std::string_view rest = sql.substr(at);
    std::size_t end = at + 1;
    if (rest.starts_with("--")) {
      end = sql.find('\n', at);
    } else if (rest.starts_with("/*")) {
      end = sql.find("*/", at + 2);
      if (end != std::string_view::npos) end += 2;
    } else if (!is_blank(sql[at])) {
      return at;
    }
    at = std::min(end, sql.size());
  }
  return at;
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
      found.push_back(stripped(text.substr(from, i - from)));
      from = i + 1;
    }
    if (last) break;
    ++i;
  }
  return found;
}

// SQLite's own rule for names of shadow tables: up to the last underscore.
std::string owner_name(const std::string& shadow) { return shadow.substr(0, shadow.rfind('_')); }

std::optional<VirtualOwner> owner_of(const Database& db, const std::string& table) {
  Statement kind =
      db.prepare("SELECT 1 FROM pragma_table_list(?1) WHERE schema = 'main' AND type = 'shadow'");
  kind.bind(1, table);
  if (!kind.step()) return std::nullopt;
  Statement owner = db.prepare(
      "SELECT name, sql FROM main.sqlite_schema WHERE type = 'table' AND rootpage = 0 AND"
      " name = ?1 COLLATE NOCASE");
  owner.bind(1, owner_name(table));
  if (!owner.step()) return std::nullopt;
  VirtualOwner found;
  found.name = owner.column_text(0);
  const std::string sql = owner.column_text(1);
  found.definition = definition_in(sql);
  found.columns = visible_columns(db, found.name);
  return found;
}

}  // namespace

std::string_view SqlWords::next() {
  at_ = skip_blanks(sql_, at_);
  const std::size_t from = at_;
  if (at_ >= sql_.size()) return {};
  if (is_quote(sql_[at_])) {
    at_ = skip_quoted(sql_, at_);
  } else if (is_word(sql_[at_])) {
    while (at_ < sql_.size() && is_word(sql_[at_])) ++at_;
  } else {
    ++at_;
  }
  return sql_.substr(from, at_ - from);
}

std::string unquoted(std::string_view word) {
  word = stripped(word);
  if (word.size() < 2 || !is_quote(word.front())) return std::string(word);
  const char end = word.front() == '[' ? ']' : word.front();
  std::string result;
  for (std::size_t i = 1; i + 1 < word.size(); ++i) {
    result += word[i];
    if (word[i] == end) ++i;
  }
  return result;
}

std::string_view definition_in(std::string_view create_statement) {
  SqlWords words(create_statement);
  for (std::string_view word = words.next(); !word.empty(); word = words.next()) {
    if (lower(word) == "using") return stripped(create_statement.substr(words.at()));
  }
  return {};
}

VirtualDefinition parse_virtual(std::string_view definition) {
  VirtualDefinition parsed;
  SqlWords words(definition);
  parsed.module = lower(unquoted(words.next()));
  for (const std::string_view argument : arguments_of(definition.substr(words.at()))) {
    if (argument.empty() || is_quote(argument.front())) continue;  // a column
    if (argument.front() == '+') ++parsed.auxiliary;
    const std::size_t equals = argument.find('=');
    if (equals == std::string_view::npos) continue;
    parsed.options[lower(stripped(argument.substr(0, equals)))] =
        unquoted(argument.substr(equals + 1));
  }
  return parsed;
}

std::vector<std::string> visible_columns(const Database& db, const std::string& table) {
  std::vector<std::string> names;
  Statement rows = db.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid");
  rows.bind(1, table);
  while (rows.step()) names.push_back(rows.column_text(0));
  return names;
}

ChangeTable journal_table(const Database& db, const TableInfo& info) {
  ChangeTable table = info.change_table;
  for (const std::uint32_t column : info.carried) {
    table.column_names.push_back(info.columns[column].name);
  }
  table.owner = owner_of(db, table.name);
  return table;
}

std::optional<ChangeTable> document_table(const ChangeTable& shadow) {
  if (!shadow.owner || shadow.without_rowid) return std::nullopt;
  const VirtualOwner& owner = *shadow.owner;
  const bool fits = shadow.key_columns == std::vector<std::uint32_t>{0} &&
                    shadow.column_count == owner.columns.size() + 1;
  if (!fits || shadow_kind(shadow) != "content") return std::nullopt;
  ChangeTable table;
  table.name = owner.name;
  table.column_count = shadow.column_count;
  table.key_columns = {0};
  table.column_names = owner.columns;
  table.column_names.insert(table.column_names.begin(), "rowid");
  table.owner = owner;
  return table;
}

std::string shadow_kind(const ChangeTable& shadow) {
  return lower(shadow.name.substr(shadow.name.rfind('_') + 1));
}

}  // namespace csa
