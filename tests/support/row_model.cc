#include "tests/support/row_model.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace csa::test {
namespace {

bool node_is_later(const Edit& master, const Edit& node) {
  // Of the same node: its journal is in order.
  return std::pair(node.time, node.node) >= std::pair(master.time, master.node);
}

std::optional<bool> inside_errors(const Edit& a, const Edit& b) {
  const std::int64_t apart = std::abs(a.time.ms - b.time.ms);
  const std::int64_t errors = std::int64_t{a.error_ms} + b.error_ms;
  if (a.error_ms == UINT32_MAX || b.error_ms == UINT32_MAX) return true;
  if (apart == errors) return std::nullopt;
  return apart < errors;
}

std::optional<bool> either(std::optional<bool> a, std::optional<bool> b) {
  if (a == true || b == true) return true;
  if (!a || !b) return std::nullopt;
  return false;
}

std::optional<double> real_of(const Value& value) {
  if (std::holds_alternative<double>(value)) return std::get<double>(value);
  if (!std::holds_alternative<std::int64_t>(value)) return std::nullopt;
  return static_cast<double>(std::get<std::int64_t>(value));
}

// The master's with what the node put behind the base.
template <class Sequence>
std::optional<Sequence> joined(Sequence m, const Sequence& n, const Sequence& b) {
  if (n.size() < b.size() || !std::equal(b.begin(), b.end(), n.begin())) return std::nullopt;
  for (std::size_t i = b.size(); i < n.size(); ++i) m.push_back(n[i]);
  return m;
}

// The column rules that lose nothing: a value, or nothing where the table's rule decides.
std::optional<Value> modelled_value(ColumnRule rule, const Value& m, const Value& n,
                                    const std::optional<Value>& b) {
  const Value before = b.value_or(Value{std::int64_t{0}});
  if (rule == ColumnRule::kAppend) {
    if (!b || m.index() != b->index() || n.index() != b->index()) return std::nullopt;
    if (const auto* const before_text = std::get_if<Text>(&*b)) {
      const auto longer = joined(std::get<Text>(m).utf8, std::get<Text>(n).utf8, before_text->utf8);
      return longer ? std::optional<Value>(Text{*longer}) : std::nullopt;
    }
    if (const auto* const before_bytes = std::get_if<Bytes>(&*b)) {
      const auto longer = joined(std::get<Bytes>(m), std::get<Bytes>(n), *before_bytes);
      return longer ? std::optional<Value>(*longer) : std::nullopt;
    }
    return std::nullopt;
  }
  const auto x = real_of(m);
  const auto y = real_of(n);
  if (!x || !y) return std::nullopt;
  if (rule == ColumnRule::kMax || rule == ColumnRule::kMin) {
    const auto* const whole_m = std::get_if<std::int64_t>(&m);
    const auto* const whole_n = std::get_if<std::int64_t>(&n);
    const bool whole =
        whole_m != nullptr && whole_n != nullptr;  // beyond what a double tells apart
    if (!whole && *x == *y) return whole_m != nullptr ? m : n;
    const bool greater = whole ? *whole_n > *whole_m : *y > *x;
    const bool less = whole ? *whole_n < *whole_m : *y < *x;
    return (rule == ColumnRule::kMax ? greater : less) ? n : m;
  }
  const auto z = real_of(before);
  if (!z) return std::nullopt;
  if (std::holds_alternative<double>(m) || std::holds_alternative<double>(n) ||
      std::holds_alternative<double>(before)) {
    return *x + (*y - *z);
  }
  std::int64_t change = 0;
  std::int64_t total = 0;
  if (__builtin_sub_overflow(std::get<std::int64_t>(n), std::get<std::int64_t>(before), &change) ||
      __builtin_add_overflow(std::get<std::int64_t>(m), change, &total)) {
    return std::nullopt;
  }
  return total;
}

struct Losses {
  bool master = false, node = false;
  std::optional<bool> close = false;
};

// Others gave it no value since the base, not even the same again.
bool is_untouched(const RowMeeting& x, std::size_t i) {
  return x.base && (*x.broker)[i] == (*x.base)[i] && (i >= x.edited.size() || !x.edited[i]);
}

// Nobody loses this column. A transaction that wins or loses whole has not made what others made.
bool is_agreed(const RowMeeting& x, std::size_t i) {
  if ((*x.broker)[i] != (*x.node)[i]) return false;
  const bool by_node = !x.base || (*x.node)[i] != (*x.base)[i];
  return !(x.atomic && by_node && !is_untouched(x, i));
}

// One column that the later or a named side wins.
Value contested(const RowMeeting& x, std::size_t i, bool node_wins, Losses& losses) {
  if (is_agreed(x, i)) return (*x.broker)[i];
  (node_wins ? losses.master : losses.node) = true;
  return node_wins ? (*x.node)[i] : (*x.broker)[i];
}

// Both sides deleted the row: to a transaction that wins or loses whole, only one of them did.
Expected model_of_deletions(TableRule rule, const RowMeeting& x) {
  if (!x.atomic) return {};
  if (rule == TableRule::kManual) return {RowDecision::kManual, {}, false};
  if (rule == TableRule::kBroker) return {RowDecision::kBrokerWon, {}, false};
  if (rule == TableRule::kNode) return {RowDecision::kNodeWon, {}, false};
  const bool node_wins = node_is_later(x.broker_edit, x.node_edit);
  return {node_wins ? RowDecision::kNodeWon : RowDecision::kBrokerWon,
          {},
          inside_errors(x.broker_edit, x.node_edit)};
}

Expected model_of_deletion(const RowRules& rules, const RowMeeting& x) {
  const TableRule rule = rules.table;
  if (rule == TableRule::kMerge && x.broker) return {RowDecision::kBrokerWon, x.broker, false};
  if (rule == TableRule::kMerge) {
    // A change is worth more than a deletion, and what others made of the row comes back with it.
    RowMeeting before = x;
    before.broker = x.gone;
    before.gone.reset();
    if (!x.gone) return {RowDecision::kNodeWon, x.node, false};
    const Expected back = model(rules, before);
    return {RowDecision::kNodeWon, back.result, false, back.node_loses};
  }
  if (rule == TableRule::kManual) return {RowDecision::kManual, x.broker, false};
  bool node_wins = rule == TableRule::kNode;
  std::optional<bool> close = false;
  if (rule == TableRule::kNewest) {
    node_wins = node_is_later(x.broker_edit, x.node_edit);
    close = inside_errors(x.broker_edit, x.node_edit);
  }
  return {node_wins ? RowDecision::kNodeWon : RowDecision::kBrokerWon,
          node_wins ? x.node : x.broker, close};
}

bool counts(ColumnRule rule) { return rule == ColumnRule::kSum || rule == ColumnRule::kAppend; }

// Of one column with a rule of its own; false: the table's rule decides.
bool model_of_column(ColumnRule rule, const RowMeeting& x, std::size_t i,
                     std::pair<Row*, Losses*> to) {
  const Value& m = (*x.broker)[i];
  const Value& n = (*x.node)[i];
  const std::optional<Value> b = x.base ? std::optional((*x.base)[i]) : std::nullopt;
  Value& result = (*to.first)[i];
  if (rule == ColumnRule::kTable) return false;
  if (b && (is_untouched(x, i) || n == *b)) {
    result = n == *b ? m : n;
    return true;
  }
  const bool extreme = rule == ColumnRule::kMax || rule == ColumnRule::kMin;
  if (extreme ? m == n : !counts(rule) && is_agreed(x, i)) return true;
  const Edit& edit = x.column_edits.empty() ? x.broker_edit : x.column_edits[i];
  switch (rule) {
    case ColumnRule::kNewest:
      to.second->close = either(to.second->close, inside_errors(edit, x.node_edit));
      result = contested(x, i, node_is_later(edit, x.node_edit), *to.second);
      return true;
    case ColumnRule::kBroker:
    case ColumnRule::kNode:
      result = contested(x, i, rule == ColumnRule::kNode, *to.second);
      return true;
    case ColumnRule::kTable:
    case ColumnRule::kSum:
    case ColumnRule::kMax:
    case ColumnRule::kMin:
    case ColumnRule::kAppend:
      break;
  }
  const std::optional<Value> merged = modelled_value(rule, m, n, b);
  if (merged) result = *merged;
  return merged.has_value();
}

// Of the columns that no rule of their own settled. False: for a person.
bool model_of_rest(TableRule rule, const RowMeeting& x, const std::vector<std::size_t>& rest,
                   std::pair<Row*, Losses*> to) {
  const Row& n = *x.node;
  const auto all = [&](auto same) { return std::ranges::all_of(rest, same); };
  if (all([&](std::size_t i) { return is_agreed(x, i); })) return true;
  if (x.base && all([&](std::size_t i) { return n[i] == (*x.base)[i]; })) return true;
  if (all([&](std::size_t i) { return is_untouched(x, i); })) {
    for (const std::size_t i : rest) (*to.first)[i] = n[i];
    return true;
  }
  if (rule == TableRule::kManual) return false;
  Losses& losses = *to.second;
  if (rule == TableRule::kMerge) {
    for (const std::size_t i : rest) {
      if (is_agreed(x, i) || (x.base && n[i] == (*x.base)[i])) continue;
      if (is_untouched(x, i)) {
        (*to.first)[i] = n[i];
        continue;
      }
      const Edit& edit = x.column_edits.empty() ? x.broker_edit : x.column_edits[i];
      losses.close = either(losses.close, inside_errors(edit, x.node_edit));
      (*to.first)[i] = contested(x, i, node_is_later(edit, x.node_edit), losses);
    }
    return true;
  }
  bool node_wins = rule == TableRule::kNode;
  if (rule == TableRule::kNewest) {
    Edit last = x.broker_edit;
    for (std::size_t i = 0; i < x.column_edits.size() && !rest.empty(); ++i) {
      const Edit& edit = x.column_edits[i];
      if (std::ranges::find(rest, i) == rest.end()) continue;
      const bool later = std::pair(edit.time, edit.node) > std::pair(last.time, last.node);
      if (i == rest.front() || later) last = edit;
    }
    node_wins = node_is_later(last, x.node_edit);
    losses.close = either(losses.close, inside_errors(last, x.node_edit));
  }
  for (const std::size_t i : rest) (*to.first)[i] = contested(x, i, node_wins, losses);
  return true;
}

}  // namespace

Expected model(const RowRules& rules, const RowMeeting& x) {
  if (x.born_anew) {
    const bool lost = x.node || x.atomic;
    return {lost ? RowDecision::kBrokerWon : RowDecision::kNothing, x.broker, false};
  }
  const bool touched =
      x.deleted_anew || (x.changed && !x.node) || std::ranges::count(x.edited, true) > 0;
  if (x.broker == x.base && !touched) {
    return {x.node == x.base ? RowDecision::kNothing : RowDecision::kNode, x.node, false};
  }
  if (!x.broker && !x.node) return model_of_deletions(rules.table, x);
  if (!x.broker || !x.node) return model_of_deletion(rules, x);
  Row result = *x.broker;
  Losses losses;
  std::vector<std::size_t> rest;
  for (std::size_t i = 0; i < result.size(); ++i) {
    const ColumnRule rule = i < rules.columns.size() ? rules.columns[i] : ColumnRule::kTable;
    if (!model_of_column(rule, x, i, {&result, &losses})) rest.push_back(i);
  }
  if (!model_of_rest(rules.table, x, rest, {&result, &losses})) {
    return {RowDecision::kManual, result, losses.close};
  }
  RowDecision decision = RowDecision::kMerged;
  if (losses.master) {
    decision = RowDecision::kNodeWon;
  } else if (losses.node) {
    decision = RowDecision::kBrokerWon;
  } else if (result == *x.broker) {
    decision = RowDecision::kNothing;
  } else if (result == *x.node) {
    decision = RowDecision::kNode;
  }
  return {decision, result, losses.close, losses.node};
}

}  // namespace csa::test
