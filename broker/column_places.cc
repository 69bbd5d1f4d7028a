#include "broker/column_places.h"

#include <algorithm>
#include <utility>

#include "common/store_meta.h"

namespace csa {
namespace {

bool has_column(const TableLayout& table, const std::string& name) {
  return std::ranges::any_of(table.columns,
                             [&](const std::string& known) { return lower(known) == name; });
}

// One version back.
void step_back(ColumnPlaces::Origin& origin, const TableLayout& table, const TableLayout& before) {
  if (!table.was.table.empty()) origin.table = lower(table.was.table);
  for (std::string& column : origin.columns) {
    for (const auto& [now, was] : table.was.columns) {
      if (lower(now) != column) continue;
      column = lower(was);
      break;
    }
    if (!has_column(before, column)) column.clear();
  }
}

}  // namespace

bool ColumnPlaces::Places::is_begin() const {
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i] != i) return false;
  }
  return true;
}

const ColumnPlaces::Tables& ColumnPlaces::tables(std::uint64_t version) {
  const auto [known, fresh] = tables_.try_emplace(version);
  if (!fresh) return known->second;
  const std::optional<std::string> json = read_layout_json(db_, version);
  std::optional<Layout> layout = json ? parse_layout(*json) : std::nullopt;
  if (!layout) return known->second;
  for (auto& [table, described] : *layout) {
    known->second.emplace(lower(table), std::move(described));
  }
  return known->second;
}

const TableLayout* ColumnPlaces::layout(const std::string& table, std::uint64_t version) {
  const auto found = tables(version).find(lower(table));
  return found == tables(version).end() ? nullptr : &found->second;
}

std::optional<ColumnPlaces::Origin> ColumnPlaces::origin(const std::string& table,
                                                         std::uint64_t then, std::uint64_t now) {
  const TableLayout* const present = layout(table, now);
  if (present == nullptr) return std::nullopt;
  Origin origin{lower(table), {}};
  for (const std::string& column : present->columns) origin.columns.push_back(lower(column));
  const Origin by_name = origin;
  const TableLayout* at = present;
  for (std::uint64_t version = now; version > then; --version) {
    const std::string& was = at->was.table.empty() ? origin.table : at->was.table;
    const TableLayout* const before = layout(was, version - 1);
    if (before == nullptr) {
      origin = by_name;
      break;
    }
    step_back(origin, *at, *before);
    at = before;
  }
  const TableLayout* const past = layout(origin.table, then);
  if (past == nullptr) return std::nullopt;
  for (std::size_t i = 0; i < origin.columns.size(); ++i) {
    std::string& column = origin.columns[i];
    if (column.empty()) column = by_name.columns[i];
    if (!has_column(*past, column)) column.clear();
  }
  return origin;
}

std::string ColumnPlaces::name_now(const std::string& table, std::uint64_t then,
                                   std::uint64_t now) {
  const std::string name = lower(table);
  for (const auto& [known, described] : tables(now)) {
    const std::optional<Origin> found = origin(known, then, now);
    if (found && found->table == name) return known;
  }
  return {};
}

std::vector<std::optional<std::size_t>> places_in(const ColumnPlaces::Origin& origin,
                                                  const TableLayout& then, const TableLayout& now) {
  std::vector<std::optional<std::size_t>> to(then.columns.size());
  for (std::size_t i = 0; i < to.size(); ++i) {
    const std::string name = lower(then.columns[i]);
    for (std::size_t j = 0; j < origin.columns.size(); ++j) {
      if (origin.columns[j] != name) continue;
      // Of one that was renamed and one that has got its name since, the latter.
      if (!to[i] || lower(now.columns[j]) == name) to[i] = j;
    }
  }
  return to;
}

const ColumnPlaces::Places* ColumnPlaces::find(const std::string& table, std::uint64_t then,
                                               std::uint64_t now) {
  const std::string name = lower(table);
  const auto [known, fresh] = places_.try_emplace({name, then, now});
  std::optional<Places>& places = known->second;
  if (fresh) {
    const TableLayout* const past = layout(name, then);
    const TableLayout* const present = layout(name, now);
    const std::optional<Origin> origin = this->origin(name, then, now);
    if (past != nullptr && present != nullptr && origin && origin->table == name) {
      places = Places{places_in(*origin, *past, *present), present->columns.size()};
    }
  }
  return places ? &*places : nullptr;
}

void ColumnPlaces::forget() {
  tables_.clear();
  places_.clear();
}

}  // namespace csa
