#include "broker/merge_virtual.h"

#include <algorithm>
#include <utility>

namespace csa {
namespace {

constexpr const char* kRowid = "rowid";

bool has_name(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::any_of(names,
                             [&](const std::string& known) { return lower(known) == lower(name); });
}

// Its first column is the key.
TableInfo info_of(const std::string& name, const std::vector<std::string>& columns) {
  TableInfo info;
  info.change_table.name = name;
  info.change_table.column_count = static_cast<std::uint32_t>(columns.size());
  info.change_table.key_columns = {0};
  for (const std::string& column : columns) {
    info.carried.push_back(static_cast<std::uint32_t>(info.columns.size()));
    info.columns.emplace_back().name = column;
  }
  info.rowid_name = columns.front();
  return info;
}

}  // namespace

MergeVirtual::MergeVirtual(const Database& db) {
  Statement tables =
      db.prepare("SELECT name, sql FROM main.sqlite_schema WHERE type = 'table' AND rootpage = 0");
  while (tables.step()) {
    const std::string name = tables.column_text(0);
    const std::string sql = tables.column_text(1);
    const std::string definition(definition_in(sql));
    definitions_[lower(name)] = definition;
    const VirtualDefinition parsed = parse_virtual(definition);
    if (parsed.is_tree()) add_tree(db, name, definition, parsed.auxiliary);
    if (parsed.has_documents()) add_documents(db, name, definition);
  }
}

MergeVirtual::Part MergeVirtual::part_of(const ChangeTable& journal) {
  if (!journal.owner) return Part::kNone;
  const VirtualDefinition owner = parse_virtual(journal.owner->definition);
  if (owner.is_tree()) return Part::kTree;
  if (owner.is_external()) return Part::kDerived;
  if (!owner.has_documents()) return Part::kOpaque;
  return shadow_kind(journal) == "content" ? Part::kDocument : Part::kDerived;
}

void MergeVirtual::add_documents(const Database& db, const std::string& name,
                                 const std::string& definition) {
  std::vector<std::string> columns = visible_columns(db, name);
  if (columns.empty() || has_name(columns, kRowid)) return;
  columns.insert(columns.begin(), kRowid);
  const std::string shadow = name + "_content";
  if (visible_columns(db, shadow).size() != columns.size()) return;  // not as we know it
  told_[lower(name)] = {info_of(name, columns), shadow, definition};
}

void MergeVirtual::add_tree(const Database& db, const std::string& name,
                            const std::string& definition, std::size_t auxiliary) {
  const std::vector<std::string> columns = visible_columns(db, name);
  if (columns.size() < 3 + auxiliary) return;
  has_trees_ = true;
  told_[lower(name)] = {info_of(name, columns), name + "_rowid", definition,
                        columns.size() - 1 - auxiliary};
}

const MergeVirtual::Told* MergeVirtual::told(const std::string& table) const {
  const auto found = told_.find(lower(table));
  return found == told_.end() ? nullptr : &found->second;
}

const MergeVirtual::Told* MergeVirtual::logged_by(const std::string& table) const {
  const auto found = std::ranges::find_if(
      told_, [&](const auto& known) { return lower(known.second.logged) == lower(table); });
  return found == told_.end() ? nullptr : &found->second;
}

std::vector<std::string> MergeVirtual::logged() const {
  std::vector<std::string> tables;
  for (const auto& [name, known] : told_) tables.push_back(known.logged);
  return tables;
}

bool MergeVirtual::holds_documents(const std::string& table) const {
  const Told* const known = logged_by(table);
  return known != nullptr && known->coordinates == 0;
}

std::string MergeVirtual::logged_as(const std::string& table) const {
  const Told* const known = told(table);
  return known == nullptr ? table : known->logged;
}

bool MergeVirtual::is_same(const VirtualOwner& owner) const {
  const auto known = definitions_.find(lower(owner.name));
  return known != definitions_.end() && known->second == owner.definition;
}

bool MergeVirtual::fits(const ChangeTable& journal, const MergeTable& master) const {
  const Told* const known = told(master.name());
  const bool ordinary = known == nullptr && !master.is_shadow();
  if (ordinary || !journal.owner) return ordinary && !journal.owner;
  if (is_same(*journal.owner)) return true;
  if (known == nullptr) return false;
  const VirtualDefinition was = parse_virtual(journal.owner->definition);
  const VirtualDefinition now = parse_virtual(known->definition);
  if (was.has_documents()) return now.has_documents();
  return was.module == now.module && has_places(journal, master);
}

bool MergeVirtual::has_places(const ChangeTable& journal, const MergeTable& master) const {
  const Told* const known = told(master.name());
  if (known == nullptr) return true;
  const std::vector<std::string>& columns = master.column_names();
  return std::all_of(columns.begin() + 1,
                     columns.begin() + 1 + static_cast<std::ptrdiff_t>(known->coordinates),
                     [&](const std::string& name) { return has_name(journal.column_names, name); });
}

}  // namespace csa
