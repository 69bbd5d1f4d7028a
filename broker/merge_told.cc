// Rows of full-text tables and R*Trees in an entry, instead of what it did to their shadow tables.
#include <utility>

#include "broker/merge_run.h"
#include "broker/rtree_rows.h"

namespace csa {
namespace {

// Of what R*Trees' rows take.
constexpr std::uint64_t kTreeMemory = std::uint64_t{32} << 20U;

using VisitDocument =
    std::function<void(const Change& change, const std::vector<ChangeTable>& tables)>;

// Documents as a table's rows: one that is deleted and at once inserted again was changed, for that
// is how a full-text table changes it.
class DocumentRows {
 public:
  explicit DocumentRows(const VisitDocument& visit) : visit_(visit) {}

  // False: they are none of documents.
  [[nodiscard]] bool take(RowChange change, const ChangeTable& shadow) {
    Table& table = tables_[shadow.name];
    if (table.definition.empty()) {
      std::optional<ChangeTable> own = document_table(shadow);
      if (!own) return false;
      table.definition.push_back(std::move(*own));
    }
    if (change.new_values.size() > table.definition.front().column_count) return false;
    change.table = 0;
    if (table.gone && change.op == RowOp::kInsert && change.key == table.gone->key) {
      change.op = RowOp::kUpdate;
      change.assigned = false;
      change.old_values = std::move(table.gone->old_values);
      table.gone.reset();
      if (change.old_values == change.new_values) return true;
    }
    give(table);
    if (change.op == RowOp::kDelete) {
      table.gone = std::move(change);
    } else {
      visit_(change, table.definition);
    }
    return true;
  }
  void finish() {
    for (auto& [name, table] : tables_) give(table);
  }

 private:
  struct Table {
    std::vector<ChangeTable> definition;  // one
    std::optional<RowChange> gone;        // deleted, and perhaps inserted next
  };
  void give(Table& table) {
    if (table.gone) visit_(*std::exchange(table.gone, std::nullopt), table.definition);
  }

  const VisitDocument& visit_;
  std::map<std::string, Table> tables_;  // by the shadow table's name
};

std::optional<RTree> tree_of(const VirtualOwner& owner) {
  const VirtualDefinition definition = parse_virtual(owner.definition);
  if (owner.columns.size() < 3 + definition.auxiliary) return std::nullopt;
  return RTree{owner.name, owner.columns, owner.columns.size() - 1 - definition.auxiliary,
               definition.module == "rtree_i32"};
}

std::optional<RTreeShadow> tree_shadow(const ChangeTable& table) {
  const std::string kind = shadow_kind(table);
  if (kind == "node") return RTreeShadow::kNode;
  if (kind == "rowid") return RTreeShadow::kRowid;
  if (kind == "parent") return RTreeShadow::kParent;
  return std::nullopt;
}

}  // namespace

void MergeRun::each(const Visit& visit) {
  tell_trees();
  DocumentRows documents(visit);
  each_stored([&](const Change& change, const std::vector<ChangeTable>& tables) {
    const auto* const row = std::get_if<RowChange>(&change);
    if (row == nullptr) return visit(change, tables);
    const ChangeTable& table = tables.at(row->table);
    const MergeVirtual::Part part = part_of(table);
    if (part == MergeVirtual::Part::kDerived) return;
    if (part == MergeVirtual::Part::kTree && trees_.contains(table.owner->name)) return;
    if (part != MergeVirtual::Part::kDocument) return visit(change, tables);
    if (!documents.take(*row, table)) {
      throw Parked{"its rows of the full-text table " + table.owner->name + " cannot be told"};
    }
  });
  documents.finish();
  for (const auto& [name, told] : trees_) {
    for (const RowChange& row : told.rows) visit(row, told.table);
  }
}

MergeVirtual::Part MergeRun::part_of(const ChangeTable& table) {
  if (!table.owner) return MergeVirtual::Part::kNone;
  const auto [known, fresh] = parts_.try_emplace(table.name);
  if (fresh) {
    known->second = MergeVirtual::part_of(table);
    // An index that cannot follow its rows stays as it is, or becomes what the node made of it.
    const bool stuck = known->second == MergeVirtual::Part::kDerived &&
                       parse_virtual(table.owner->definition).is_external() &&
                       schema_.virtuals().is_same(*table.owner) &&
                       !schema_.indexes().follows(table.owner->name);
    if (stuck) known->second = MergeVirtual::Part::kOpaque;
  }
  return known->second;
}

// Not where it would take too much memory: then the shadow tables are applied as they are, or not
// at all.
void MergeRun::tell_trees() {
  if (std::exchange(trees_told_, true) || !schema_.virtuals().has_trees()) return;
  struct Found {
    RTreeRows rows;
    VirtualOwner owner;
  };
  std::map<std::string, Found> found;
  std::uint64_t bytes = 0;
  each_stored([&](const Change& change, const std::vector<ChangeTable>& tables) {
    const auto* const row = std::get_if<RowChange>(&change);
    if (row == nullptr || bytes > kTreeMemory) return;
    const ChangeTable& table = tables.at(row->table);
    if (part_of(table) != MergeVirtual::Part::kTree) return;
    const std::optional<RTreeShadow> shadow = tree_shadow(table);
    auto place = found.find(table.owner->name);
    if (shadow && place == found.end()) {
      if (std::optional<RTree> tree = tree_of(*table.owner)) {
        place = found.emplace(table.owner->name, Found{RTreeRows(std::move(*tree)), *table.owner})
                    .first;
      }
    }
    if (!shadow || place == found.end()) {
      throw Parked{"its rows of the spatial index " + table.owner->name + " cannot be told"};
    }
    RTreeRows& rows = place->second.rows;
    const std::uint64_t before = rows.bytes();
    if (const Status taken = rows.take(*shadow, *row, table); !taken) {
      throw Parked{taken.error().what};
    }
    bytes += rows.bytes() - before;
  });
  if (bytes > kTreeMemory) return;
  for (const auto& [name, tree] : found) {
    Result<std::vector<RowChange>> told = tree.rows.rows();
    if (!told) throw Parked{told.error().what};
    ChangeTable table = tree.rows.table();
    table.owner = tree.owner;
    trees_.emplace(name, TreeRows{{std::move(table)}, std::move(*told)});
  }
}

}  // namespace csa
