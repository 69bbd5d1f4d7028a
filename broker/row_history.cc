#include "broker/row_history.h"

#include <algorithm>
#include <utility>

namespace csa {
namespace {

// One bit a column in which they differ.
Bytes mask_between(const PastRow& before, const PastRow& after) {
  Bytes mask((after.size() + 7) / 8, 0);
  for (std::size_t i = 0; i < after.size(); ++i) {
    if (i < before.size() && before[i] == after[i]) continue;
    mask[i / 8] = static_cast<std::uint8_t>(mask[i / 8] | (1U << (i % 8)));
  }
  return mask;
}

constexpr std::size_t kLong = 16;       // touches
constexpr std::size_t kKeptMax = 4096;  // rows

void raise(Edit& known, const Edit& edit) {
  if (is_earlier(known, edit)) known = edit;
}

}  // namespace

RowHistory::RowHistory(const HistoryAsker& asker)
    : older_(asker.older), node_(asker.node), all_since_(asker.all_known) {
  edits_.all_known = asker.all_known;
  edits_.last = asker.older;
}

void RowHistory::add(const Touch& touch) {
  if (touch.op == TouchOp::kBorn && touch.content && edits_.gone && gone_ == touch.seq) {
    // Deleted and inserted by one transaction: the same row, changed.
    Touch same = touch;
    same.op = TouchOp::kBack;
    same.mask = same.given = mask_between(*edits_.gone, *touch.content);
    same.content.reset();
    return add(same);
  }
  const bool own = touch.edit.node == node_;
  if (touch.op == TouchOp::kBorn && own) {
    // A row of his, not the one that had the key before: that would have come back (kBack).
    edits_ = {};
    edits_.all_known = all_since_ = true;
    deleted_ = false;
  }
  edits_.known = true;
  // What was told so far is another row's, or was not in the way when the asker changed this one.
  if (touch.op == TouchOp::kOthers || (edits_.others && own)) begin_anew();
  raise(edits_.last, touch.edit);
  const bool changes = std::ranges::any_of(touch.mask, [](std::uint8_t bits) { return bits != 0; });
  if (!own && (changes || touch.op == TouchOp::kBorn)) edits_.by_others = true;
  if (touch.op == TouchOp::kOthers) {
    edits_.others = true;
    return;
  }
  if (touch.op == TouchOp::kBorn) {
    // Without a deletion before it, it is the row that the journal has inserted too.
    edits_.born = edits_.born || deleted_ || !all_since_;
    edits_.own = own;
    edits_.columns.clear();
    edits_.by_others_last.clear();
    edits_.whole = edits_.last;
  }
  if (touch.op == TouchOp::kGone) {
    deleted_ = deleted_ || !own;
    gone_ = touch.seq;
    // Else it was deleted on both sides.
    if (!std::exchange(edits_.absent, true)) edits_.gone = touch.content;
  } else if (touch.op != TouchOp::kChanged) {
    edits_.absent = false;
    edits_.gone.reset();
  }
  for (std::size_t i = 0; i < touch.mask.size() * 8; ++i) {
    if (!has_bit(touch.mask, i)) continue;
    if (edits_.columns.size() <= i) {
      const Edit rest = edits_.whole.value_or(older_);
      edits_.columns.resize(i + 1, rest);
      edits_.by_others_last.resize(i + 1, is_others(rest));
    }
    raise(edits_.columns[i], touch.edit);
    edits_.by_others_last[i] = is_others(touch.edit);
  }
  note(touch, changes);
}

void RowHistory::note(const Touch& touch, bool changes) {
  const bool back = touch.op == TouchOp::kBack;
  for (RowEdits::Touched& touched : edits_.touches) {
    if (back && touched.gone && touched.seq != touch.seq) touched.undone = true;
  }
  if (touch.edit.node == node_ && touch.journaled) return;
  if (changes && back && gone_ == touch.seq) was_changed(touch);
  if (edits_.touches.size() < RowEdits::kTouchesMax) {
    edits_.touches.push_back(
        {touch.seq, back ? touch.given : touch.mask, !changes, touch.op == TouchOp::kGone});
  } else {
    edits_.all_known = false;
  }
}

// The deletion before it, in the same entry, took no more than it has changed.
void RowHistory::was_changed(const Touch& back) {
  for (RowEdits::Touched& touched : edits_.touches) {
    if (touched.seq == back.seq && touched.whole) touched = {back.seq, back.given};
  }
}

bool RowHistory::is_others(const Edit& edit) const {
  return edit.node != node_ && edit.node != NodeId{};
}

void RowHistory::begin_anew() {
  edits_.last = older_;
  edits_.born = edits_.absent = edits_.own = edits_.others = edits_.by_others = deleted_ = false;
  edits_.gone.reset();
  edits_.columns.clear();
  edits_.by_others_last.clear();
  edits_.whole.reset();
}

RowEdits RowHistory::take(const Edit& floor) {
  const Edit& rest = edits_.known || all_since_ ? older_ : floor;
  if (!edits_.known) edits_.last = rest;
  if (!edits_.whole) edits_.whole = rest;
  return std::move(edits_);
}

const LongHistories::Kept* LongHistories::find(const Id128& row, const HistoryAsker& asker) const {
  const auto kept = kept_.find({asker.node, row});
  return kept == kept_.end() || kept->second.asker != asker ? nullptr : &kept->second;
}

void LongHistories::keep(const Id128& row, Kept kept, std::size_t read) {
  const std::pair key(kept.asker.node, row);
  const auto known = kept_.find(key);
  if (known == kept_.end() && read < kLong) return;
  if (known == kept_.end() && kept_.size() >= kKeptMax) kept_.clear();
  kept_.insert_or_assign(key, std::move(kept));
}

}  // namespace csa
