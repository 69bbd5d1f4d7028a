// The versions of a row as csa_conflicts keeps them: JSON objects by column name, for people, and
// their values exactly, unless the JSON tells these too.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/codec.h"
#include "common/sqlite.h"
#include "common/value.h"

namespace csa {

class InboxRows {
 public:
  // Base, master's and node's row; nullptr: there is none.
  using Versions = std::array<const Row*, 3>;
  // What text() and exact() tell until the next call.
  void set(const std::vector<std::string>& columns, const Versions& versions);
  // Nothing: there is no such version.
  [[nodiscard]] std::optional<std::string_view> text(std::size_t version) const;
  // What csa_conflicts.rows holds; empty: the texts tell it.
  [[nodiscard]] const Bytes& exact() const { return exact_; }

 private:
  void name_columns(const std::vector<std::string>& columns);
  [[nodiscard]] bool append_row(const Row& row, std::string& out) const;

  std::vector<std::string> columns_;
  std::vector<std::string> names_;  // of these, as JSON
  bool named_alike_ = false;        // two of them
  bool names_exact_ = true;
  std::array<std::string, 3> texts_;
  std::array<bool, 3> there_{};
  Bytes exact_;
};

// What a row of csa_conflicts holds of the versions: `rows` and the texts. A version that is not
// there has no values; nothing: unreadable.
struct StoredVersions {
  Bytes rows;
  std::array<std::optional<std::string>, 3> texts;
};
[[nodiscard]] std::optional<RowSet> read_versions(const StoredVersions& stored);
// From columns rows, base, broker, node_row, in this order.
[[nodiscard]] StoredVersions stored_versions(const Statement& row, int first_column);

}  // namespace csa
