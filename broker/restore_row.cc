#include "broker/restore_row.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "broker/merge_proof.h"
#include "broker/merge_values.h"
#include "common/undefended.h"

namespace csa {
namespace {

using Versions = KeptConflict::Versions;

// Why a row cannot be restored.
struct Unfit {
  std::string why;
};

class RestoredRow {
 public:
  RestoredRow(const RestorePlace& place, const KeptConflict& conflict, MergeTable& table,
              const MergeVirtual& virtuals, Versions versions)
      : place_(place),
        conflict_(conflict),
        table_(table),
        virtuals_(virtuals),
        names_(table.column_names()),
        versions_(std::move(versions)),
        places_(places_of(versions_.columns, table)),
        rule_(place.db,
              "SELECT rule FROM main.csa_rule WHERE table_name = ?1 COLLATE NOCASE AND"
              " column_name = ?2 COLLATE NOCASE AND rule <> 'atomic'") {}

  // Throws Unfit.
  std::int64_t run() {
    std::optional<RowIdentity> identity = identity_of(conflict_, versions_, table_);
    if (!identity) throw Unfit{"the table's key is another one now"};
    if (conflict_.decided.numbered && !loser().empty()) return insert_numbered(*identity);
    const std::optional<MergeTable::Found> found = table_.find(*identity);
    read_edits(*identity, found);
    const bool was_there = !versions_.base.empty() || !winner().empty();
    // Gone by then; what is there was made since, or was another row already.
    if (found && winner().empty() && (was_there || !conflict_.is_whole())) {
      throw Unfit{"its key belongs to another row now"};
    }
    if (loser().empty()) return found ? remove(*found) : 0;
    if (!found) return insert(*identity, was_there);
    return update(*found);
  }

 private:
  // In the order of their keeping: base, master, node.
  [[nodiscard]] const Row& loser() const {
    return conflict_.decided.decision == "node" ? versions_.broker : versions_.node;
  }
  [[nodiscard]] const Row& winner() const {
    return conflict_.decided.decision == "node" ? versions_.node : versions_.broker;
  }

  // What became of the row since it was decided, as far as the log tells. The winner's own later
  // edits are no news.
  void read_edits(const RowIdentity& identity, const std::optional<MergeTable::Found>& found) {
    if (conflict_.seq.next() < place_.meta.floor || conflict_.seq >= place_.meta.position.seq) {
      return;
    }
    RowIdentity logged = identity;
    logged.table = virtuals_.logged_as(logged.table);
    const NodeId asks = conflict_.decided.decision == "node" ? conflict_.tx.node : NodeId{};
    edits_ = place_.edits.edits({std::move(logged), false}, conflict_.seq, place_.meta, asks);
    asks_ = asks;
    told_ = edits_.all_known;
    if (edits_.moved) throw Unfit{"its key was changed since"};
    if (edits_.others && found && !is_as(winner(), found->row)) {
      throw Unfit{"table " + table_.name() + " was made anew since, and what it has there differs"};
    }
    // A full-text table and a tree replace a row that is changed.
    const bool replaced = virtuals_.told(table_.name()) != nullptr;
    if (edits_.born && found && !replaced) throw Unfit{"its key belongs to another row now"};
  }

  [[nodiscard]] bool changed_since(std::size_t column, const Row& now, const Value& won) const {
    if (!told_) return now[column] != won;
    if (!edits_.known || !edits_.by_others) return false;
    const Edit edit =
        column < edits_.columns.size() ? edits_.columns[column] : edits_.whole.value_or(Edit{});
    return edit.node != NodeId{} && edit.node != asks_ && now[column] != won;
  }

  std::int64_t remove(const MergeTable::Found& found) {
    const bool changed = told_ ? edits_.by_others : !is_as(winner(), found.row);
    if (changed) throw Unfit{"the row was changed since"};
    // Here it would cascade, and take or change rows that nobody was shown.
    if (const std::optional<std::string> children = children_of(found.row)) {
      throw Unfit{"rows of table " + *children + " refer to it: delete them, or it, by hand"};
    }
    table_.remove(found.key);
    return 1;
  }

  [[nodiscard]] std::optional<std::string> children_of(const Row& row) const {
    const Undefended undefended(place_.db);  // it looks at shadow tables too
    return ForeignKeyProof(place_.db).children_of(table_, row);
  }

  [[nodiscard]] bool is_as(const Row& version, const Row& now) const {
    for (std::size_t i = 0; i < version.size(); ++i) {
      if (places_[i] && now[*places_[i]] != version[i]) return false;
    }
    return !version.empty();
  }

  // The loser's row alone.
  [[nodiscard]] Row whole(std::vector<bool>& known) const {
    Row row(names_.size(), Null{});
    known.assign(names_.size(), false);
    for (std::size_t i = 0; i < loser().size(); ++i) {
      if (!places_[i]) {
        if (!std::holds_alternative<Null>(loser()[i])) throw no_place(i);
        continue;
      }
      row[*places_[i]] = loser()[i];
      known[*places_[i]] = true;
    }
    return row;
  }

  [[nodiscard]] Unfit no_place(std::size_t column) const {
    return {"column " + versions_.columns[column] + " is not in table " + table_.name() +
            " any more"};
  }

  std::int64_t insert(const RowIdentity& identity, bool comes_back) {
    std::vector<bool> known;
    const Row row = whole(known);
    const bool hidden = table_.keyed_by_rowid() && !table_.rowid_column();
    std::optional<std::int64_t> rowid;
    if (hidden) rowid = std::get<std::int64_t>(identity.key.at(0));
    if (comes_back) mark_back(identity);
    table_.insert(row, known, rowid);
    return 1;
  }

  // SQLite chose its number at the node; another row may have got it here.
  std::int64_t insert_numbered(const RowIdentity& identity) {
    std::vector<bool> known;
    Row row = whole(known);
    auto rowid = std::get<std::int64_t>(identity.key.at(0));
    if (table_.has_rowid(rowid)) {
      const std::optional<std::int64_t> fresh = table_.next_rowid();
      if (!fresh) throw Unfit{"its number is another row's, and there is no higher one to give"};
      rowid = *fresh;
    }
    if (const std::optional<std::uint32_t> column = table_.rowid_column()) row[*column] = rowid;
    table_.insert(row, known, table_.rowid_column() ? std::nullopt : std::optional(rowid));
    return 1;
  }

  std::int64_t update(const MergeTable::Found& found) {
    Row row = found.row;
    for (std::size_t i = 0; i < loser().size(); ++i) put(i, row, found.row);
    std::vector<bool> changed(names_.size(), false);
    for (std::size_t i = 0; i < row.size(); ++i) changed[i] = row[i] != found.row[i];
    if (std::ranges::find(changed, true) == changed.end()) return 0;
    table_.update(found.key, row, changed);
    return 1;
  }

  // One column of the loser's, where it had lost.
  void put(std::size_t i, Row& row, const Row& now) {
    const Value& mine = loser()[i];
    const Value* const base = versions_.base.empty() ? nullptr : &versions_.base[i];
    const Value& won = winner().empty() ? (base != nullptr ? *base : mine) : winner()[i];
    if (base != nullptr && mine == *base) return;
    if (!places_[i]) {
      if (base == nullptr && std::holds_alternative<Null>(mine)) return;
      throw no_place(i);
    }
    const std::size_t column = *places_[i];
    const ColumnRule rule = rule_of(column);
    const bool ran = !conflict_.is_whole();
    if (adds_up(rule)) {
      // It did not lose; of a transaction that did not run it is added now.
      if (!ran) row[column] = merge_values(rule, now[column], mine, base).value_or(mine);
      return;
    }
    // Only the loser had changed it, and by column that was no conflict: it was made then.
    const bool by_column = conflict_.decided.rule == "merge" || rule != ColumnRule::kTable;
    if (ran && by_column && base != nullptr && won == *base) return;
    if (now[column] == mine) return;
    if (changed_since(column, now, won)) {
      throw Unfit{"column " + names_[column] + " was changed since"};
    }
    row[column] = mine;
  }

  [[nodiscard]] ColumnRule rule_of(std::size_t column) {
    rule_.bind(1, table_.name()).bind(2, names_[column]);
    const ColumnRule rule =
        rule_.step() ? parse_column_rule(rule_.column_text(0)).value_or(ColumnRule::kTable)
                     : ColumnRule::kTable;
    rule_.reset();
    return rule;
  }

  // The row that was deleted, and none that has got its key: so it is for journals from before.
  void mark_back(RowIdentity row) {
    row.table = virtuals_.logged_as(row.table);
    const Bytes all((names_.size() + 7) / 8, 0xFF);
    place_.edits.touch(row, TouchOp::kBack, all, all);
  }

  const RestorePlace& place_;     // must outlive this
  const KeptConflict& conflict_;  // must outlive this
  MergeTable& table_;             // must outlive this
  const MergeVirtual& virtuals_;  // must outlive this
  const std::vector<std::string> names_;
  const Versions versions_;
  const std::vector<std::optional<std::size_t>> places_;
  Statement rule_;
  EditIndex::RowEdits edits_;
  NodeId asks_;
  bool told_ = false;  // the log tells all edits since
};

}  // namespace

bool is_anothers(const RestorePlace& place, const KeptConflict& conflict, const Versions& versions,
                 const RowIdentity& identity, MergeTable& table, const MergeVirtual& virtuals) {
  // A full-text table and a tree replace a row that is changed.
  if (versions.base.empty() || virtuals.told(table.name()) != nullptr) return false;
  if (!table.find(identity)) return false;
  if (versions.broker.empty()) return true;
  if (conflict.seq.next() < place.meta.floor || conflict.seq >= place.meta.position.seq) {
    return false;
  }
  return place.edits.edits({identity, false}, conflict.seq, place.meta, {}).born;
}

std::variant<std::int64_t, std::string> restore_row(const RestorePlace& place,
                                                    const KeptConflict& conflict, MergeTable& table,
                                                    const MergeVirtual& virtuals) {
  std::optional<Versions> versions = conflict.versions();
  if (!versions) return "its rows cannot be read";
  const std::uint64_t now = place.meta.schema_version;
  if (auto unfit = follow_names(place.db, conflict, now, *versions)) return std::move(*unfit);
  try {
    return RestoredRow(place, conflict, table, virtuals, std::move(*versions)).run();
  } catch (const Unfit& unfit) {
    return unfit.why;
  }
}

}  // namespace csa
