// The versions of a row as the inbox keeps them: JSON objects by column name, for people, and
// their values exactly, unless the JSON tells these too.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/codec.h"
#include "common/value.h"

namespace csa {

class InboxRows {
 public:
  // Base, master's and node's row; nullptr: there is none.
  using Versions = std::array<const Row*, 3>;
  // What text() and exact() tell until the next call. Of the second and third version the text may
  // be what differs from the first one (common/inbox_format.h).
  void set(const std::vector<std::string>& columns, const Versions& versions);
  // Nothing: there is no such version.
  [[nodiscard]] std::optional<std::string_view> text(std::size_t version) const;
  // encode_rows of all three; empty: the texts tell it.
  [[nodiscard]] const Bytes& exact() const { return exact_; }

 private:
  void name_columns(const std::vector<std::string>& columns);
  [[nodiscard]] bool append_row(const Row& row, std::string& out) const;
  // What differs from `base`; false: that cannot be told so. `exact` stays true if JSON tells it.
  [[nodiscard]] bool append_changed(const Row& row, const Row& base, std::string& out,
                                    bool& exact) const;

  std::vector<std::string> columns_;
  std::vector<std::string> names_;  // of these, as JSON
  bool named_alike_ = false;        // two of them
  bool names_exact_ = true;
  std::array<std::string, 3> texts_;
  std::array<bool, 3> there_{};
  Bytes exact_;
};

// What the inbox holds of the versions of a row: exactly, if the texts do not tell it, and the
// texts.
struct StoredVersions {
  Bytes rows;
  std::array<std::optional<std::string>, 3> texts;
};
// A version that is not there has no values; nothing: unreadable.
[[nodiscard]] std::optional<RowSet> read_versions(const StoredVersions& stored);

}  // namespace csa
