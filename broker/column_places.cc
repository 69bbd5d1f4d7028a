#include "broker/column_places.h"

#include <algorithm>
#include <utility>

#include "common/store_meta.h"

namespace csa {

bool ColumnPlaces::Places::is_begin() const {
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i] != i) return false;
  }
  return true;
}

const ColumnPlaces::Names& ColumnPlaces::names(std::uint64_t version) {
  const auto [known, fresh] = names_.try_emplace(version);
  if (!fresh) return known->second;
  const std::optional<std::string> json = read_layout_json(db_, version);
  const std::optional<Layout> layout = json ? parse_layout(*json) : std::nullopt;
  if (!layout) return known->second;
  for (const auto& [table, described] : *layout) {
    std::vector<std::string>& columns = known->second[lower(table)];
    for (const std::string& column : described.columns) columns.push_back(lower(column));
  }
  return known->second;
}

const ColumnPlaces::Places* ColumnPlaces::find(const std::string& table, std::uint64_t then,
                                               std::uint64_t now) {
  const std::string name = lower(table);
  const auto [known, fresh] = places_.try_emplace({name, then, now});
  std::optional<Places>& places = known->second;
  if (fresh) {
    const auto old_names = names(then).find(name);
    const auto new_names = names(now).find(name);
    if (old_names != names(then).end() && new_names != names(now).end()) {
      const std::vector<std::string>& present = new_names->second;
      places.emplace().count = present.size();
      for (const std::string& column : old_names->second) {
        const auto found = std::ranges::find(present, column);
        const auto place = static_cast<std::size_t>(found - present.begin());
        places->to.push_back(found == present.end() ? std::nullopt : std::optional(place));
      }
    }
  }
  return places ? &*places : nullptr;
}

void ColumnPlaces::forget() {
  names_.clear();
  places_.clear();
}

}  // namespace csa
