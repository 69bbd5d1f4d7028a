// The inbox's part of ledger_rules.h.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "broker/edits.h"
#include "broker/ledger_rules.h"
#include "broker/merge_inbox.h"
#include "broker/merge_table.h"
#include "broker/merge_values.h"
#include "broker/merge_virtual.h"
#include "common/check.h"
#include "common/codec.h"
#include "common/limits.h"
#include "common/undefended.h"

namespace csa {
namespace {

using Done = std::variant<CallEffect, Rejection>;

constexpr std::array kShown = {"id",        "seq",   "time",   "node",     "hostname",
                               "table",     "key",   "op",     "rule",     "decision",
                               "reason",    "base",  "broker", "node_row", "broker_time",
                               "node_time", "close", "state"};
constexpr std::size_t kWideFrom = 11;  // base, broker, node_row
constexpr std::size_t kWideTo = 13;

Rejection rejected(std::string why) { return {NackCode::kSql, std::move(why), 0, true}; }

std::size_t size_of(const Value& value) {
  const auto* const text = std::get_if<Text>(&value);
  return 9 + (text == nullptr ? 16 : text->utf8.size());
}

std::size_t size_of(const Row& row) {
  std::size_t size = 0;
  for (const Value& value : row) size += size_of(value);
  return size;
}

CallEffect show(const Database& db, std::int64_t from, std::size_t rows_max) {
  CallEffect effect;
  effect.columns.assign(kShown.begin(), kShown.end());
  Statement rows = db.prepare(
      "SELECT id, seq, time, node, hostname, table_name, key, op, rule, decision, reason, base,"
      " broker, node_row, broker_time, node_time, close, state FROM main.csa_conflicts"
      " WHERE id >= ?1 ORDER BY id");
  rows.bind(1, from);
  std::size_t bytes = 0;
  while (rows.step()) {
    Row row;
    for (int i = 0; i < static_cast<int>(kShown.size()); ++i) row.push_back(rows.column_value(i));
    // A row too large for any answer is shown without its values: they are in every replica.
    if (size_of(row) > rows_max / 2) {
      for (std::size_t i = kWideFrom; i <= kWideTo; ++i) row[i] = Null{};
    }
    bytes += size_of(row);
    if (bytes > rows_max / 2 && !effect.rows.empty()) break;
    effect.rows.push_back(std::move(row));
  }
  return effect;
}

struct Kept {
  std::string table, key, rule, decision, state;
  Bytes hash, rows;
};

std::optional<Kept> find(const Database& db, std::int64_t id) {
  Statement row = db.prepare(
      "SELECT table_name, key, rule, decision, state, key_hash, rows FROM main.csa_conflicts"
      " WHERE id = ?1");
  row.bind(1, id);
  if (!row.step()) return std::nullopt;
  return Kept{row.column_text(0), row.column_text(1), row.column_text(2), row.column_text(3),
              row.column_text(4), row.column_blob(5), row.column_blob(6)};
}

// Puts the loser's version of one row back.
class Restore {
 public:
  Restore(const Database& db, const Kept& kept, MergeTable& table, const MergeVirtual& virtuals)
      : db_(db),
        kept_(kept),
        table_(table),
        virtuals_(virtuals),
        names_(table.column_names()),
        rule_(db,
              "SELECT rule FROM main.csa_rule WHERE table_name = ?1 COLLATE NOCASE AND"
              " column_name = ?2 COLLATE NOCASE") {}

  // Nothing: done, changes() tells how much.
  [[nodiscard]] std::optional<std::string> run() {
    Result<RowSet> versions = decode_rows(kept_.rows);
    if (!versions || versions->rows.size() != 3) return "its rows cannot be read";
    if (const std::optional<std::string> why = map(versions->columns)) return why;
    // In the order of their keeping: base, master, node.
    const Row& loser = versions->rows[kept_.decision == "node" ? 1 : 2];
    const std::optional<RowIdentity> identity = identity_of(versions->rows);
    if (!identity) return "the table's key is another one now";
    const std::optional<MergeTable::Found> found = table_.find(*identity);
    if (loser.empty()) {
      if (!found) return std::nullopt;
      table_.remove(found->key);
      changes_ = 1;
      return std::nullopt;
    }
    if (loser.size() != to_.size()) return "its rows cannot be read";
    return write(loser, *identity, found, versions->rows[0]);
  }
  [[nodiscard]] std::int64_t changes() const { return changes_; }

 private:
  // Kept columns onto the present ones.
  std::optional<std::string> map(const std::vector<std::string>& columns) {
    for (const std::string& name : columns) {
      const auto place = std::ranges::find(names_, name);
      if (place == names_.end()) {
        return "column " + name + " is not in table " + kept_.table + " any more";
      }
      to_.push_back(static_cast<std::size_t>(place - names_.begin()));
    }
    return std::nullopt;
  }

  Row mapped(const Row& version, Row onto) const {
    for (std::size_t i = 0; i < version.size() && i < to_.size(); ++i) onto[to_[i]] = version[i];
    return onto;
  }

  // The key is kept as a hash; the version that has it names the row.
  [[nodiscard]] std::optional<RowIdentity> identity_of(const std::vector<Row>& versions) const {
    const ChangeTable& keys = table_.info().change_table;
    const auto& columns = keys.declared_key.empty() ? keys.key_columns : keys.declared_key;
    const auto fits = [this](const RowIdentity& row) {
      return std::ranges::equal(hash_of(row).bytes, kept_.hash);
    };
    for (const Row& version : versions) {
      if (version.empty() || columns.empty()) continue;
      const RowIdentity identity = table_.identity(mapped(version, Row(names_.size(), Null{})), {});
      if (fits(identity)) return identity;
    }
    const auto json = nlohmann::json::parse(kept_.key, nullptr, false);
    if (!json.is_object() || json.size() != 1 || !json.begin()->is_number_integer()) return {};
    for (const bool by_rowid : {false, true}) {
      RowIdentity identity{keys.name, {json.begin()->get<std::int64_t>()}, by_rowid};
      if (fits(identity)) return identity;
    }
    return std::nullopt;
  }

  // Columns that add up did not lose; of a transaction that did not run they are added now.
  void keep_counted(Row& row, const MergeTable::Found& found, const Row& base) {
    const bool ran = kept_.decision != "parked" && kept_.rule != kAtomicRule;
    const Row before = mapped(base, Row(names_.size(), Null{}));
    for (std::size_t i = 0; i < row.size(); ++i) {
      rule_.bind(1, table_.name()).bind(2, names_[i]);
      const ColumnRule rule =
          rule_.step() ? parse_column_rule(rule_.column_text(0)).value_or(ColumnRule::kTable)
                       : ColumnRule::kTable;
      rule_.reset();
      if (!adds_up(rule)) continue;
      const Value mine = std::exchange(row[i], found.row[i]);
      if (ran || mine == before[i]) continue;
      const Value* const old = base.empty() ? nullptr : &before[i];
      row[i] = merge_values(rule, found.row[i], mine, old).value_or(mine);
    }
  }

  std::optional<std::string> write(const Row& loser, const RowIdentity& identity,
                                   const std::optional<MergeTable::Found>& found, const Row& base) {
    if (!found) {
      std::vector<bool> known(names_.size(), false);
      for (const std::size_t column : to_) known[column] = true;
      const bool hidden = table_.keyed_by_rowid() && !table_.rowid_column();
      const std::optional<std::int64_t> rowid =
          hidden ? std::optional(std::get<std::int64_t>(identity.key.at(0))) : std::nullopt;
      const Row row = mapped(loser, Row(names_.size(), Null{}));
      if (!base.empty()) come_back(identity);
      table_.insert(row, known, rowid);
      changes_ = 1;
      return std::nullopt;
    }
    Row row = mapped(loser, found->row);
    keep_counted(row, *found, base);
    std::vector<bool> changed(names_.size(), false);
    for (std::size_t i = 0; i < row.size(); ++i) changed[i] = row[i] != found->row[i];
    if (std::ranges::find(changed, true) == changed.end()) return std::nullopt;
    table_.update(found->key, row, changed);
    changes_ = 1;
    return std::nullopt;
  }

  // The row that was deleted, and none that has got its key: so it is for journals from before.
  void come_back(RowIdentity row) {
    row.table = virtuals_.logged_as(row.table);
    const Bytes all((names_.size() + 7) / 8, 0xFF);
    TouchMarks(db_).add(row, TouchOp::kBack, all);
  }

  const Database& db_;  // must outlive this
  const Kept& kept_;    // must outlive this
  MergeTable& table_;   // must outlive this
  const MergeVirtual& virtuals_;
  const std::vector<std::string> names_;
  Statement rule_;
  std::vector<std::size_t> to_;
  std::int64_t changes_ = 0;
};

void set_state(const Database& db, std::int64_t id, std::string_view state) {
  Statement set = db.prepare("UPDATE main.csa_conflicts SET state = ?2 WHERE id = ?1");
  set.bind(1, id).bind(2, state).run();
}

}  // namespace

Done settle_conflict(const Database& db, const Conflict& request, std::size_t rows_max) {
  if (request.verb == ConflictVerb::kShow) return show(db, request.id, rows_max);
  const std::string name = "conflict " + std::to_string(request.id);
  const std::optional<Kept> kept = find(db, request.id);
  if (!kept) return rejected("there is no " + name + "; csa-admin conflicts lists them");
  CallEffect effect;
  if (request.verb == ConflictVerb::kDismiss) {
    if (kept->state == "restored") return rejected(name + " was restored already");
    if (kept->state != "dismissed") set_state(db, request.id, "dismissed");
    return effect;
  }
  if (kept->state == "restored") return rejected(name + " was restored already");
  if (kept->decision == "remapped" || kept->decision == "merged") {
    return rejected(name + " lost nothing that could be restored; dismiss it");
  }
  const MergeVirtual virtuals(db);
  const MergeVirtual::Told* const told = virtuals.told(kept->table);
  std::optional<TableInfo> info = told != nullptr ? told->info : table_info(db, kept->table);
  if (!info) return rejected(name + ": table " + kept->table + " is not there any more");
  std::optional<Undefended> undefended(std::in_place, db);  // for a shadow table's statements
  MergeTable table(db, std::move(*info));
  undefended.reset();
  if (table.is_shadow()) {
    return rejected(name + " is inside the virtual table of " + kept->table +
                    ": write it anew through that table");
  }
  Restore restore(db, *kept, table, virtuals);
  if (const std::optional<std::string> why = restore.run()) {
    return rejected(name + " cannot be restored: " + *why);
  }
  effect.changes = restore.changes();
  set_state(db, request.id, "restored");
  return effect;
}

}  // namespace csa
