// Cuts typed or piped SQL into calls: one statement, or everything from BEGIN to COMMIT without
// these two words; each call is to be answered. Strings, comments and trigger bodies are SQLite's
// own matter (sqlite3_complete). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace csa {

struct SqlCall {
  enum class Kind : std::uint8_t {
    kRun,
    kRolledBack,  // a block that ended in ROLLBACK: nothing is to be done
    kUnfinished,  // a block that the end of input left open: never committed, as SQLite sees it
  };
  Kind kind = Kind::kRun;
  std::string sql;  // kRun
  bool operator==(const SqlCall&) const = default;
};

class StatementSplitter {
 public:
  void feed(std::string_view text) { text_ += text; }
  // The next complete call; nullopt: more text is needed.
  [[nodiscard]] std::optional<SqlCall> next();
  // What is left at the end of input, if it is more than comments and spaces; may be incomplete
  // SQL.
  [[nodiscard]] std::optional<SqlCall> rest();
  [[nodiscard]] bool empty() const;
  // What has begun and not ended is longer than any write may be: no use to read on.
  [[nodiscard]] bool too_long() const;

 private:
  [[nodiscard]] std::optional<std::string> next_statement();
  // The next semicolon that is in no string, name or comment; nothing: more text is needed.
  [[nodiscard]] std::optional<std::size_t> next_semicolon();
  std::string text_;
  std::size_t begin_ = 0;   // of what was not taken yet
  std::size_t looked_ = 0;  // up to here next_semicolon() has been
  char inside_ = 0;         // there: what ends the string or name; '\n' and '*': a comment's end
  std::string block_;
  bool in_block_ = false;
};

}  // namespace csa
