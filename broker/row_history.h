// What the log's changes of one row come to, for somebody who knew it before them. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "broker/merge_row.h"
#include "broker/row_identity.h"
#include "broker/touch_marks.h"
#include "common/bytes.h"
#include "common/types.h"

namespace csa {

// A row by carried column now; nothing: a column that it did not have.
using PastRow = std::vector<std::optional<Value>>;

// `after`: what who asks knew the row by; see EditIndex::edits().
struct RowEdits {
  static constexpr std::size_t kTouchesMax = 64;
  bool known = false;  // false: nothing in the log since `after`; `last` is the floor's time
  Edit last;           // the greatest (time, node), not the last in the log
  // Deleted since `after` and another row of that key since then.
  bool born = false;
  bool absent = false;  // the last of them deleted it
  // Who asks has made the row since `after`; the rest is about it, not about what had that key.
  bool own = false;
  // The table was dropped, or its rows were given other names, and the asker has not changed this
  // row since: only the values can tell whether the row of this name is still the same.
  bool others = false;
  // Others gave the row another key: this; the rest is about the row under that name.
  std::optional<RowIdentity> moved;
  bool by_others = false;       // others than `node` changed it, whatever of that is left
  std::optional<PastRow> gone;  // deleted: what it was, if that is known
  std::vector<Edit> columns;    // by carried column, as far as single ones were changed
  std::optional<Edit> whole;    // of the columns that are not in `columns`
  // Of `columns`: others gave it its value, be that edit an earlier one.
  std::vector<bool> by_others_last;
  // By which entry and in which columns it was touched.
  struct Touched {
    Seq seq;
    Bytes mask;           // one bit a carried column
    bool whole = false;   // deleted, inserted
    bool gone = false;    // deleted
    bool undone = false;  // the deletion: the row came back since
  };
  // In their order, at most kTouchesMax; not by the asker's own journal. What it has written
  // through the broker may have been on its way when it lost it, and not known to it.
  std::vector<Touched> touches;
  bool all_known = false;  // `touches` are all of them since `after`
};

// One change of the row, or a mark.
struct Touch {
  Seq seq;
  std::int64_t n = 0;
  TouchOp op = TouchOp::kChanged;
  Edit edit;
  bool journaled = false;  // it came out of a journal, as its time of editing tells
  Bytes mask;
  Bytes given;  // of kBack: see TouchMarks::add()
  // Of kGone what the row was, of kBorn what it is, if the entry has deleted rows before; nothing:
  // nobody knows.
  std::optional<PastRow> content;
};

// Who asks, and what he knew the row by.
struct HistoryAsker {
  NodeId node;
  Seq after;
  std::uint64_t schema_version = 0;
  bool all_known = false;  // the log reaches back to `after`
  Edit older;              // than the first touch, if that is known
  bool operator==(const HistoryAsker&) const = default;
};

// Touches of one row, in their order, into what they come to.
class RowHistory {
 public:
  explicit RowHistory(const HistoryAsker& asker);
  void add(const Touch& touch);
  // `floor`: of what is not in the log any more.
  [[nodiscard]] RowEdits take(const Edit& floor);

 private:
  void begin_anew();
  void was_changed(const Touch& back);
  void note(const Touch& touch, bool changes);
  [[nodiscard]] bool is_others(const Edit& edit) const;

  Edit older_;
  NodeId node_;
  RowEdits edits_;
  bool all_since_;
  bool deleted_ = false;
  Seq gone_{0};  // entry of the last deletion
};

// Histories of rows that were touched many times, with where they end: a row that every transaction
// of a long journal changes is not read from its first touch on for each of them.
class LongHistories {
 public:
  struct Kept {
    HistoryAsker asker;
    RowHistory history;
    Seq seq;  // of the last touch in it, the n-th of that entry
    std::int64_t n = 0;
  };
  // nullptr: none for this asker. Valid until the next call of keep() or clear().
  [[nodiscard]] const Kept* find(const Id128& row, const HistoryAsker& asker) const;
  // `read`: how many touches that took; few are not worth it.
  void keep(const Id128& row, Kept kept, std::size_t read);
  void clear() { kept_.clear(); }

 private:
  std::map<std::pair<NodeId, Id128>, Kept> kept_;
};

}  // namespace csa
