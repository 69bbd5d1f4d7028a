#include "common/changed_tables.h"

#include "common/changeset.h"
#include "common/limits.h"

namespace csa {

std::set<std::string> changed_tables(const Spill& changeset) {
  std::set<std::string> names;
  ChangeReader reader;
  for (std::uint64_t at = 0; at < changeset.size(); at += limits::kPieceMax) {
    reader.feed(changeset.read(at, limits::kPieceMax));
    while (true) {
      const Result<std::optional<Change>> change = reader.next();
      if (!change || !*change) break;
      if (const auto* const row = std::get_if<RowChange>(&**change)) {
        names.insert(reader.tables().at(row->table).name);
      }
    }
  }
  return names;
}

}  // namespace csa
