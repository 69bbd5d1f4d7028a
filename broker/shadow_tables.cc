#include "broker/shadow_tables.h"

#include <optional>

#include "broker/merge_virtual.h"
#include "common/virtual_table.h"

namespace csa {
namespace {

ShadowTables::Kind kind_of_rows(const ChangeTable& table) {
  const MergeVirtual::Part part = MergeVirtual::part_of(table);
  const bool index_of_tree = part == MergeVirtual::Part::kTree && shadow_kind(table) != "rowid";
  return part == MergeVirtual::Part::kDerived || index_of_tree ? ShadowTables::Kind::kDerived
                                                               : ShadowTables::Kind::kRows;
}

}  // namespace

ShadowTables::Kind ShadowTables::kind(const std::string& table) {
  const auto [known, fresh] = kinds_.try_emplace(table, Kind::kNone);
  if (!fresh) return known->second;
  const std::optional<TableInfo> info =
      is_shadow(db_, table) ? table_info(db_, table) : std::nullopt;
  if (info) known->second = kind_of_rows(journal_table(db_, *info));
  return known->second;
}

}  // namespace csa
