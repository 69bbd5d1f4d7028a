// Who wins a row, held against a small model of the rules (support/row_model.h); and that the same
// edits end alike in whatever order they arrive.
#include "broker/merge_row.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/cases.h"
#include "tests/support/row_model.h"

namespace csa::merge_row_test {
namespace {

constexpr int kMeetings = static_cast<int>(test::cases(200'000));
constexpr std::size_t kColumns = 3;

std::uint64_t seed() {
  const char* const given = std::getenv("CSA_SEED");
  return given == nullptr ? 20260131 : std::strtoull(given, nullptr, 10);
}

NodeId node_number(std::uint8_t number) {
  NodeId node;
  node.value.bytes[15] = number;
  return node;
}

class Dice {
 public:
  explicit Dice(std::uint64_t start) : engine_(start) {}
  std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }
  std::mt19937_64& engine() { return engine_; }

 private:
  std::mt19937_64 engine_;
};

using test::Maybe;

const std::vector<Value>& values() {
  static const std::vector<Value> all = {Null{},
                                         std::int64_t{0},
                                         std::int64_t{7},
                                         std::int64_t{-3},
                                         INT64_MAX,
                                         INT64_MIN,
                                         2.5,
                                         -0.5,
                                         Text{""},
                                         Text{"a"},
                                         Text{"ab"},
                                         Text{"abc"},
                                         Text{"b"},
                                         Bytes{},
                                         Bytes{1, 2},
                                         Bytes{1, 2, 3}};
  return all;
}

Value edited(const Value& before, Dice& dice) {
  if (dice.one_in(2)) return before;
  if (const auto* const number = std::get_if<std::int64_t>(&before); number && !dice.one_in(4)) {
    const std::int64_t change = static_cast<std::int64_t>(dice.below(9)) - 4;
    std::int64_t after = 0;
    if (!__builtin_add_overflow(*number, change, &after)) return after;
  }
  if (const auto* const text = std::get_if<Text>(&before); text && !dice.one_in(4)) {
    return Text{text->utf8 + static_cast<char>('x' + dice.below(3))};
  }
  return dice.pick(values());
}

Maybe edited(const Maybe& before, Dice& dice) {
  if (dice.one_in(8)) return before;
  if (before && dice.one_in(8)) return std::nullopt;
  Row row(kColumns, Null{});
  for (std::size_t i = 0; i < kColumns; ++i) {
    row[i] = before ? edited((*before)[i], dice) : dice.pick(values());
  }
  return row;
}

Edit random_edit(Dice& dice) {
  return {{static_cast<std::int64_t>(1000 + dice.below(6))},
          static_cast<std::uint32_t>(dice.below(3)),
          node_number(static_cast<std::uint8_t>(dice.below(4)))};
}

RowRules random_rules(Dice& dice) {
  RowRules rules;
  rules.table = static_cast<TableRule>(dice.below(5));
  for (std::size_t i = dice.below(kColumns + 1); i > 0; --i) {
    rules.columns.push_back(static_cast<ColumnRule>(dice.below(8)));
  }
  return rules;
}

RowMeeting random_meeting(Dice& dice) {
  RowMeeting meeting;
  if (!dice.one_in(6)) meeting.base = edited(std::optional(Row(kColumns, Null{})), dice);
  meeting.broker = edited(meeting.base, dice);
  meeting.node = dice.one_in(10) ? meeting.broker : edited(meeting.base, dice);
  meeting.node_edit = random_edit(dice);
  meeting.broker_edit = random_edit(dice);
  if (dice.one_in(2)) {
    for (std::size_t i = 0; i < kColumns; ++i) meeting.column_edits.push_back(random_edit(dice));
  }
  meeting.born_anew = meeting.base && dice.one_in(10);
  if (meeting.base && meeting.broker && dice.one_in(2)) {
    for (std::size_t i = 0; i < kColumns; ++i) meeting.edited.push_back(dice.one_in(3));
    if (dice.one_in(4)) meeting.broker = meeting.base;
  }
  meeting.changed = dice.one_in(4);
  meeting.atomic = dice.one_in(4);
  meeting.deleted_anew = !meeting.base && !meeting.broker && dice.one_in(2);
  const bool deleted = !meeting.broker && (meeting.base || meeting.deleted_anew);
  if (deleted && dice.one_in(2)) {
    const Maybe gone = edited(std::optional(meeting.base.value_or(Row(kColumns, Null{}))), dice);
    if (gone) meeting.gone = gone;
  }
  return meeting;
}

std::string text_of(const Maybe& row) {
  if (!row) return "-";
  std::string text;
  for (const Value& value : *row) {
    text += std::to_string(value.index()) + ":";
    if (const auto* const number = std::get_if<std::int64_t>(&value)) {
      text += std::to_string(*number);
    } else if (const auto* const real = std::get_if<double>(&value)) {
      text += std::to_string(*real);
    } else if (const auto* const letters = std::get_if<Text>(&value)) {
      text += letters->utf8;
    }
    text += " ";
  }
  return text;
}

std::string text_of(const RowRules& rules, const RowMeeting& x) {
  std::string text = "rule " + std::string(to_string(rules.table));
  for (const ColumnRule rule : rules.columns) text += " " + std::string(to_string(rule));
  return text + "\nbase " + text_of(x.base) + "\nmaster " + text_of(x.broker) + "\nnode " +
         text_of(x.node) + (x.born_anew ? "\nborn anew" : "") +
         (x.deleted_anew ? "\ndeleted anew" : "") + "\ngone " + text_of(x.gone) + "\nedited " +
         std::to_string(std::ranges::count(x.edited, true));
}

}  // namespace

TEST_CASE("merge_row: random meetings, decided as the model of the rules says") {
  Dice dice(seed());
  INFO("CSA_SEED=", seed());
  std::vector<int> seen(6);
  for (int i = 0; i < kMeetings; ++i) {
    const RowRules rules = random_rules(dice);
    const RowMeeting meeting = random_meeting(dice);
    const RowVerdict verdict = decide(rules, meeting);
    const test::Expected expected = test::model(rules, meeting);
    INFO("meeting ", i, "\n", text_of(rules, meeting), "\nexpected ", text_of(expected.result),
         "\nverdict ", text_of(verdict.result));
    REQUIRE(verdict.decision == expected.decision);
    REQUIRE(verdict.result == expected.result);
    if (expected.close) REQUIRE(verdict.close == *expected.close);
    const bool won = verdict.decision == RowDecision::kNodeWon;
    if (won) REQUIRE(verdict.node_loses == expected.node_loses);
    REQUIRE(is_conflict(verdict.decision) == !verdict.reason.empty());
    ++seen[static_cast<std::size_t>(verdict.decision)];
  }
  // Otherwise the meetings would prove little.
  for (const int times : seen) CHECK(times > kMeetings / 200);
}

namespace {

struct NodeEdit {
  Maybe row;
  Edit edit;
};

// The master's side of a row, told by its log as EditIndex tells it.
struct MasterRow {
  Maybe row;
  Edit last;
  std::vector<Edit> columns;
  Maybe gone;
};

void meet(MasterRow& master, const Maybe& base, const NodeEdit& one, TableRule rule) {
  RowMeeting meeting;
  meeting.base = base;
  meeting.broker = master.row;
  meeting.node = one.row;
  meeting.node_edit = one.edit;
  meeting.broker_edit = master.last;
  meeting.column_edits = master.columns;
  meeting.gone = master.gone;
  const RowVerdict verdict = decide({rule, {}}, meeting);
  const auto raise = [&one](Edit& known) {
    if (is_earlier(known, one.edit)) known = one.edit;
  };
  const bool both = verdict.result && master.row;
  for (std::size_t i = 0; i < kColumns; ++i) {
    const bool written = both && (*verdict.result)[i] != (*master.row)[i];
    if (written || (i < verdict.later.size() && verdict.later[i])) raise(master.columns[i]);
  }
  if (verdict.deleted_later || verdict.result != master.row) raise(master.last);
  if (std::ranges::find(verdict.later, true) != verdict.later.end()) raise(master.last);
  if (master.row && !verdict.result) master.gone = master.row;
  if (verdict.result) master.gone.reset();
  master.row = verdict.result;
}

// Few values, so that some edits agree; times may tie; some delete the row.
std::vector<NodeEdit> edits_of(const Row& base, Dice& dice) {
  std::vector<NodeEdit> edits;
  for (std::uint8_t number = 1; number <= 4; ++number) {
    NodeEdit one{base, {{static_cast<std::int64_t>(1000 + dice.below(4))}, 1, node_number(number)}};
    for (std::size_t i = 0; i < kColumns; ++i) {
      if (dice.one_in(2)) (*one.row)[i] = std::int64_t(100 + dice.below(3));
    }
    if (one.row == base) (*one.row)[0] = std::int64_t{number} * 100;
    if (dice.one_in(4)) one.row = std::nullopt;
    edits.push_back(std::move(one));
  }
  return edits;
}

void check_all_orders(TableRule rule) {
  Dice dice(seed());
  INFO("CSA_SEED=", seed());
  const Row base(kColumns, std::int64_t{1});
  for (int round = 0; round < 2000; ++round) {
    const std::vector<NodeEdit> edits = edits_of(base, dice);
    std::vector<std::size_t> order = {0, 1, 2, 3};
    std::optional<Maybe> first;
    do {
      MasterRow master{base, {{}, 0, {}}, std::vector<Edit>(kColumns), {}};
      for (const std::size_t i : order) meet(master, base, edits[i], rule);
      if (!first) first = master.row;
      INFO("round ", round, ": ", text_of(master.row), " against ", text_of(*first));
      REQUIRE(master.row == *first);
    } while (std::ranges::next_permutation(order).found);
  }
}

}  // namespace

TEST_CASE("merge_row: newest, the same edits in every order, one result") {
  check_all_orders(TableRule::kNewest);
}

TEST_CASE("merge_row: merge, the same edits in every order, one result") {
  check_all_orders(TableRule::kMerge);
}

TEST_CASE("merge_row: names of rules, those of the command line and no others") {
  for (const char* const name : {"newest", "merge", "broker", "node", "manual"}) {
    REQUIRE(parse_table_rule(name));
    CHECK(to_string(*parse_table_rule(name)) == name);
  }
  for (const char* const name : {"sum", "max", "min", "append", "newest", "broker", "node"}) {
    REQUIRE(parse_column_rule(name));
    CHECK(to_string(*parse_column_rule(name)) == name);
  }
  for (const char* const name : {"", "sum", "atomic", "Newest"}) CHECK(!parse_table_rule(name));
  for (const char* const name : {"", "merge", "manual", "table"}) CHECK(!parse_column_rule(name));
}

}  // namespace csa::merge_row_test
