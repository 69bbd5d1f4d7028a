#include "broker/merge_row.h"

#include <algorithm>
#include <array>
#include <utility>

#include "broker/merge_values.h"
#include "common/check.h"
#include "common/clock_limits.h"
#include "common/planted.h"

namespace csa {
namespace {

template <class E>
using Name = std::pair<std::string_view, E>;

constexpr std::array kTableRules = {
    Name<TableRule>{"newest", TableRule::kNewest}, Name<TableRule>{"merge", TableRule::kMerge},
    Name<TableRule>{"broker", TableRule::kBroker}, Name<TableRule>{"node", TableRule::kNode},
    Name<TableRule>{"manual", TableRule::kManual}};
constexpr std::array kColumnRules = {Name<ColumnRule>{"sum", ColumnRule::kSum},
                                     Name<ColumnRule>{"max", ColumnRule::kMax},
                                     Name<ColumnRule>{"min", ColumnRule::kMin},
                                     Name<ColumnRule>{"append", ColumnRule::kAppend},
                                     Name<ColumnRule>{"newest", ColumnRule::kNewest},
                                     Name<ColumnRule>{"broker", ColumnRule::kBroker},
                                     Name<ColumnRule>{"node", ColumnRule::kNode}};

template <class Names, class E = typename Names::value_type::second_type>
std::optional<E> parse(const Names& names, std::string_view name) {
  for (const auto& [known, rule] : names) {
    if (known == name) return rule;
  }
  return std::nullopt;
}

enum class Side : std::uint8_t { kBroker, kNode };

// The later edit; ties by NodeId, so that every order of arrival ends alike.
Side newer(const Edit& broker, const Edit& node) {
  if (planted("newest wins by arrival")) return Side::kNode;
  if (broker.time != node.time) return broker.time < node.time ? Side::kNode : Side::kBroker;
  // Of one node, the edit that comes later in its journal is the later one.
  return node.node < broker.node ? Side::kBroker : Side::kNode;
}

bool is_close(const Edit& broker, const Edit& node) {
  if (broker.error_ms == kUnknownErrorMs || node.error_ms == kUnknownErrorMs) return true;
  const std::int64_t a = broker.time.ms;
  const std::int64_t b = node.time.ms;
  if (broker.at_most && b <= a) return true;
  const std::uint64_t apart = a < b ? static_cast<std::uint64_t>(b) - static_cast<std::uint64_t>(a)
                                    : static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b);
  return apart <= std::uint64_t{broker.error_ms} + node.error_ms;
}

// Both rows are there.
class RowMerge {
 public:
  RowMerge(const RowRules& rules, const RowMeeting& meeting)
      : rules_(rules),
        meeting_(meeting),
        result_(*meeting.broker),
        later_(meeting.broker->size(), false),
        overwritten_(meeting.broker->size(), false) {}

  RowVerdict run() {
    for (std::size_t i = 0; i < result_.size(); ++i) place(i);
    merge_rest();
    RowVerdict verdict;
    const bool changed = result_ != *meeting_.broker;
    verdict.later = later_;
    verdict.close = close_;
    verdict.node_loses = node_lost_;
    if (manual_) {
      verdict.decision = RowDecision::kManual;
      verdict.result = result_;
      verdict.reason = "both sides changed it, and the rule leaves it to a person";
      return verdict;
    }
    verdict.result = result_;
    if (broker_lost_) {
      verdict.decision = RowDecision::kNodeWon;
      verdict.overwritten = overwritten_;
    } else if (node_lost_) {
      verdict.decision = RowDecision::kBrokerWon;
    } else if (!changed) {
      verdict.decision = RowDecision::kNothing;
    } else {
      verdict.decision = result_ == *meeting_.node ? RowDecision::kNode : RowDecision::kMerged;
    }
    verdict.reason = reason_;
    return verdict;
  }

 private:
  [[nodiscard]] const Value& broker(std::size_t i) const { return (*meeting_.broker)[i]; }
  [[nodiscard]] const Value& node(std::size_t i) const { return (*meeting_.node)[i]; }
  [[nodiscard]] const Value* base(std::size_t i) const {
    return meeting_.base ? &(*meeting_.base)[i] : nullptr;
  }
  [[nodiscard]] bool broker_changed(std::size_t i) const {
    const bool edited = i < meeting_.edited.size() && meeting_.edited[i];
    return edited || base(i) == nullptr || broker(i) != *base(i);
  }
  [[nodiscard]] bool node_changed(std::size_t i) const {
    return base(i) == nullptr || node(i) != *base(i);
  }
  // One side's edit of it loses. Two equal edits are one, but not to a transaction that stands on
  // having made it.
  [[nodiscard]] bool is_contested(std::size_t i) const {
    return broker(i) != node(i) || (meeting_.atomic && node_changed(i) && broker_changed(i));
  }
  [[nodiscard]] const Edit& broker_edit(std::size_t i) const {
    return i < meeting_.column_edits.size() ? meeting_.column_edits[i] : meeting_.broker_edit;
  }

  // A column with a rule of its own is merged; the others are kept for the row's rule.
  void place(std::size_t i) {
    const ColumnRule rule = i < rules_.columns.size() ? rules_.columns[i] : ColumnRule::kTable;
    if (rule == ColumnRule::kTable || !merge_column(i, rule)) rest_.push_back(i);
  }

  bool merge_column(std::size_t i, ColumnRule rule) {
    if (!node_changed(i)) return true;
    if (!broker_changed(i)) {
      result_[i] = node(i);
      return true;
    }
    // Two equal sums are two changes all the same.
    const bool counts = rule == ColumnRule::kSum || rule == ColumnRule::kAppend;
    if (!counts && (adds_up(rule) ? broker(i) == node(i) : !is_contested(i))) {
      if (rule == ColumnRule::kNewest) agree(i);
      return true;
    }
    std::optional<Value> merged;
    switch (rule) {
      case ColumnRule::kNewest:
        settle(i, newer(broker_edit(i), meeting_.node_edit));
        close_ = close_ || is_close(broker_edit(i), meeting_.node_edit);
        return true;
      case ColumnRule::kBroker:
        settle(i, Side::kBroker);
        return true;
      case ColumnRule::kNode:
        settle(i, Side::kNode);
        return true;
      case ColumnRule::kTable:
        return false;
      case ColumnRule::kSum:
      case ColumnRule::kMax:
      case ColumnRule::kMin:
      case ColumnRule::kAppend:
        merged = merge_values(rule, broker(i), node(i), base(i));
    }
    if (!merged) return false;
    result_[i] = std::move(*merged);
    return true;
  }

  // Both sides gave it this value.
  void agree(std::size_t i) {
    if (newer(broker_edit(i), meeting_.node_edit) == Side::kNode) later_[i] = true;
  }

  // The last edit of what the row's rule decides: others add up, whenever they were made.
  [[nodiscard]] Edit rest_edit() const {
    if (meeting_.column_edits.empty()) return meeting_.broker_edit;
    Edit last;
    for (const std::size_t i : rest_) {
      if (is_earlier(last, broker_edit(i))) last = broker_edit(i);
    }
    return last;
  }

  // Somebody's edit of this column is lost.
  void settle(std::size_t i, Side side) {
    if (!is_contested(i)) return;
    if (side == Side::kNode) {
      if (broker(i) == node(i)) later_[i] = true;
      result_[i] = node(i);
      broker_lost_ = overwritten_[i] = true;
      reason_ = "the node's edit wins";
    } else {
      node_lost_ = true;
      if (reason_.empty()) reason_ = "the master's edit stays";
    }
  }

  void merge_rest() {
    bool by_broker = false;
    bool by_node = false;
    bool differ = false;
    for (const std::size_t i : rest_) {
      by_broker = by_broker || broker_changed(i);
      by_node = by_node || node_changed(i);
      differ = differ || is_contested(i);
    }
    const bool timed = rules_.table == TableRule::kNewest || rules_.table == TableRule::kMerge;
    for (const std::size_t i : rest_) {
      const bool both = node_changed(i) && broker_changed(i) && broker(i) == node(i);
      if (timed && both && (!differ || rules_.table == TableRule::kMerge)) agree(i);
    }
    if (!differ || !by_node) return;
    if (!by_broker) {
      for (const std::size_t i : rest_) result_[i] = node(i);
      return;
    }
    switch (rules_.table) {
      case TableRule::kMerge:
        for (const std::size_t i : rest_) merge_by_column(i);
        return;
      case TableRule::kManual:
        manual_ = true;
        return;
      case TableRule::kBroker:
        take_rest(Side::kBroker);
        return;
      case TableRule::kNode:
        take_rest(Side::kNode);
        return;
      case TableRule::kNewest: {
        const Edit last = rest_edit();
        close_ = close_ || is_close(last, meeting_.node_edit);
        take_rest(newer(last, meeting_.node_edit));
      }
    }
  }

  void merge_by_column(std::size_t i) {
    if (!node_changed(i) || !is_contested(i)) return;
    if (!broker_changed(i)) {
      result_[i] = node(i);
      return;
    }
    close_ = close_ || is_close(broker_edit(i), meeting_.node_edit);
    settle(i, newer(broker_edit(i), meeting_.node_edit));
  }

  // The winner's version of the rest of the row is the row's, whole; also where the values agree.
  void take_rest(Side side) {
    for (const std::size_t i : rest_) {
      settle(i, side);
      if (side == Side::kNode) overwritten_[i] = true;
      if (side == Side::kNode && broker_changed(i) && broker(i) == node(i)) later_[i] = true;
    }
  }

  const RowRules& rules_;
  const RowMeeting& meeting_;
  Row result_;
  std::vector<bool> later_;
  std::vector<bool> overwritten_;
  std::vector<std::size_t> rest_;
  bool broker_lost_ = false;
  bool node_lost_ = false;
  bool manual_ = false;
  bool close_ = false;
  std::string reason_;
};

// With the rule `merge`, what others had made of the row before it was deleted comes back too.
void come_back(const RowRules& rules, const RowMeeting& meeting, RowVerdict& verdict) {
  verdict.later.assign(meeting.node->size(), true);
  if (rules.table != TableRule::kMerge || !meeting.gone) return;
  if (meeting.gone->size() != meeting.node->size()) return;
  RowMeeting before = meeting;
  before.broker = meeting.gone;
  RowVerdict merged = RowMerge(rules, before).run();
  for (std::size_t i = 0; i < verdict.later.size(); ++i) {
    verdict.later[i] = merged.later[i] || (*merged.result)[i] != (*meeting.gone)[i];
  }
  verdict.node_loses = merged.node_loses;
  verdict.result = std::move(merged.result);
}

// One side deleted the row, the other changed it.
RowVerdict decide_deletion(const RowRules& rules, const RowMeeting& meeting) {
  RowVerdict verdict;
  const bool node_deletes = !meeting.node;
  const std::string what = node_deletes ? "the node deleted a row that was changed meanwhile"
                                        : "the node changed a row that was deleted meanwhile";
  Side winner = Side::kBroker;
  switch (rules.table) {
    case TableRule::kManual:
      return {RowDecision::kManual, meeting.broker, false,
              what + "; the rule leaves it to a person"};
    case TableRule::kBroker:
      break;
    case TableRule::kNode:
      winner = Side::kNode;
      break;
    case TableRule::kMerge:
      // Nothing of either side is lost that way, and it needs no times.
      winner = node_deletes ? Side::kBroker : Side::kNode;
      break;
    case TableRule::kNewest:
      winner = newer(meeting.broker_edit, meeting.node_edit);
      verdict.close = is_close(meeting.broker_edit, meeting.node_edit);
  }
  if (winner == Side::kNode) {
    verdict.decision = RowDecision::kNodeWon;
    verdict.result = meeting.node;
    if (meeting.node) come_back(rules, meeting, verdict);
    verdict.reason = what + (node_deletes ? "; it is deleted" : "; it comes back whole");
  } else {
    verdict.decision = RowDecision::kBrokerWon;
    verdict.result = meeting.broker;
    verdict.reason = what + (node_deletes ? "; it stays" : "; it stays deleted");
  }
  return verdict;
}

// Both sides deleted it.
RowVerdict decide_deletions(const RowRules& rules, const RowMeeting& meeting) {
  RowVerdict verdict;
  const Side later = newer(meeting.broker_edit, meeting.node_edit);
  verdict.deleted_later = later == Side::kNode;
  if (!meeting.atomic) return verdict;
  verdict.reason = "both sides deleted the row";
  if (rules.table == TableRule::kManual) {
    verdict.decision = RowDecision::kManual;
    return verdict;
  }
  const bool timed = rules.table == TableRule::kNewest || rules.table == TableRule::kMerge;
  verdict.close = timed && is_close(meeting.broker_edit, meeting.node_edit);
  const bool node_wins = timed ? later == Side::kNode : rules.table == TableRule::kNode;
  verdict.decision = node_wins ? RowDecision::kNodeWon : RowDecision::kBrokerWon;
  return verdict;
}

}  // namespace

std::optional<TableRule> parse_table_rule(std::string_view name) {
  return parse(kTableRules, name);
}

std::optional<ColumnRule> parse_column_rule(std::string_view name) {
  return parse(kColumnRules, name);
}

std::string_view to_string(TableRule rule) {
  for (const auto& [name, known] : kTableRules) {
    if (known == rule) return name;
  }
  return "?";
}

std::string_view to_string(ColumnRule rule) {
  for (const auto& [name, known] : kColumnRules) {
    if (known == rule) return name;
  }
  return "table";
}

RowVerdict decide(const RowRules& rules, const RowMeeting& meeting) {
  const std::optional<Row>& base = meeting.base;
  const std::optional<Row>& broker = meeting.broker;
  const std::optional<Row>& node = meeting.node;
  if (meeting.born_anew) {
    // Deleted on both sides.
    if (!node && !meeting.atomic) return {RowDecision::kNothing, broker, false, {}};
    return {RowDecision::kBrokerWon, broker, false,
            "the row was deleted meanwhile, and its key belongs to another row now"};
  }
  const bool edited =
      std::ranges::find(meeting.edited, true) != meeting.edited.end() || (meeting.changed && !node);
  if (broker == base && !edited && !meeting.deleted_anew) {
    return {node == base ? RowDecision::kNothing : RowDecision::kNode, node, false, {}};
  }
  if (!broker || !node) {
    return broker || node ? decide_deletion(rules, meeting) : decide_deletions(rules, meeting);
  }
  CSA_CHECK(broker->size() == node->size() && (!base || base->size() == node->size()));
  return RowMerge(rules, meeting).run();
}

}  // namespace csa
