#include "broker/overwritten.h"

#include <vector>

#include "broker/merge_values.h"

namespace csa {
namespace {

struct Loss {
  bool any = false;
  bool all = true;
};

Loss loss_of(const RowEdits::Touched& touch, const RowRules& rules, const RowVerdict& verdict) {
  const bool won = verdict.decision == RowDecision::kNodeWon;
  const std::vector<bool>& columns = verdict.overwritten;
  if (touch.undone) return {};
  Loss loss;
  const auto count = [&](std::size_t i) {
    const bool lost = won && (columns.empty() || (i < columns.size() && columns[i]));
    loss.any = loss.any || lost;
    loss.all = loss.all && (lost || (i < rules.columns.size() && adds_up(rules.columns[i])));
  };
  if (touch.whole && (!won || columns.empty())) return {won, won};
  const std::size_t bits = touch.whole ? columns.size() : touch.mask.size() * 8;
  for (std::size_t i = 0; i < bits; ++i) {
    if (touch.whole || has_bit(touch.mask, i)) count(i);
  }
  return loss;
}

}  // namespace

void Overwritten::add(const RowRules& rules, const RowVerdict& verdict, const RowEdits& edits) {
  untold_ = untold_ || (verdict.decision == RowDecision::kNodeWon && !edits.all_known);
  for (const RowEdits::Touched& touch : edits.touches) {
    const Loss loss = loss_of(touch, rules, verdict);
    Entry& entry = entries_[touch.seq];
    entry.lost = entry.lost || loss.any;
    if (loss.all) ++entry.covered;
  }
}

std::optional<std::string> Overwritten::torn(
    const std::function<std::uint64_t(Seq)>& touches_of) const {
  if (untold_) return "the log does not tell any more which transactions it would overwrite";
  for (const auto& [seq, entry] : entries_) {
    if (!entry.lost || entry.covered >= touches_of(seq)) continue;
    return "it would overwrite a part of transaction " + std::to_string(seq.value);
  }
  return std::nullopt;
}

}  // namespace csa
