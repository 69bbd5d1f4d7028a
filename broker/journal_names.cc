#include "broker/journal_names.h"

#include <algorithm>
#include <utility>

namespace csa {
namespace {

bool is_column_of(const TableLayout& table, const std::string& name) {
  return std::ranges::any_of(table.columns,
                             [&](const std::string& known) { return lower(known) == lower(name); });
}

// No column's name now.
std::string gone_column(const std::string& name, const TableLayout& now) {
  std::string unused = name;
  while (is_column_of(now, unused)) unused += " (gone)";
  return unused;
}

// The end of a virtual table's own table's name, which both have in common.
std::string suffix_of(const ChangeTable& table) {
  return table.owner ? table.name.substr(std::min(table.name.size(), table.owner->name.size()))
                     : std::string();
}

}  // namespace

const std::vector<ChangeTable>& JournalNames::present(const std::vector<ChangeTable>& tables) {
  // Those of another version are known to nobody.
  if (then_ == now_ || then_ == 0) return tables;
  if (tables.size() < present_.size()) present_.clear();
  while (present_.size() < tables.size()) {
    const ChangeTable& table = tables[present_.size()];
    std::optional<ChangeTable> other = renamed(table);
    if (other) own_.insert_or_assign(other->name, table);
    present_.push_back(other ? std::move(*other) : table);
  }
  return present_;
}

bool JournalNames::knows(const ChangeTable& table) {
  const TableLayout* const then = places_.layout(table.name, then_);
  return then != nullptr && std::ranges::equal(then->columns, table.column_names,
                                               [](const std::string& a, const std::string& b) {
                                                 return lower(a) == lower(b);
                                               });
}

const ChangeTable& JournalNames::own(const ChangeTable& present) const {
  const auto known = own_.find(present.name);
  return known == own_.end() ? present : known->second;
}

bool JournalNames::is_gone(const std::string& table) {
  if (then_ == now_ || places_.layout(table, then_) == nullptr) return false;
  const std::optional<ColumnPlaces::Origin> origin = places_.origin(table, then_, now_);
  return origin && origin->table != lower(table);
}

std::string JournalNames::name_now(const ChangeTable& present) {
  const std::string& name = own(present).name;
  const auto [known, fresh] = now_of_.try_emplace(name);
  if (fresh) known->second = places_.name_now(name, then_, now_);
  return known->second;
}

std::optional<ChangeTable> JournalNames::renamed(const ChangeTable& table) {
  const TableLayout* const then = places_.layout(table.name, then_);
  const TableLayout* const now = places_.layout(table.name, now_);
  if (!knows(table) || now == nullptr) return std::nullopt;
  if (is_gone(table.name)) return gone(table);
  const std::optional<ColumnPlaces::Origin> origin = places_.origin(table.name, then_, now_);
  if (!origin) return std::nullopt;
  const std::vector<std::optional<std::size_t>> to = places_in(*origin, *then, *now);
  bool taken = false;  // a name, by another column
  for (std::size_t i = 0; i < to.size(); ++i) {
    const std::string name = lower(then->columns[i]);
    taken = taken || ((!to[i] || lower(now->columns[*to[i]]) != name) && is_column_of(*now, name));
  }
  if (!taken) return std::nullopt;
  ChangeTable present = table;
  for (std::size_t i = 0; i < to.size(); ++i) {
    std::string& name = present.column_names[i];
    name = to[i] ? now->columns[*to[i]] : gone_column(name, *now);
  }
  return present;
}

ChangeTable JournalNames::gone(ChangeTable table) {
  const std::string suffix = suffix_of(table);
  std::string called = places_.name_now(table.name, then_, now_);
  if (called.ends_with(lower(suffix))) called.resize(called.size() - suffix.size());
  const std::string fate = called.empty() ? " (gone)" : " (now " + called + ")";
  table.name.resize(table.name.size() - suffix.size());
  // No table's name now.
  do {
    table.name += fate;
  } while (places_.layout(table.name + suffix, now_) != nullptr);
  if (table.owner) table.owner->name = table.name;
  table.name += suffix;
  return table;
}

}  // namespace csa
