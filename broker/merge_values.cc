#include "broker/merge_values.h"

#include <algorithm>
#include <cmath>

namespace csa {
namespace {

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
  if (m && n) return *m == *n ? broker : (*m < *n) == greatest ? node : broker;
  const auto x = number(broker);
  const auto y = number(node);
  if (!x || !y) return std::nullopt;
  if (*x == *y) return m ? broker : node;  // 1 rather than 1.0, whoever came first
  return (*x < *y) == greatest ? node : broker;
}

// What the node put behind the base goes behind the master's.
template <class Sequence>
std::optional<Sequence> joined(Sequence broker, const Sequence& node, const Sequence& base) {
  if (node.size() < base.size() || !std::equal(base.begin(), base.end(), node.begin())) {
    return std::nullopt;
  }
  broker.insert(broker.end(), node.begin() + static_cast<std::ptrdiff_t>(base.size()), node.end());
  return broker;
}

std::optional<Value> append(const Value& broker, const Value& node, const Value* base) {
  if (base == nullptr) return std::nullopt;
  if (node.index() != base->index() || node.index() != broker.index()) return std::nullopt;
  if (const auto* const n = std::get_if<Text>(&node)) {
    const auto longer = joined(std::get<Text>(broker).utf8, n->utf8, std::get<Text>(*base).utf8);
    return longer ? std::optional<Value>(Text{*longer}) : std::nullopt;
  }
  if (const auto* const n = std::get_if<Text16>(&node)) {
    const auto longer =
        joined(std::get<Text16>(broker).units, n->units, std::get<Text16>(*base).units);
    return longer ? std::optional<Value>(Text16{*longer}) : std::nullopt;
  }
  const auto* const n = std::get_if<Bytes>(&node);
  if (n == nullptr) return std::nullopt;
  const auto longer = joined(std::get<Bytes>(broker), *n, std::get<Bytes>(*base));
  return longer ? std::optional<Value>(*longer) : std::nullopt;
}

}  // namespace

bool adds_up(ColumnRule rule) {
  return rule == ColumnRule::kSum || rule == ColumnRule::kMax || rule == ColumnRule::kMin ||
         rule == ColumnRule::kAppend;
}

std::optional<Value> merge_values(ColumnRule rule, const Value& broker, const Value& node,
                                  const Value* base) {
  if (rule == ColumnRule::kSum) return sum(broker, node, base);
  if (rule == ColumnRule::kAppend) return append(broker, node, base);
  return extreme(broker, node, rule == ColumnRule::kMax);
}

}  // namespace csa
