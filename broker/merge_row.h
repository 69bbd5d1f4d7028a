// One row of a journal against the master's present row: who wins, and what the row becomes. The
// rules of merging without a database: pure, so that a small model can be held against it. Rows are
// by carried column of the master's table.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/types.h"
#include "common/value.h"

namespace csa {

// Names as in csa_rule and schemas/cli.md.
enum class TableRule : std::uint8_t { kNewest, kMerge, kBroker, kNode, kManual };
enum class ColumnRule : std::uint8_t {
  kTable,  // as the table's rule says
  kSum,
  kMax,
  kMin,
  kAppend,
  kNewest,
  kBroker,
  kNode
};
[[nodiscard]] std::optional<TableRule> parse_table_rule(std::string_view name);
[[nodiscard]] std::optional<ColumnRule> parse_column_rule(std::string_view name);
[[nodiscard]] std::string_view to_string(TableRule rule);
[[nodiscard]] std::string_view to_string(ColumnRule rule);

struct RowRules {
  TableRule table = TableRule::kNewest;
  std::vector<ColumnRule> columns;  // one a column; missing ones: kTable
};

// Who changed something last, and when (broker's time, right to error_ms).
struct Edit {
  WallTime time;
  std::uint32_t error_ms = 0;
  NodeId node;
  // Nobody knows the time: it is this one or an earlier one.
  bool at_most = false;
  bool operator==(const Edit&) const = default;
};

// By (time, NodeId).
[[nodiscard]] inline bool is_earlier(const Edit& a, const Edit& b) {
  return a.time != b.time ? a.time < b.time : a.node < b.node;
}

struct RowMeeting {
  std::optional<Row> base;    // before the node's edit, at the node; nothing: it inserted the row
  std::optional<Row> broker;  // at the master now; nothing: no such row
  std::optional<Row> node;    // after the node's edit; nothing: it deleted the row
  Edit node_edit;
  Edit broker_edit;                // of the row's last change at the master
  std::vector<Edit> column_edits;  // the same by column; empty: broker_edit for all
  // Columns that other nodes gave a value since `base`, though it may be the same again; missing
  // ones: none of them.
  std::vector<bool> edited = {};
  // Others have changed the row since `base`, whatever of that is left.
  bool changed = false;
  // Others have made a row of this key since `base`, and deleted it.
  bool deleted_anew = false;
  // The master's row was deleted and its key used for another row since `base`: they are not the
  // same row, whatever their values.
  bool born_anew = false;
  // Where the master's row was deleted since `base`: what it was then, if that is known.
  std::optional<Row> gone;
  // The node's edit is part of a transaction that wins or loses whole: where both sides came to the
  // same, one of them loses all the same, for the rest of its transaction stands on it. Columns
  // that add up lose nothing.
  bool atomic = false;
};

enum class RowDecision : std::uint8_t {
  kNothing,  // the master's row is what the node wants already
  kNode,     // no conflict: the node's edit is applied
  kMerged,   // both sides' edits are in the result, nothing is lost
  kNodeWon,  // a conflict: the master's version is lost (wholly or in some columns)
  kBrokerWon,
  kManual,  // a conflict for a person: the master's row stays
};

struct RowVerdict {
  RowDecision decision = RowDecision::kNothing;
  std::optional<Row> result;  // the row from now on; nothing: no row
  bool close = false;         // decided by less than the two clocks' errors, or by an unknown time
  std::string reason;         // a sentence for conflicts
  // Columns that both sides gave the same value, the node winning, or where the row came back:
  // those that are the node's now. Their last edit is the node's, though no value may tell it.
  std::vector<bool> later = {};
  // kNodeWon: columns of which the master's edit is lost; none told: of the whole row.
  std::vector<bool> overwritten = {};
  bool deleted_later = false;  // both sides deleted it, the node later
  bool node_loses = false;     // something, though it may win another column
};

[[nodiscard]] constexpr bool is_conflict(RowDecision decision) {
  return decision >= RowDecision::kNodeWon;
}

// Deterministic: the same meeting gives the same verdict. Ties break by (time, NodeId): the greater
// wins. REQUIRES: rows that are there have equally many columns.
[[nodiscard]] RowVerdict decide(const RowRules& rules, const RowMeeting& meeting);

}  // namespace csa
