// SQL is cut into the same calls however it arrives, and each call ends.
#include "node/statement_split.h"
#include "tests/fuzz/fuzz.h"

namespace csa::fuzz::statements_target {
namespace {

std::vector<SqlCall> calls_of(std::string_view text, std::size_t piece) {
  StatementSplitter splitter;
  std::vector<SqlCall> calls;
  while (!text.empty()) {
    const std::size_t length = std::min(piece, text.size());
    splitter.feed(text.substr(0, length));
    text.remove_prefix(length);
    while (std::optional<SqlCall> call = splitter.next()) calls.push_back(std::move(*call));
  }
  if (std::optional<SqlCall> call = splitter.rest()) calls.push_back(std::move(*call));
  return calls;
}

}  // namespace

CSA_FUZZ_TARGET(statements) {
  if (size > 2000) return 0;
  std::string text(data, data + size);
  const std::vector<SqlCall> whole = calls_of(text, text.size() + 1);
  fuzz::prove(whole.size() <= text.size(), "statements: more calls than bytes");
  // As a shell reads: line by line.
  StatementSplitter splitter;
  std::vector<SqlCall> calls;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    splitter.feed(std::string_view(text).substr(at, end - at));
    while (std::optional<SqlCall> call = splitter.next()) calls.push_back(std::move(*call));
    at = end;
  }
  if (std::optional<SqlCall> call = splitter.rest()) calls.push_back(std::move(*call));
  fuzz::prove(calls == whole, "statements: by lines they are cut otherwise");
  return 0;
}

}  // namespace csa::fuzz::statements_target
