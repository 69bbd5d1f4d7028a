#include <algorithm>
#include <utility>

#include "broker/merge_shapes.h"
#include "broker/merge_step.h"
#include "common/limits.h"
#include "common/planted.h"
#include "common/value_json.h"

namespace csa {

MergeRun::MergeRun(const Database& db, Capture& capture, EditIndex& edits, MergeSchema& schema,
                   KeyChanges& keys, Inbox& inbox, const ReplayEntry& entry,
                   const MergeContext& context)
    : db_(db),
      capture_(capture),
      edits_(edits),
      schema_(schema),
      keys_(keys),
      inbox_(inbox),
      entry_(entry),
      told_(schema.history().told(context.meta)),
      context_{told_, context.time, context.wall_ahead_ms, context.restoring, context.author},
      author_(context.author.value_or(entry.header.tx.node)),
      found_(schema.history().find(entry.header.base, context.meta)),
      origin_{entry.header.tx,
              entry.first,
              entry.hostname,
              entry.header.edited,
              context.meta.position.seq.next(),
              context.time,
              context.wall_ahead_ms},
      knows_base_(found_.known),
      base_(found_.seq),
      proof_(schema.proof()),
      names_(schema.places(), entry.header.schema_version, context.meta.schema_version) {}

// All of it goes by the master's names from here on.
void MergeRun::each_written(const Visit& visit) {
  ChangeReader reader;
  for (std::uint64_t at = 0; at < entry_.body.size(); at += limits::kPieceMax) {
    reader.feed(entry_.body.read(at, limits::kPieceMax));
    while (true) {
      const Result<std::optional<Change>> change = reader.next();
      if (!change) throw Parked{"its changes cannot be read: " + change.error().what};
      if (!*change) break;
      const auto* const sequence = std::get_if<SequenceChange>(&**change);
      if (sequence != nullptr && names_.is_gone(sequence->table)) continue;
      visit(**change, names_.present(reader.tables()));
    }
  }
  if (!reader.at_boundary()) throw Parked{"its changes end in the middle of one"};
}

MergeOutcome MergeRun::apply() {
  keys_.begin(entry_.header.tx, entry_.first);
  proof_.begin();
  may_be_held_ = inbox_.knows(entry_.header.tx.node, entry_.first);
  look_ahead();
  // Those whose numbers its documents have.
  if (!keys_.lost().empty()) throw Parked{waits_for(keys_.lost().front().table)};
  each([&](const Change& change, const std::vector<ChangeTable>& tables) {
    if (const auto* const row = std::get_if<RowChange>(&change)) {
      merge(*row, tables.at(row->table));
    } else if (const auto* const sequence = std::get_if<SequenceChange>(&change)) {
      MergeTable* const table = schema_.table(sequence->table);
      const auto* const value =
          sequence->after ? std::get_if<std::int64_t>(&*sequence->after) : nullptr;
      if (table != nullptr && value != nullptr) {
        table->raise_sequence(keys_.follow(table->name(), *value));
        (void)keys_.take_lost();
      }
    }
  });
  if (atomic_ && !planted("tear an atomic transaction")) win_whole();
  schema_.indexes().finish(
      [this](const std::string& table, std::int64_t rowid) { return keys_.follow(table, rowid); });
  (void)keys_.take_lost();
  const std::optional<std::string> broken = proof_.broken();
  proof_.begin();  // nothing of a large entry stays in memory
  if (broken) throw Parked{*broken};
  inbox_.store(origin_);
  return outcome();
}

// All or nothing holds for the master's transactions too.
void MergeRun::win_whole() {
  if (lost_) throw LostWhole{reason_};
  if (const auto torn = overwritten_.torn([this](Seq seq) { return edits_.touches_of(seq); })) {
    throw LostWhole{*torn};
  }
}

MergeOutcome MergeRun::outcome() {
  MergeOutcome outcome;
  outcome.keys = keys_.take_changes();
  outcome.rows = count_;
  outcome.text = reason_;
  if (lost_) {
    outcome.result = written_ ? ReplayResult::kSplit : ReplayResult::kSuperseded;
  } else {
    outcome.result = merged_ ? ReplayResult::kMerged : ReplayResult::kApplied;
  }
  return outcome;
}

// `row` by the journal's columns; what the journal does not have comes from `rest`.
Row MergeRun::mapped(const Row& row, const Step& step, const Row& rest) const {
  Row result = rest;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (step.columns.to[i]) result[*step.columns.to[i]] = row[i];
  }
  return result;
}

RowIdentity MergeRun::identity_of(const MergeTable& table, const Row& row, Row physical) {
  auto* const rowid = std::get_if<std::int64_t>(&physical.at(0));
  const bool by_rowid = table.info().change_table.key_columns.empty() && table.has_null_key(row);
  if (by_rowid && rowid != nullptr) *rowid = keys_.follow(table.name(), *rowid);
  return table.identity(row, physical);
}

// Columns that only the master has are nobody's edit.
void MergeRun::fill_unknown(Step& step) {
  for (std::size_t i = 0; step.broker && i < step.columns.known.size(); ++i) {
    if (step.columns.known[i]) continue;
    if (step.base) (*step.base)[i] = step.broker->row[i];
    if (step.node) (*step.node)[i] = step.broker->row[i];
  }
}

// A row that comes back has what it had last in them.
void MergeRun::fill_unknown(Step& step, const PastRow& gone) {
  for (std::size_t i = 0; i < gone.size(); ++i) {
    if (step.columns.known[i] || !gone[i]) continue;
    if (step.base) (*step.base)[i] = *gone[i];
    if (step.node) (*step.node)[i] = *gone[i];
    step.columns.known[i] = true;
  }
}

MergeRun::Step MergeRun::blank_step(const ChangeTable& table) {
  Step step;
  step.table = schema_.table(table.name);
  const ChangeTable& own = names_.own(table);
  if (step.table == nullptr) {
    const MergeTable* const other = schema_.table(own.name);
    if (other != nullptr) {
      throw Parked{"table " + table.name + " has lost its name to another one" +
                   both_shapes(own, *other)};
    }
    throw Parked{
        "table " + table.name +
        " is not there (any more), or is none of the application's; the edit was made on " +
        shape_of(table, table.column_names)};
  }
  if (table.column_names.size() != table.column_count) {
    throw Parked{"the edit of table " + table.name + " does not name its columns"};
  }
  if (table.without_rowid != step.table->info().change_table.without_rowid) {
    throw Parked{"table " + table.name + " is of another kind at the master now" +
                 both_keys(own, *step.table)};
  }
  // What the inbox has kept goes by the master's names, whatever its columns were then.
  const MergeVirtual& virtuals = schema_.virtuals();
  if (!(context_.restoring ? virtuals.has_places(table, *step.table)
                           : virtuals.fits(table, *step.table))) {
    throw Parked{"the full-text or spatial table " +
                 (table.owner ? table.owner->name : step.table->name()) +
                 " is defined otherwise at the master now" + both_shapes(table, *step.table)};
  }
  step.columns = map_columns(table, *step.table);
  const ChangeTable& keys = step.table->info().change_table;
  for (const std::uint32_t column :
       keys.declared_key.empty() ? keys.key_columns : keys.declared_key) {
    if (step.columns.known[column]) continue;
    // Without it a known row would come a second time, under a fresh key.
    throw Parked{"the key of table " + table.name + " has another column at the master now" +
                 both_keys(own, *step.table)};
  }
  return step;
}

MergeRun::Step MergeRun::step_of(const RowChange& change, const ChangeTable& table) {
  Step step = blank_step(table);
  step.op = op_name(change.op);
  step.assigned = change.assigned;
  const std::optional<Row> before = row_before(change, table);
  const std::optional<Row> after = row_after(change, table);
  for (std::size_t i = 0; i < table.column_count; ++i) {
    if (step.columns.to[i] || !after || std::holds_alternative<Null>((*after)[i])) continue;
    if (before && (*before)[i] == (*after)[i]) continue;
    const ChangeTable& own = names_.own(table);
    throw Parked{"the edit gives a value to column " + own.column_names[i] + " of table " +
                 table.name + ", which the master's table does not have (any more)" +
                 both_shapes(own, *step.table)};
  }
  const Row blank(step.table->info().carried.size(), Null{});
  if (before) {
    step.base = mapped(*before, step, blank);
    keys_.follow(*step.table, *step.base);
    step.before = identity_of(*step.table, *step.base, change.key);
    const TxId& tx = origin_.tx;
    step.renamed = schema_.renamed().find(schema_, tx.node, origin_.journal, hash_of(*step.before));
    step.broker = step.table->find(step.identity());
    if (step.renamed && !step.broker) {
      step.broker = step.table->find(*step.before);
      if (step.broker) step.renamed.reset();  // it has got that key since
    }
  }
  if (after) {
    step.node = mapped(*after, step, blank);
    keys_.follow(*step.table, *step.node);
    const Row& physical = change.new_key ? *change.new_key : change.key;
    if (!table.without_rowid) step.at_node = std::get<std::int64_t>(physical.at(0));
    step.after = identity_of(*step.table, *step.node, physical);
    // A row whose key has a NULL is none of the master's.
    const bool unlike_any = step.after->by_rowid && !step.table->is_shadow();
    if (!before && !unlike_any) step.broker = step.table->find(*step.after);
    if (unlike_any) step.unkeyed = std::get<std::int64_t>(physical.at(0));
    const bool hidden = step.table->keyed_by_rowid() && !step.table->rowid_column();
    if (hidden && !step.table->is_shadow()) {
      step.rowid = std::get<std::int64_t>(step.after->key.at(0));
    } else if (step.table->is_shadow()) {
      step.rowid = step.at_node;
    }
    if (unlike_any && !step.broker && before && step.before->by_rowid) {
      // It comes back as what it was, or others who knew it would bring it once more.
      const auto rowid = std::get<std::int64_t>(step.before->key.at(0));
      if (!step.table->has_rowid(rowid)) step.rowid = rowid;
    }
  }
  fill_unknown(step);
  return step;
}

bool MergeRun::is_told(const Step& step) const {
  return schema_.virtuals().told(step.table->name()) != nullptr;
}

void MergeRun::merge(const RowChange& change, const ChangeTable& table) {
  Step step = step_of(change, table);
  if (change.assigned && step.broker && numbers_rows(*step.table, table)) {
    // Of two rows that SQLite numbered neither is the other.
    if (!keys_.reassign(*step.table, std::get<std::int64_t>(change.key.at(0)))) {
      throw Parked{no_key(*step.table)};
    }
    step = step_of(change, table);
  }
  if (const std::vector<KeyChanges::Lost> lost = keys_.take_lost(); !lost.empty()) {
    throw Parked{waits_for(lost.front().table)};
  }
  if (may_be_held_ &&
      inbox_.bundle_of(origin_.tx.node, origin_.journal, hash_of(step.identity()))) {
    throw Parked{"an earlier offline change of the same row of " + table.name +
                 " waits in the inbox"};
  }
  EditIndex::RowEdits edits;
  const RowMeeting meeting = meeting_of(step, edits);
  const RowVerdict verdict = decide(rules_of(step), meeting);
  if (step.table->is_shadow() && verdict.decision != RowDecision::kNode &&
      verdict.decision != RowDecision::kNothing) {
    throw Parked{"others have changed the full-text or spatial index " + table.name +
                 " belongs to meanwhile; make the change again"};
  }
  prove_parents(step, verdict);
  if (atomic_) overwritten_.add(rules_of(step), verdict, edits);
  judge(step, verdict, edits);
  if (verdict.result && is_reborn(change, table)) {
    edits_.touch(logged_as(step), TouchOp::kBorn, {});
  }
  touch(step, meeting, verdict);
  note_renamed(step, verdict);
  write(step, verdict);
}

// The node's later entries go by the key that it gave, whether the master did so or not.
void MergeRun::note_renamed(const Step& step, const RowVerdict& verdict) {
  if (!step.before || !step.after) return;
  if (!step.renamed && hash_of(*step.before) == hash_of(*step.after)) return;
  bool agrees = verdict.result.has_value();
  if (agrees && step.broker) {
    const RowIdentity becomes = step.table->identity(*verdict.result, step.broker->key);
    agrees = hash_of(becomes) == hash_of(*step.after);
  }
  schema_.renamed().note(origin_.tx.node, origin_.journal, *step.after,
                         agrees ? *step.after : step.asked());
}

// Of a transaction that is restored nothing may be lost again, whatever the rule.
RowRules MergeRun::rules_of(const Step& step) {
  RowRules rules = schema_.rules(*step.table).row;
  if (context_.restoring) rules.table = TableRule::kMerge;
  return rules;
}

// What the verdict means for the entry, and the inbox.
void MergeRun::judge(const Step& step, const RowVerdict& verdict,
                     const EditIndex::RowEdits& edits) {
  merged_ = merged_ || verdict.decision == RowDecision::kMerged;
  if (!is_conflict(verdict.decision)) return;
  if (context_.restoring) {
    throw Parked{"a row of table " + step.table->name() +
                 " was changed by others too, and this would undo that"};
  }
  const bool wins = verdict.decision == RowDecision::kNodeWon;
  const bool loses = !wins || verdict.node_loses;
  if (reason_.empty() || (loses && !lost_)) {
    reason_ = step.table->name() + ": " + verdict.reason;
  }
  won_ = won_ || wins;
  lost_ = lost_ || loses;
  ConflictRow row = conflict_of(step);
  row.rule = to_string(schema_.rules(*step.table).row.table);
  row.decision = wins ? "node" : "broker";
  row.reason = verdict.reason;
  if (!edits.last.at_most) row.broker_edit = edits.last;
  if (verdict.close && edits.last.at_most) {
    row.reason += "; when the master's row was last edited is not known (" +
                  wall_text(edits.last.time, origin_) + " at the latest)";
  }
  row.close = verdict.close;
  if (!planted("forget what lost")) inbox_.add(row, origin_);
}

void MergeRun::write(const Step& step, const RowVerdict& verdict) {
  const std::optional<Row> before =
      step.broker ? std::optional<Row>(step.broker->row) : std::nullopt;
  if (verdict.result == before) return;
  written_ = true;
  ++count_;
  proof_.before_change(*step.table);
  try {
    write_row(step, verdict);
  } catch (const SqliteError& error) {
    const int code = error.primary_code();
    if (code != SQLITE_CONSTRAINT && code != SQLITE_MISMATCH && code != SQLITE_TOOBIG) throw;
    const bool unique =
        error.code() == SQLITE_CONSTRAINT_UNIQUE || error.code() == SQLITE_CONSTRAINT_PRIMARYKEY;
    throw Parked{std::string(sqlite3_errstr(error.code())) + ": " + sqlite3_errmsg(db_.handle()),
                 unique && !replaced_.empty()};
  }
  proof_.on_change(*step.table, before, verdict.result);
}

void MergeRun::write_row(const Step& step, const RowVerdict& verdict) {
  MergeTable& table = *step.table;
  ContentIndexes& indexes = schema_.indexes();
  const bool indexed = indexes.is_over(table.name());
  if (indexed && step.broker) {
    indexes.before_write(table.name(), std::get<std::int64_t>(step.broker->key.at(0)));
  }
  if (!verdict.result) {
    table.remove(step.broker->key);
    return;
  }
  const Row& row = *verdict.result;
  if (!step.broker) {
    std::optional<std::int64_t> rowid = step.rowid;
    if (!rowid && step.unkeyed) {
      // Its name from now on: not that of a row which was deleted since the node's copy.
      rowid = table.next_rowid();
      if (rowid) rowid = std::max(*rowid, *step.unkeyed);
    }
    // Should the master be lost, the log is all that replicas can offer the row by.
    capture_.mark_assigned(step.assigned);
    table.insert(row, step.columns.known, rowid);
    capture_.mark_assigned(false);
    if (step.unkeyed) {
      keys_.record(table.name(), *step.unkeyed, sqlite3_last_insert_rowid(db_.handle()));
    }
    const std::int64_t fresh = sqlite3_last_insert_rowid(db_.handle());
    if (indexed) indexes.after_write(table.name(), fresh, step.at_node.value_or(fresh));
    return;
  }
  std::vector<bool> changed(row.size(), false);
  for (std::size_t i = 0; i < changed.size(); ++i) changed[i] = step.broker->row[i] != row[i];
  table.update(step.broker->key, row, changed);
  if (step.unkeyed) {
    keys_.record(table.name(), *step.unkeyed, std::get<std::int64_t>(step.broker->key.at(0)));
  }
  if (!indexed) return;
  const std::optional<std::uint32_t> column = table.rowid_column();
  const auto rowid = std::get<std::int64_t>(column ? row[*column] : step.broker->key.at(0));
  indexes.after_write(table.name(), rowid, step.at_node.value_or(rowid));
}

}  // namespace csa
