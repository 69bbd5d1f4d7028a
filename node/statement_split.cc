#include "node/statement_split.h"

#include <sqlite3.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "common/limits.h"

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

// Every character is looked at once, however the text comes and however long it is.
std::optional<std::size_t> StatementSplitter::next_semicolon() {
  const auto follows = [this](char c) { return text_[looked_ + 1] == c; };
  for (; looked_ < text_.size(); ++looked_) {
    const char c = text_[looked_];
    const bool two = c == '-' || c == '/' || c == '*';  // what it means the next one tells
    if (two && looked_ + 1 == text_.size()) return std::nullopt;
    if (inside_ == '*') {
      if (c != '*' || !follows('/')) continue;
      ++looked_;
      inside_ = 0;
    } else if (inside_ != 0) {
      if (c == inside_) inside_ = 0;
    } else if (c == ';') {
      return looked_++;
    } else if (c == '\'' || c == '"' || c == '`') {
      inside_ = c;
    } else if (c == '[') {
      inside_ = ']';
    } else if (c == '-' && follows('-')) {
      inside_ = '\n';
    } else if (c == '/' && follows('*')) {
      ++looked_;
      inside_ = '*';
    }
  }
  return std::nullopt;
}

// Behind such a semicolon a statement ends, but in a trigger's body.
std::optional<std::string> StatementSplitter::next_statement() {
  while (const std::optional<std::size_t> at = next_semicolon()) {
    std::string candidate = text_.substr(begin_, *at + 1 - begin_);
    if (sqlite3_complete(candidate.c_str()) == 0) continue;
    begin_ = *at + 1;
    if (begin_ > text_.size() / 2) {
      text_.erase(0, begin_);
      looked_ -= std::exchange(begin_, 0);
    }
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
  std::string left = text_.substr(begin_);
  text_.clear();
  begin_ = looked_ = 0;
  inside_ = 0;
  if (std::exchange(in_block_, false)) return SqlCall{SqlCall::Kind::kUnfinished, {}};
  if (first_word(left) == left.size()) return std::nullopt;
  return SqlCall{SqlCall::Kind::kRun, std::move(left)};
}

bool StatementSplitter::empty() const {
  const std::string_view left = std::string_view(text_).substr(begin_);
  return !in_block_ && first_word(left) == left.size();
}

bool StatementSplitter::too_long() const {
  return text_.size() - begin_ + block_.size() > limits::kWriteMax;
}

}  // namespace csa
