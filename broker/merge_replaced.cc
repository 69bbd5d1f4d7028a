// INSERT OR REPLACE, or DELETE and INSERT of one key in one transaction: the same row, changed.
#include <utility>

#include "broker/merge_step.h"

namespace csa {
namespace {

// What more rows are replaced in one entry are taken as it has them; it bounds what is in memory.
constexpr std::size_t kReplacedMax = 100'000;

// Nothing: its rows have no key that an application chooses.
std::optional<Id128> name_of(const std::optional<RowIdentity>& row, const ChangeTable& table) {
  if (!row || row->by_rowid) return std::nullopt;
  if (table.declared_key.empty() && table.key_columns.empty()) return std::nullopt;
  return hash_of(*row);
}

}  // namespace

void MergeRun::find_replaced() {
  if (std::exchange(replaced_told_, true)) return;
  std::map<Id128, std::uint64_t> gone;  // and the number of the deletion
  std::uint64_t number = 0;
  each_written([&](const Change& change, const std::vector<ChangeTable>& tables) {
    const auto* const row = std::get_if<RowChange>(&change);
    if (row == nullptr) return;
    const std::uint64_t here = number++;
    const ChangeTable& table = tables.at(row->table);
    if (row->op == RowOp::kDelete) {
      if (gone.size() + replaced_.size() >= kReplacedMax) return;
      const MergeTable* const known = schema_.table(table.name);
      if (known == nullptr || known->is_shadow()) return;
      if (const auto name = name_of(identity_before(*row, table), table)) {
        gone.insert_or_assign(*name, here);
      }
      return;
    }
    if (gone.empty()) return;
    const auto name = name_of(identity_after(*row, table), table);
    const auto deleted = name ? gone.find(*name) : gone.end();
    if (deleted == gone.end()) return;
    // A row that is moved to a free key stays the one that it is.
    if (row->op == RowOp::kInsert && row->assigned && table.declared_key.empty()) {
      reborn_.insert(*name);
    } else if (row->op == RowOp::kInsert && !literal_) {
      replaced_.insert(deleted->second);
    }
    gone.erase(deleted);
  });
}

void MergeRun::each_stored(const Visit& visit) {
  find_replaced();
  if (replaced_.empty()) return each_written(visit);
  std::map<Id128, RowChange> deleted;
  std::uint64_t number = 0;
  each_written([&](const Change& change, const std::vector<ChangeTable>& tables) {
    const auto* const row = std::get_if<RowChange>(&change);
    if (row == nullptr) return visit(change, tables);
    const ChangeTable& table = tables.at(row->table);
    if (replaced_.contains(number++)) {
      deleted.insert_or_assign(hash_of(*identity_before(*row, table)), *row);
      return;
    }
    if (row->op != RowOp::kInsert || deleted.empty()) return visit(change, tables);
    auto before = deleted.extract(hash_of(*identity_after(*row, table)));
    if (before.empty()) return visit(change, tables);
    RowChange update = *row;
    update.op = RowOp::kUpdate;
    update.assigned = false;
    update.key = std::move(before.mapped().key);
    if (update.key != row->key) update.new_key = row->key;
    update.old_values = std::move(before.mapped().old_values);
    visit(update, tables);
  });
}

bool MergeRun::is_reborn(const RowChange& change, const ChangeTable& table) const {
  return !reborn_.empty() && change.op == RowOp::kInsert &&
         reborn_.contains(hash_of(*identity_after(change, table)));
}

}  // namespace csa
