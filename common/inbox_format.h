// The texts of csa_inbox and csa_inbox_later (schemas/tables.sql). Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace csa {

// What rows that were decided alike share.
struct InboxDecision {
  std::string table, op, rule, decision, reason;
  std::optional<std::string> broker_time;
  bool close = false;
  bool numbered = false;
  bool operator==(const InboxDecision&) const = default;
};

// One row, as JSON objects by column name.
struct InboxTexts {
  std::string key;
  // Base, master's, node's; nothing: none. To be written, the latter two may be an array of one
  // object: the columns that differ from the base, as a merge patch (RFC 7396). Never so when read.
  std::array<std::optional<std::string>, 3> versions;
};

[[nodiscard]] std::string decision_json(const InboxDecision& decision);
// `place`: of its decision among those of the same csa_inbox row. REQUIRES: the texts are JSON.
void append_row_json(std::size_t place, const InboxTexts& texts, std::string& out);

struct InboxRow {
  InboxDecision decision;
  InboxTexts texts;
};
// csa_inbox.decided and rows; nothing: damaged.
[[nodiscard]] std::optional<std::vector<InboxRow>> read_inbox_rows(std::string_view decided,
                                                                   std::string_view rows);
// csa_inbox_later.decided and row.
[[nodiscard]] std::optional<InboxDecision> read_decision(std::string_view json);
[[nodiscard]] std::optional<InboxTexts> read_row(std::string_view json);

}  // namespace csa
