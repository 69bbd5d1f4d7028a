#include "node/statement_split.h"

#include <sqlite3.h>

#include <algorithm>
#include <cctype>
#include <utility>

namespace csa {
namespace {

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

// Position of the first character that is neither space nor in a comment.
std::size_t first_word(std::string_view sql) {
  std::size_t i = 0;
  while (i < sql.size()) {
    if (is_space(sql[i]) || sql[i] == ';') {
      ++i;
    } else if (sql.substr(i, 2) == "--") {
      i = std::min(sql.find('\n', i), sql.size());
    } else if (sql.substr(i, 2) == "/*") {
      const std::size_t end = sql.find("*/", i + 2);
      i = end == std::string_view::npos ? sql.size() : end + 2;
    } else {
      return i;
    }
  }
  return sql.size();
}

std::string keyword(std::string_view sql) {
  std::string word;
  for (std::size_t i = first_word(sql);
       i < sql.size() && std::isalpha(static_cast<unsigned char>(sql[i])) != 0; ++i) {
    word += static_cast<char>(std::toupper(static_cast<unsigned char>(sql[i])));
  }
  return word;
}

}  // namespace

std::optional<std::string> StatementSplitter::next_statement() {
  for (std::size_t at = text_.find(';'); at != std::string::npos; at = text_.find(';', at + 1)) {
    std::string candidate = text_.substr(0, at + 1);
    if (sqlite3_complete(candidate.c_str()) == 0) continue;
    text_.erase(0, at + 1);
    return candidate;
  }
  return std::nullopt;
}

std::optional<SqlCall> StatementSplitter::next() {
  while (std::optional<std::string> statement = next_statement()) {
    const std::string word = keyword(*statement);
    if (word.empty()) continue;
    if (!in_block_ && word == "BEGIN") {
      in_block_ = true;
      block_.clear();
    } else if (in_block_ && (word == "COMMIT" || word == "END")) {
      in_block_ = false;
      return SqlCall{SqlCall::Kind::kRun, std::exchange(block_, {})};
    } else if (in_block_ && word == "ROLLBACK") {
      in_block_ = false;
      return SqlCall{SqlCall::Kind::kRolledBack, {}};
    } else if (in_block_) {
      block_ += *statement + "\n";
    } else {
      return SqlCall{SqlCall::Kind::kRun, std::move(*statement)};
    }
  }
  return std::nullopt;
}

std::optional<SqlCall> StatementSplitter::rest() {
  std::string left = std::exchange(text_, {});
  if (std::exchange(in_block_, false)) return SqlCall{SqlCall::Kind::kUnfinished, {}};
  if (first_word(left) == left.size()) return std::nullopt;
  return SqlCall{SqlCall::Kind::kRun, std::move(left)};
}

bool StatementSplitter::empty() const { return !in_block_ && first_word(text_) == text_.size(); }

}  // namespace csa
