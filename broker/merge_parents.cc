// Rows that a row of the entry names by their rowid: whether the journal has made them itself, and
// whether they are still the ones that it means.
#include <algorithm>

#include "broker/merge_step.h"

namespace csa {

std::optional<MergeRun::Parent> MergeRun::parent_of(const Row& row,
                                                    const MergeReference& reference) {
  MergeTable* const table = schema_.table(reference.parent);
  if (table == nullptr) return std::nullopt;
  const std::optional<std::uint32_t> number = table->rowid_column();
  if (!number) return std::nullopt;
  const TableInfo& info = table->info();
  const std::string name = lower(info.columns[info.carried[*number]].name);
  const std::size_t count = std::min(reference.columns.size(), reference.parent_columns.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (lower(reference.parent_columns[i]) != name) continue;
    const auto* const rowid = std::get_if<std::int64_t>(&row[reference.columns[i]]);
    if (rowid != nullptr) return Parent{table, *rowid};
  }
  return std::nullopt;
}

bool MergeRun::has_made(const Parent& parent) const {
  const auto made = made_.find(parent.table->name());
  return made != made_.end() && made->second.contains(parent.rowid);
}

EditIndex::RowEdits MergeRun::edits_of(const Parent& parent) const {
  return edits_.edits({{parent.table->name(), Row{Value{parent.rowid}}}}, base_, context_.meta,
                      author_);
}

// What others did to a row of that key was about another one: SQLite has numbered this one at the
// node, or a part of its key names a row that the journal has made.
bool MergeRun::is_new(const Step& step) {
  if (step.base || step.broker) return false;
  const MergeTable& table = *step.table;
  bool made = step.assigned && (table.keyed_by_rowid() || step.identity().by_rowid);
  const ChangeTable& keys = table.info().change_table;
  const auto& key = keys.declared_key.empty() ? keys.key_columns : keys.declared_key;
  for (const MergeReference& reference : table.references()) {
    if (made) break;
    const bool of_key = std::ranges::all_of(reference.columns, [&key](std::uint32_t column) {
      return std::ranges::find(key, column) != key.end();
    });
    const auto parent = of_key ? parent_of(*step.node, reference) : std::nullopt;
    made = parent && (has_made(*parent) || edits_of(*parent).own);
  }
  const std::optional<std::uint32_t> number = table.rowid_column();
  if (made && number) {
    const auto* const rowid = std::get_if<std::int64_t>(&(*step.node)[*number]);
    if (rowid != nullptr) made_[table.name()].add(*rowid, *rowid);
  }
  return made;
}

// A reference that is written means the row that the node knew by that rowid.
void MergeRun::prove_parents(const Step& step, const RowVerdict& verdict) {
  const MergeTable& table = *step.table;
  if (!verdict.result || table.references().empty() || !knows_base_) return;
  if (!edits_.others_wrote(base_, author_, context_.meta)) return;
  for (const MergeReference& reference : table.references()) {
    const bool written = std::ranges::any_of(reference.columns, [&](std::uint32_t column) {
      return !step.broker || step.broker->row[column] != (*verdict.result)[column];
    });
    const auto parent = written ? parent_of(*verdict.result, reference) : std::nullopt;
    if (!parent || has_made(*parent)) continue;
    const EditIndex::RowEdits edits = edits_of(*parent);
    const bool there = parent->table->has_rowid(parent->rowid);
    const std::string refers =
        "a row of " + table.name() + " refers to a row of " + parent->table->name();
    const std::string key = std::to_string(parent->rowid);
    if (edits.others && there) {
      throw Parked{refers + ", a table that was dropped or made anew meanwhile, and its key " +
                   key + " may belong to another row now"};
    }
    const bool moved = edits.moved && there;
    if (!moved && (!edits.born || edits.absent)) continue;
    throw Parked{refers + " that " + (moved ? "got another key" : "was deleted") +
                 " meanwhile, and its key " + key + " belongs to another row now"};
  }
}

}  // namespace csa
