// Ledger: entries of journals changed or made by chance. Each is answered in words, the master
// stays sound, and the next write of somebody else is served.
#include <doctest/doctest.h>

#include <limits>
#include <random>
#include <string>
#include <vector>

#include "common/system_clock.h"
#include "tests/support/hostile_journal.h"

namespace csa::test::merge_fuzz_test {
namespace {

// Random rows of random kinds in every table that the file has.
class RandomRows {
 public:
  RandomRows(const std::string& path, std::uint64_t seed) : random_(seed) {
    const Database db(path, Database::Mode::kReadOnly);
    Statement names = db.prepare(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'csa%'");
    while (names.step()) {
      Statement columns = db.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid");
      columns.bind(1, names.column_text(0));
      tables_.emplace_back(names.column_text(0), std::vector<std::string>{});
      while (columns.step()) tables_.back().second.push_back(columns.column_text(0));
    }
  }
  Rows entry() {
    Rows rows;
    for (std::uint64_t n = 1 + below(5); n > 0; --n) rows.push_back(row());
    return rows;
  }
  std::uint64_t below(std::uint64_t count) { return random_() % count; }

 private:
  Value value() {
    switch (below(12)) {
      case 0:
        return Null{};
      case 1:
        return 1.5;
      case 2:
        return std::numeric_limits<double>::infinity();
      case 3:
        return Bytes(below(30), static_cast<std::uint8_t>(random_()));
      case 4:
        return Text{std::string(below(20), static_cast<char>(random_()))};
      case 5:
        return str("one");
      case 6:
        return num(below(2) == 0 ? kMost : kLeast);
      default:
        return num(static_cast<std::int64_t>(below(6)));
    }
  }
  VirtualOwner owner(const std::string& shadow) {
    const std::string name = shadow.substr(0, shadow.find('_'));
    const char* const definitions[] = {"fts5(title, body)",
                                       "fts5(text, content='note', content_rowid='rowid')",
                                       "rtree(id, x0, x1)", "fts5(body, content='')", ""};
    const std::uint64_t kind = below(4) != 0 ? (name == "word"  ? 1
                                                : name == "box" ? 2
                                                                : 0)
                                             : below(std::size(definitions));
    std::vector<std::string> columns = {"title", "body"};
    if (kind == 1) columns = {"text"};
    if (kind == 2) columns = {"id", "x0", "x1"};
    return {name, definitions[kind], std::move(columns)};
  }
  Row key(const ChangeTable& table) {
    Row made;
    for (std::size_t i = 0; i < key_size(table); ++i) {
      made.push_back(table.without_rowid ? value() : num(static_cast<std::int64_t>(below(6))));
    }
    return made;
  }
  std::pair<ChangeTable, RowChange> row() {
    const auto& [name, columns] = tables_[below(tables_.size())];
    ChangeTable table = table_of(name, columns);
    const bool two = name == "tag" || name.ends_with("_idx");
    table.without_rowid = two || name.ends_with("_config") || below(8) == 0;
    const std::uint64_t keys = two ? 2 : table.without_rowid ? 1 : below(2);
    for (std::uint32_t k = 0; k < keys && k < columns.size(); ++k) table.key_columns.push_back(k);
    if (table.key_columns.empty() && below(3) == 0) table.declared_key = {0};
    if (below(10) == 0) table.column_names.front() = columns.back();
    if (name.find('_') != std::string::npos && below(8) != 0) table.owner = owner(name);
    Row all;
    for (std::size_t i = 0; i < columns.size(); ++i) all.push_back(value());
    RowChange change = inserted(table, key(table), all, !table.without_rowid && below(2) == 0);
    const std::uint64_t kind = below(4);
    if (kind == 0) return {std::move(table), std::move(change)};
    change.assigned = false;
    change.old_values = change.new_values;
    change.op = kind == 1 ? RowOp::kDelete : RowOp::kUpdate;
    if (kind == 1) change.new_values.clear();
    if (kind == 3) change.new_key = key(table);
    for (auto& one : change.new_values) {
      if (one && below(2) == 0) one = value();
    }
    return {std::move(table), std::move(change)};
  }

  std::mt19937_64 random_;
  std::vector<std::pair<std::string, std::vector<std::string>>> tables_;
};

}  // namespace

TEST_CASE("hostile journal: honest bytes changed by seed, an outcome each, the master sound") {
  Hostile h;
  std::mt19937_64 random(7);
  ChangeTable content = table_of("doc_content", {"id", "c0", "c1"}, {0});
  content.owner = {"doc", "fts5(title, body)", {"title", "body"}};
  RowChange update = inserted(kPart, {num(1)}, {num(1), str("bolt"), num(6)});
  update.op = RowOp::kUpdate;
  update.old_values = {std::nullopt, str("bolt"), num(5)};
  const Bytes whole = Hostile::encoded(
      {{kPart, inserted(kPart, {num(30)}, {num(30), str("washer"), num(4)}, true)},
       {kBin, inserted(kBin, {num(3)}, {num(3), num(30), num(1)}, true)},
       {kPart, update},
       {kTag, inserted(kTag, {str("z"), num(4)}, {str("z"), num(4), num(1)})},
       {kNote, inserted(kNote, {num(3)}, {str("third"), num(4)}, true)},
       {content, inserted(content, {num(2)}, {num(2), str("four"), str("five")})}});
  REQUIRE(h.give(h.entry(whole)).result != ReplayResult::kParked);
  const TimePoint end = monotonic_now() + std::chrono::milliseconds{1000};
  int applied = 0;
  for (int i = 0; i < 100 || monotonic_now() < end; ++i) {
    CAPTURE(i);
    Bytes body = whole;
    for (std::uint64_t n = 1 + random() % 3; n > 0; --n) {
      const std::size_t at = random() % body.size();
      const auto byte = static_cast<std::uint8_t>(random());
      const auto place = body.begin() + static_cast<std::ptrdiff_t>(at);
      switch (random() % 4) {
        case 0:
          body[at] = byte;
          break;
        case 1:
          body[at] ^= static_cast<std::uint8_t>(1U << (byte % 8));
          break;
        case 2:
          body.erase(place);
          break;
        default:
          body.insert(place, byte);
      }
    }
    h.another_node();
    const Replayed answer = h.give(h.entry(body));
    applied += answer.result != ReplayResult::kParked ? 1 : 0;
    CHECK_MESSAGE(is_outcome(answer.result), answer.text);
  }
  CHECK(applied > 0);
  h.check_unharmed();
}

TEST_CASE("hostile journal: random rows in every table, shadows too, an outcome each") {
  for (const std::uint64_t seed : {std::uint64_t{1}, std::uint64_t{6}}) {
    CAPTURE(seed);
    Hostile h;
    RandomRows random(h.path, seed);
    int applied = 0;
    for (int i = 0; i < 250; ++i) {
      CAPTURE(i);
      if (random.below(4) != 0) h.another_node();
      const Replayed answer = h.give(random.entry());
      applied += answer.result != ReplayResult::kParked ? 1 : 0;
      CHECK_MESSAGE(is_outcome(answer.result), answer.text);
    }
    CHECK(applied > 20);
    h.check_unharmed();
  }
}

}  // namespace csa::test::merge_fuzz_test
