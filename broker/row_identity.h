// Which row a change speaks of, across all copies. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "common/changeset.h"
#include "common/types.h"

namespace csa {

// What a collation takes for equal. Reals and integers of one value are equal in any.
enum class KeyFold : std::uint8_t { kExact, kNoCase, kTrailingSpace };

// A row across all copies: table, and the declared key's values in key order, or the rowid where
// the table declares none or a value of it is NULL.
struct RowIdentity {
  std::string table;
  Row key;
  bool by_rowid = false;            // though the table declares a key: a value of it is NULL
  std::vector<KeyFold> folds = {};  // of the key's values; missing ones: kExact
};
// The same for identities that are equal as SQLite compares names and keys; as
// csa_inbox.hashes.
[[nodiscard]] Id128 hash_of(const RowIdentity& row);
// For containers by such a hash.
struct Id128Hash {
  std::size_t operator()(const Id128& row) const noexcept {
    std::size_t hash = 0;  // it is one already
    std::memcpy(&hash, row.bytes.data(), sizeof hash);
    return hash;
  }
};
// In place of one row: all of the table.
[[nodiscard]] inline RowIdentity whole_table(const std::string& table) { return {table, {}}; }

// The whole row before (or after) a change that carries full rows, the physical key in its columns;
// nothing: there was none. REQUIRES: a journal's change.
[[nodiscard]] std::optional<Row> row_before(const RowChange& change, const ChangeTable& table);
[[nodiscard]] std::optional<Row> row_after(const RowChange& change, const ChangeTable& table);

// Of the row before (or after) the change, also of the log's.
[[nodiscard]] std::optional<RowIdentity> identity_before(const RowChange& change,
                                                         const ChangeTable& table);
[[nodiscard]] std::optional<RowIdentity> identity_after(const RowChange& change,
                                                        const ChangeTable& table);

}  // namespace csa
