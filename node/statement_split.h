// Cuts typed or piped SQL into calls: one statement, or everything from BEGIN to COMMIT without
// these two words. Strings, comments and trigger bodies are SQLite's own matter
// (sqlite3_complete). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace csa {

class StatementSplitter {
 public:
  void feed(std::string_view text) { text_ += text; }
  // The next complete call; nullopt: more text is needed. A block ended by ROLLBACK is dropped.
  [[nodiscard]] std::optional<std::string> next();
  // What is left at the end of input, without comments' and spaces' worth; may be incomplete SQL.
  [[nodiscard]] std::string rest();
  [[nodiscard]] bool empty() const;

 private:
  [[nodiscard]] std::optional<std::string> next_statement();
  std::string text_;
  std::string block_;
  bool in_block_ = false;
};

}  // namespace csa
