#include "broker/merge_row.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "common/check.h"

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
  if (broker.time != node.time) return broker.time < node.time ? Side::kNode : Side::kBroker;
  return broker.node < node.node ? Side::kNode : Side::kBroker;
}

bool is_close(const Edit& broker, const Edit& node) {
  const std::int64_t a = broker.time.ms;
  const std::int64_t b = node.time.ms;
  const std::uint64_t apart = a < b ? static_cast<std::uint64_t>(b) - static_cast<std::uint64_t>(a)
                                    : static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b);
  return apart <= std::uint64_t{broker.error_ms} + node.error_ms;
}

std::optional<std::int64_t> integer(const Value& value) {
  const auto* const number = std::get_if<std::int64_t>(&value);
  return number == nullptr ? std::nullopt : std::optional(*number);
}

std::optional<double> number(const Value& value) {
  if (const auto* const whole = std::get_if<std::int64_t>(&value)) {
    return static_cast<double>(*whole);
  }
  const auto* const real = std::get_if<double>(&value);
  return real == nullptr ? std::nullopt : std::optional(*real);
}

// base: nullptr where there was no row.
std::optional<Value> sum(const Value& broker, const Value& node, const Value* base) {
  const Value zero = std::int64_t{0};
  const Value& before = base == nullptr ? zero : *base;
  const auto m = integer(broker);
  const auto n = integer(node);
  const auto b = integer(before);
  if (m && n && b) {
    std::int64_t change = 0;
    std::int64_t result = 0;
    if (__builtin_sub_overflow(*n, *b, &change)) return std::nullopt;
    if (__builtin_add_overflow(*m, change, &result)) return std::nullopt;
    return result;
  }
  const auto x = number(broker);
  const auto y = number(node);
  const auto z = number(before);
  if (!x || !y || !z) return std::nullopt;
  const double result = *x + (*y - *z);
  if (!std::isfinite(result)) return std::nullopt;
  return result;
}

std::optional<Value> extreme(const Value& broker, const Value& node, bool greatest) {
  const auto m = integer(broker);
  const auto n = integer(node);
  if (m && n) return (*m < *n) == greatest ? node : broker;
  const auto x = number(broker);
  const auto y = number(node);
  if (!x || !y) return std::nullopt;
  return (*x < *y) == greatest ? node : broker;
}

// What the node put behind the base goes behind the master's.
std::optional<Value> append(const Value& broker, const Value& node, const Value* base) {
  if (base == nullptr) return std::nullopt;
  if (const auto* const n = std::get_if<Text>(&node)) {
    const auto* const b = std::get_if<Text>(base);
    const auto* const m = std::get_if<Text>(&broker);
    if (b == nullptr || m == nullptr || !n->utf8.starts_with(b->utf8)) return std::nullopt;
    return Text{m->utf8 + n->utf8.substr(b->utf8.size())};
  }
  const auto* const n = std::get_if<Bytes>(&node);
  const auto* const b = std::get_if<Bytes>(base);
  const auto* const m = std::get_if<Bytes>(&broker);
  if (n == nullptr || b == nullptr || m == nullptr || n->size() < b->size()) return std::nullopt;
  if (!std::equal(b->begin(), b->end(), n->begin())) return std::nullopt;
  Bytes joined = *m;
  joined.insert(joined.end(), n->begin() + static_cast<std::ptrdiff_t>(b->size()), n->end());
  return joined;
}

// Both rows are there.
class RowMerge {
 public:
  RowMerge(const RowRules& rules, const RowMeeting& meeting)
      : rules_(rules), meeting_(meeting), result_(*meeting.broker) {}

  RowVerdict run() {
    for (std::size_t i = 0; i < result_.size(); ++i) place(i);
    merge_rest();
    RowVerdict verdict;
    const bool changed = result_ != *meeting_.broker;
    if (manual_) {
      verdict.decision = RowDecision::kManual;
      verdict.result = *meeting_.broker;
      verdict.reason = "both sides changed it, and the rule leaves it to a person";
      return verdict;
    }
    verdict.result = result_;
    verdict.close = close_;
    if (broker_lost_) {
      verdict.decision = RowDecision::kNodeWon;
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
    return base(i) == nullptr || broker(i) != *base(i);
  }
  [[nodiscard]] bool node_changed(std::size_t i) const {
    return base(i) == nullptr || node(i) != *base(i);
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
    const bool counts = rule == ColumnRule::kSum;
    if (!node_changed(i)) return true;
    if (!broker_changed(i)) {
      result_[i] = node(i);
      return true;
    }
    // Two equal sums are two changes all the same.
    if (!counts && rule != ColumnRule::kAppend && broker(i) == node(i)) return true;
    std::optional<Value> merged;
    switch (rule) {
      case ColumnRule::kSum:
        merged = sum(broker(i), node(i), base(i));
        break;
      case ColumnRule::kMax:
      case ColumnRule::kMin:
        merged = extreme(broker(i), node(i), rule == ColumnRule::kMax);
        break;
      case ColumnRule::kAppend:
        merged = append(broker(i), node(i), base(i));
        break;
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
    }
    if (!merged) return false;
    result_[i] = std::move(*merged);
    return true;
  }

  // Somebody's value of this column is lost.
  void settle(std::size_t i, Side side) {
    if (broker(i) == node(i)) return;
    if (side == Side::kNode) {
      result_[i] = node(i);
      broker_lost_ = true;
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
      differ = differ || broker(i) != node(i);
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
      case TableRule::kNewest:
        close_ = close_ || is_close(meeting_.broker_edit, meeting_.node_edit);
        take_rest(newer(meeting_.broker_edit, meeting_.node_edit));
    }
  }

  void merge_by_column(std::size_t i) {
    if (!node_changed(i) || broker(i) == node(i)) return;
    if (!broker_changed(i)) {
      result_[i] = node(i);
      return;
    }
    close_ = close_ || is_close(broker_edit(i), meeting_.node_edit);
    settle(i, newer(broker_edit(i), meeting_.node_edit));
  }

  // The winner's version of the rest of the row is the row's, whole.
  void take_rest(Side side) {
    for (const std::size_t i : rest_) settle(i, side);
  }

  const RowRules& rules_;
  const RowMeeting& meeting_;
  Row result_;
  std::vector<std::size_t> rest_;
  bool broker_lost_ = false;
  bool node_lost_ = false;
  bool manual_ = false;
  bool close_ = false;
  std::string reason_;
};

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
    case TableRule::kNewest:
    case TableRule::kMerge:
      winner = newer(meeting.broker_edit, meeting.node_edit);
      verdict.close = is_close(meeting.broker_edit, meeting.node_edit);
  }
  if (winner == Side::kNode) {
    verdict.decision = RowDecision::kNodeWon;
    verdict.result = meeting.node;
    verdict.reason = what + (node_deletes ? "; it is deleted" : "; it comes back whole");
  } else {
    verdict.decision = RowDecision::kBrokerWon;
    verdict.result = meeting.broker;
    verdict.reason = what + (node_deletes ? "; it stays" : "; it stays deleted");
  }
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
  const auto& [base, broker, node, node_edit, broker_edit, column_edits, born_anew] = meeting;
  if (born_anew) {
    if (!node) return {RowDecision::kNothing, broker, false, {}};  // deleted on both sides
    return {RowDecision::kBrokerWon, broker, false,
            "the row was deleted meanwhile, and its key belongs to another row now"};
  }
  if (broker == base) {
    return {node == base ? RowDecision::kNothing : RowDecision::kNode, node, false, {}};
  }
  if (!broker || !node) {
    if (!broker && !node) return {};
    return decide_deletion(rules, meeting);
  }
  CSA_CHECK(broker->size() == node->size() && (!base || base->size() == node->size()));
  return RowMerge(rules, meeting).run();
}

}  // namespace csa
