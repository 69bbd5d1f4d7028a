// Rows of R*Trees in an entry, instead of what it did to their shadow tables.
#include <utility>

#include "broker/merge_run.h"

namespace csa {
namespace {

// Of what they take.
constexpr std::uint64_t kTreeMemory = std::uint64_t{32} << 20U;

}  // namespace

void MergeRun::each(const Visit& visit) {
  tell_trees();
  each_stored([&](const Change& change, const std::vector<ChangeTable>& tables) {
    const auto* const row = std::get_if<RowChange>(&change);
    if (row == nullptr || !is_told(tables.at(row->table).name)) visit(change, tables);
  });
  for (const auto& [name, told] : trees_) {
    for (const RowChange& row : told.rows) visit(row, told.table);
  }
}

// Instead of the changes of this shadow table there are rows of its tree.
bool MergeRun::is_told(const std::string& table) const {
  const MergeVirtual& virtuals = schema_.virtuals();
  return virtuals.part_of(table) == MergeVirtual::Part::kTree &&
         trees_.contains(virtuals.tree_of(table).tree.name);
}

// Not where a tree had other columns when the entry was made, and not where it would take too much
// memory: then its shadow tables are applied as they are, or not at all.
void MergeRun::tell_trees() {
  if (std::exchange(trees_told_, true) || context_.restoring) return;
  MergeVirtual& virtuals = schema_.virtuals();
  if (!virtuals.has_trees() || entry_.header.schema_version != context_.meta.schema_version) return;
  std::map<std::string, RTreeRows> found;
  std::uint64_t bytes = 0;
  each_stored([&](const Change& change, const std::vector<ChangeTable>& tables) {
    const auto* const row = std::get_if<RowChange>(&change);
    if (row == nullptr || bytes > kTreeMemory) return;
    const ChangeTable& table = tables.at(row->table);
    if (virtuals.part_of(table.name) != MergeVirtual::Part::kTree) return;
    const MergeVirtual::Tree& tree = virtuals.tree_of(table.name);
    RTreeRows& rows = found.try_emplace(tree.tree.name, tree.tree).first->second;
    const std::uint64_t before = rows.bytes();
    const std::optional<RTreeShadow> shadow = virtuals.shadow_of(table.name);
    if (!shadow) throw Parked{"it changes " + table.name + ", which has no rows of its own"};
    if (const Status taken = rows.take(*shadow, *row, table); !taken) {
      throw Parked{taken.error().what};
    }
    bytes += rows.bytes() - before;
  });
  if (bytes > kTreeMemory) return;
  for (const auto& [name, rows] : found) {
    Result<std::vector<RowChange>> told = rows.rows();
    if (!told) throw Parked{told.error().what};
    trees_.emplace(name, TreeRows{{rows.table()}, std::move(*told)});
  }
}

}  // namespace csa
