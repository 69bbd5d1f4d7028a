// How csa-node prints results: rows as table, JSON or CSV; the outcome of a write as one JSON
// object or a sentence. Results go to stdout, words for people to stderr.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "node/client.h"

namespace csa {

// kJsonLine: the array on one line, kJson: a row a line.
enum class RowFormat : std::uint8_t { kTable, kJson, kJsonLine, kCsv };
[[nodiscard]] std::optional<RowFormat> parse_row_format(std::string_view text);

// Rows as they come, so that a large result needs no memory; a table's widths are those of the
// first rows.
class RowPrinter {
 public:
  RowPrinter(std::ostream& out, RowFormat format, std::vector<std::string> columns);
  void row(const Row& row);
  void finish();

 private:
  void table_row(const std::vector<std::string>& cells);
  void flush_table();
  std::ostream& out_;
  RowFormat format_;
  std::vector<std::string> columns_;
  std::vector<std::vector<std::string>> waiting_;
  std::vector<std::size_t> widths_;
  std::vector<bool> numbers_;
  bool started_ = false;
};

// exec's object (schemas/cli.md), one line without newline.
[[nodiscard]] std::string exec_json(const WriteResult& result);
// exec for people: "1 row changed, seq 42" and why not; no newline.
[[nodiscard]] std::string exec_sentence(const WriteResult& result);
// [{"table":"part","before":5,"after":12}]
[[nodiscard]] nlohmann::ordered_json keys_json(const std::vector<ChangedKey>& keys);
// "part 5 is now 12, part 6 is now 13", the first of them; empty without keys.
[[nodiscard]] std::string keys_sentence(const std::vector<ChangedKey>& keys);
// 0, 3, 5 or 6.
[[nodiscard]] int exec_exit_code(const WriteResult& result);
// `kept`: files that replaced replicas are kept in.
[[nodiscard]] std::string status_json(const ClientStatus& status,
                                      const std::vector<std::string>& kept);
[[nodiscard]] std::string status_text(const ClientStatus& status,
                                      const std::vector<std::string>& kept);

// A command-line VALUE: a number in canonical form, null, x'..', else text.
[[nodiscard]] Value parse_parameter(std::string_view text);

}  // namespace csa
