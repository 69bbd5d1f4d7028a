#include "tests/support/edit_story.h"

#include <algorithm>
#include <array>
#include <random>
#include <set>

#include "tests/support/arrival_model.h"

namespace csa::test {
namespace {

constexpr std::array kNames{"k", "a", "b", "w", "n", "hi", "lo"};
constexpr std::size_t kW = 3;

bool is_own(const RowRules& rules, std::size_t column, ColumnRule rule) {
  return column < rules.columns.size() && rules.columns[column] == rule;
}

std::string line(const std::string& table, const StoryRow& row) {
  if (table == kStoryDocuments) return table + " " + row.key + " " + row.a + "\n";
  return table + " " + row.key + " " + row.a + " " + row.b + " " + row.w + " " +
         std::to_string(row.n) + " " + std::to_string(row.hi) + " " + std::to_string(row.lo) + "\n";
}

}  // namespace

const std::string& EditStory::schema() {
  static const std::string text = story_schema();
  return text;
}

EditStory::EditStory(std::uint64_t seed, std::size_t nodes) {
  std::mt19937_64 engine(seed);
  const auto roll = [&engine](std::size_t sides) {
    return std::uniform_int_distribution<std::size_t>(0, sides - 1)(engine);
  };
  deletes_ = roll(2) == 0;
  by_arrival_ = roll(2) == 0;
  set_rules(engine);
  std::vector<std::size_t> writers;
  for (std::size_t node = 0; node < nodes; ++node) {
    writers.insert(writers.end(), 2 + roll(5), node);
  }
  // One parts at once; in a quarter of the stories all do. Who stays writes the more.
  const bool all_part = roll(4) == 0;
  parts_at_.assign(nodes, 0);
  for (std::size_t node = 1; node < nodes && !all_part; ++node) {
    const std::size_t kind = roll(4);
    if (kind == 1) parts_at_[node] = static_cast<std::int64_t>(roll(writers.size()));
    if (kind <= 1) continue;
    parts_at_[node] = INT64_MAX;
    writers.insert(writers.end(), 3, node);
  }
  std::shuffle(writers.begin(), writers.end(), engine);
  StoryStyle style;
  style.common = roll(std::size(kStoryTables));
  style.deletes = deletes_;
  // To an atomic transaction a row under two keys is two, so that it rather loses: not modelled.
  style.renames = !atomic_;
  style.appends = is_own(rule_, kW, ColumnRule::kAppend);
  style.pairs = atomic_;
  // Who is online sees what the others there write, and is one author with them.
  StoryAuthor online(engine, style);
  std::vector<std::optional<StoryAuthor>> parted(nodes);
  for (std::size_t i = 0; i < writers.size(); ++i) {
    StoryEdit edit;
    edit.at = static_cast<std::int64_t>(i);
    edit.node = writers[i];
    for (std::size_t node = 0; node < nodes; ++node) {
      if (parts_at_[node] <= edit.at && !parted[node]) parted[node] = online;
    }
    edit.online = !parted[edit.node];
    // A word that is no part of another.
    const std::string own = "own" + std::to_string(1000 + i);
    (edit.online ? online : *parted[edit.node]).write(edit, own);
    edits_.push_back(std::move(edit));
  }
}

void EditStory::set_rules(std::mt19937_64& engine) {
  const auto roll = [&engine](std::size_t sides) {
    return std::uniform_int_distribution<std::size_t>(0, sides - 1)(engine);
  };
  using enum ColumnRule;
  rule_.table = std::array{TableRule::kMerge, TableRule::kNewest, TableRule::kBroker,
                           TableRule::kNode, TableRule::kManual}[roll(by_arrival_ ? 5 : 2)];
  // By `newest`, what was counted in a row that is deleted is gone with it.
  const bool counts = by_arrival_ || rule_.table == TableRule::kMerge || !deletes_;
  if (counts) rule_.columns = {kTable, kTable, kTable, kNewest, kSum, kMax, kMin};
  if (by_arrival_)
    rule_.columns[kW] = std::array{kTable, kNewest, kBroker, kNode, kAppend}[roll(5)];
  atomic_ = by_arrival_ && roll(2) == 0;
  for (const StoryTable& table : kStoryTables) {
    rules_.push_back({table.name, "", std::string(to_string(rule_.table))});
    if (atomic_) rules_.push_back({table.name, "", "atomic"});
    for (std::size_t i = 0; i < rule_.columns.size(); ++i) {
      if (rule_.columns[i] == kTable) continue;
      rules_.push_back({table.name, kNames.at(i), std::string(to_string(rule_.columns[i]))});
    }
  }
}

std::optional<std::int64_t> EditStory::parts_at(std::size_t node) const {
  const std::int64_t at = parts_at_.at(node);
  return at == INT64_MAX ? std::nullopt : std::optional(at);
}

// It was made of a copy that had the earlier one.
bool EditStory::knows(const StoryEdit& edit, const StoryEdit& earlier) const {
  if (earlier.at >= edit.at) return false;
  return earlier.online ? earlier.at < parts_at_[edit.node] : earlier.node == edit.node;
}

std::optional<StoryRow> EditStory::outcome(const std::vector<const StoryEdit*>& of_row,
                                           const std::optional<StoryRow>& before) const {
  // The latest of all wins the row.
  const bool by_column = rule_.table == TableRule::kMerge;
  if (rule_.columns.empty()) return of_row.back()->image;
  // A change that a deletion did not know is worth more.
  for (const StoryEdit* const deletion : of_row) {
    if (deletion->image) continue;
    const auto counts = [&](const StoryEdit* e) { return e->image && !knows(*deletion, *e); };
    if (std::ranges::none_of(of_row, counts)) return std::nullopt;
  }
  std::optional<StoryRow> row = before;
  for (const StoryEdit* const edit : of_row) {
    if (!edit->image) continue;
    if (!row) row = StoryRow{edit->image->key, {}, {}, {}, 0, edit->image->hi, edit->image->lo};
    row->n += edit->added;
    row->hi = std::max(row->hi, edit->image->hi);
    row->lo = std::min(row->lo, edit->image->lo);
    if (edit->w) row->w = edit->image->w;
    const bool whole = !by_column && (edit->a || edit->b || edit->key_changed);
    if (edit->key_changed || whole) row->key = edit->image->key;
    if (edit->a || whole) row->a = edit->image->a;
    if (edit->b || whole) row->b = edit->image->b;
  }
  return row;
}

StoryRows EditStory::by_rules() const {
  StoryRows rows = first_story_rows();
  std::map<StoryKey, std::vector<const StoryEdit*>> by_row;
  for (const StoryEdit& edit : edits_) {
    const bool here = !edit.table.empty() && (!by_arrival_ || edit.table == kStoryDocuments);
    if (here) by_row[{edit.table, edit.key}].push_back(&edit);
  }
  for (const auto& [key, of_row] : by_row) {
    const auto known = rows.find(key);
    const auto before = known == rows.end() ? std::nullopt : std::optional(known->second);
    const auto row = key.first == kStoryDocuments ? of_row.back()->image : outcome(of_row, before);
    if (row) {
      rows[key] = *row;
    } else {
      rows.erase(key);
    }
  }
  return rows;
}

// Documents go by their own rule, `newest`.
StoryRows EditStory::by_arrival(const std::vector<std::int64_t>& arrivals) const {
  ArrivalModel model(rule_, atomic_, [this](const StoryEdit& edit, const StoryEdit& earlier) {
    return knows(edit, earlier);
  });
  for (const std::int64_t at : arrivals) {
    const StoryEdit& edit = edits_.at(static_cast<std::size_t>(at));
    if (!edit.table.empty() && edit.table != kStoryDocuments) model.take(edit);
  }
  StoryRows rows = model.rows();
  for (const auto& [key, row] : by_rules()) {
    if (key.first == kStoryDocuments) rows[key] = row;
  }
  return rows;
}

std::string EditStory::expected(const std::vector<std::int64_t>& arrivals) const {
  StoryRows sorted;
  for (const auto& [key, row] : by_arrival_ ? by_arrival(arrivals) : by_rules()) {
    sorted[{key.first, row.key}] = row;
  }
  std::string text;
  for (const auto& [key, row] : sorted) text += line(key.first, row);
  for (const StoryEdit& edit : edits_) {
    if (edit.table.empty()) text += "story_auto " + edit.own + " " + edit.own + "\n";
  }
  return text;
}

std::string EditStory::found(const Database& db) {
  std::vector<std::pair<StoryKey, StoryRow>> rows;
  for (const StoryTable& table : kStoryTables) {
    Statement each = db.prepare("SELECT " + std::string(table.shown) +
                                ", a, b, w, n, hi, lo FROM " + table.name);
    while (each.step()) {
      rows.push_back(
          {{table.name, each.column_text(0)},
           {each.column_text(0), each.column_text(1), each.column_text(2), each.column_text(3),
            each.column_int(4), each.column_int(5), each.column_int(6)}});
    }
  }
  Statement documents = db.prepare("SELECT rowid, a FROM story_doc");
  while (documents.step()) {
    StoryRow row;
    row.key = documents.column_text(0);
    row.a = documents.column_text(1);
    rows.push_back({{kStoryDocuments, documents.column_text(0)}, row});
  }
  std::ranges::sort(rows, {}, [](const auto& one) { return one.first; });
  std::string text;
  for (const auto& [key, row] : rows) text += line(key.first, row);
  Statement families = db.prepare(
      "SELECT a.who, c.who FROM story_auto a LEFT JOIN story_child c ON c.parent = a.id"
      " ORDER BY a.who, c.who");
  while (families.step()) {
    text += "story_auto " + families.column_text(0) + " " + families.column_text(1) + "\n";
  }
  return text;
}

// Who knew it has written over it later, or deleted it.
bool EditStory::is_overwritten(const StoryEdit& edit) const {
  bool a = !edit.a;
  bool b = !edit.b;
  bool key = !edit.key_changed || edit.a;
  for (const StoryEdit& later : edits_) {
    if (!knows(later, edit)) continue;
    for (const StoryEdit* const part : parts_of(later)) {
      if (part->table != edit.table || part->key != edit.key) continue;
      a = a || part->a || !part->image;
      b = b || part->b || !part->image;
      key = key || part->key_changed || !part->image;
    }
  }
  return a && b && key;
}

std::string EditStory::missing(const Database& db) const {
  const std::string rows = found(db);
  Statement inbox = db.prepare(
      "SELECT 1 FROM csa_conflicts WHERE instr(broker, ?1) > 0 OR instr(node_row, ?1) > 0");
  Statement search = db.prepare(
      "SELECT (SELECT group_concat(rowid) FROM story_doc WHERE story_doc MATCH ?1) IS"
      " (SELECT group_concat(rowid) FROM story_doc WHERE instr(a, ?1) > 0)");
  for (const StoryEdit& edit : edits_) {
    if (edit.own.empty()) continue;
    inbox.bind(1, std::string_view(edit.own));
    const bool kept = inbox.step();
    inbox.reset();
    if (!kept && rows.find(edit.own) == std::string::npos && !is_overwritten(edit)) {
      return edit.own + " is neither in the tables nor in the inbox";
    }
    search.bind(1, std::string_view(edit.own));
    const bool right = search.step() && search.column_int(0) == 1;
    search.reset();
    if (!right) return "a search for " + edit.own + " does not find what is there";
  }
  return {};
}

std::string EditStory::told() const {
  std::string text;
  for (const RuleSetting& rule : rules_) {
    if (rule.table == kStoryTables[0].name) text += rule.column + " " + rule.rule + "; ";
  }
  text += "\n";
  for (const StoryEdit& edit : edits_) {
    text += std::to_string(edit.at) + " node " + std::to_string(edit.node) +
            (edit.online ? " online: " : ": ") + edit.sql + "\n";
  }
  return text;
}

}  // namespace csa::test
