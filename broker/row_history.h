// What the log's changes of one row come to, for somebody who knew it before them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "broker/merge_row.h"
#include "broker/row_identity.h"
#include "broker/touch_marks.h"
#include "common/bytes.h"
#include "common/types.h"

namespace csa {

// `after`: what who asks knew the row by; see EditIndex::edits().
struct RowEdits {
  static constexpr std::size_t kEntriesMax = 64;
  bool known = false;  // false: nothing in the log since `after`; `last` is the floor's time
  Edit last;           // the greatest (time, node), not the last in the log
  // Deleted since `after` and another row of that key since then.
  bool born = false;
  bool absent = false;  // the last of them deleted it
  // Others gave the row another key: this; the rest is about the row under that name.
  std::optional<RowIdentity> moved;
  bool by_others = false;     // others than `node` changed it, whatever of that is left
  std::optional<Row> gone;    // deleted: what it was, by carried column, if nobody moved columns
  std::vector<Edit> columns;  // by carried column, as far as single ones were changed
  std::optional<Edit> whole;  // of the columns that are not in `columns`
  std::vector<Seq> entries;   // that touched it, ascending, at most kEntriesMax
  bool all_known = false;     // `entries` are all of them since `after`
};

// One change of the row, or a mark.
struct Touch {
  Seq seq;
  std::int64_t n = 0;
  TouchOp op = TouchOp::kChanged;
  Edit edit;
  Bytes mask;
  std::optional<Row> content;  // where the columns are still those
};

// Touches of one row, in their order, into what they come to.
class RowHistory {
 public:
  // `older`: than the first touch, if that is known; `node`: who asks.
  RowHistory(bool all_known, const Edit& older, const NodeId& node);
  void add(const Touch& touch);
  // `floor`: of what is not in the log any more.
  [[nodiscard]] RowEdits take(const Edit& floor);

 private:
  Edit older_;
  NodeId node_;
  RowEdits edits_;
  bool all_since_;
  bool deleted_ = false;
};

}  // namespace csa
