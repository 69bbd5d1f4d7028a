// A row of the inbox as it is restored or dismissed. Belongs to the ledger's thread; throws
// SqliteError.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/inbox_reader.h"
#include "broker/merge_table.h"
#include "broker/row_identity.h"
#include "common/bytes.h"
#include "common/sqlite.h"
#include "common/types.h"

namespace csa {

[[nodiscard]] std::optional<KeptConflict> find_conflict(const Database& db, std::int64_t id);
// Why there is none that find_conflict() gives.
[[nodiscard]] std::string missing_conflict(const Database& db, std::int64_t id);
// Of `conflicts`, as "conflict 7" or "conflicts 3 to 7".
[[nodiscard]] std::string unreadable(const std::string& conflicts);
struct Bundle {
  std::vector<std::int64_t> ids;      // ascending
  std::vector<std::int64_t> damaged;  // of others that belong to it, as far as can be told
  bool waits = false;                 // one of them is open
};
// Those that are to be restored with it, itself among them, in the order of their keeping; none
// that was restored before.
[[nodiscard]] Bundle bundle_of(const Database& db, const KeptConflict& conflict);
// How many there are, whatever their state.
[[nodiscard]] std::int64_t bundle_size(const Database& db, const KeptConflict& conflict);
// Moved on from "open" by a person.
void set_conflict_state(const Database& db, std::int64_t id, std::string_view state);

// The columns by their names at schema version `now`, where some of these have gone to others
// since. Otherwise: why its values have no place that is certain.
[[nodiscard]] std::optional<std::string> follow_names(const Database& db,
                                                      const KeptConflict& conflict,
                                                      std::uint64_t now,
                                                      KeptConflict::Versions& versions);

// A version's values in the columns of `table`, by name; nullopt where one has no place.
[[nodiscard]] std::vector<std::optional<std::size_t>> places_of(
    const std::vector<std::string>& columns, const MergeTable& table);
// Which row it is: the inbox keeps a hash of that, and a version that has it names it. Nothing: the
// table has another key now.
[[nodiscard]] std::optional<RowIdentity> identity_of(const KeptConflict& conflict,
                                                     const KeptConflict::Versions& versions,
                                                     const MergeTable& table);

}  // namespace csa
