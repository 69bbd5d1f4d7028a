// What others have done to the row that a change of the entry is about, as the log tells it; and
// what is told to the log for those that come later.
#include <algorithm>
#include <string>
#include <utility>

#include "broker/merge_step.h"

namespace csa {
namespace {

// Nothing: it lacks a column that the journal's row has.
std::optional<Row> whole_of(const PastRow& past, const std::vector<bool>& known) {
  Row row;
  for (std::size_t i = 0; i < past.size(); ++i) {
    if (!past[i] && known[i]) return std::nullopt;
    row.push_back(past[i].value_or(Null{}));
  }
  return row;
}

// Which of the columns that the journal has others gave their values; `rest`: of those that no
// single edit tells of.
std::vector<bool> edited_by_others(const RowEdits& edits, bool rest,
                                   const std::vector<bool>& known) {
  std::vector<bool> edited = known;
  for (std::size_t i = 0; i < edited.size(); ++i) {
    const bool others = i < edits.by_others_last.size() ? edits.by_others_last[i] : rest;
    edited[i] = known[i] && others;
  }
  return edited;
}

std::string other_row(const MergeTable& table) {
  return "table " + table.name() +
         " was dropped or made anew at the master meanwhile, and what it has in place of the row"
         " now is not what the edit was made on";
}

}  // namespace

RowMeeting MergeRun::meeting_of(Step& step, EditIndex::RowEdits& edits) {
  RowMeeting meeting;
  meeting.node_edit = {entry_.header.edited, entry_.header.edited_error_ms, author_};
  meeting.atomic = atomic_;
  const auto set_rows = [&] {
    meeting.base = step.base;
    meeting.node = step.node;
    meeting.broker.reset();
    if (step.broker) meeting.broker = step.broker->row;
    return meeting.broker == meeting.base;
  };
  bool same = set_rows();
  if (same && !others_may_have_edited(step)) return meeting;
  if (context_.restoring) return meeting;
  edits = edits_.edits({logged_as(step), step.renamed.has_value()}, base_, context_.meta, author_);
  found_.qualify(edits);
  const std::optional<MergeTable::Found> moved =
      edits.moved ? step.table->find(*edits.moved) : std::nullopt;
  if (moved || (edits.moved && step.before)) {
    step.now = edits.moved;
    step.broker = moved;
    fill_unknown(step);
    same = set_rows();
  }
  if (knows_base_ && edits.others && meeting.base && !same) throw Parked{other_row(*step.table)};
  if (edits.gone && !step.broker && is_placed(step, *edits.gone)) {
    if (step.base) fill_unknown(step, *edits.gone);
    same = set_rows();
    meeting.gone = whole_of(*edits.gone, step.columns.known);
  }
  const auto is_others = [this](const Edit& edit) {
    return edit.node != author_ && edit.node != NodeId{};
  };
  // Without a row there is nothing to lose to but a deletion.
  const bool met =
      edits.known && (edits.by_others || is_others(edits.last)) && (meeting.base || edits.absent);
  if (same && !met) return meeting;
  meeting.broker_edit = edits.last;
  meeting.column_edits = edits.columns;
  // A row of a table that was made anew is as old as the table.
  const Edit rest = edits.others && !meeting.base ? edits.last : edits.whole.value_or(edits.last);
  meeting.column_edits.resize(step.table->info().carried.size(), rest);
  if (knows_base_) meeting.edited = edited_by_others(edits, is_others(rest), step.columns.known);
  meeting.changed = knows_base_ && edits.by_others;
  if (same) {
    meeting.deleted_anew = !meeting.base;
    return meeting;
  }
  // A full-text table and a tree replace a row that is changed: what others changed of it is what
  // differs.
  const bool replaced = is_told(step);
  if (replaced) meeting.edited.clear();
  meeting.born_anew = !replaced && knows_base_ && step.base && step.broker && edits.born;
  step.anothers = meeting.born_anew;
  return meeting;
}

// For a row that is kept and not decided: as meeting_of() tells it.
bool MergeRun::is_anothers(const Step& step) {
  if (!step.base || !step.broker || is_told(step) || !others_may_have_edited(step)) return false;
  const EditIndex::RowEdits edits =
      edits_.edits({logged_as(step), step.renamed.has_value()}, base_, context_.meta, author_);
  return edits.born && !edits.moved;
}

// Of the deleted row's values it is known which columns they were of. The log has no names of a
// document's columns, which a migration may have moved; two histories count their schemas alike.
bool MergeRun::is_placed(const Step& step, const PastRow& gone) const {
  const JournalHeader& header = entry_.header;
  const bool one_schema = header.base.epoch.id == context_.meta.position.epoch.id &&
                          header.schema_version == context_.meta.schema_version;
  return (one_schema || !is_told(step)) && gone.size() == step.columns.known.size();
}

// The row is what the node's edit was made on; others may have changed it and put it back, or come
// to the same value as an earlier edit of the node.
bool MergeRun::others_may_have_edited(const Step& step) {
  if (!knows_base_ || step.table->is_shadow()) return false;
  return edits_.others_wrote(base_, author_, context_.meta) && !is_new(step);
}

RowIdentity MergeRun::logged_as(const Step& step) const {
  RowIdentity logged = step.identity();
  logged.table = schema_.virtuals().logged_as(logged.table);
  return logged;
}

// Tells the log what no changed value tells, so that whoever comes later meets the same row.
void MergeRun::touch(const Step& step, const RowMeeting& meeting, const RowVerdict& verdict) {
  const bool gone_before = meeting.base || meeting.deleted_anew;
  const bool back = gone_before && !meeting.broker && verdict.result;
  const bool columns = std::ranges::find(verdict.later, true) != verdict.later.end();
  if (!back && !columns && !verdict.deleted_later) return;
  Bytes mask((verdict.later.size() + 7) / 8, 0);
  Bytes given = mask;
  for (std::size_t i = 0; i < verdict.later.size(); ++i) {
    if (!verdict.later[i]) continue;
    set_bit(mask, i);
    const bool gives = !meeting.base || (*meeting.base)[i] != (*meeting.node)[i];
    if (back && gives) set_bit(given, i);
  }
  const TouchOp gone = verdict.deleted_later ? TouchOp::kGone : TouchOp::kChanged;
  edits_.touch(logged_as(step), back ? TouchOp::kBack : gone, mask, given);
}

}  // namespace csa
