#include "tests/support/arrival_model.h"

#include <algorithm>

#include "broker/merge_values.h"

namespace csa::test {
namespace {

constexpr std::size_t kColumnCount = 7;

Maybe row_of(const std::optional<StoryRow>& row) {
  if (!row) return std::nullopt;
  return Row{Text{row->key}, Text{row->a}, Text{row->b}, Text{row->w}, row->n, row->hi, row->lo};
}

StoryRow story_row(const Row& row) {
  const auto text = [&](std::size_t i) { return std::get<Text>(row[i]).utf8; };
  const auto number = [&](std::size_t i) { return std::get<std::int64_t>(row[i]); };
  return {text(0), text(1), text(2), text(3), number(4), number(5), number(6)};
}

Edit edit_of(const StoryEdit& edit) {
  Edit result;
  result.time = WallTime{1 + edit.at};
  result.node.value.bytes[0] = static_cast<std::uint8_t>(1 + edit.node);
  return result;
}

bool gives(const StoryEdit& part, std::size_t i) {
  const Maybe before = row_of(part.before);
  return part.image && (!before || (*before)[i] != (*row_of(part.image))[i]);
}

StoryKey key_of(const StoryEdit& part) { return {part.table, part.key}; }

}  // namespace

ArrivalModel::ArrivalModel(RowRules rules, bool atomic, Knows knows)
    : rules_(std::move(rules)), atomic_(atomic), knows_(std::move(knows)) {
  for (const auto& [key, row] : first_story_rows()) {
    rows_[key] = {row_of(row), {}, {}, std::vector<const StoryEdit*>(kColumnCount)};
  }
}

StoryRows ArrivalModel::rows() const {
  StoryRows rows;
  for (const auto& [key, kept] : rows_) {
    if (kept.row) rows[key] = story_row(*kept.row);
  }
  return rows;
}

ColumnRule ArrivalModel::rule_of(std::size_t i) const {
  return i < rules_.columns.size() ? rules_.columns[i] : ColumnRule::kTable;
}

ArrivalModel::Kept& ArrivalModel::kept(Table& rows, const StoryEdit& part) const {
  Kept& kept = rows[key_of(part)];
  kept.columns.resize(kColumnCount);
  return kept;
}

void ArrivalModel::take(const StoryEdit& edit) {
  taken_[edit.at] = &edit;
  std::set<StoryKey> all;
  bool waits = false;
  for (const StoryEdit* const part : parts_of(edit)) {
    all.insert(key_of(*part));
    waits = waits || waiting_.contains({edit.node, key_of(*part)});
  }
  Table trial = rows_;
  bool whole = true;
  for (const StoryEdit* const part : parts_of(edit)) {
    whole = merge(trial, *part, all) && whole;
  }
  if (!waits && (whole || !atomic_)) {
    rows_ = std::move(trial);
  } else {
    for (const StoryKey& key : all) waiting_.insert({edit.node, key});
  }
}

bool ArrivalModel::merge(Table& rows, const StoryEdit& part, const std::set<StoryKey>& all) {
  Kept& at = kept(rows, part);
  const Expected verdict = model(rules_, meeting_of(at, part));
  const bool lost = verdict.decision == RowDecision::kBrokerWon ||
                    verdict.decision == RowDecision::kManual || verdict.node_loses;
  const bool won = verdict.decision == RowDecision::kNodeWon;
  const bool partly =
      won && atomic_ &&
      (overwrites_a_part(at, part, verdict, all) || overwrites_a_half(at, part, verdict));
  put(at, part, verdict);
  return !lost && !partly;
}

RowMeeting ArrivalModel::meeting_of(const Kept& at, const StoryEdit& part) const {
  RowMeeting x;
  x.base = row_of(part.before);
  x.broker = at.row;
  x.node = row_of(part.image);
  x.node_edit = edit_of(part);
  x.atomic = atomic_;
  x.gone = at.gone;
  for (const StoryEdit* const other : at.edits) {
    if (knows_(part, *other)) continue;
    x.changed = x.changed || other->image;
    if (x.broker_edit.time < edit_of(*other).time) x.broker_edit = edit_of(*other);
  }
  x.deleted_anew = !x.base && !x.broker && x.changed;
  for (const StoryEdit* const last : at.columns) {
    const bool by_others = last != nullptr && !knows_(part, *last);
    x.edited.push_back(by_others);
    x.column_edits.push_back(by_others ? edit_of(*last) : Edit{});
  }
  return x;
}

// All or nothing holds for the others' transactions too, where this row costs them something.
bool ArrivalModel::overwrites_a_part(const Kept& at, const StoryEdit& part, const Expected& verdict,
                                     const std::set<StoryKey>& all) const {
  const auto loses = [&](const StoryEdit& other) {
    if (!at.row || !verdict.result || !other.image) return true;
    for (std::size_t i = 0; i < kColumnCount; ++i) {
      if (gives(other, i) && !adds_up(rule_of(i)) && takes(at, part, verdict, i)) return true;
    }
    return false;
  };
  return std::ranges::any_of(at.edits, [&](const StoryEdit* other) {
    if (knows_(part, *other) || !loses(*other)) return false;
    return std::ranges::any_of(parts_of(*taken_.at(other->at)),
                               [&](const StoryEdit* its) { return !all.contains(key_of(*its)); });
  });
}

// So it does for the columns that an edit of the row gave.
bool ArrivalModel::overwrites_a_half(const Kept& at, const StoryEdit& part,
                                     const Expected& verdict) const {
  if (!at.row || !verdict.result) return false;
  return std::ranges::any_of(at.edits, [&](const StoryEdit* other) {
    if (knows_(part, *other)) return false;
    bool some = false;
    bool all = true;
    for (std::size_t i = 0; i < kColumnCount; ++i) {
      if (!gives(*other, i) || adds_up(rule_of(i))) continue;
      const bool lost = takes(at, part, verdict, i);
      some = some || lost;
      all = all && lost;
    }
    return some && !all;
  });
}

// Of a row that it wins: this column is its own then.
bool ArrivalModel::takes(const Kept& at, const StoryEdit& part, const Expected& verdict,
                         std::size_t i) const {
  const bool by_row = rules_.table == TableRule::kNewest || rules_.table == TableRule::kNode;
  if (by_row && rule_of(i) == ColumnRule::kTable) return true;
  const Value& result = (*verdict.result)[i];
  return (*at.row)[i] != result || (gives(part, i) && result == (*row_of(part.image))[i]);
}

void ArrivalModel::put(Kept& at, const StoryEdit& part, const Expected& verdict) const {
  const Maybe& result = verdict.result;
  // Who wins the row by such a rule has it whole, also where the values agree.
  const bool by_row = rules_.table == TableRule::kNewest || rules_.table == TableRule::kNode;
  const bool wins_row = by_row && verdict.decision == RowDecision::kNodeWon;
  bool effect = at.row != result || (!result && !part.image);
  const Maybe node = row_of(part.image);
  // By `merge` a row comes back as what it was and what is new.
  const Maybe before = !at.row && rules_.table == TableRule::kMerge ? at.gone : at.row;
  // Who loses the row by its rule has no part of it, also where the values agree.
  bool has_rest = true;
  for (std::size_t i = 0; result && node && i < kColumnCount; ++i) {
    const bool lost = gives(part, i) && (*result)[i] != (*node)[i];
    if (rule_of(i) == ColumnRule::kTable && lost) has_rest = false;
  }
  const bool by_column = rules_.table == TableRule::kMerge;
  for (std::size_t i = 0; result && i < kColumnCount; ++i) {
    const bool same = before && (*before)[i] == (*result)[i];
    const StoryEdit*& last = at.columns[i];
    const bool of_row = rule_of(i) == ColumnRule::kTable;
    const bool counts = !of_row || by_column || has_rest;
    const bool agreed = counts && same && gives(part, i) && (*result)[i] == (*node)[i];
    const bool later = agreed && (last == nullptr || last->at < part.at);
    if (same && !later && !(wins_row && of_row)) continue;
    last = &part;
    effect = true;
  }
  if (at.row && !result) at.gone = at.row;
  at.row = result;
  if (effect) at.edits.push_back(&part);
}

}  // namespace csa::test
