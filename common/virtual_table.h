// Virtual tables by what their CREATE statement says, and the shadow tables that hold their rows.
// parse_virtual() is pure; the rest reads the schema through the given connection and throws
// SqliteError.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/changeset.h"
#include "common/schema.h"
#include "common/sqlite.h"

namespace csa {

// Pieces of SQL: a word, a quoted name or text with its quotes, or one character; blanks and
// comments are left out.
class SqlWords {
 public:
  explicit SqlWords(std::string_view sql) : sql_(sql) {}  // which must outlive this
  // Empty: no more.
  [[nodiscard]] std::string_view next();
  // Behind the last one.
  [[nodiscard]] std::size_t at() const { return at_; }

 private:
  std::string_view sql_;
  std::size_t at_ = 0;
};
// A name or text without its quotes.
[[nodiscard]] std::string unquoted(std::string_view word);

// What stands behind USING in a CREATE VIRTUAL TABLE statement; empty: it is none.
[[nodiscard]] std::string_view definition_in(std::string_view create_statement);

struct VirtualDefinition {
  std::string module;                          // lower case
  std::map<std::string, std::string> options;  // "content" -> "part"; names in lower case
  std::size_t auxiliary = 0;                   // columns of an R*Tree that are marked with "+"
  [[nodiscard]] bool is_fts() const {
    return module == "fts5" || module == "fts4" || module == "fts3";
  }
  // Keeps documents of its own, as the application gave them: neither compressed nor told apart by
  // language, nor another table's rows.
  [[nodiscard]] bool has_documents() const {
    return is_fts() && !options.contains("content") && !is_special();
  }
  // An index over the rows of another table.
  [[nodiscard]] bool is_external() const {
    const auto content = options.find("content");
    return is_fts() && content != options.end() && !content->second.empty() && !is_special();
  }
  [[nodiscard]] bool is_tree() const { return module == "rtree" || module == "rtree_i32"; }

 private:
  [[nodiscard]] bool is_special() const {
    return options.contains("compress") || options.contains("languageid");
  }
};
// Of what definition_in() finds.
[[nodiscard]] VirtualDefinition parse_virtual(std::string_view definition);

// The columns that an application sees.
[[nodiscard]] std::vector<std::string> visible_columns(const Database& db,
                                                       const std::string& table);
// The table as a journal's changesets define it.
[[nodiscard]] ChangeTable journal_table(const Database& db, const TableInfo& info);
// For the shadow table of a journal in which a full-text table keeps its documents: that table as
// an application sees it, as if "rowid" were its INTEGER PRIMARY KEY; columns have the same places.
[[nodiscard]] std::optional<ChangeTable> document_table(const ChangeTable& shadow);
// What follows the owner's name in a shadow table's, in lower case: "content", "node".
[[nodiscard]] std::string shadow_kind(const ChangeTable& shadow);

}  // namespace csa
