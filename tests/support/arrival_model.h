// What edits come to in the order in which they reach the master, for the rules that go by arrival:
// row by row by the model of those rules (row_model.h), from who made which edit on what copy.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "tests/support/row_model.h"
#include "tests/support/story_author.h"

namespace csa::test {

class ArrivalModel {
 public:
  // Whether an edit was made on a copy that had an earlier one.
  using Knows = std::function<bool(const StoryEdit& edit, const StoryEdit& earlier)>;
  // `rules` by column of a StoryRow; `atomic`: transactions win or lose whole.
  ArrivalModel(RowRules rules, bool atomic, Knows knows);
  // Edits must outlive this.
  void take(const StoryEdit& edit);
  [[nodiscard]] StoryRows rows() const;

 private:
  struct Kept {
    Maybe row, gone;
    std::vector<const StoryEdit*> edits;    // of which something took effect
    std::vector<const StoryEdit*> columns;  // the last of each column
  };
  using Table = std::map<StoryKey, Kept>;
  [[nodiscard]] ColumnRule rule_of(std::size_t i) const;
  [[nodiscard]] Kept& kept(Table& rows, const StoryEdit& part) const;
  // False: it loses something.
  [[nodiscard]] bool merge(Table& rows, const StoryEdit& part, const std::set<StoryKey>& all);
  [[nodiscard]] RowMeeting meeting_of(const Kept& at, const StoryEdit& part) const;
  [[nodiscard]] bool overwrites_a_part(const Kept& at, const StoryEdit& part,
                                       const Expected& verdict,
                                       const std::set<StoryKey>& all) const;
  [[nodiscard]] bool overwrites_a_half(const Kept& at, const StoryEdit& part,
                                       const Expected& verdict) const;
  [[nodiscard]] bool takes(const Kept& at, const StoryEdit& part, const Expected& verdict,
                           std::size_t i) const;
  void put(Kept& at, const StoryEdit& part, const Expected& verdict) const;

  RowRules rules_;
  bool atomic_;
  Knows knows_;
  Table rows_;
  std::map<std::int64_t, const StoryEdit*> taken_;      // by their time
  std::set<std::pair<std::size_t, StoryKey>> waiting_;  // of a node, with what it has lost whole
};

}  // namespace csa::test
